import { ctz, NUMA_NO_NODE } from '../units.ts';
import { MemblockAllocations } from './allocations.ts';
import {
  MEMBLOCK_HOTPLUG,
  MEMBLOCK_KHO_SCRATCH,
  MEMBLOCK_MIRROR,
  MEMBLOCK_NOMAP,
  MEMBLOCK_NONE,
  MEMBLOCK_REGION_BYTES,
  MEMBLOCK_RSRV_HUGETLB,
  MEMBLOCK_RSRV_KERN,
  MEMBLOCK_RSRV_NOINIT,
  PHYS_ADDR_MAX,
} from './flags.ts';
import { FreeRanges } from './free-ranges.ts';
import { NO_REGION, type RegionTable, type RegionTableVersion } from './region-table.ts';
import { cappedEnd, roundDown64, roundUp64, wrappingAdd } from './u64.ts';

/** A state of memblock that can be gone back to: both tables and every switch. */
export interface MemblockVersion {
  readonly memory: RegionTableVersion;
  readonly reserved: RegionTableVersion;
  readonly bottomUp: boolean;
  readonly currentLimit: number;
  readonly canResize: boolean;
  readonly khoScratchOnly: boolean;
  readonly movableNode: boolean;
  readonly hasMirror: boolean;
  readonly mirroredKernelcore: boolean;
  readonly warnings: number;
}

/** Where free memory goes when memblock ends: chunks of 2^order pages, naturally aligned, as large as they can be. */
export type FreePagesVisitor = (pfn: number, order: number) => void;

/** What free_all tells of each range of reserved (or NOMAP) memory: its struct pages are initialised and PageReserved. */
export type ReservedPagesVisitor = (firstPfn: number, endPfn: number, nid: number) => void;

/** What free_all handed over. */
export interface FreedPages {
  readonly pages: number;
  readonly chunks: number;
}

/**
 * The early allocator of Linux, region for region: what it holds after any sequence of calls is what the kernel (7.3)
 * holds. Addresses and sizes are plain numbers in bytes; PHYS_ADDR_MAX stands for all ones. Ranges are
 * [base, base + size), cut off at PHYS_ADDR_MAX; an empty one is success and does nothing. Calls that can fail return
 * 0 or a negative errno (only -ENOMEM is possible), allocations the address or 0.
 *
 * @throws MemblockStop (or what the `stop` option throws) where memblock stops the kernel.
 */
export class Memblock extends MemblockAllocations {
  /** `kernelcore=mirror`: without it, marking memory as mirrored does nothing. */
  mirroredKernelcore = false;

  // --- adding and removing ---------------------------------------------------------------------------------------

  /** Memory that belongs to no node yet (its nid is MAX_NUMNODES). */
  add(base: number, sizeBytes: number): number {
    this.debugRange('memblock_add', base, sizeBytes, '');
    return this.addRange(this.memory, base, sizeBytes, this.maxNumnodes, MEMBLOCK_NONE);
  }

  /** Memory of a node, with flags. */
  addNode(base: number, sizeBytes: number, nid: number, flags: number = MEMBLOCK_NONE): number {
    this.debugRange('memblock_add_node', base, sizeBytes, ` nid=${nid} flags=${flags.toString(16)}`);
    return this.addRange(this.memory, base, sizeBytes, nid, flags);
  }

  /** Takes a range out of memory. */
  remove(base: number, sizeBytes: number): number {
    this.debugRange('memblock_remove', base, sizeBytes, '');
    return this.removeRange(this.memory, base, sizeBytes);
  }

  /** From now on a full array may be doubled; before, it is a panic. */
  allowResize(): void {
    this.canResize = true;
  }

  // --- flags and nodes -------------------------------------------------------------------------------------------

  /** Memory that may be unplugged. */
  markHotplug(base: number, sizeBytes: number): number {
    return this.setClearFlag(this.memory, base, sizeBytes, true, MEMBLOCK_HOTPLUG);
  }

  /** Memory that stays. */
  clearHotplug(base: number, sizeBytes: number): number {
    return this.setClearFlag(this.memory, base, sizeBytes, false, MEMBLOCK_HOTPLUG);
  }

  /** Does nothing without `kernelcore=mirror`; with it, allocations prefer mirrored memory from now on. */
  markMirror(base: number, sizeBytes: number): number {
    if (!this.mirroredKernelcore) return 0;
    this.hasMirror = true;
    return this.setClearFlag(this.memory, base, sizeBytes, true, MEMBLOCK_MIRROR);
  }

  /** Memory that is not in the direct map, and so never allocated. */
  markNomap(base: number, sizeBytes: number): number {
    return this.setClearFlag(this.memory, base, sizeBytes, true, MEMBLOCK_NOMAP);
  }

