import { hex, type Pfn, type PhysAddr } from '../../machine/index.ts';
import { fromU64, hexU64 } from '../../machine/memblock/u64.ts';
import type { MemoryReplay } from './memory-state.ts';
import { addressOf } from './tree-state.ts';

/** An operation's operands, read as what the operation takes them for. Absent ones read as 0. */
export interface OperandReader {
  /** How many there are. */
  readonly given: number;
  u64(index: number): bigint;
  /** An address, size or count; PHYS_ADDR_MAX for all ones. */
  address(index: number): number;
  /** The size of a range whose base is operand `base`: one that passes the end of the address space is all ones. */
  size(index: number, base: number): number;
  int(index: number): number;
  flags(index: number): number;
  truth(index: number): boolean;
}

/** What one operation of a memory trace does. */
export interface MemoryOperation {
  /** The least number of operands. */
  readonly arity: number;
  /** How its result is printed: `op LINE RET`, `op LINE 0xADDR`, or not at all. */
  readonly result: 'number' | 'address' | 'none';
  // biome-ignore lint/suspicious/noConfusingVoidType: operations without a result return nothing
  run(replay: MemoryReplay, o: OperandReader): number | void;
}

type Run = MemoryOperation['run'];

const number = (arity: number, run: Run): MemoryOperation => ({ arity, result: 'number', run });
const address = (arity: number, run: Run): MemoryOperation => ({ arity, result: 'address', run });
const silent = (arity: number, run: Run): MemoryOperation => ({ arity, result: 'none', run });

/** `NAME B S`: a call on a range, with 0 or an errno. */
function range(call: (replay: MemoryReplay, base: number, sizeBytes: number) => number): MemoryOperation {
  return number(2, (replay, o) => call(replay, o.address(0), o.size(1, 0)));
}

/** `NAME 0|1` or `NAME X`: sets something, and the result is 0. */
function set(change: (replay: MemoryReplay, o: OperandReader) => void): MemoryOperation {
  return number(1, (replay, o) => change(replay, o));
}

/** `NAME A`: a question, answered by 0 or 1. */
function ask(arity: number, question: (replay: MemoryReplay, o: OperandReader) => boolean): MemoryOperation {
  return number(arity, (replay, o) => (question(replay, o) ? 1 : 0));
}

function freeRanges(replay: MemoryReplay, o: OperandReader, word: string, direction: 'up' | 'down'): void {
  const visit = (start: number, end: number, nid: number) =>
    replay.print(`${word} ${hexU64(start)} ${hexU64(end)} ${nid}`);
  replay.memblock.forEachFreeRange(o.int(0), o.flags(1), visit, direction);
}

function searchPfnNid(replay: MemoryReplay, o: OperandReader): void {
  const pfn = o.u64(0);
  const found = replay.memblock.searchPfnNid(Number(pfn));
  const answer = found === undefined ? '-1 0x0 0x0' : `${found.nid} ${hex(found.startPfn)} ${hex(found.endPfn)}`;
  replay.print(`search_pfn_nid ${hex(pfn)} = ${answer}`);
}

function restorePages(replay: MemoryReplay, o: OperandReader): void {
  const before = replay.preserved.managedPages;
  const nrPages = o.address(1);
  const first = replay.preserved.restorePages(addressOf(o.u64(0)), nrPages);
  const managed = replay.preserved.managedPages - before;
  replay.print(`restore_pages ${hex(o.u64(0))} ${o.u64(1)} = ${first === undefined ? 0 : 1} managed=${managed}`);
}

function restoreFolio(replay: MemoryReplay, o: OperandReader): void {
  const before = replay.preserved.managedPages;
  const folio = replay.preserved.restoreFolio(addressOf(o.u64(0)));
  const managed = replay.preserved.managedPages - before;
  const outcome = `${folio === undefined ? 0 : 1} managed=${managed} order=${folio?.order ?? -1}`;
  replay.print(`restore_folio ${hex(o.u64(0))} = ${outcome}`);
}

function printTree(replay: MemoryReplay): void {
  replay.printText(replay.tree.walkLines(replay.digestsOnly));
  replay.printText(replay.tree.statsLines());
  replay.printText(replay.tree.rootLine());
}

/** The old kernel's calls make the tree's root if there is none yet. */
function onTree(
  arity: number,
  call: (tree: MemoryReplay['tree'], o: OperandReader) => number | undefined,
): MemoryOperation {
  return number(arity, (replay, o) => {
    replay.tree.tree.init();
    return call(replay.tree, o) ?? 0;
  });
}

