import { EEXIST, ENOENT, ENOMEM, EOPNOTSUPP, type Errno, isErrno } from '../../kernel/errno.ts';
import {
  preserveVmalloc,
  readPreservation,
  restoreVmalloc,
  unpreserveVmalloc,
  type VmallocContext,
  writePreservation,
} from '../../kernel/kho/vmalloc.ts';
import { type VmallocArea, vmalloc } from '../../kernel/mm/vmalloc-area.ts';
import type { Order, Pfn, PhysAddr } from '../../machine/index.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import type { RunState } from './run-state.ts';
import type { VmallocSpec } from './schema.ts';
import { writeAs } from './steps.ts';

/*
 * vmalloc areas cross as drivers do it: the descriptor lies in a blob of the client's own, which the next kernel finds as
 * a subtree named like the object.
 */

const DESCRIPTOR_BYTES = 16;

/** Allocates, fills and preserves a vmalloc area. */
export function preserveVmallocStep(run: RunState, spec: VmallocSpec): 0 | Errno | undefined {
  const { context } = run.kernel;
  const area = vmalloc(context, spec.size, { allowHuge: spec.huge === true });
  if (area === undefined) return ENOMEM;
  const nrPagesEach = 2 ** area.order;
  const placed = {
    blocks: { starts: Float64Array.from(area.blocks), nrPagesEach },
    order: -1 as Order | -1,
    notOwned: [],
  };
  const object = run.objects.add('vmalloc', spec.as, placed, context.page, undefined);
  writeAs(run, 'its owner', () => run.objects.fill(object, context.memory, []));
  run.vmallocAreas.set(object.name, area);
  return preserveVmallocObject(run, object);
}

/** Preserves an area again, or for the first time. */
export function preserveVmallocObject(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  const { context } = run.kernel;
  const area = run.vmallocAreas.get(object.name);
  if (area === undefined) return ENOENT;
  if (context.release.vmalloc === undefined) return EOPNOTSUPP;
  // Its descriptor would go under a name that is taken.
  if (object.state === 'preserved') return EEXIST;
  const vm: VmallocContext = context;
  const result = run.kernel.enter((): 0 | Errno => {
    const descriptor = preserveVmalloc(vm, area);
    if (isErrno(descriptor)) return descriptor;
    const blob = context.kho.allocPreserve(DESCRIPTOR_BYTES);
    if (isErrno(blob)) {
      unpreserveVmalloc(vm, descriptor);
      return blob;
    }
    writePreservation(vm, blob, descriptor);
    const err = context.kho.addSubtree(object.name, blob, DESCRIPTOR_BYTES);
    if (err === 0) {
      run.vmallocBlobs.set(object.name, blob);
      return 0;
    }
    context.kho.unpreserveFree(blob, DESCRIPTOR_BYTES);
    unpreserveVmalloc(vm, descriptor);
    return err;
  });
  if (result === 0) {
    object.state = 'preserved';
    object.preservedAt = run.stepName();
  }
  return result;
}

/** Takes the preservation of an area back: its pages, its chunks, and the blob with the descriptor. */
export function unpreserveVmallocObject(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  const { context } = run.kernel;
  const blob = run.vmallocBlobs.get(object.name);
  if (blob === undefined || object.state !== 'preserved') return ENOENT;
  const done = run.kernel.enter((): 0 => {
    context.kho.removeSubtree(blob);
    unpreserveVmalloc(context, readPreservation(context, blob));
    context.kho.unpreserveFree(blob, DESCRIPTOR_BYTES);
    return 0;
  });
  run.vmallocBlobs.delete(object.name);
  object.renewed = false;
  object.state = 'allocated';
  return done;
}

/** Finds the descriptor and maps the area again. */
export function restoreVmallocObject(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  const { context } = run.kernel;
  if (context.release.vmalloc === undefined) return EOPNOTSUPP;
  const vm: VmallocContext = context;
  const result = run.kernel.enter((): 0 | Errno => {
    const found = context.kho.retrieveSubtree(object.name);
    if (isErrno(found)) return found;
    const area = restoreVmalloc(vm, readPreservation(vm, found.phys as PhysAddr));
    context.kho.restoreFree(found.phys);
    if (area === undefined) return ENOENT;
    run.vmallocAreas.set(object.name, area);
    const tell = () => mappedElsewhere(run, object);
    run.objects.checkMapping(object, framesOf(area), run.pageUnits, run.entry.ledger, tell);
    return 0;
  });
  // Asking for what was not handed over does not make it the client's.
  if (result !== undefined && object.state === 'crossed') object.state = 'restored';
  return result;
}

function framesOf(area: VmallocArea): Pfn[] {
  const each = 2 ** area.order;
  return area.blocks.flatMap((start) => Array.from({ length: each }, (_, i) => (start + i) as Pfn));
}

function mappedElsewhere(run: RunState, object: ExpectedObject): string {
  return `'${object.name}' came back with other pages in its mapping; kernel ${run.entry.number}, ${run.stepName()}`;
}