  /** Memory that is in the direct map after all. */
  clearNomap(base: number, sizeBytes: number): number {
    return this.setClearFlag(this.memory, base, sizeBytes, false, MEMBLOCK_NOMAP);
  }

  /** Scratch: what scratch-only mode allocates from. */
  markKhoScratch(base: number, sizeBytes: number): number {
    return this.setClearFlag(this.memory, base, sizeBytes, true, MEMBLOCK_KHO_SCRATCH);
  }

  /** No scratch any more. */
  clearKhoScratch(base: number, sizeBytes: number): number {
    return this.setClearFlag(this.memory, base, sizeBytes, false, MEMBLOCK_KHO_SCRATCH);
  }

  /** The struct pages of what is reserved there are not to be initialised. */
  reservedMarkNoinit(base: number, sizeBytes: number): number {
    return this.setClearFlag(this.reserved, base, sizeBytes, true, MEMBLOCK_RSRV_NOINIT);
  }

  /** What is reserved there counts as the kernel's own. */
  reservedMarkKern(base: number, sizeBytes: number): number {
    return this.setClearFlag(this.reserved, base, sizeBytes, true, MEMBLOCK_RSRV_KERN);
  }

  /**
   * Exactly what reserve and then reservedMarkNoinit do for each of `nrBlocks` blocks, one behind the other, whatever
   * they return: what retrieval does with preserved memory. Where nothing overlaps and no array is nearly full, the
   * outcome is one new region or a longer one, and is reached in one step.
   */
  reserveNoinit(base: number, blockBytes: number, nrBlocks = 1): void {
    const table = this.reserved;
    const nid = this.numa ? NUMA_NO_NODE : 0;
    let left = nrBlocks;
    let at = base;
    while (left > 0) {
      const end = at + blockBytes;
      const done = this.options.debug === true ? 0 : this.#reserveNoinitFast(table, at, end, left, nid);
      if (done === 0) {
        this.reserve(at, blockBytes);
        this.reservedMarkNoinit(at, blockBytes);
      }
      left -= Math.max(done, 1);
      at += Math.max(done, 1) * blockBytes;
    }
  }

