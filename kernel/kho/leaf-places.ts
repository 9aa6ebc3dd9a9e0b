import type { PhysicalMemory } from '../../machine/index.ts';
import type { RadixGeometry } from './geometry.ts';

/** log2 of how many leaves of order 0 have a number at most: 2^17 are 16 TiB of single 4K pages. */
const MAX_LEAVES_LOG2 = 17;
/** Orders that have numbers on a machine however small: those of the page allocators. */
const MIN_ORDERS = 13;
/** A tree gets a table of its own when it went down for the leaf of a key this many times: small ones do without. */
const TABLE_AFTER = 16;
/** The table of all trees that have none of their own: nothing is known. Never written, so it takes no memory. */
const NOTHING_KNOWN = new Int32Array(2 << MAX_LEAVES_LOG2);

/**
 * Where in RAM a leaf lies, by its number: what is left of a key without the bits that choose among the keys of a leaf,
 * with the marker bit moved down.
 *
 *     leaf number = 2^(maxOrder - order) + (pfn >> order >> bitmapLog2)
 *
 * Only blocks below `pfnLimit` and of orders up to `maxOrder` have a number: those that start in RAM, and whose key has
 * nothing but the marker bit in its high half. All others go down the tree each time.
 *
 * The fields are for hot code to keep copies of.
 */
export class LeafPlaces {
  /** No leaf has a number at or above this frame; below 2^31, so that it is an integer to processors. */
  readonly pfnLimit: number;
  /** -1 when keys are laid out in another way than numbers need. */
  readonly maxOrder: number;
  /**
   * For each leaf the place of its first word, counted through all slabs of memory: the slab in the bits from
   * `SLAB_WORDS_LOG2` up, the word in it in those below. 0 when it is not known.
   * `remember` may put another table in its place.
   */
  places: Int32Array = NOTHING_KNOWN;
  readonly #bitmapLog2: number;
  /** The order whose marker bit is the lowest of a key's high half. */
  readonly #orderOfBit32: number;
  readonly #frameWordsLog2: number;
  /** The leaves whose places are known. */
  readonly #known: number[] = [];
  #met = 0;

  constructor(memory: PhysicalMemory, geometry: RadixGeometry) {
    const { page, bitmapLog2 } = geometry;
    const endOfRam = Math.ceil(Math.max(...memory.banks.map((bank) => bank.base + bank.sizeBytes)) / page.sizeBytes);
    const pfnLimit = Math.min(2 ** 31 - 1, 2 ** (bitmapLog2 + MAX_LEAVES_LOG2), endOfRam);
    const leavesLog2 = Math.ceil(Math.log2(Math.max(1, pfnLimit / 2 ** bitmapLog2)));
    this.#orderOfBit32 = page.physBits - page.shift - 32;
    const maxOrder = Math.min(this.#orderOfBit32, Math.max(MIN_ORDERS, leavesLog2));
    const numbered = geometry.plainKeys && maxOrder >= leavesLog2;
    this.pfnLimit = numbered ? pfnLimit : 0;
    this.maxOrder = numbered ? maxOrder : -1;
    this.#bitmapLog2 = bitmapLog2;
    this.#frameWordsLog2 = page.shift - 2;
  }

  /** The number of the leaf that a key, given as signed halves, belongs into; 0 where it has none. */
  leafOf(keyLo: number, keyHi: number): number {
    if ((keyHi & (keyHi - 1)) !== 0) return 0;
    const order = this.#orderOfBit32 - (31 - Math.clz32(keyHi));
    if (order < 0 || order > this.maxOrder || keyLo >>> 0 > (this.pfnLimit - 1) >> order) return 0;
    return (1 << (this.maxOrder - order)) + (keyLo >>> this.#bitmapLog2);
  }

  /**
   * Notes the place of a leaf that was not known. One without a number, or in a frame behind the first 2^31 words of
   * memory, stays unknown.
   */
  remember(leaf: number, frame: number): void {
    if (leaf === 0 || frame >= 2 ** 31 / (1 << this.#frameWordsLog2)) return;
    if (this.places === NOTHING_KNOWN) {
      if (++this.#met < TABLE_AFTER) return;
      this.places = new Int32Array(2 << this.maxOrder);
    }
    this.places[leaf] = frame << this.#frameWordsLog2;
    this.#known.push(leaf);
  }

  /** Forgets every place, at the price of those that were known. */
  forget(): void {
    for (const leaf of this.#known) this.places[leaf] = 0;
    this.#known.length = 0;
  }
}
