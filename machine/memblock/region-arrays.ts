import type { PhysicalMemory } from '../physical-memory.ts';
import {
  MEMBLOCK_ALLOC_ACCESSIBLE,
  MEMBLOCK_ALLOC_NOLEAKTRACE,
  MEMBLOCK_ENOMEM,
  MEMBLOCK_KHO_SCRATCH,
  MEMBLOCK_MIRROR,
  MEMBLOCK_NONE,
  MEMBLOCK_REGION_BYTES,
  MEMBLOCK_RSRV_KERN,
} from './flags.ts';
import { FreeRanges } from './free-ranges.ts';
import type { MemblockOptions } from './options.ts';
import { writeRegionArray } from './region-bytes.ts';
import { NO_REGION, RegionTable } from './region-table.ts';
import { type MemblockCost, MemblockStop } from './reports.ts';
import {
  cappedEnd,
  exactSizeBetween,
  hexPa,
  hexU64,
  highestAligned,
  roundUp64,
  sizeBetween,
  wrappingAdd,
} from './u64.ts';

/** The regions that an isolated range consists of, as indices of the kernel's array: [start, end). */
export interface IsolatedRange {
  readonly start: number;
  readonly end: number;
  /** Where the first one is at present. */
  readonly pos: number;
}

const NO_RANGE: IsolatedRange = { start: 0, end: 0, pos: NO_REGION };

/**
 * The two region arrays and what changes them: adding, isolating, removing and merging ranges, and the doubling of an
 * array that is full, out of the very memory that the arrays describe. All of it has the kernel's order of steps, since
 * what a doubling reserves and frees is seen by whatever comes next.
 */
export class RegionArrays {
  readonly memory: RegionTable;
  readonly reserved: RegionTable;
  readonly pageBytes: number;
  readonly numa: boolean;
  /** Nodes are valid from 0 to one below this; regions that belong to none carry it (MAX_NUMNODES). */
  readonly maxNumnodes: number;
  bottomUp = false;
  /** Addresses from here on are not allocated unless asked for by an `end` of their own. */
  currentLimit: number;
  canResize = false;
  khoScratchOnly = false;
  /** Hotpluggable memory is kept for movable pages: not allocated (`movable_node`). */
  movableNode = false;
  hasMirror = false;
  /** WARNs hit so far. */
  warnings = 0;
  readonly cost: MemblockCost = { regionsScanned: 0, bytesMoved: 0, doublings: 0 };
  protected readonly options: MemblockOptions;
  protected physicalMemory: PhysicalMemory | undefined;

  constructor(options: MemblockOptions) {
    this.options = options;
    this.pageBytes = options.page.sizeBytes;
    this.numa = options.numa ?? true;
    this.maxNumnodes = options.maxNumnodes ?? (this.numa ? 1024 : 1);
    this.currentLimit = 2 ** 64;
    this.physicalMemory = options.memory;
    this.memory = new RegionTable('memory', options.initMemoryRegions ?? 128);
    this.reserved = new RegionTable('reserved', options.initReservedRegions ?? 128);
  }

  protected isValidNode(nid: number): boolean {
    return nid >= 0 && nid < this.maxNumnodes;
  }

  protected warnOn(functionName: string): void {
    this.warnings++;
    this.options.warn?.(functionName);
  }

  protected stop(stop: MemblockStop): never {
    this.options.stop?.(stop);
    throw stop;
  }

  // --- free ranges -----------------------------------------------------------------------------------------------

  /** Which memory early allocations come from (choose_memblock_flags). */
  protected chooseFlags(): number {
    if (this.khoScratchOnly) return MEMBLOCK_KHO_SCRATCH;
    return this.hasMirror ? MEMBLOCK_MIRROR : MEMBLOCK_NONE;
  }

  /**
   * The lowest or highest aligned place of `sizeBytes` free bytes in [start, end), 0 if there is none. The first page
   * is never used. With size 0 any range does, even one outside [start, end) if the nearer border is aligned: that is
   * how zero-size scratch areas get the addresses they have.
   */
  protected findInRangeNode(
    sizeBytes: number,
    align: number,
    start: number,
    end: number,
    nid: number,
    flags: number,
  ): number {
    if (end === MEMBLOCK_ALLOC_ACCESSIBLE || end === MEMBLOCK_ALLOC_NOLEAKTRACE) end = this.currentLimit;
    start = Math.max(start, this.pageBytes);
    const ranges = new FreeRanges(this, nid, flags, this.bottomUp ? 'up' : 'down');
    const found = this.#findFit(ranges, sizeBytes, align, start, Math.max(start, end));
    this.cost.regionsScanned += ranges.scanned;
    return found;
  }