  /** @returns how many blocks are done: 0 when it takes the slow way. */
  #reserveNoinitFast(table: RegionTable, base: number, end: number, nrBlocks: number, nid: number): number {
    const { count, max } = table;
    if (count === 0 || count + 3 > max || end <= base || end > Number.MAX_SAFE_INTEGER) return 0;
    const above = table.firstEndingAbove(base);
    const limit = above === NO_REGION ? PHYS_ADDR_MAX : table.base(above);
    if (limit <= end) return 0;
    const below = above === NO_REGION ? table.last() : table.previous(above);
    const index = table.indexOf(above);
    const passes = count * 2 + 1 <= max ? 1 : 2;
    const scanned = passes * (index + 1) + index + 2;
    const moved = (count - index) * MEMBLOCK_REGION_BYTES;
    const touches = below !== NO_REGION && table.end(below) === base && table.nid(below) === nid;
    if (touches && table.flags(below) === MEMBLOCK_NONE) return 0;
    if (!touches || table.flags(below) !== MEMBLOCK_RSRV_NOINIT) {
      table.insert(above, base, end, MEMBLOCK_RSRV_NOINIT, nid);
      this.cost.regionsScanned += scanned;
      this.cost.bytesMoved += moved;
      return 1;
    }
    const blockBytes = end - base;
    const fit = Math.min(nrBlocks, Math.ceil((Math.min(limit, Number.MAX_SAFE_INTEGER) - base) / blockBytes) - 1);
    table.extend(below, base + fit * blockBytes);
    this.cost.regionsScanned += fit * scanned;
    this.cost.bytesMoved += fit * 2 * moved;
    return fit;
  }

  /** Gives memory, or reserved regions, to a node. Nothing without NUMA. */
  setNode(base: number, sizeBytes: number, nid: number, table: RegionTable = this.memory): number {
    return this.setRangeNode(table, base, sizeBytes, nid);
  }

  // --- asking ----------------------------------------------------------------------------------------------------

  /** Whether an address is in memory. */
  isMemory(addr: number): boolean {
    return this.memory.search(addr) !== NO_REGION;
  }

  /** Memory that is in the direct map: not NOMAP. */
  isMapMemory(addr: number): boolean {
    const pos = this.memory.search(addr);
    return pos !== NO_REGION && (this.memory.flags(pos) & MEMBLOCK_NOMAP) === 0;
  }

  /** Whether an address is reserved. */
  isReserved(addr: number): boolean {
    return this.reserved.search(addr) !== NO_REGION;
  }

  /** Whether a range lies in one single region of memory. */
  isRegionMemory(base: number, sizeBytes: number): boolean {
    const pos = this.memory.search(base);
    return pos !== NO_REGION && this.memory.end(pos) >= cappedEnd(base, sizeBytes);
  }

  /** Whether a range overlaps anything reserved. */
  isRegionReserved(base: number, sizeBytes: number): boolean {
    return this.overlapsRegion(this.reserved, base, sizeBytes);
  }

  /** Whether a range overlaps any region of a table; touching is not overlapping. */
  overlapsRegion(table: RegionTable, base: number, sizeBytes: number): boolean {
    const pos = table.firstEndingAbove(base);
    return pos !== NO_REGION && table.base(pos) < cappedEnd(base, sizeBytes);
  }

  /** The memory region that holds a frame: its node, first frame and end; undefined for none (the kernel says nid -1). */
  searchPfnNid(pfn: number): { readonly nid: number; readonly startPfn: number; readonly endPfn: number } | undefined {
    const pos = this.memory.search(pfn * this.pageBytes);
    if (pos === NO_REGION) return undefined;
    return {
      nid: this.memory.nid(pos),
      startPfn: Math.floor(this.memory.base(pos) / this.pageBytes),
      // The end of the address space is 2^64 - 1, in the last frame.
      endPfn: Math.floor(this.memory.end(pos) / this.pageBytes) - (this.memory.end(pos) === PHYS_ADDR_MAX ? 1 : 0),
    };
  }

  /** First byte of memory; 0 without any. */
  startOfDram(): number {
    const first = this.memory.first();
    return first === NO_REGION ? 0 : this.memory.base(first);
  }

  /** End of the last memory region; 0 without any (the kernel reads before its array). */
  endOfDram(): number {
    const last = this.memory.last();
    return last === NO_REGION ? 0 : this.memory.end(last);
  }

  /** Bytes reserved for the kernel below `limit`, on a node or (nid not valid) anywhere. */
  reservedKernSize(limit: number, nid: number): number {
    return this.#reservedSize(limit, nid, MEMBLOCK_RSRV_KERN);
  }

  /** Bytes of boot-time huge pages below `limit`, on a node or (nid not valid) anywhere. */
  reservedHugetlbSize(limit: number, nid: number): number {
    return this.#reservedSize(limit, nid, MEMBLOCK_RSRV_HUGETLB);
  }

  #reservedSize(limit: number, nid: number, flag: number): number {
    const anyNode = !this.isValidNode(nid);
    const table = this.reserved;
    let total = 0;
    for (const { base, end, flags, nid: regionNid } of table) {
      if ((flags & flag) !== 0 && (anyNode || regionNid === nid)) total += Math.max(Math.min(end, limit) - base, 0);
    }
    return total;
  }

  // --- free memory -----------------------------------------------------------------------------------------------

  /**
   * Calls `visit` for each free range, upwards or downwards, with the node of the memory it lies in; empty ranges
   * between touching reserved regions included. `nid` restricts it to a node, `flags` as in the kernel.
   */
  forEachFreeRange(
    nid: number,
    flags: number,
    visit: (start: number, end: number, nid: number) => void,
    direction: 'up' | 'down' = 'up',
  ): void {
    const ranges = new FreeRanges(this, nid, flags, direction);
    while (ranges.next()) visit(ranges.start, ranges.end, ranges.nid);
    this.cost.regionsScanned += ranges.scanned;
  }

  /**
   * The end of memblock: no memory is hotpluggable any more, scratch-only mode is over, reserved regions get the nids
   * of the memory under them (split where it changes), and whatever is not reserved goes to the page allocator.
   * @param maxPageOrder the page allocator's largest order.
   * @param free called for each chunk, ascending.
   * @param initReserved called for each range whose struct pages are initialised and marked PageReserved: NOMAP memory,
   *   then every reserved region without RSRV_NOINIT. Pages are counted outwards from the bytes.
   */
  freeAll(maxPageOrder: number, free: FreePagesVisitor, initReserved?: ReservedPagesVisitor): FreedPages {
    this.khoScratchOnly = false;
    this.clearHotplug(0, PHYS_ADDR_MAX);
    this.#initReservedPages(initReserved);
    let pages = 0;
    let chunks = 0;
    this.forEachFreeRange(NUMA_NO_NODE, MEMBLOCK_NONE, (start, end) => {
      let pfn = Math.ceil(start / this.pageBytes);
      const endPfn = Math.floor(end / this.pageBytes);
      pages += Math.max(endPfn - pfn, 0);
      while (pfn < endPfn) {
        let order = Math.min(maxPageOrder, ctz(pfn));
        while (pfn + 2 ** order > endPfn) order--;
        free(pfn, order);
        chunks++;
        pfn += 2 ** order;
      }
    });
    return { pages, chunks };
  }

  #initReservedPages(visit: ReservedPagesVisitor | undefined): void {
    const { memory, reserved, pageBytes } = this;
    const tell = (base: number, end: number, nid: number) =>
      visit?.(Math.floor(base / pageBytes), Math.ceil(end / pageBytes), nid);
    let max: number;
    do {
      // A doubling puts a new reserved region anywhere, so the nids are given out again then.
      max = reserved.max;
      for (let pos = memory.first(); pos !== NO_REGION; pos = memory.next(pos)) {
        const base = memory.base(pos);
        const end = memory.end(pos);
        if ((memory.flags(pos) & MEMBLOCK_NOMAP) !== 0) tell(base, end, memory.nid(pos));
        this.setRangeNode(reserved, base, end - base, memory.nid(pos));
      }
    } while (max !== reserved.max);
    for (let pos = reserved.first(); pos !== NO_REGION; pos = reserved.next(pos)) {
      if ((reserved.flags(pos) & MEMBLOCK_RSRV_NOINIT) !== 0) continue;
      let nid = reserved.nid(pos);
      if (!this.isValidNode(nid)) {
        const found = this.searchPfnNid(Math.floor(reserved.base(pos) / pageBytes));
        nid = found === undefined || !this.isValidNode(found.nid) ? 0 : found.nid;
      }
      tell(reserved.base(pos), reserved.end(pos), nid);
    }
  }

  // --- limits ----------------------------------------------------------------------------------------------------

  /**
   * Shrinks every memory region to multiples of `align`; what is left empty goes. total_size does not follow, as in
   * the kernel.
   */
  trim(align: number): void {
    const table = this.memory;
    let pos = table.first();
    while (pos !== NO_REGION) {
      const base = table.base(pos);
      const end = table.end(pos);
      const start = roundUp64(base, align);
      const stop = roundDown64(end, align);
      if (start < stop) {
        table.setRange(pos, start, stop);
        pos = table.next(pos);
      } else {
        pos = this.removeRegion(table, pos);
      }
    }
    // What went stays in the total.
    table.setTotal(table.totalSize);
  }

  /** The address that has `limit` bytes of memory below it; PHYS_ADDR_MAX when there is not that much. */
  #addressOfLimit(limit: number): number {
    for (const { base, end } of this.memory) {
      if (limit <= end - base) return base + limit;
      limit -= end - base;
    }
    return PHYS_ADDR_MAX;
  }

  /** Keeps the first `limit` bytes of memory and drops the rest, reserved regions there as well. 0: no limit. */
  enforceMemoryLimit(limit: number): void {
    if (limit === 0) return;
    const max = this.#addressOfLimit(limit);
    this.removeRange(this.memory, max, PHYS_ADDR_MAX);
    this.removeRange(this.reserved, max, PHYS_ADDR_MAX);
  }

  /** Keeps only memory in [base, base + size), and NOMAP memory; reserved regions outside go. */
  capMemoryRange(base: number, sizeBytes: number): void {
    if (sizeBytes === 0) return;
    if (this.memory.totalSize === 0n) {
      this.options.log?.('warn', 'memblock_cap_memory_range: No memory registered yet');
      return;
    }
    const range = this.isolateRange(this.memory, base, sizeBytes);
    if (range === undefined) return;
    this.#removeMapped(range.end, this.memory.count);
    this.#removeMapped(0, range.start);
    this.removeRange(this.reserved, 0, base);
    this.removeRange(this.reserved, wrappingAdd(base, sizeBytes), PHYS_ADDR_MAX);
  }

  /** Removes the memory regions with indices [start, end) that are not NOMAP. */
  #removeMapped(start: number, end: number): void {
    let pos = this.memory.at(start);
    for (let n = start; n < end; n++) {
      if ((this.memory.flags(pos) & MEMBLOCK_NOMAP) === 0) pos = this.removeRegion(this.memory, pos);
      else pos = this.memory.next(pos);
    }
  }

  /** Like enforceMemoryLimit, but NOMAP memory stays. */
  memLimitRemoveMap(limit: number): void {
    if (limit === 0) return;
    const max = this.#addressOfLimit(limit);
    if (max !== PHYS_ADDR_MAX) this.capMemoryRange(0, max);
  }

  // --- versions --------------------------------------------------------------------------------------------------

  /** Remembers the present state. */
  mark(): MemblockVersion {
    const { bottomUp, currentLimit, canResize, khoScratchOnly, movableNode, hasMirror, mirroredKernelcore } = this;
    return {
      memory: this.memory.mark(),
      reserved: this.reserved.mark(),
      bottomUp,
      currentLimit,
      canResize,
      khoScratchOnly,
      movableNode,
      hasMirror,
      mirroredKernelcore,
      warnings: this.warnings,
    };
  }

  /** Goes back to a version, as often as wanted, and forwards again. */
  restore(version: MemblockVersion): void {
    const { memory, reserved, ...rest } = version;
    this.memory.restore(memory);
    this.reserved.restore(reserved);
    Object.assign(this, rest);
  }
}
