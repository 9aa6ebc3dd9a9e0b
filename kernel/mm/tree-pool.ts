const SLAB_WORDS_LOG2 = 18;

/**
 * The bit trees of partly free slots, in slabs: numbered from 1, copied before a change when older than the last mark,
 * used again once no version can hold them.
 */
export class TreePool {
  /** Starts at 1; a new one with each mark or restore of the free area. */
  epoch = 1;
  readonly #treeWords: number;
  readonly #slabTreesLog2: number;
  readonly #slabs: Uint32Array[] = [];
  #epochs = new Uint32Array(64);
  #nrTrees = 1;
  readonly #spare: number[] = [];

  /** @param maxOrder of the tree's root; a tree has 2^(maxOrder + 1) bits. */
  constructor(maxOrder: number) {
    this.#treeWords = Math.max(1, 2 ** (maxOrder + 1) / 32);
    this.#slabTreesLog2 = SLAB_WORDS_LOG2 - Math.log2(this.#treeWords);
  }

  /** The slab that a tree lies in. */
  words(tree: number): Uint32Array {
    return this.#slabs[tree >>> this.#slabTreesLog2] as Uint32Array;
  }

  /** Index of a tree's first word in its slab. */
  offset(tree: number): number {
    return (tree & ((1 << this.#slabTreesLog2) - 1)) * this.#treeWords;
  }

  /** A tree that may be written: `old` itself, a copy of it, or an empty one for 0. */
  writable(old: number): number {
    if (old > 0 && this.#epochs[old] === this.epoch) return old;
    const tree = this.#spare.pop() ?? this.#nrTrees++;
    if (tree >= this.#epochs.length) {
      const next = new Uint32Array(this.#epochs.length * 2);
      next.set(this.#epochs);
      this.#epochs = next;
    }
    const slab = tree >>> this.#slabTreesLog2;
    while (slab >= this.#slabs.length) this.#slabs.push(new Uint32Array(1 << SLAB_WORDS_LOG2));
    this.#epochs[tree] = this.epoch;
    const at = this.offset(tree);
    if (old > 0) {
      const from = this.offset(old);
      this.words(tree).set(this.words(old).subarray(from, from + this.#treeWords), at);
    } else {
      this.words(tree).fill(0, at, at + this.#treeWords);
    }
    return tree;
  }

  /** A tree that nothing refers to any more, save perhaps a version. */
  drop(tree: number): void {
    if (tree > 0 && this.#epochs[tree] === this.epoch) this.#spare.push(tree);
  }

  test(tree: number, bit: number): boolean {
    return (((this.words(tree)[this.offset(tree) + (bit >>> 5)] as number) >>> (bit & 31)) & 1) === 1;
  }

  /** Sets a bit of a writable tree. */
  set(tree: number, bit: number): void {
    const words = this.words(tree);
    const at = this.offset(tree) + (bit >>> 5);
    words[at] = (words[at] as number) | (1 << (bit & 31));
  }

  /** Clears a bit of a writable tree. */
  clear(tree: number, bit: number): void {
    const words = this.words(tree);
    const at = this.offset(tree) + (bit >>> 5);
    words[at] = (words[at] as number) & ~(1 << (bit & 31));
  }

  /** Among the `nrBits` bits from bit `nrBits` on (one order of the tree) the index of the first that is set, -1 for none. */
  lowest(tree: number, nrBits: number): number {
    const words = this.words(tree);
    const offset = this.offset(tree);
    if (nrBits < 32) {
      const word = ((words[offset] as number) >>> nrBits) & ((1 << nrBits) - 1);
      return word === 0 ? -1 : lowestBit(word);
    }
    const nrWords = nrBits / 32;
    for (let w = 0; w < nrWords; w++) {
      const word = words[offset + nrWords + w] as number;
      if (word !== 0) return w * 32 + lowestBit(word);
    }
    return -1;
  }
}

/** Index of the lowest set bit of a word that is not 0. */
export function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
