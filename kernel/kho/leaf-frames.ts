import type { RadixGeometry } from './geometry.ts';

/** Leaf numbers of one order: 2^17 leaves at most (16 TiB of single 4K pages). */
const LEAVES_LOG2 = 17;
/** Leaves met before the table is made: small trees do without. */
const TABLE_AFTER = 32;

/**
 * In which frame of RAM a leaf lies, by its number: leaves of order 0 first, ascending by address, then those of order
 * 1, and so on. Each entry is a frame and the stamp under which it counts, so that forgetting everything is one
 * addition.
 *
 *     leaf number = firstLeaf[order] + (pfn >> order >> bitmapLog2)
 *
 * Only blocks below `pfnLimit` and of orders up to `maxOrder` have a number: those whose key has nothing but the marker
 * bit in its high half. All others go down the tree each time.
 */
export class LeafFrames {
  readonly pfnLimit: number;
  readonly maxOrder: number;
  /** By order; Infinity-free, so that hot code may index it by any order up to `maxOrder`. */
  readonly firstLeaf: Int32Array;
  readonly #length: number;
  #table: Int32Array = new Int32Array(0);
  #met = 0;
  #stamp = 1;

  constructor(geometry: RadixGeometry) {
    const { page, bitmapLog2 } = geometry;
    const pfnBits = Math.min(32, bitmapLog2 + LEAVES_LOG2, page.physBits - page.shift);
    this.maxOrder = geometry.plainKeys ? Math.min(page.physBits - page.shift - 32, pfnBits) : -1;
    this.pfnLimit = this.maxOrder < 0 ? 0 : 2 ** pfnBits;
    this.firstLeaf = new Int32Array(Math.max(0, this.maxOrder + 1));
    let next = 0;
    for (let order = 0; order <= this.maxOrder; order++) {
      this.firstLeaf[order] = next;
      next += Math.max(1, 2 ** (pfnBits - order - bitmapLog2));
    }
    this.#length = next;
  }

  /** The frame of a leaf, 0 when it is not known. */
  frameOf(leaf: number): number {
    const table = this.#table;
    const at = leaf << 1;
    if (at >= table.length || table[at + 1] !== this.#stamp) return 0;
    return table[at] as number;
  }

  remember(leaf: number, frame: number): void {
    if (this.#table.length === 0) {
      if (++this.#met < TABLE_AFTER) return;
      this.#table = new Int32Array(2 * this.#length);
    }
    this.#table[2 * leaf] = frame;
    this.#table[2 * leaf + 1] = this.#stamp;
  }

  forget(): void {
    this.#stamp++;
  }
}
