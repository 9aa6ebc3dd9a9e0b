import { ENOENT, ENOMEM, type Errno } from '../../kernel/errno.ts';
import { type Pfn, physAddr, physOf } from '../../machine/index.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { type KernelBlocks, kernelBlocks } from './kernel-blocks.ts';
import { freeBlocks, ImpossibleStep, placeFolios, placePages } from './placement.ts';
import type { RunState } from './run-state.ts';
import type { FoliosSpec, PagesSpec, WriteSpec } from './schema.ts';

/*
 * The steps that work on memory. Each gives 0 or the first error that a kernel call returned; a step that made an
 * object and could not preserve it keeps the object, not preserved, so that later steps may name it.
 */

/** Step `preserve folios` (or `allocate folios`, without `preserve`). @returns 0 or the kernel's error, undefined when it fell over. */
export function preserveFolios(run: RunState, spec: FoliosSpec, preserve: boolean): 0 | Errno | undefined {
  const { context } = run.kernel;
  const placed = placeFolios(context, spec, run.random);
  if (placed === undefined) return ENOMEM;
  const object = run.objects.add('folios', spec.as, placed, context.page, spec.fill);
  writeAs(run, 'its owner', () => run.objects.fill(object, context.memory, placed.notOwned));
  return preserve ? preserveObject(run, object) : 0;
}

/** Step `preserve pages` (or `allocate pages`). @returns as `preserveFolios`. */
export function preservePages(run: RunState, spec: PagesSpec): 0 | Errno | undefined {
  const { context } = run.kernel;
  const placed = placePages(context, spec);
  if (placed === undefined) {
    throw new ImpossibleStep('no free range is that long', 'give the machine more memory, or ask for less');
  }
  const object = run.objects.add('pages', spec.as, placed, context.page, spec.fill);
  writeAs(run, 'its owner', () => run.objects.fill(object, context.memory, placed.notOwned));
  return preserveObject(run, object);
}

/** Names who writes in the provenance of pages while `write` runs. */
export function writeAs(run: RunState, who: string, write: () => void): void {
  const { memory } = run.kernel.context;
  memory.setWriter(`${who}, kernel ${run.entry.number}, ${run.stepName()}`);
  write();
  memory.setWriter(`kernel ${run.entry.number}`);
}

/**
 * Preserves all of an object, as its client would: folio by folio, or as one range.
 * @returns the first error, with what was done before it undone; undefined when the kernel fell over.
 */
export function preserveObject(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  const { kho } = run.kernel.context;
  const blocks = kernelBlocks(run, object);
  const { starts, nrPagesEach, order } = blocks;
  const result = run.kernel.enter((): 0 | Errno => {
    for (let i = 0; i < starts.length; i++) {
      const pfn = starts[i] as Pfn;
      const err = order === -1 ? kho.preservePages(pfn, nrPagesEach) : kho.preserveFolio({ pfn, order });
      if (err === 0) continue;
      for (let k = 0; k < i; k++) unpreserveBlock(run, blocks, starts[k] as Pfn);
      return err;
    }
    return 0;
  });
  if (result === 0) {
    object.state = 'preserved';
    object.renewed = true;
    object.preservedAt = run.stepName();
  }
  return result;
}

function unpreserveBlock(run: RunState, { order, nrPagesEach }: KernelBlocks, pfn: Pfn): void {
  const { kho } = run.kernel.context;
  if (order === -1) kho.unpreservePages(pfn, nrPagesEach);
  else kho.unpreserveFolio({ pfn, order });
}

/** Takes the preservation of an object back. Its memory stays its client's. */
export function unpreserveObject(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  // As for preserving: what went with a jump may be somebody else's by now, and there is one bit for all.
  if (object.state === 'gone' || object.state === 'freed') return ENOENT;
  const done = run.kernel.enter((): 0 => {
    const blocks = kernelBlocks(run, object);
    for (const start of blocks.starts) unpreserveBlock(run, blocks, start as Pfn);
    return 0;
  });
  object.renewed = false;
  if (object.state === 'preserved') object.state = 'allocated';
  return done;
}

/** Frees an object's memory; one that is preserved is not unpreserved first: then that is the mistake that is shown. */
export function freeObject(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  if (object.state === 'gone') return ENOENT;
  const wasPreserved = object.state === 'preserved';
  const done = run.kernel.enter((): 0 => {
    const blocks = kernelBlocks(run, object);
    freeBlocks(run.kernel.context, blocks, blocks.order);
    return 0;
  });
  object.renewed = false;
  if (!wasPreserved) object.state = 'freed';
  return done;
}

/**
 * A client takes its memory back from the handover.
 * @returns -ENOENT when a block was not there to restore; undefined when the kernel fell over.
 */
export function restoreObject(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  const { kho, page } = run.kernel.context;
  const { starts, nrPagesEach, order } = kernelBlocks(run, object);
  const wasHanded = object.state === 'crossed' || object.state === 'restored';
  const result = run.kernel.enter((): 0 | Errno => {
    let err: 0 | Errno = 0;
    for (const start of starts) {
      const phys = physOf(page, start as Pfn);
      const got = order === -1 ? kho.restorePages(phys, nrPagesEach) : kho.restoreFolio(phys);
      if (got === undefined) err = ENOENT;
    }
    return err;
  });
  // What could be restored is; what could not, the checks find in the page states. Asking for what nobody handed over
  // does not make it the client's.
  if (result !== undefined && wasHanded) object.state = 'restored';
  return result;
}

/** Writes into an object, or anywhere. @param owner the content is what must survive from now on. */
export function write(run: RunState, spec: WriteSpec, owner: boolean): 0 | Errno {
  if (spec.to !== undefined && !run.objects.objects.has(spec.to)) return ENOENT;
  const { memory, page } = run.kernel.context;
  const pageBytes = page.sizeBytes;
  const units = run.pageUnits;
  const object = spec.to === undefined ? undefined : run.objects.get(spec.to);
  // An owner writes to what it has: not to pages that went with a jump, or back to the allocator.
  if (owner && (object?.state === 'gone' || object?.state === 'freed')) return ENOENT;
  let pfn: number;
  if (object === undefined) pfn = Math.floor((spec.at ?? 0) / pageBytes);
  else {
    const index = (spec.page ?? 0) * units;
    if (index >= object.nrPages) {
      const nrPages = Math.ceil(object.nrPages / units);
      throw new ImpossibleStep(`'${object.name}' has ${nrPages} pages of ${page.name}, no page ${spec.page}`);
    }
    const { starts, nrPagesEach } = object.blocks;
    pfn = Math.floor(((starts[Math.floor(index / nrPagesEach)] as number) + (index % nrPagesEach)) / units);
  }
  const offset = (object === undefined ? (spec.at ?? 0) % pageBytes : 0) + (spec.offset ?? 0);
  const bytes = spec.bytes === undefined ? Uint8Array.of(0xba, 0xad) : hexToBytes(spec.bytes);
  const phys = physOf(page, pfn as Pfn) + offset;
  if (!memory.contains(phys, bytes.length)) throw new ImpossibleStep('the write leaves RAM');
  writeAs(run, owner ? 'its owner' : 'a stray write', () => memory.writeBytes(physAddr(phys), bytes));
  if (owner && object !== undefined) run.objects.noteWritten(object, memory, pfn as Pfn);
  return 0;
}

/** `de ad be ef` as bytes. */
export function hexToBytes(text: string): Uint8Array {
  const digits = text.replaceAll(/\s+/g, '');
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}
