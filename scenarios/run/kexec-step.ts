import { type ChunkListContract, CompiledAbi } from '../../kernel/abi/contract.ts';
import { EADDRNOTAVAIL, ENOENT, type Errno, errnoName, isErrno } from '../../kernel/errno.ts';
import { TaskBlocked } from '../../kernel/failure.ts';
import { fdtViewAt } from '../../kernel/kho/fdt-view.ts';
import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { mapOf } from '../../kernel/kho/root-fdt.ts';
import { PageFlag } from '../../kernel/mm/page-states.ts';
import {
  type BootHandoff,
  type Machine,
  MachineFault,
  type PageSize,
  type Pfn,
  type PhysAddr,
  type PhysicalMemory,
  pfnOf,
} from '../../machine/index.ts';
import { MEMBLOCK_RSRV_NOINIT } from '../../machine/memblock/flags.ts';
import { NO_REGION } from '../../machine/memblock/region-table.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { applyCorruption, type LeftBehind } from './corruption.ts';
import { ImpossibleStep } from './placement.ts';
import { arriveReserveMem, carryReserveMem, noteReserveMem } from './reserve-mem.ts';
import type { KernelEntry, PreservedBlocks, RunState } from './run-state.ts';
import type { KexecSpec, Verb } from './schema.ts';
import { closeFiles } from './session-files.ts';
import { closeSession } from './sessions.ts';
import type { BootRequest } from './simulator.ts';
import { preserveObject, restoreObject, unpreserveObject } from './steps.ts';
import { noteStrays } from './strays.ts';
import { crossSubtrees, renewSubtrees, retrieveSubtrees } from './subtrees.ts';
import { preserveVmallocObject, restoreVmallocObject, unpreserveVmallocObject } from './vmalloc-step.ts';

/** What a run wants to know at the moment of a jump: RAM as the next kernel finds it. */
export type AtJump = (machine: Machine, handoff: BootHandoff | undefined) => void;

/**
 * The kexec step: clients renew what they keep, the kernel jumps, and in the new kernel clients restore.
 * @returns `ok`, the error's name when the kernel refused to jump.
 */
export function kexecStep(
  run: RunState,
  spec: KexecSpec,
  boot: (spec: KexecSpec) => BootRequest,
  atJump?: AtJump,
): string {
  const before = run.entry;
  closeKernel(run);
  for (const object of run.objects.objects.values()) {
    if (object.state === 'restored' && object.renewed) preserveAgain(run, object);
  }
  renewSubtrees(run);
  carryReserveMem(run);
  if (run.dead) return run.entry.outcome;
  const preservedPages = run.objects.preservedPages();
  const unpreserved = run.objects.unpreserved();
  let blocks: PreservedBlocks = { starts: [], orders: [], pageBytes: before.kernel.context.page.sizeBytes };
  let left: LeftBehind | undefined;
  let sessionFiles: LeftBehind['sessionFiles'] = [];
  const request = boot(spec);
  const next = before.kernel.kexec({
    ...request,
    finalize: spec.finalize,
    meanwhile: spec.meanwhile === undefined ? undefined : () => exit(run, spec.meanwhile?.exit ?? ''),
    beforeJump: () => {
      blocks = blocksOf(before);
      sessionFiles = sessionFilesOf(before);
    },
    atJump: (machine, handoff) => {
      if (run.corruptions.length > 0) left = leftBehind(before, machine, handoff, sessionFiles);
      for (const corruption of run.corruptions.splice(0)) {
        if (left !== undefined) run.corrupted.push(applyCorruption(machine, handoff, corruption, left));
      }
      atJump?.(machine, handoff);
      run.observer.jumping?.(run, machine, handoff);
    },
  });
  if (run.dead || next === undefined) return run.entry.outcome;
  if (isErrno(next)) {
    if (next === EADDRNOTAVAIL && run.step?.spec.expect === undefined) {
      throw new ImpossibleStep(
        'scratch is too small for the next kernel’s image',
        `raise the first size of kho_scratch= (scratch areas are ${before.kernel.context.page.name} pages times 2^MAX_PAGE_ORDER at least)`,
      );
    }
    before.outcome = 'refused';
    before.reason = errnoName(next);
    return errnoName(next).slice(1);
  }
  before.ledger.preservedPages = preservedPages;
  // An attempt that was refused before is in the steps; in the end this kernel did jump.
  before.outcome = before.kernel.start.kind;
  before.reason = before.kernel.start.reason ?? null;
  run.objects.cross();
  crossSubtrees(run);
  run.sessions.cross();
  run.vmallocAreas.clear();
  run.vmallocBlobs.clear();
  const entry = run.addKernel(next, request);
  entry.offered = blocks;
  run.observer.booted?.(run, entry);
  arrive(run, entry, spec, blocks);
  if (entry.outcome === 'handover') noteStrays(run, unpreserved, blocks);
  return entry.outcome === 'handover' ? 'ok' : entry.outcome;
}

