import {
  MEMBLOCK_DRIVER_MANAGED,
  MEMBLOCK_HOTPLUG,
  MEMBLOCK_KHO_SCRATCH,
  MEMBLOCK_MIRROR,
  MEMBLOCK_NOMAP,
  PHYS_ADDR_MAX,
} from './flags.ts';
import { NO_REGION, type RegionTable } from './region-table.ts';

/** What an iteration over free ranges reads. */
export interface FreeRangeSource {
  readonly memory: RegionTable;
  readonly reserved: RegionTable;
  readonly maxNumnodes: number;
  readonly movableNode: boolean;
}

/**
 * Walks over memory minus reserved, upwards or downwards, in the kernel's lockstep: each memory region (that node and
 * flags admit) is met with each gap between reserved regions. Between two reserved regions that touch there is an
 * empty gap, and it is reported as an empty range, as in the kernel.
 *
 *      memory        |-------- 0 --------|     |------ 1 ------|
 *      reserved          |- a -|- b -|            |- c -|
 *      ranges        |1 |      2     |3 |      |4 |     |  5   |      (2 is empty, between a and b)
 *
 * From region to region of memory it goes straight to the first gap that meets it; `scanned` counts what the kernel's steps
 * would have looked at.
 *
 * Nothing may be added or removed while it walks.
 */
export class FreeRanges {
  start = 0;
  end = 0;
  nid = 0;
  /** Regions of both arrays that were looked at. */
  scanned = 0;
  readonly #memory: RegionTable;
  readonly #reserved: RegionTable;
  readonly #nid: number;
  readonly #flags: number;
  readonly #skipHotplug: boolean;
  readonly #up: boolean;
  /** The memory region that is met next. */
  #region: number;
  /** The reserved region above the gap that is met next; NO_REGION for the gap behind the last. */
  #above: number;
  /** The one below that gap; NO_REGION for the gap before the first. */
  #below: number;

  constructor(source: FreeRangeSource, nid: number, flags: number, direction: 'up' | 'down') {
    this.#memory = source.memory;
    this.#reserved = source.reserved;
    this.#nid = nid < source.maxNumnodes ? nid : -1;
    this.#flags = flags;
    this.#skipHotplug = source.movableNode && (flags & MEMBLOCK_HOTPLUG) === 0;
    this.#up = direction === 'up';
    this.#region = this.#up ? source.memory.first() : source.memory.last();
    this.#above = this.#up ? source.reserved.first() : NO_REGION;
    this.#below = this.#up ? NO_REGION : source.reserved.last();
  }

  #skips(region: number): boolean {
    const flags = this.#memory.flags(region);
    if (this.#nid >= 0 && this.#memory.nid(region) !== this.#nid) return true;
    if (this.#skipHotplug && (flags & MEMBLOCK_HOTPLUG) !== 0) return true;
    // Wanted flags that the region must have, and unwanted ones that it must not have.
    const wanted = this.#flags & (MEMBLOCK_MIRROR | MEMBLOCK_KHO_SCRATCH);
    if ((flags & wanted) !== wanted) return true;
    return (flags & ~this.#flags & (MEMBLOCK_NOMAP | MEMBLOCK_DRIVER_MANAGED)) !== 0;
  }

  /** Goes to the next range; false when there is none left. */
  next(): boolean {
    return this.#up ? this.#nextUp() : this.#nextDown();
  }

  #nextUp(): boolean {
    const memory = this.#memory;
    const reserved = this.#reserved;
    for (; this.#region !== NO_REGION; this.#region = memory.next(this.#region)) {
      this.scanned++;
      if (this.#skips(this.#region)) continue;
      const start = memory.base(this.#region);
      const end = memory.end(this.#region);
      if (this.#above !== NO_REGION && reserved.base(this.#above) <= start) this.#goUpTo(start);
      this.scanned++;
      // This gap ends above `start`. Behind the last reserved region it has no end.
      const gapStart = this.#below === NO_REGION ? 0 : reserved.end(this.#below);
      const gapEnd = this.#above === NO_REGION ? PHYS_ADDR_MAX : reserved.base(this.#above);
      if (gapStart >= end) continue;
      this.start = Math.max(start, gapStart);
      this.end = Math.min(end, gapEnd);
      this.nid = memory.nid(this.#region);
      if (end <= gapEnd) {
        this.#region = memory.next(this.#region);
      } else {
        this.#below = this.#above;
        this.#above = reserved.next(this.#above);
      }
      return true;
    }
    return false;
  }

  /** Leaves out the gaps that end at or below `start`. */
  #goUpTo(start: number): void {
    const reserved = this.#reserved;
    let above = reserved.firstEndingAbove(start);
    if (above !== NO_REGION && reserved.base(above) <= start) above = reserved.next(above);
    this.scanned += reserved.indexOf(above) - reserved.indexOf(this.#above);
    this.#above = above;
    this.#below = above === NO_REGION ? reserved.last() : reserved.previous(above);
  }

  /** Leaves out the gaps that begin at or above `end`. */
  #goDownTo(end: number): void {
    const reserved = this.#reserved;
    let above = reserved.firstEndingAbove(end);
    let below = above === NO_REGION ? reserved.last() : reserved.previous(above);
    if (below !== NO_REGION && reserved.end(below) === end) {
      above = below;
      below = reserved.previous(below);
    }
    this.scanned += reserved.indexOf(this.#below) + 1 - reserved.indexOf(above);
    this.#above = above;
    this.#below = below;
  }

  #nextDown(): boolean {
    const memory = this.#memory;
    const reserved = this.#reserved;
    for (; this.#region !== NO_REGION; this.#region = memory.previous(this.#region)) {
      this.scanned++;
      if (this.#skips(this.#region)) continue;
      const start = memory.base(this.#region);
      const end = memory.end(this.#region);
      if (this.#below !== NO_REGION && reserved.end(this.#below) >= end) this.#goDownTo(end);
      this.scanned++;
      // This gap begins below `end`.
      const gapStart = this.#below === NO_REGION ? 0 : reserved.end(this.#below);
      const gapEnd = this.#above === NO_REGION ? PHYS_ADDR_MAX : reserved.base(this.#above);
      if (gapEnd <= start) continue;
      this.start = Math.max(start, gapStart);
      this.end = Math.min(end, gapEnd);
      this.nid = memory.nid(this.#region);
      if (start >= gapStart) {
        this.#region = memory.previous(this.#region);
      } else {
        this.#above = this.#below;
        this.#below = reserved.previous(this.#below);
      }
      return true;
    }
    return false;
  }
}
