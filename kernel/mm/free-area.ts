import { alignDown, alignUp, type Pfn } from '../../machine/index.ts';
import { lowestBit, TreePool } from './tree-pool.ts';

/*
 * The free blocks of one node and kind of memory. Memory is cut into blocks of the largest order ("slots"); 1024 slots
 * make a region. A slot whose block is free as a whole is one bit. A slot that is partly free has a tree: the bits of
 * a complete binary one, where a set bit is a free block of that very order:
 *
 *      bit   1                        order max (never used: that is the slot's bit)
 *      bits  2   3                    order max - 1
 *      bits  4   5   6   7            order max - 2
 *      bits  2^max ... 2^(max+1)-1    order 0
 *
 * Regions and trees carry the epoch in which they were made and are copied before a change when they are older than
 * the last mark. Regions that are wholly free, or wholly taken, are shared constants, so a TiB costs 256 array entries.
 */

const REGION_SHIFT = 10;
const REGION_SLOTS = 1 << REGION_SHIFT;
const REGION_WORDS = REGION_SLOTS / 32;
/** How many of the blocks freed last are remembered per order, so that the list is last in, first out. */
const RECENT = 256;

interface Region {
  readonly epoch: number;
  /** Tree of each slot, 0 for none. */
  readonly trees: Int32Array;
  /**
   * For each order 1024 bits: whether the slot has a free block of that order. Exact for the largest; for the others a
   * bit may be left standing when the last block went, and is cleared by the search that finds nothing.
   */
  readonly avail: Uint32Array;
}

interface Segment {
  /** Aligned to the largest order. */
  readonly firstPfn: number;
  readonly endPfn: number;
  readonly firstSlot: number;
}

/** A state of a free area that can be gone back to. */
export interface FreeAreaVersion {
  readonly regions: readonly Region[];
  readonly summary: Uint32Array;
  readonly counts: Float64Array;
  readonly recent: Float64Array;
  readonly recentTops: Uint32Array;
  readonly recentCounts: Uint32Array;
}

/**
 * Free lists of buddy blocks up to `maxOrder`. It keeps numbers only: what is in the pages and what struct page says
 * about them is the allocator's business.
 */
export class FreeArea {
  readonly maxOrder: number;
  /** Blocks in the free list of each order. */
  counts: Float64Array;
  readonly #segments: readonly Segment[];
  #last: Segment;
  #regions: Region[];
  readonly #nrSlots: number;
  readonly #blockPages: number;
  /** What `#locate` found: the slot, its first frame, and the frame's index in it. */
  #slot = 0;
  #slotPfn = 0;
  #index = 0;
  /** For each order one bit per region, set when a slot of it may have a free block. */
  #summary: Uint32Array;
  readonly #summaryWords: number;
  readonly #full: Region;
  readonly #empty: Region;
  readonly #trees: TreePool;
  #recent: Float64Array;
  #recentTops: Uint32Array;
  #recentCounts: Uint32Array;

  /** @param ranges the frames that may come here: ascending, not overlapping. */
  constructor(ranges: readonly { readonly start: Pfn; readonly nrPages: number }[], maxOrder: number) {
    this.maxOrder = maxOrder;
    const blockPages = 2 ** maxOrder;
    this.#blockPages = blockPages;
    const segments: { firstPfn: number; endPfn: number; firstSlot: number }[] = [];
    let nrSlots = 0;
    for (const range of ranges) {
      const firstPfn = alignDown(range.start, blockPages);
      const endPfn = alignUp(range.start + range.nrPages, blockPages);
      const before = segments.at(-1);
      if (before !== undefined && firstPfn <= before.endPfn) {
        nrSlots += Math.max(0, endPfn - before.endPfn) / blockPages;
        before.endPfn = Math.max(before.endPfn, endPfn);
      } else {
        segments.push({ firstPfn, endPfn, firstSlot: nrSlots });
        nrSlots += (endPfn - firstPfn) / blockPages;
      }
    }
    const first = segments[0];
    if (first === undefined) throw new RangeError('a free area without memory');
    this.#segments = segments;
    this.#last = first;
    this.#nrSlots = nrSlots;
    const orders = maxOrder + 1;
    this.counts = new Float64Array(orders);
    this.#empty = { epoch: 0, trees: new Int32Array(REGION_SLOTS), avail: new Uint32Array(REGION_WORDS * orders) };
    this.#full = { epoch: 0, trees: this.#empty.trees, avail: new Uint32Array(REGION_WORDS * orders) };
    this.#full.avail.fill(0xffff_ffff, REGION_WORDS * maxOrder);
    const nrRegions = Math.ceil(nrSlots / REGION_SLOTS);
    this.#regions = new Array<Region>(nrRegions).fill(this.#empty);
    this.#summaryWords = Math.ceil(nrRegions / 32);
    this.#summary = new Uint32Array(this.#summaryWords * orders);
    this.#trees = new TreePool(maxOrder);
    this.#recent = new Float64Array(RECENT * orders);
    this.#recentTops = new Uint32Array(orders);
    this.#recentCounts = new Uint32Array(orders);
  }