/** The program that has a session open exits. Where it has to wait, the jump comes first. */
function exit(run: RunState, name: string): void {
  const session = run.sessions.sessions.get(name);
  if (session === undefined) return;
  const { state } = session;
  try {
    if (closeSession(run, name) === 0) closeFiles(session);
  } catch (error) {
    if (!(error instanceof TaskBlocked)) throw error;
  }
  // What the kernel has written by then says that the session goes on.
  session.state = state;
}

/** The step `kexec and return`. */
export function kexecAndReturn(run: RunState): 0 | Errno | undefined {
  return run.kernel.kexecAndReturn();
}

/** Preserves an object in the way of its kind. */
export function preserveAgain(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  // Nobody's to preserve: it went with a jump, or back to the allocator.
  if (object.state === 'gone' || object.state === 'freed') return ENOENT;
  return object.kind === 'vmalloc' ? preserveVmallocObject(run, object) : preserveObject(run, object);
}

/** Restores an object in the way of its kind. */
export function restoreAny(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  return object.kind === 'vmalloc' ? restoreVmallocObject(run, object) : restoreObject(run, object);
}

/** Unpreserves an object in the way of its kind. */
export function unpreserveAny(run: RunState, object: ExpectedObject): 0 | Errno | undefined {
  return object.kind === 'vmalloc' ? unpreserveVmallocObject(run, object) : unpreserveObject(run, object);
}

/** Where the files of each outgoing session are written down. */
function sessionFilesOf({ kernel }: KernelEntry): LeftBehind['sessionFiles'] {
  const sessions = [...(kernel.luo?.sessions.outgoing.values() ?? [])];
  return sessions.map(({ name, files }) => ({ name, phys: files.tableHead }));
}

/** What a corruption needs to find its target: the map is where the root FDT says, when everything is written. */
function leftBehind(
  entry: KernelEntry,
  { memory }: Machine,
  handoff: BootHandoff | undefined,
  sessionFiles: LeftBehind['sessionFiles'],
): LeftBehind {
  const { release, page, control } = entry.kernel.context;
  const map = handoff === undefined ? 0 : (mapOf(fdtViewAt(memory, handoff.fdt.phys), release.root) ?? 0);
  const bitmap = release.map.format === 'chunk-list' ? firstBitmap(memory, release.map, page, map) : undefined;
  const depth = release.map.format === 'radix-tree' ? radixGeometry(page, release.map).depth : 1;
  return { map, depth, subtrees: control.state.subtreesOut, sessionFiles, bitmap };
}

/** Where the first bitmap of a chunk list is; undefined for an empty one. */
function firstBitmap(memory: PhysicalMemory, contract: ChunkListContract, page: PageSize, chunk: number) {
  if (chunk === 0) return undefined;
  const abi = new CompiledAbi([contract], page);
  const phys = abi.struct('khoser_mem_chunk').get(memory, chunk as PhysAddr, 'bitmaps.bitmap', 0);
  return phys === 0 ? undefined : { phys, sizeBytes: abi.constant('map', 'BITMAP_BYTES') };
}

/** In the new kernel: the checks look, clients restore, the checks look again. */
function arrive(run: RunState, entry: KernelEntry, spec: KexecSpec, blocks: PreservedBlocks): void {
  if (entry.outcome !== 'handover') {
    run.objects.loseAll(entry.ledger);
    for (const subtree of run.subtrees.values()) {
      if (subtree.state === 'crossed') subtree.state = 'lost';
    }
    return;
  }
  notePhantoms(entry, blocks, run.unit.sizeBytes);
  arriveReserveMem(run);
  noteReserveMem(run);
  entry.lookPending = true;
  const wanted = spec.restore ?? 'all';
  for (const object of run.objects.objects.values()) {
    if (object.state !== 'crossed' || object.kind === 'reserve_mem' || wanted === 'none') continue;
    if (wanted === 'all' || wanted.includes(object.name)) restoreAny(run, object);
    if (run.dead) return;
  }
  retrieveSubtrees(run);
  entry.incoming = blocks;
}

