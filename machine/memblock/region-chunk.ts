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
  epoch: number;
  length = 0;
  /** Room for a power of two of regions, up to CHUNK_REGIONS. */
  data: Float64Array;

  constructor(epoch: number, from?: Chunk) {
    this.epoch = epoch;
    this.length = from?.length ?? 0;
    this.data = from?.data.slice() ?? new Float64Array(FIRST_REGIONS << FIELD_SHIFT);
  }

  /** Makes room for `length` regions. */
  reserveRoom(length: number): void {
    let room = this.data.length >>> FIELD_SHIFT;
    if (length <= room) return;
    while (room < length) room *= 2;
    const data = new Float64Array(room << FIELD_SHIFT);
    data.set(this.data);
    this.data = data;
  }

  /** Makes or closes a gap: what was at `from` and behind lies at `to` and behind afterwards. */
  shift(from: number, to: number): void {
    this.data.copyWithin(to << FIELD_SHIFT, from << FIELD_SHIFT, this.length << FIELD_SHIFT);
    this.length += to - from;
  }

  /** Takes the regions of `other` from `from` on. */
  takeTail(other: Chunk, from: number): void {
    this.reserveRoom(other.length - from);
    this.data.set(other.data.subarray(from << FIELD_SHIFT, other.length << FIELD_SHIFT));
    this.length = other.length - from;
    other.length = from;
  }
}