  /** Pages in all free lists. */
  get nrPages(): number {
    let sum = 0;
    for (let order = 0; order <= this.maxOrder; order++) sum += (this.counts[order] as number) * 2 ** order;
    return sum;
  }

  // --- places -----------------------------------------------------------------------------------------------------

  #segmentOf(pfn: number): Segment | undefined {
    const last = this.#last;
    if (pfn >= last.firstPfn && pfn < last.endPfn) return last;
    const found = this.#segments.find((segment) => pfn >= segment.firstPfn && pfn < segment.endPfn);
    if (found !== undefined) this.#last = found;
    return found;
  }

  /**
   * Finds the slot a frame lies in and the frame's index in it, for the methods below to work on; false outside.
   * (Small integers from here on: `%` and `**` on frame numbers cost more than all the rest.)
   */
  #locate(pfn: number): boolean {
    const segment = this.#segmentOf(pfn);
    if (segment === undefined) return false;
    const index = pfn - segment.firstPfn;
    const slotInSegment = Math.floor(index / this.#blockPages);
    this.#slot = segment.firstSlot + slotInSegment;
    this.#slotPfn = segment.firstPfn + slotInSegment * this.#blockPages;
    this.#index = index - slotInSegment * this.#blockPages;
    return true;
  }

  #pfnOfSlot(slot: number): number {
    let segment = this.#last;
    for (const candidate of this.#segments) if (candidate.firstSlot <= slot) segment = candidate;
    return segment.firstPfn + (slot - segment.firstSlot) * this.#blockPages;
  }

  #writableRegion(index: number): Region {
    const region = this.#regions[index] as Region;
    if (region.epoch === this.#trees.epoch) return region;
    const copy = { epoch: this.#trees.epoch, trees: region.trees.slice(), avail: region.avail.slice() };
    this.#regions[index] = copy;
    return copy;
  }

  /** The slot needs no tree any more. */
  #dropTree(region: Region, slotInRegion: number): void {
    this.#trees.drop(region.trees[slotInRegion] as number);
    region.trees[slotInRegion] = 0;
  }

  // --- single bits, of the slot that was located -------------------------------------------------------------------

  /** Whether the block at `index` of the slot is in the free list of this order. */
  #test(index: number, order: number): boolean {
    const region = this.#regions[this.#slot >>> REGION_SHIFT] as Region;
    const inRegion = this.#slot & (REGION_SLOTS - 1);
    if (order === this.maxOrder) {
      const word = region.avail[order * REGION_WORDS + (inRegion >>> 5)] as number;
      return ((word >>> (inRegion & 31)) & 1) === 1;
    }
    const tree = region.trees[inRegion] as number;
    return tree !== 0 && this.#trees.test(tree, (1 << (this.maxOrder - order)) + (index >>> order));
  }

  #set(index: number, order: number): void {
    const regionIndex = this.#slot >>> REGION_SHIFT;
    const region = this.#writableRegion(regionIndex);
    const inRegion = this.#slot & (REGION_SLOTS - 1);
    if (order < this.maxOrder) {
      const tree = this.#trees.writable(region.trees[inRegion] as number);
      region.trees[inRegion] = tree;
      this.#trees.set(tree, (1 << (this.maxOrder - order)) + (index >>> order));
    } else {
      this.#dropTree(region, inRegion);
    }
    const word = order * REGION_WORDS + (inRegion >>> 5);
    region.avail[word] = (region.avail[word] as number) | (1 << (inRegion & 31));
    const at = order * this.#summaryWords + (regionIndex >>> 5);
    this.#summary[at] = (this.#summary[at] as number) | (1 << (regionIndex & 31));
    this.counts[order] = (this.counts[order] as number) + 1;
  }

  #clear(index: number, order: number): void {
    const region = this.#writableRegion(this.#slot >>> REGION_SHIFT);
    const inRegion = this.#slot & (REGION_SLOTS - 1);
    if (order < this.maxOrder) {
      const tree = this.#trees.writable(region.trees[inRegion] as number);
      region.trees[inRegion] = tree;
      this.#trees.clear(tree, (1 << (this.maxOrder - order)) + (index >>> order));
    } else {
      const word = order * REGION_WORDS + (inRegion >>> 5);
      region.avail[word] = (region.avail[word] as number) & ~(1 << (inRegion & 31));
    }
    this.counts[order] = (this.counts[order] as number) - 1;
  }

  /** Whether exactly this block is in the free list of this order. */
  isFree(pfn: number, order: number): boolean {
    return this.#locate(pfn) && this.#test(this.#index, order);
  }

  // --- giving -----------------------------------------------------------------------------------------------------

  /** Puts a block in, merged with its buddies as far as they are free. Returns the first frame of what it became part of. */
  insert(pfn: number, order: number): number {
    if (!this.#locate(pfn)) throw new RangeError(`frame ${pfn} does not belong here`);
    let index = this.#index;
    for (; order < this.maxOrder; order++) {
      const buddy = index ^ (1 << order);
      if (!this.#test(buddy, order)) break;
      this.#clear(buddy, order);
      index &= buddy;
    }
    this.#set(index, order);
    const head = this.#slotPfn + index;
    this.#remember(head, order);
    return head;
  }

  /**
   * Puts a range in: the largest naturally aligned blocks, ascending. They queue up behind what was freed singly, the
   * lowest address first, as memory does that memblock hands over.
   */
  insertRange(start: number, nrPages: number): void {
    const blockPages = this.#blockPages;
    const end = start + nrPages;
    let at = start;
    while (at < end) {
      const whole = at % blockPages === 0 ? Math.floor((end - at) / blockPages) : 0;
      if (whole > 0) {
        this.#insertSlots(at, whole);
        at += whole * blockPages;
        continue;
      }
      // The largest order that the address is aligned to and the rest has room for, below that of whole slots.
      const inSlot = at % blockPages;
      const aligned = inSlot === 0 ? this.maxOrder : lowestBit(inSlot);
      const order = Math.min(aligned, 31 - Math.clz32(Math.min(end - at, blockPages)));
      this.insert(at, order);
      at += 1 << order;
    }
  }

  #insertSlots(pfn: number, nrSlots: number): void {
    if (!this.#locate(pfn)) throw new RangeError(`frame ${pfn} does not belong here`);
    const first = this.#slot;
    const end = first + nrSlots;
    for (let slot = first; slot < end; ) {
      const regionIndex = slot >>> REGION_SHIFT;
      const regionEnd = Math.min(this.#nrSlots, (regionIndex + 1) << REGION_SHIFT);
      const stop = Math.min(end, regionEnd);
      const whole = (slot & (REGION_SLOTS - 1)) === 0 && stop - slot === REGION_SLOTS;
      if (whole && this.#regions[regionIndex] === this.#empty) {
        this.#regions[regionIndex] = this.#full;
      } else {
        const region = this.#writableRegion(regionIndex);
        for (let s = slot; s < stop; s++) {
          const inRegion = s & (REGION_SLOTS - 1);
          const word = this.maxOrder * REGION_WORDS + (inRegion >>> 5);
          region.avail[word] = (region.avail[word] as number) | (1 << (inRegion & 31));
          this.#dropTree(region, inRegion);
        }
      }
      const at = this.maxOrder * this.#summaryWords + (regionIndex >>> 5);
      this.#summary[at] = (this.#summary[at] as number) | (1 << (regionIndex & 31));
      slot = stop;
    }
    this.counts[this.maxOrder] = (this.counts[this.maxOrder] as number) + nrSlots;
  }

  // --- taking -----------------------------------------------------------------------------------------------------

  /**
   * Takes a block: of the smallest order that has one, the one freed last, else the one at the lowest address; split
   * down, the lower half taken. -1 when there is none. `split` is told the frames that head the halves put back.
   */
  take(order: number, split?: (pfn: number) => void): number {
    for (let from = order; from <= this.maxOrder; from++) {
      if (this.counts[from] === 0) continue;
      const pfn = this.#popRecent(from) ?? this.#lowest(from);
      this.#locate(pfn);
      this.#split(this.#index, from, this.#index, order, split);
      return pfn;
    }
    return -1;
  }

  /** Takes one given block out of whatever free block it is in. False when it is not wholly free. */
  takeAt(pfn: number, order: number, split?: (pfn: number) => void): boolean {
    if (!this.#locate(pfn)) return false;
    const index = this.#index;
    for (let from = order; from <= this.maxOrder; from++) {
      const head = (index >>> from) << from;
      if (!this.#test(head, from)) continue;
      this.#split(head, from, index, order, split);
      return true;
    }
    return false;
  }

  /** Takes the block `wanted` of order `to` out of the free block at `head`; the other halves go back. */
  #split(head: number, from: number, wanted: number, to: number, split?: (pfn: number) => void): void {
    this.#clear(head, from);
    for (let half = from - 1; half >= to; half--) {
      const mine = (wanted >>> half) << half;
      const spare = mine ^ (1 << half);
      this.#set(spare, half);
      this.#remember(this.#slotPfn + spare, half);
      split?.(this.#slotPfn + spare);
    }
  }

  /** The order of the free block that a frame lies in, -1 for none. */
  orderAt(pfn: number): number {
    if (!this.#locate(pfn)) return -1;
    for (let order = 0; order <= this.maxOrder; order++) {
      if (this.#test((this.#index >>> order) << order, order)) return order;
    }
    return -1;
  }

  #remember(pfn: number, order: number): void {
    const top = ((this.#recentTops[order] as number) + 1) % RECENT;
    this.#recentTops[order] = top;
    this.#recent[order * RECENT + top] = pfn;
    this.#recentCounts[order] = Math.min(RECENT, (this.#recentCounts[order] as number) + 1);
  }

  #popRecent(order: number): number | undefined {
    while ((this.#recentCounts[order] as number) > 0) {
      const top = this.#recentTops[order] as number;
      const pfn = this.#recent[order * RECENT + top] as number;
      this.#recentTops[order] = (top + RECENT - 1) % RECENT;
      this.#recentCounts[order] = (this.#recentCounts[order] as number) - 1;
      if (this.isFree(pfn, order)) return pfn;
    }
    return undefined;
  }

  /** The free block of this order with the lowest address; there is one. */
  #lowest(order: number): number {
    const base = order * this.#summaryWords;
    for (let word = 0; word < this.#summaryWords; word++) {
      for (let bits = this.#summary[base + word] as number; bits !== 0; bits &= bits - 1) {
        const regionIndex = word * 32 + lowestBit(bits);
        const pfn = this.#lowestInRegion(regionIndex, order);
        if (pfn >= 0) return pfn;
        this.#summary[base + word] = (this.#summary[base + word] as number) & ~(bits & -bits);
      }
    }
    throw new Error(`the free list of order ${order} lost its blocks`);
  }

  #lowestInRegion(regionIndex: number, order: number): number {
    const region = this.#regions[regionIndex] as Region;
    for (let word = 0; word < REGION_WORDS; word++) {
      for (let bits = region.avail[order * REGION_WORDS + word] as number; bits !== 0; bits &= bits - 1) {
        const inRegion = word * 32 + lowestBit(bits);
        const slot = regionIndex * REGION_SLOTS + inRegion;
        if (order === this.maxOrder) return this.#pfnOfSlot(slot);
        const tree = region.trees[inRegion] as number;
        const index = tree === 0 ? -1 : this.#trees.lowest(tree, 1 << (this.maxOrder - order));
        if (index >= 0) return this.#pfnOfSlot(slot) + index * 2 ** order;
        const at = order * REGION_WORDS + word;
        const writable = this.#writableRegion(regionIndex);
        writable.avail[at] = (writable.avail[at] as number) & ~(bits & -bits);
      }
    }
    return -1;
  }

  // --- versions ---------------------------------------------------------------------------------------------------

  mark(): FreeAreaVersion {
    this.#trees.epoch++;
    return {
      regions: [...this.#regions],
      summary: this.#summary.slice(),
      counts: this.counts.slice(),
      recent: this.#recent.slice(),
      recentTops: this.#recentTops.slice(),
      recentCounts: this.#recentCounts.slice(),
    };
  }

  restore(version: FreeAreaVersion): void {
    this.#trees.epoch++;
    this.#regions = [...version.regions];
    this.#summary = version.summary.slice();
    this.counts = version.counts.slice();
    this.#recent = version.recent.slice();
    this.#recentTops = version.recentTops.slice();
    this.#recentCounts = version.recentCounts.slice();
  }
}