/**
 * What the walk set aside that the old kernel had not preserved. Both sides may have millions of ranges.
 * @param unit bytes of the frames that are noted.
 */
function notePhantoms(entry: KernelEntry, { starts, orders, pageBytes }: PreservedBlocks, unit: number): void {
  const { memblock } = entry.kernel.context;
  const table = memblock.reserved;
  const byAddress = ascendingOrder(starts);
  let next = 0;
  let covered = 0;
  for (let region = table.first(); region !== NO_REGION; region = table.next(region)) {
    if ((table.flags(region) & MEMBLOCK_RSRV_NOINIT) === 0) continue;
    const end = table.end(region);
    let at = Math.max(table.base(region), covered);
    while (at < end) {
      const block = byAddress[next];
      const start = block === undefined ? end : (starts[block] as number);
      if (block !== undefined && start <= at) {
        covered = Math.max(covered, start + pageBytes * 2 ** (orders[block] ?? 0));
        at = Math.max(at, covered);
        next++;
        continue;
      }
      const stop = Math.min(start, end);
      entry.phantom.add(at / unit, (stop - at) / unit);
      at = stop;
    }
  }
}

/** The indices of some numbers, those of smaller ones first. */
function ascendingOrder(numbers: readonly number[]): Uint32Array {
  const order = Uint32Array.from(numbers, (_, i) => i);
  const isAscending = numbers.every((value, i) => i === 0 || (numbers[i - 1] as number) <= value);
  return isAscending ? order : order.sort((a, b) => (numbers[a] as number) - (numbers[b] as number));
}

/** The end of a kernel's life, or of the run: a last look, and what was never restored. */
export function closeKernel(run: RunState): void {
  const { entry } = run;
  if (run.kernels.length === 1 || entry.outcome !== 'handover' || entry.closed) return;
  entry.closed = true;
  look(run, true);
  const objectPages = entry.ledger.leaked.nrPages;
  entry.leakedByKernelPages = Math.max(unrestoredPages(run, entry) - objectPages, 0);
  run.observer.closed?.(run, entry);
}

/** A look at everything, before a step changes what the last jump left. */
export function lookBefore(run: RunState, verb: Verb): void {
  if (run.entry.lookPending && verb !== 'kexec' && verb !== 'corrupt') look(run, false);
}

function look(run: RunState, final: boolean): void {
  run.entry.lookPending = false;
  const { context } = run.kernel;
  const { memory, pages, map } = context;
  run.objects.check(memory, pages, map.banks, run.entry.ledger, final, (pfn, kind) => run.tell(pfn, kind));
}

/** By value: the kernel that made them is about to go. */
function blocksOf(entry: KernelEntry): PreservedBlocks {
  const blocks: PreservedBlocks = { starts: [], orders: [], pageBytes: entry.kernel.context.page.sizeBytes };
  try {
    entry.kernel.outgoing?.forEach((lo, hi, order) => {
      blocks.starts.push((hi >>> 0) * 0x1_0000_0000 + (lo >>> 0));
      blocks.orders.push(order);
    });
  } catch (error) {
    // Somebody wrote over the map. The kernel doesn't read it at a jump; the next one will.
    if (!(error instanceof MachineFault)) throw error;
  }
  return blocks;
}

/** Pages of all that the predecessor preserved, its own memory included, that nobody restored. */
function unrestoredPages(run: RunState, { kernel, incoming }: KernelEntry): number {
  const { pages, page } = kernel.context;
  if (incoming === undefined) return 0;
  let bytes = 0;
  for (const [i, phys] of incoming.starts.entries()) {
    const end = phys + incoming.pageBytes * 2 ** (incoming.orders[i] ?? 0);
    const first = pfnOf(page, phys as PhysAddr);
    if (!pages.hasStructPage(first)) continue;
    for (const { start, nrPages, state } of pages.runs(first, Math.ceil(end / page.sizeBytes) as Pfn)) {
      if ((state.flags & PageFlag.managed) !== 0) continue;
      // A larger page is there with the part of it that was handed over.
      bytes += Math.min(end, (start + nrPages) * page.sizeBytes) - Math.max(phys, start * page.sizeBytes);
    }
  }
  return bytes / run.unit.sizeBytes;
}