  #findFit(ranges: FreeRanges, sizeBytes: number, align: number, start: number, end: number): number {
    while (ranges.next()) {
      const low = Math.min(Math.max(ranges.start, start), end);
      const high = Math.min(Math.max(ranges.end, start), end);
      if (this.bottomUp) {
        const candidate = roundUp64(low, align);
        if (candidate < high && sizeBetween(candidate, high) >= sizeBytes) return candidate;
      } else if (sizeBetween(low, high) >= sizeBytes) {
        const candidate = highestAligned(high, sizeBytes, align);
        if (candidate >= low) return candidate;
      }
    }
    return 0;
  }

  /** Like findInRangeNode on any node, from mirrored memory if there is some. */
  protected findInRange(start: number, end: number, sizeBytes: number, align: number): number {
    const flags = this.chooseFlags();
    const found = this.findInRangeNode(sizeBytes, align, start, end, -1, flags);
    if (found !== 0 || (flags & MEMBLOCK_MIRROR) === 0) return found;
    this.warnNotMirrored(sizeBytes);
    return this.findInRangeNode(sizeBytes, align, start, end, -1, flags & ~MEMBLOCK_MIRROR);
  }

  protected warnNotMirrored(sizeBytes: number): void {
    this.options.log?.('warn', `Could not allocate ${hexPa(sizeBytes)} bytes of mirrored memory`);
  }

  // --- doubling --------------------------------------------------------------------------------------------------

  /**
   * Doubles an array: memory for the new one is looked for first above the range that waits to be reserved, then below
   * it (for `memory` anywhere), the old one is freed, and only then is the new one reserved. If freeing needs to double
   * `reserved`, it can get the very memory that the new array already lies in: that ends the run as ARRAY_OVERLAP.
   * @returns whether there was memory.
   */
  #doubleArray(table: RegionTable, areaStart: number, areaEnd: number): boolean {
    if (!this.canResize) {
      this.stop(new MemblockStop('panic', `memblock: cannot resize ${table.name} array`));
    }
    const oldBytes = table.max * MEMBLOCK_REGION_BYTES;
    const oldAllocBytes = Math.ceil(oldBytes / this.pageBytes) * this.pageBytes;
    const newAllocBytes = Math.ceil((2 * oldBytes) / this.pageBytes) * this.pageBytes;
    if (table !== this.reserved) areaStart = areaEnd = 0;
    let addr = this.findInRange(areaEnd, this.currentLimit, newAllocBytes, this.pageBytes);
    if (addr === 0 && areaEnd > areaStart) {
      addr = this.findInRange(0, Math.min(areaStart, this.currentLimit), newAllocBytes, this.pageBytes);
    }
    const doubled = table.max * 2;
    if (addr === 0 || this.options.failsDoubling?.() === true) {
      this.options.log?.(
        'err',
        `memblock: Failed to double ${table.name} array from ${table.max} to ${doubled} entries !`,
      );
      return false;
    }
    if (this.options.debug) {
      const last = hexPa(addr + 2 * oldBytes - 1);
      this.options.log?.('info', `memblock: ${table.name} is doubled to ${doubled} at [${hexPa(addr)}-${last}]`);
    }
    const oldArray = table.arrayPhys;
    table.arrayPhys = addr;
    table.max = doubled;
    this.cost.doublings++;
    this.cost.bytesMoved += oldBytes;
    this.#checkOverlap();
    if (this.physicalMemory !== undefined) writeRegionArray(this.physicalMemory, table, this.numa);
    if (oldArray !== 0) this.free(oldArray, oldAllocBytes);
    if (this.reserveNode(addr, newAllocBytes, -1, MEMBLOCK_RSRV_KERN) !== 0) {
      this.stop(new MemblockStop('bug', `BUG at memblock_double_array: ${table.name} array not reserved`));
    }
    return true;
  }

  #checkOverlap(): void {
    const a = this.memory.arrayPhys;
    const b = this.reserved.arrayPhys;
    if (a === 0 || b === 0) return;
    const aEnd = a + this.memory.max * MEMBLOCK_REGION_BYTES;
    const bEnd = b + this.reserved.max * MEMBLOCK_REGION_BYTES;
    if (a < bEnd && b < aEnd) {
      this.stop(new MemblockStop('array-overlap', `ARRAY_OVERLAP memarray=${hexU64(a)} rsvarray=${hexU64(b)}`));
    }
  }

  /**
   * Writes the arrays that lie in RAM there, as the kernel has them: 24 bytes a region. A doubling does so by itself
   * when RAM was handed in; what changes afterwards is written only by this call.
   * @throws MachineFault when an array lies outside RAM.
   */
  writeArrays(memory: PhysicalMemory): void {
    if (this.memory.arrayPhys !== 0) writeRegionArray(memory, this.memory, this.numa);
    if (this.reserved.arrayPhys !== 0) writeRegionArray(memory, this.reserved, this.numa);
  }

  // --- ranges ----------------------------------------------------------------------------------------------------

  /**
   * Adds [base, base + size) to a table, filling the gaps between what is there already; existing regions keep their
   * flags and nid.
   * @returns 0 or -ENOMEM.
   */
  protected addRange(table: RegionTable, base: number, sizeBytes: number, nid: number, flags: number): number {
    const end = cappedEnd(base, sizeBytes);
    if (end <= base) return 0;
    if (!this.numa) nid = 0;
    if (table.count === 0) {
      if (table.totalSize !== 0n) this.warnOn('memblock_add_range');
      table.insert(NO_REGION, base, end, flags, nid);
      table.setTotal(exactSizeBetween(base, end));
      return 0;
    }
    let insert = table.count * 2 + 1 <= table.max;
    for (;;) {
      let rest = base;
      let nrNew = 0;
      let firstNew = -1;
      let endNew = 0;
      let pos = table.firstEndingAbove(base);
      while (pos !== NO_REGION) {
        const regionBase = table.base(pos);
        if (regionBase >= end) break;
        if (regionBase > rest) {
          if (this.numa && nid !== table.nid(pos)) this.warnOn('memblock_add_range');
          if (flags !== MEMBLOCK_NONE && flags !== table.flags(pos)) this.warnOn('memblock_add_range');
          nrNew++;
          if (insert) {
            pos = table.insert(pos, rest, regionBase, flags, nid);
            const index = this.#countInsertion(table, pos);
            if (firstNew < 0) firstNew = index;
            endNew = index + 1;
            pos = table.next(pos);
          }
        }
        rest = Math.min(table.end(pos), end);
        pos = table.next(pos);
      }
      const stopped = table.indexOf(pos);
      this.cost.regionsScanned += stopped + 1;
      if (rest < end) {
        nrNew++;
        if (insert) {
          pos = table.insert(pos, rest, end, flags, nid);
          this.#countInsertion(table, pos, stopped);
          if (firstNew < 0) firstNew = stopped;
          endNew = stopped + 1;
        }
      }
      if (nrNew === 0) return 0;
      if (insert) {
        this.mergeRegions(table, { start: firstNew, end: endNew });
        return 0;
      }
      while (table.count + nrNew > table.max) {
        if (!this.#doubleArray(table, base, end)) return MEMBLOCK_ENOMEM;
      }
      insert = true;
    }
  }

  #countInsertion(table: RegionTable, pos: number, index = table.indexOf(pos)): number {
    if (table.count > table.max) {
      this.stop(new MemblockStop('bug', `BUG at memblock_insert_region: ${table.name} array is full`));
    }
    this.cost.bytesMoved += (table.count - 1 - index) * MEMBLOCK_REGION_BYTES;
    return index;
  }

  /** Merges neighbours with equal flags and nid: regions with indices from `start` - 1 to `end`. */
  protected mergeRegions(table: RegionTable, { start, end }: { readonly start: number; readonly end: number }): void {
    let index = Math.max(start - 1, 0);
    let pos = table.at(index);
    let last = Math.min(end, table.count - 1);
    while (index < last) {
      const next = table.next(pos);
      const touch = table.end(pos) === table.base(next);
      if (!touch || table.nid(pos) !== table.nid(next) || table.flags(pos) !== table.flags(next)) {
        pos = next;
        index++;
        continue;
      }
      const mergedEnd = table.end(next);
      // The chunk that `next` was in may go away, never the one that `pos` is in.
      table.remove(next, true);
      table.setRange(pos, table.base(pos), mergedEnd);
      this.cost.bytesMoved += (table.count - index - 1) * MEMBLOCK_REGION_BYTES;
      last--;
    }
  }

  /**
   * Splits the regions that cross the borders of [base, base + size), so that some regions are exactly that range.
   * @returns their indices, or undefined (-ENOMEM): two free places are needed even if nothing is split.
   */
  protected isolateRange(table: RegionTable, base: number, sizeBytes: number): IsolatedRange | undefined {
    const end = cappedEnd(base, sizeBytes);
    if (end <= base) return NO_RANGE;
    while (table.count + 2 > table.max) {
      if (!this.#doubleArray(table, base, end)) return undefined;
    }
    let pos = table.firstEndingAbove(base);
    let index = table.indexOf(pos);
    let start = index;
    while (pos !== NO_REGION) {
      const regionBase = table.base(pos);
      if (regionBase >= end) break;
      const regionEnd = table.end(pos);
      if (regionBase < base) {
        table.setRange(pos, base, regionEnd);
        pos = table.insert(pos, regionBase, base, table.flags(pos), table.nid(pos), true);
        this.#countInsertion(table, pos, index);
        start++;
      } else if (regionEnd > end) {
        table.setRange(pos, end, regionEnd);
        pos = table.insert(pos, regionBase, end, table.flags(pos), table.nid(pos), true);
        this.#countInsertion(table, pos, index);
        // The kernel looks at the lower part once more.
        this.cost.regionsScanned++;
      }
      pos = table.next(pos);
      index++;
    }
    this.cost.regionsScanned += index + 1;
    return { start, end: index, pos: table.at(start) };
  }

  /** Takes [base, base + size) out of a table. 0 or -ENOMEM. */
  protected removeRange(table: RegionTable, base: number, sizeBytes: number): number {
    const range = this.isolateRange(table, base, sizeBytes);
    if (range === undefined) return MEMBLOCK_ENOMEM;
    // The kernel removes from the back; the result is the same, and so is what it moves.
    const nr = range.end - range.start;
    this.cost.bytesMoved += nr * (table.count - range.end) * MEMBLOCK_REGION_BYTES;
    let { pos } = range;
    for (let n = 0; n < nr; n++) pos = this.removeRegion(table, pos);
    return 0;
  }

  /** Takes one region out; an array that is empty now must have no total (a WARN: after a trim it does). */
  protected removeRegion(table: RegionTable, pos: number): number {
    const next = table.remove(pos);
    if (table.count === 0 && table.totalSize !== 0n) this.warnOn('memblock_remove_region');
    return next;
  }

  /** Sets or clears a flag on [base, base + size), splitting and merging regions. 0 or -ENOMEM. */
  protected setClearFlag(table: RegionTable, base: number, sizeBytes: number, set: boolean, flag: number): number {
    const range = this.isolateRange(table, base, sizeBytes);
    if (range === undefined) return MEMBLOCK_ENOMEM;
    let { pos } = range;
    for (let n = range.start; n < range.end; n++) {
      const flags = table.flags(pos);
      table.setFlags(pos, set ? flags | flag : flags & ~flag);
      pos = table.next(pos);
    }
    this.mergeRegions(table, range);
    return 0;
  }

  /** Gives [base, base + size) to a node, splitting and merging regions; nothing without NUMA. 0 or -ENOMEM. */
  protected setRangeNode(table: RegionTable, base: number, sizeBytes: number, nid: number): number {
    if (!this.numa) return 0;
    const range = this.isolateRange(table, base, sizeBytes);
    if (range === undefined) return MEMBLOCK_ENOMEM;
    let { pos } = range;
    for (let n = range.start; n < range.end; n++) {
      table.setNid(pos, nid);
      pos = table.next(pos);
    }
    this.mergeRegions(table, range);
    return 0;
  }

  // --- what doubling needs of the public operations ----------------------------------------------------------------

  /** Reserves a range for a node, with flags (`__memblock_reserve`). 0 or -ENOMEM. */
  reserveNode(base: number, sizeBytes: number, nid: number, flags: number): number {
    this.debugRange('__memblock_reserve', base, sizeBytes, ` nid=${nid} flags=${flags.toString(16)}`);
    return this.addRange(this.reserved, base, sizeBytes, nid, flags);
  }

  /** Takes a range out of `reserved` (`memblock_phys_free`). 0 or -ENOMEM. */
  free(base: number, sizeBytes: number): number {
    this.debugRange('memblock_phys_free', base, sizeBytes, '');
    return this.removeRange(this.reserved, base, sizeBytes);
  }

  protected debugRange(name: string, base: number, sizeBytes: number, rest: string): void {
    if (!this.options.debug) return;
    const last = wrappingAdd(base, sizeBytes) - 1;
    this.options.log?.('info', `${name}: [${hexPa(base)}-${hexPa(Math.max(last, 0))}]${rest}`);
  }
}
