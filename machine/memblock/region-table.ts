import { CHUNK_MASK, CHUNK_REGIONS, CHUNK_SHIFT, Chunk, END, FIELD_SHIFT, FLAGS, NID } from './region-chunk.ts';
import { exactSizeBetween } from './u64.ts';

/*
 * One of memblock's two arrays as an ordered index. The kernel keeps a flat array: finding a place means scanning it,
 * and inserting means moving everything behind. Here the regions lie in short chunks, sorted, with a directory of each
 * chunk's first address:
 *
 *      directory    0x1000        0x9f000        0x400000
 *                     |              |              |
 *      chunks      [r r r r .]   [r r r . .]    [r r r r r]
 *
 * A position is one number, chunk * CHUNK_REGIONS + offset, valid until the next insertion or removal. What the
 * kernel's array would have at which index is told by a Fenwick tree over the chunk lengths.
 */

/** No region: behind the last, before the first, not found. */
export const NO_REGION = -1;

/** A state of a table that can be gone back to. */
export interface RegionTableVersion {
  readonly chunks: readonly Chunk[];
  readonly count: number;
  readonly max: number;
  readonly totalSize: bigint;
  readonly arrayPhys: number;
}

/** One region as a value, for tests, dumps and reports. */
export interface Region {
  readonly base: number;
  /** PHYS_ADDR_MAX stands for 2^64 - 1. */
  readonly end: number;
  readonly flags: number;
  readonly nid: number;
}

/** The regions of `memory` or `reserved`: sorted, never overlapping. */
export class RegionTable {
  readonly name: 'memory' | 'reserved';
  /** How many regions the kernel's array holds at present. */
  max: number;
  /** Where the kernel's array lies in RAM; 0 for the static one in the kernel image. */
  arrayPhys = 0;
  #chunks: Chunk[] = [];
  /** The directory, of at least as many entries as there are chunks: first bases, and a Fenwick tree from 1 up. */
  readonly #firsts: number[] = [];
  readonly #fenwick: number[] = [0];
  #count = 0;
  #epoch = 1;
  /** total_size, less what `#recent` says. */
  #settled = 0n;
  /** Regions below 2^53 that came and went since. */
  #recent = 0;

  constructor(name: 'memory' | 'reserved', max: number) {
    this.name = name;
    this.max = max;
  }

  /** Regions in the table (`cnt`). */
  get count(): number {
    return this.#count;
  }

  /**
   * What the kernel keeps as total_size, a u64. It follows insertions and removals, not trimming, so after a trim it
   * is not the sum of the sizes any more (7.3: memblock_trim_memory leaves it alone).
   */
  get totalSize(): bigint {
    return BigInt.asUintN(64, this.#settled + BigInt(this.#recent));
  }

  /**
   * Sets total_size. Also called with what it is, when that may not be the sum of the sizes any more: a number holds
   * what came and went below 2^53 since, which is never more than there is.
   */
  setTotal(total: bigint): void {
    this.#recent = 0;
    this.#settled = total;
  }

  #addTotal(base: number, end: number, sign: 1 | -1): void {
    if (end > Number.MAX_SAFE_INTEGER) {
      this.setTotal(this.totalSize + BigInt(sign) * exactSizeBetween(base, end));
      return;
    }
    this.#recent += sign * (end - base);
  }

  // --- looking ---------------------------------------------------------------------------------------------------

