import { PageFlag } from '../../kernel/mm/page-states.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { PageRanges } from '../check/ranges.ts';
import { subtract, union } from '../handover/intervals.ts';
import type { PreservedBlocks, RunState } from './run-state.ts';

/**
 * Notes pages that their client had unpreserved, or never preserved, and that the present kernel set aside all the same, because
 * its predecessor's map had them. Nobody will ever restore them.
 * @param blocks the map at the jump, in bytes and orders.
 */
export function noteStrays(run: RunState, unpreserved: readonly ExpectedObject[], blocks: PreservedBlocks): void {
  if (unpreserved.length === 0) return;
  const { pages } = run.kernel.context;
  const others = union(
    [...run.objects.objects.values()]
      .filter((each) => each.state === 'crossed' || each.state === 'restored')
      .flatMap(framesOf),
  );
  const preserved = subtract(
    union(
      blocks.starts.map((phys, i) => {
        const start = phys / run.unit.sizeBytes;
        return [start, start + (2 ** (blocks.orders[i] ?? 0) * blocks.pageBytes) / run.unit.sizeBytes] as const;
      }),
    ),
    others,
  );
  for (const object of unpreserved) {
    const own = run.objects.ownFrames(object);
    const strays = new PageRanges();
    for (const [start, end] of subtract(own, subtract(own, preserved))) {
      for (let pfn = start; pfn < end; pfn++) {
        const frame = run.kernelFrame(pfn);
        if (pages.hasStructPage(frame) && !pages.has(frame, PageFlag.managed)) strays.add(pfn, 1);
      }
    }
    run.objects.noteLeak(object, strays, run.entry.ledger, (at, kind) => run.tell(at, kind));
  }
}

function framesOf(object: ExpectedObject): (readonly [number, number])[] {
  return Array.from(object.blocks.starts, (start) => [start, start + object.blocks.nrPagesEach] as const);
}
