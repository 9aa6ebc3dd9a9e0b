/** A position is chunk << CHUNK_SHIFT + offset. */
export const CHUNK_SHIFT = 9;
/** The most regions that a chunk holds. */
export const CHUNK_REGIONS = 1 << CHUNK_SHIFT;
export const CHUNK_MASK = CHUNK_REGIONS - 1;
/** What a new chunk has room for. */
const FIRST_REGIONS = 16;

/** A region is four numbers: base, end, flags, nid. */
export const FIELD_SHIFT = 2;
export const END = 1;
export const FLAGS = 2;
export const NID = 3;

/** Some neighbouring regions of a table, of which one array holds all numbers. */
export class Chunk {
  readonly epoch: number;
  length: number;
  /** Has room for a power of two of regions, up to CHUNK_REGIONS. */
  data: Float64Array;

  constructor(epoch: number, data = new Float64Array(FIRST_REGIONS << FIELD_SHIFT), length = 0) {
    this.epoch = epoch;
    this.data = data;
    this.length = length;
  }

  copy(epoch: number): Chunk {
    return new Chunk(epoch, this.data.slice(), this.length);
  }

  /** Makes room for one more region at `offset`. */
  open(offset: number): void {
    if (this.data.length === this.length << FIELD_SHIFT) {
      const data = new Float64Array((2 * this.length) << FIELD_SHIFT);
      data.set(this.data);
      this.data = data;
    }
    this.data.copyWithin((offset + 1) << FIELD_SHIFT, offset << FIELD_SHIFT, this.length << FIELD_SHIFT);
    this.length++;
  }

  /** Takes the region at `offset` out. */
  close(offset: number): void {
    this.data.copyWithin(offset << FIELD_SHIFT, (offset + 1) << FIELD_SHIFT, this.length << FIELD_SHIFT);
    this.length--;
  }

  /** Cuts off the regions from `from` on. @returns them, as a chunk of the same epoch. */
  split(from: number): Chunk {
    const tail = new Chunk(this.epoch, new Float64Array(CHUNK_REGIONS << FIELD_SHIFT), this.length - from);
    tail.data.set(this.data.subarray(from << FIELD_SHIFT, this.length << FIELD_SHIFT));
    this.length = from;
    return tail;
  }
}