  #chunk(pos: number): Chunk {
    return this.#chunks[pos >>> CHUNK_SHIFT] as Chunk;
  }

  base(pos: number): number {
    return this.#chunk(pos).data[(pos & CHUNK_MASK) << FIELD_SHIFT] as number;
  }

  end(pos: number): number {
    return this.#chunk(pos).data[((pos & CHUNK_MASK) << FIELD_SHIFT) + END] as number;
  }

  flags(pos: number): number {
    return this.#chunk(pos).data[((pos & CHUNK_MASK) << FIELD_SHIFT) + FLAGS] as number;
  }

  nid(pos: number): number {
    return this.#chunk(pos).data[((pos & CHUNK_MASK) << FIELD_SHIFT) + NID] as number;
  }

  first(): number {
    return this.#count === 0 ? NO_REGION : 0;
  }

  last(): number {
    const c = this.#chunks.length - 1;
    return c < 0 ? NO_REGION : (c << CHUNK_SHIFT) + (this.#chunks[c] as Chunk).length - 1;
  }

  next(pos: number): number {
    if ((pos & CHUNK_MASK) + 1 < this.#chunk(pos).length) return pos + 1;
    const c = (pos >>> CHUNK_SHIFT) + 1;
    return c < this.#chunks.length ? c << CHUNK_SHIFT : NO_REGION;
  }

  previous(pos: number): number {
    if ((pos & CHUNK_MASK) > 0) return pos - 1;
    const c = (pos >>> CHUNK_SHIFT) - 1;
    return c < 0 ? NO_REGION : (c << CHUNK_SHIFT) + (this.#chunks[c] as Chunk).length - 1;
  }

  /** The first region that ends above `addr`: the one that holds it, or the next one up. */
  firstEndingAbove(addr: number): number {
    const nrChunks = this.#chunks.length;
    if (nrChunks === 0) return NO_REGION;
    const firsts = this.#firsts;
    let c = 0;
    let behind = nrChunks;
    while (c < behind) {
      const mid = (c + behind) >>> 1;
      if ((firsts[mid] as number) <= addr) c = mid + 1;
      else behind = mid;
    }
    if (c === 0) return 0;
    c--;
    const chunk = this.#chunks[c] as Chunk;
    let low = 0;
    let high = chunk.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((chunk.data[mid << FIELD_SHIFT] as number) <= addr) low = mid + 1;
      else high = mid;
    }
    const pos = (c << CHUNK_SHIFT) + low - 1;
    return (chunk.data[((low - 1) << FIELD_SHIFT) + END] as number) > addr ? pos : this.next(pos);
  }

  /** The region that holds `addr` (memblock_search). */
  search(addr: number): number {
    const pos = this.firstEndingAbove(addr);
    return pos !== NO_REGION && this.base(pos) <= addr ? pos : NO_REGION;
  }

  /** The index that the kernel's flat array would have for a position; the count for NO_REGION. */
  indexOf(pos: number): number {
    if (pos === NO_REGION) return this.#count;
    let sum = pos & CHUNK_MASK;
    for (let i = pos >>> CHUNK_SHIFT; i > 0; i -= i & -i) sum += this.#fenwick[i] as number;
    return sum;
  }

  /** The position at an index of the kernel's flat array; NO_REGION behind the last, and for -1. */
  at(index: number): number {
    if (index >= this.#count) return NO_REGION;
    const nrChunks = this.#chunks.length;
    let c = 0;
    let left = index;
    for (let step = 1 << (31 - Math.clz32(nrChunks)); step >= 1; step >>>= 1) {
      const to = c + step;
      if (to <= nrChunks && (this.#fenwick[to] as number) <= left) {
        c = to;
        left -= this.#fenwick[to] as number;
      }
    }
    return (c << CHUNK_SHIFT) + left;
  }

  /** Every region, ascending. */
  *[Symbol.iterator](): Generator<Region> {
    for (let pos = this.first(); pos !== NO_REGION; pos = this.next(pos)) {
      yield { base: this.base(pos), end: this.end(pos), flags: this.flags(pos), nid: this.nid(pos) };
    }
  }

  // --- changing --------------------------------------------------------------------------------------------------

  #writable(c: number): Chunk {
    const chunk = this.#chunks[c] as Chunk;
    if (chunk.epoch === this.#epoch) return chunk;
    const copy = chunk.copy(this.#epoch);
    this.#chunks[c] = copy;
    return copy;
  }

  #countChanged(c: number, delta: number): void {
    this.#count += delta;
    for (let i = c + 1; i <= this.#chunks.length; i += i & -i) {
      this.#fenwick[i] = (this.#fenwick[i] as number) + delta;
    }
  }

  /** Makes the directory anew from chunk `c` up. A node of the Fenwick tree is made from those below it. */
  #indexFrom(c: number): void {
    for (let i = c + 1; i <= this.#chunks.length; i++) {
      const chunk = this.#chunks[i - 1] as Chunk;
      this.#firsts[i - 1] = chunk.data[0] as number;
      let sum = chunk.length;
      for (let step = 1; step < (i & -i); step *= 2) sum += this.#fenwick[i - step] as number;
      this.#fenwick[i] = sum;
    }
  }

  /**
   * Puts a region before the one at `pos` (NO_REGION: behind the last), its size into the total unless `keepTotal` (a
   * split).
   * @returns where it is now.
   */
  insert(pos: number, base: number, end: number, flags: number, nid: number, keepTotal = false): number {
    let c = pos >>> CHUNK_SHIFT;
    let offset = pos & CHUNK_MASK;
    if (pos === NO_REGION) {
      if (this.#count === 0) {
        this.#chunks.push(new Chunk(this.#epoch));
        this.#indexFrom(0);
      }
      c = this.#chunks.length - 1;
      offset = (this.#chunks[c] as Chunk).length;
    }
    if ((this.#chunks[c] as Chunk).length === CHUNK_REGIONS) {
      // Regions that come one behind the other leave full chunks: in its upper half a chunk is split where the new one goes.
      const from = Math.max(offset, CHUNK_REGIONS / 2);
      this.#chunks.splice(c + 1, 0, this.#writable(c).split(from));
      this.#indexFrom(c);
      if (offset === from) {
        c++;
        offset = 0;
      }
    }
    const chunk = this.#writable(c);
    chunk.open(offset);
    const at = offset << FIELD_SHIFT;
    chunk.data[at] = base;
    chunk.data[at + END] = end;
    chunk.data[at + FLAGS] = flags;
    chunk.data[at + NID] = nid;
    this.#firsts[c] = chunk.data[0] as number;
    this.#countChanged(c, 1);
    if (!keepTotal) this.#addTotal(base, end, 1);
    return (c << CHUNK_SHIFT) + offset;
  }

  /** Takes a region out, its size with it unless `keepTotal` (a merge). @returns the position of the one behind it. */
  remove(pos: number, keepTotal = false): number {
    const c = pos >>> CHUNK_SHIFT;
    const offset = pos & CHUNK_MASK;
    if (!keepTotal) this.#addTotal(this.base(pos), this.end(pos), -1);
    const chunk = this.#writable(c);
    if (chunk.length === 1) {
      this.#count--;
      this.#chunks.splice(c, 1);
      this.#indexFrom(c);
      return c < this.#chunks.length ? pos : NO_REGION;
    }
    chunk.close(offset);
    this.#firsts[c] = chunk.data[0] as number;
    this.#countChanged(c, -1);
    if (offset < chunk.length) return pos;
    return c + 1 < this.#chunks.length ? (c + 1) << CHUNK_SHIFT : NO_REGION;
  }

  /** Moves the borders of a region, which stays between its neighbours. total_size is not touched. */
  setRange(pos: number, base: number, end: number): void {
    const chunk = this.#writable(pos >>> CHUNK_SHIFT);
    const at = (pos & CHUNK_MASK) << FIELD_SHIFT;
    chunk.data[at] = base;
    chunk.data[at + END] = end;
    this.#firsts[pos >>> CHUNK_SHIFT] = chunk.data[0] as number;
  }

  /** Moves the end of a region up, into the total as well; what lies there must be free. */
  extend(pos: number, end: number): void {
    this.#addTotal(this.end(pos), end, 1);
    this.#writable(pos >>> CHUNK_SHIFT).data[((pos & CHUNK_MASK) << FIELD_SHIFT) + END] = end;
  }

  setFlags(pos: number, flags: number): void {
    this.#writable(pos >>> CHUNK_SHIFT).data[((pos & CHUNK_MASK) << FIELD_SHIFT) + FLAGS] = flags;
  }

  setNid(pos: number, nid: number): void {
    this.#writable(pos >>> CHUNK_SHIFT).data[((pos & CHUNK_MASK) << FIELD_SHIFT) + NID] = nid;
  }

  // --- versions --------------------------------------------------------------------------------------------------

  /** Remembers the present state: one reference for each chunk. Later changes copy the chunks they touch. */
  mark(): RegionTableVersion {
    this.#epoch++;
    const { max, arrayPhys, totalSize } = this;
    return { chunks: this.#chunks.slice(), count: this.#count, max, totalSize, arrayPhys };
  }

  /** Goes back to a version, as often as wanted, and forwards again. */
  restore(version: RegionTableVersion): void {
    this.#epoch++;
    this.#chunks = version.chunks.slice();
    this.#count = version.count;
    this.max = version.max;
    this.arrayPhys = version.arrayPhys;
    this.setTotal(version.totalSize);
    this.#indexFrom(0);
  }
}
