import type { BootHandoff, Machine } from '../../machine/index.ts';
import { handoverInMemory } from '../inspect/image-source.ts';
import { inspectImage } from '../inspect/inspect.ts';
import { HandoverPicture } from '../picture/handover-picture.ts';
import type { RunObserver } from '../run/observer.ts';
import type { RunState } from '../run/run-state.ts';

/** Characters for each bank: a line has 80 columns. */
const COLUMNS = 48;

/** Draws RAM at the last jump of a run for a terminal, and what went wrong after it. */
export class RunPicture implements RunObserver {
  #picture: HandoverPicture | undefined;
  #kernel = 0;

  jumping(run: RunState, machine: Machine, handoff: BootHandoff | undefined): void {
    this.#kernel = run.kernels.length;
    this.#picture = new HandoverPicture(machine.map.banks, COLUMNS);
    if (handoff === undefined) return;
    const { scratch, map, preserved } = inspectImage(handoverInMemory(machine.memory, machine.arch, handoff), {
      contents: false,
    });
    this.#picture.addHandover({
      scratch,
      map: map?.pages ?? [],
      forEachBlock: (visit) => preserved.inAddressOrder((phys, order) => visit(phys, preserved.sizeOf(order))),
    });
  }

  /** The lines, legend last; none for a run without a jump. @param run the finished run. */
  lines(run: RunState): string[] {
    const picture = this.#picture;
    if (picture === undefined) return [];
    const { sizeBytes } = run.unit;
    for (const { ledger } of run.kernels.slice(this.#kernel)) {
      for (const ranges of [ledger.damaged, ledger.lost]) {
        for (const [pfn, nrPages] of ranges.ranges()) picture.addWrong(pfn * sizeBytes, nrPages * sizeBytes);
      }
    }
    return [...picture.lines(), picture.legend('damaged, lost')];
  }
}
