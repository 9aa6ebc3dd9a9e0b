import { pfnOf } from '../../machine/index.ts';
import type { RunState } from './run-state.ts';
import { writeAs } from './steps.ts';

/*
 * Regions of `reserve_mem=`: the kernel allocates them, preserves them and takes them over again; the scenario writes into
 * them once, and looks whether the content is there in every kernel that revives them.
 */

/** Notes and fills the regions that a kernel allocated afresh. */
export function noteReserveMem(run: RunState): void {
  const { context } = run.kernel;
  const { page } = context;
  for (const region of context.control.state.reserveMem) {
    if (region.revived || run.objects.objects.has(region.name)) continue;
    const nrPages = Math.ceil(region.sizeBytes / page.sizeBytes);
    const starts = Float64Array.of(pfnOf(page, region.base));
    // The kernel aligns regions to what is asked; one that does not cover whole pages is left alone.
    if (region.base % page.sizeBytes !== 0 || region.sizeBytes % page.sizeBytes !== 0) continue;
    const placed = { blocks: { starts, nrPagesEach: nrPages }, order: -1 as const, notOwned: [] };
    const object = run.objects.add('reserve_mem', region.name, placed, page, undefined);
    writeAs(run, `the owner of ${region.name}`, () => run.objects.fill(object, context.memory, []));
    object.state = handsRegionsOver(run) ? 'preserved' : 'allocated';
  }
}

/** Up to 6.18 that is decided when the handover is finalised; later, regions that could not be preserved have no subtree. */
function handsRegionsOver(run: RunState): boolean {
  const { kho, release, control } = run.kernel.context;
  if (!kho.enabled) return false;
  const name = release.memblock.subtree.name;
  if (release.quirks.finalize === 'before-load') return run.kernel.kernel.clients.reserveMem.takesPart;
  return control.state.subtreesOut.some((each) => each.name === name);
}

/**
 * In a new kernel: a region that was not revived (or revived elsewhere) has no owner any more; what the walk set aside of it stays so.
 */
export function arriveReserveMem(run: RunState): void {
  const { reserveMem } = run.kernel.context.control.state;
  for (const object of run.objects.objects.values()) {
    if (object.kind !== 'reserve_mem' || object.state !== 'crossed') continue;
    const region = reserveMem.find((each) => each.name === object.name && each.revived);
    if (region === undefined || pfnOf(run.unit, region.base) !== object.blocks.starts[0]) object.abandoned = true;
  }
}

/** At the end of a kernel's life: what it revived is handed on. */
export function carryReserveMem(run: RunState): void {
  for (const object of run.objects.objects.values()) {
    if (object.kind !== 'reserve_mem' || object.state !== 'crossed' || object.abandoned) continue;
    if (handsRegionsOver(run)) object.state = 'preserved';
  }
}