/** Every operation of a memory trace by name. */
export const MEMORY_OPERATIONS: Readonly<Record<string, MemoryOperation>> = {
  // What memory there is, and what is taken.
  add: range(({ memblock }, base, size) => memblock.add(base, size)),
  add_node: number(4, (r, o) => r.memblock.addNode(o.address(0), o.size(1, 0), o.int(2), o.flags(3))),
  remove: range(({ memblock }, base, size) => memblock.remove(base, size)),
  reserve: range(({ memblock }, base, size) => memblock.reserve(base, size)),
  reserve_kern: range(({ memblock }, base, size) => memblock.reserveKern(base, size)),
  reserve_nid: number(4, (r, o) => r.memblock.reserveNode(o.address(0), o.size(1, 0), o.int(2), o.flags(3))),
  free: range(({ memblock }, base, size) => memblock.free(base, size)),
  mark_hotplug: range(({ memblock }, base, size) => memblock.markHotplug(base, size)),
  clear_hotplug: range(({ memblock }, base, size) => memblock.clearHotplug(base, size)),
  mark_mirror: range(({ memblock }, base, size) => memblock.markMirror(base, size)),
  mark_nomap: range(({ memblock }, base, size) => memblock.markNomap(base, size)),
  clear_nomap: range(({ memblock }, base, size) => memblock.clearNomap(base, size)),
  mark_kho_scratch: range(({ memblock }, base, size) => memblock.markKhoScratch(base, size)),
  clear_kho_scratch: range(({ memblock }, base, size) => memblock.clearKhoScratch(base, size)),
  reserved_mark_noinit: range(({ memblock }, base, size) => memblock.reservedMarkNoinit(base, size)),
  reserved_mark_kern: range(({ memblock }, base, size) => memblock.reservedMarkKern(base, size)),
  set_node: number(3, (r, o) => r.memblock.setNode(o.address(0), o.size(1, 0), o.int(2))),
  set_node_rsv: number(3, (r, o) => r.memblock.setNode(o.address(0), o.size(1, 0), o.int(2), r.memblock.reserved)),

  // Switches and limits.
  set_bottom_up: set(({ memblock }, o) => void (memblock.bottomUp = o.truth(0))),
  kho_scratch_only: set(({ memblock }, o) => void (memblock.khoScratchOnly = o.truth(0))),
  set_current_limit: set(({ memblock }, o) => void (memblock.currentLimit = o.address(0))),
  movable_node: set(({ memblock }, o) => void (memblock.movableNode = o.truth(0))),
  mirrored_kernelcore: set(({ memblock }, o) => void (memblock.mirroredKernelcore = o.truth(0))),
  allow_resize: number(0, ({ memblock }) => memblock.allowResize()),
  init_max: number(2, ({ memblock }, o) => {
    memblock.memory.max = o.address(0);
    memblock.reserved.max = o.address(1);
  }),
  trim: set(({ memblock }, o) => memblock.trim(o.address(0))),
  enforce_memory_limit: set(({ memblock }, o) => memblock.enforceMemoryLimit(o.address(0))),
  cap_memory_range: number(2, ({ memblock }, o) => memblock.capMemoryRange(o.address(0), o.address(1))),
  mem_limit_remove_map: set(({ memblock }, o) => memblock.memLimitRemoveMap(o.address(0))),

  // Questions.
  is_memory: ask(1, ({ memblock }, o) => memblock.isMemory(o.address(0))),
  is_map_memory: ask(1, ({ memblock }, o) => memblock.isMapMemory(o.address(0))),
  is_reserved: ask(1, ({ memblock }, o) => memblock.isReserved(o.address(0))),
  is_region_memory: ask(2, ({ memblock }, o) => memblock.isRegionMemory(o.address(0), o.size(1, 0))),
  is_region_reserved: ask(2, ({ memblock }, o) => memblock.isRegionReserved(o.address(0), o.size(1, 0))),
  start_of_dram: address(0, ({ memblock }) => memblock.startOfDram()),
  end_of_dram: address(0, ({ memblock }) => memblock.endOfDram()),
  reserved_kern_size: address(2, ({ memblock }, o) => memblock.reservedKernSize(o.address(0), o.int(1))),
  reserved_hugetlb_size: address(2, ({ memblock }, o) => memblock.reservedHugetlbSize(o.address(0), o.int(1))),
  search_pfn_nid: silent(1, searchPfnNid),
  free_ranges: silent(2, (replay, o) => freeRanges(replay, o, 'free', 'up')),
  free_ranges_rev: silent(2, (replay, o) => freeRanges(replay, o, 'freerev', 'down')),
  dump: silent(0, (replay) => replay.printDump(false)),
  digest: silent(0, (replay) => replay.printDump(true)),

  // Allocations.
  alloc: address(2, ({ memblock }, o) => memblock.alloc(o.address(0), o.address(1))),
  alloc_raw: address(2, ({ memblock }, o) => memblock.allocRaw(o.address(0), o.address(1))),
  alloc_from: address(3, ({ memblock }, o) => memblock.allocFrom(o.address(0), o.address(1), o.address(2))),
  alloc_low: address(2, ({ memblock }, o) => memblock.allocLow(o.address(0), o.address(1))),
  alloc_node: address(3, ({ memblock }, o) => memblock.allocNode(o.address(0), o.address(1), o.int(2))),
  alloc_try_nid_raw: address(5, ({ memblock }, o) =>
    memblock.allocTryNidRaw(o.address(0), o.address(1), o.address(2), o.address(3), o.int(4)),
  ),
  alloc_exact_nid_raw: address(5, ({ memblock }, o) =>
    memblock.allocExactNidRaw(o.address(0), o.address(1), o.address(2), o.address(3), o.int(4)),
  ),
  alloc_hugetlb: address(3, ({ memblock }, o) => memblock.allocHugetlb(o.address(0), o.int(1), o.truth(2))),
  phys_alloc: address(2, ({ memblock }, o) => memblock.physAlloc(o.address(0), o.address(1))),
  phys_alloc_try_nid: address(3, ({ memblock }, o) => memblock.physAllocTryNid(o.address(0), o.address(1), o.int(2))),
  alloc_range: address(4, ({ memblock }, o) =>
    memblock.physAllocRange(o.address(0), o.address(1), o.address(2), o.address(3)),
  ),
  alloc_range_nid: address(6, ({ memblock }, o) =>
    memblock.allocRangeNid(o.address(0), o.address(1), o.address(2), o.address(3), o.int(4), o.truth(5)),
  ),
  free_all: silent(0, (replay, o) => replay.freeAll(o.given > 0 && o.truth(0))),

  // The old kernel.
  preserve_pages: onTree(2, (tree, o) => tree.preservePages(o.u64(0), o.u64(1))),
  preserve_folio: onTree(2, (tree, o) => tree.preserveFolio(o.u64(0), o.u64(1))),
  unpreserve_pages: onTree(2, (tree, o) => void tree.unpreservePages(o.u64(0), o.u64(1))),
  unpreserve_folio: onTree(2, (tree, o) => void tree.unpreserveFolio(o.u64(0), o.u64(1))),
  node_base: silent(1, ({ tree }, o) => tree.alloc.setBase(o.u64(0))),
  node_fail: silent(1, ({ tree }, o) => tree.alloc.failAfter(o.u64(0))),
  node_budget: silent(1, ({ tree }, o) => tree.alloc.setBudget(o.u64(0))),
  nid: silent(3, ({ tree }, o) => tree.addNid(o.u64(0), o.u64(1), o.u64(2))),
  tree: silent(0, printTree),
  poke: silent(2, ({ memory }, o) => memory.writeU64Big(addressOf(o.u64(0)), o.u64(1))),

  // The handover.
  kho_scratch_area: silent(2, (replay, o) => replay.addScratchArea(o.address(0), o.address(1))),
  scratch_sizes: silent(4, (replay, o) => {
    const [lowmem, global, pernode] = [o.address(1), o.address(2), o.address(3)];
    replay.scratchSizes = { scale: o.flags(0), lowmem, global, pernode };
  }),
  nodes: silent(1, (replay, o) => void (replay.nrNodes = o.flags(0))),
  kho_reserve_scratch: number(0, (replay) => replay.reserveScratch()),
  kho_populate: number(2, (replay, o) => replay.populate(addressOf(o.u64(0)), o.address(1))),
  kho_memory_init_early: number(0, (replay, o) =>
    replay.initEarly(o.given > 0 ? (fromU64(o.u64(0)) as PhysAddr) : replay.tree.tree.root),
  ),
  kho_mem_retrieve: number(0, (replay) => replay.retrieve()),
  restore_pages: silent(2, restorePages),
  restore_folio: silent(1, restoreFolio),
  page: silent(1, (replay, o) => replay.printPage(Number(o.u64(0)) as Pfn)),
};
