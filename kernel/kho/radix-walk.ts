import type { PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import { KernelHang } from '../failure.ts';
import { decodeKey, type RadixGeometry } from './geometry.ts';
import type { BlockVisitor, IncomingMap, MetadataVisitor } from './memory-map.ts';
import { exactPointer, MemoryNodeSource, type NodeSource, NodeView, type PointerTranslation } from './node-source.ts';
import { swap32 } from './u64.ts';

/** What a walk calls. As in the kernel, a result other than 0 ends it and becomes its result. */
export interface RadixCallbacks {
  /**
   * Each page of the tree, before what is below it.
   * @param linkPhys address of the slot that points to it, -1 for the root.
   */
  node?(phys: PhysAddr, level: number, linkPhys: number): number;
  /** Each set bit, as the key that it stands for. */
  leaf?(keyLo: number, keyHi: number): number;
  /** As `leaf`, instead of it, with neighbouring keys of a leaf in one call where whole words of them are set. */
  run?(keyLo: number, keyHi: number, count: number): number;
  /** Each set bit, as the block that its key decodes to. Instead of `leaf`. */
  block?: BlockVisitor;
}

/** What a key counts in steps; a word of a page that is looked at counts as one. */
export const STEPS_PER_KEY = 32;

/**
 * How many steps a walk may make before it is taken to hang: seconds of work. That is 2^26 keys, 256 GiB of single 4K
 * pages. Only a tree whose pages are shared over and over needs more.
 */
export const DEFAULT_WALK_STEPS = 2 ** 26 * STEPS_PER_KEY;

/**
 * The one walk over a tree, depth first in ascending slot order, as literal as the kernel's: it checks no address, no
 * bit and no repetition, so that a wild pointer faults and a shared page is walked twice. Highest orders come first,
 * and within an order addresses ascend. What a callback writes into the tree ahead of the walk is walked.
 */
export class RadixWalk {
  readonly #source: NodeSource;
  readonly #clock: { generation: number };
  readonly #geometry: RadixGeometry;
  readonly #callbacks: RadixCallbacks;
  /** What is called for a key alone, whichever callback that is. */
  readonly #key: ((keyLo: number, keyHi: number) => number) | undefined;
  readonly #views: readonly NodeView[];
  /** Indices of the words of the leaf in hand that are not empty. */
  readonly #setWords: Int32Array;
  readonly #groups: Int32Array;
  #stepsLeft: number;
  /** The clock as the walk knows it: when it shows something else, memory was written. */
  #seen = -1;

  constructor(
    source: NodeSource,
    geometry: RadixGeometry,
    callbacks: RadixCallbacks,
    maxSteps: number = DEFAULT_WALK_STEPS,
  ) {
    this.#source = source;
    this.#clock = source.clock;
    this.#geometry = geometry;
    this.#callbacks = callbacks;
    this.#key = keyCallback(geometry, callbacks);
    this.#stepsLeft = maxSteps;
    // One entry more than there are words: a list is written before it is known whether the index belongs there.
    this.#setWords = new Int32Array(geometry.bitmapWords + 1);
    this.#groups = new Int32Array((geometry.bitmapWords >>> 2) + 1);
    this.#views = geometry.levelShifts.map(() => new NodeView());
  }

  /**
   * Walks the tree whose root page is at these 64 bits.
   * @returns 0, or what a callback ended the walk with.
   * @throws MachineFault where the source does, KernelHang when the steps are used up.
   */
  run(rootLo: number, rootHi: number): number {
    return this.#node(rootLo, rootHi, this.#geometry.depth - 1, 0, 0, -1);
  }

  #node(lo: number, hi: number, level: number, keyLo: number, keyHi: number, linkPhys: number): number {
    const view = this.#views[level] as NodeView;
    const { node } = this.#callbacks;
    if (!this.#source.open(lo, hi, level, linkPhys, view)) return 0;
    this.#look(view);
    if (node !== undefined) {
      const result = node(view.phys, level, linkPhys);
      if (result !== 0) return result;
      this.#look(view);
    }
    this.#spend(view.nrWords);
    const result = level > 0 ? this.#table(view, level, keyLo, keyHi) : this.#leaf(view, keyLo, keyHi);
    if (result === 0 && view.nrWords * 4 < this.#geometry.page.sizeBytes) this.#source.cutShort(view);
    return result;
  }

  /**
   * Sees to it that a page's words are those of now. A tree that knows its leaves writes to them without a tick of the
   * clock, but not the first time after one: so the walk makes one of its own wherever somebody wrote.
   */
  #look(view: NodeView): void {
    const clock = this.#clock;
    if (clock.generation === this.#seen) return;
    this.#seen = ++clock.generation;
    this.#source.refresh(view);
  }

  #word(view: NodeView, index: number): number {
    return view.inPlace ? (view.words[view.offset + index] as number) : this.#source.word(view, index);
  }

  #spend(steps: number): void {
    this.#stepsLeft -= steps;
    if (this.#stepsLeft < 0) throw new KernelHang('the walk over the radix tree');
  }

  #table(view: NodeView, level: number, keyLo: number, keyHi: number): number {
    const clock = this.#clock;
    const geometry = this.#geometry;
    const shift = geometry.levelShifts[level] as number;
    const nrSlots = Math.min(view.nrWords >>> 1, geometry.slots);
    let seen = this.#seen;
    for (let i = 0; i < nrSlots; i++) {
      let lo = this.#word(view, 2 * i);
      let hi = this.#word(view, 2 * i + 1);
      if ((lo | hi) === 0) continue;
      if (geometry.bigEndianSlots) [lo, hi] = [swap32(hi), swap32(lo)];
      // Processors take the counts modulo 32.
      const indexLo = shift < 32 ? i << shift : 0;
      const indexHi = shift < 32 ? i >>> -shift : i << shift;
      const result = this.#node(lo, hi, level - 1, keyLo | indexLo, keyHi | indexHi, view.phys + 8 * i);
      if (result !== 0) return result;
      if (clock.generation !== seen) {
        this.#source.refresh(view);
        seen = clock.generation;
      }
    }
    return 0;
  }

  // --- leaves --------------------------------------------------------------------------------------------------------

  #leaf(view: NodeView, keyLo: number, keyHi: number): number {
    const { block, run } = this.#callbacks;
    // The lowest leaf holds marker bits itself, so each of its keys may be of another order.
    if (block !== undefined && this.#geometry.plainKeys && (keyLo | keyHi) !== 0) {
      return this.#rest(view, this.#blocks(view, keyLo, keyHi, block), keyLo, keyHi);
    }
    return run === undefined ? this.#rest(view, 0, keyLo, keyHi) : this.#runs(view, keyLo, keyHi, run);
  }

  /** How many bits a leaf has: fewer where RAM ends within it. */
  #nrBits(view: NodeView): number {
    return 32 * Math.min(view.nrWords, this.#geometry.bitmapWords);
  }

  /** Every key of a leaf from a bit on, one by one, each looked for when the one before is through. */
  #rest(view: NodeView, from: number, keyLo: number, keyHi: number): number {
    const key = this.#key;
    if (key === undefined) return 0;
    const high = keyHi >>> 0;
    const end = this.#nrBits(view);
    for (let index = from; index < end; index++) {
      this.#look(view);
      const word = this.#word(view, index >>> 5) >>> index;
      if (word === 0) {
        index |= 31;
        continue;
      }
      index += 31 - Math.clz32(word & -word);
      this.#spend(STEPS_PER_KEY);
      const result = key((keyLo | index) >>> 0, high);
      if (result !== 0) return result;
    }
    return 0;
  }

  /** Keys with full words of them in one call. */
  #runs(
    view: NodeView,
    keyLo: number,
    keyHi: number,
    run: (keyLo: number, keyHi: number, count: number) => number,
  ): number {
    const { words, offset } = view;
    const nrWords = this.#nrBits(view) >>> 5;
    const high = keyHi >>> 0;
    const seen = this.#seen;
    for (let i = 0; i < nrWords; ) {
      const first = i++;
      let word = words[offset + first] as number;
      if (word === FULL_WORD) {
        while (i < nrWords && words[offset + i] === FULL_WORD) i++;
        this.#spend(STEPS_PER_KEY);
        const result = run((keyLo | (32 * first)) >>> 0, high, 32 * (i - first));
        if (result !== 0) return result;
        if (this.#clock.generation !== seen) return this.#rest(view, 32 * i, keyLo, keyHi);
        continue;
      }
      for (; word !== 0; word &= word - 1) {
        const index = 32 * first + 31 - Math.clz32(word & -word);
        this.#spend(STEPS_PER_KEY);
        const result = run((keyLo | index) >>> 0, high, 1);
        if (result !== 0) return result;
        if (this.#clock.generation !== seen) return this.#rest(view, index + 1, keyLo, keyHi);
      }
    }
    return 0;
  }

  /**
   * The blocks of a leaf that are all of one order, quickly: until a callback writes to memory, as then what was looked
   * up ahead counts no more.
   * @returns the bit from which on `rest` is to go on.
   */
  #blocks(view: NodeView, keyLo: number, keyHi: number, visit: BlockVisitor): number {
    const { words, offset } = view;
    const geometry = this.#geometry;
    const end = this.#nrBits(view);
    const setWords = this.#setWords;
    const nrSetWords = listSetWords(words, offset, end >>> 5, this.#groups, setWords);
    const base = decodeKey(geometry, keyLo, keyHi);
    const shift = (geometry.page.shift + base.order) & 63;
    const clock = this.#clock;
    const seen = this.#seen;
    const { order } = base;
    const wide = shift >= 32;
    const left = shift & 31;
    const baseLo = base.lo;
    const baseHi = base.hi;
    let count = 0;
    for (let n = 0; n < nrSetWords; n++) {
      const i = setWords[n] as number;
      let word = (words[offset + i] as number) | 0;
      while (word !== 0) {
        const rest = word & (word - 1);
        const index = (i << 5) | (31 - Math.clz32(word ^ rest));
        word = rest;
        count++;
        if (wide) visit(baseLo, (baseHi | (index << left)) >>> 0, order);
        else visit((baseLo | (index << left)) >>> 0, (baseHi | ((index >>> 1) >>> (31 - left))) >>> 0, order);
        if (clock.generation !== seen) {
          this.#spend(STEPS_PER_KEY * count);
          return index + 1;
        }
      }
    }
    this.#spend(STEPS_PER_KEY * count);
    return end;
  }
}

function keyCallback(
  geometry: RadixGeometry,
  { block, run, leaf }: RadixCallbacks,
): ((keyLo: number, keyHi: number) => number) | undefined {
  if (block !== undefined) {
    return (keyLo, keyHi) => {
      const { lo, hi, order } = decodeKey(geometry, keyLo, keyHi);
      block(lo, hi, order);
      return 0;
    };
  }
  return run === undefined ? leaf : (keyLo, keyHi) => run(keyLo, keyHi, 1);
}

const FULL_WORD = 0xffff_ffff;

const CACHE_LINE_WORDS = 16;
/**
 * A leaf of so many words is touched line by line before it is looked through: all its lines are then on their way from
 * memory at once. Longer ones are fetched ahead by processors themselves.
 */
const TOUCHED_WORDS = 1024;

/**
 * Lists which of a leaf's words have bits set, ascending: first the groups of four that are not empty, then the words of
 * these. No branch depends on what the words hold: where one word in ten has a bit, guessing wrong costs more than
 * looking at all of them.
 * @param groups where the groups are listed, for this function alone.
 * @returns how many indices are in `list` now.
 */
function listSetWords(
  words: Uint32Array,
  offset: number,
  nrWords: number,
  groups: Int32Array,
  list: Int32Array,
): number {
  if (nrWords <= TOUCHED_WORDS) {
    let touched = 0;
    for (let at = offset; at < offset + nrWords; at += CACHE_LINE_WORDS) touched |= words[at] as number;
    groups[0] = touched;
  }
  let nrGroups = 0;
  const nrGrouped = nrWords & ~3;
  for (let i = 0; i < nrGrouped; i += 4) {
    const at = offset + i;
    const a = words[at] as number;
    const b = words[at + 1] as number;
    const c = words[at + 2] as number;
    const d = words[at + 3] as number;
    const any = a | b | c | d;
    groups[nrGroups] = i;
    nrGroups += (any | -any) >>> 31;
  }
  let count = 0;
  for (let g = 0; g < nrGroups; g++) {
    const i = groups[g] as number;
    const at = offset + i;
    const a = (words[at] as number) | 0;
    const b = (words[at + 1] as number) | 0;
    const c = (words[at + 2] as number) | 0;
    const d = (words[at + 3] as number) | 0;
    list[count] = i;
    count += (a | -a) >>> 31;
    list[count] = i + 1;
    count += (b | -b) >>> 31;
    list[count] = i + 2;
    count += (c | -c) >>> 31;
    list[count] = i + 3;
    count += (d | -d) >>> 31;
  }
  for (let i = nrGrouped; i < nrWords; i++) {
    if (words[offset + i] !== 0) list[count++] = i;
  }
  return count;
}

/** The reading side, as kernels from 7.1 on have it. */
export class RadixReader implements IncomingMap {
  readonly kind = 'radix-tree';
  readonly geometry: RadixGeometry;
  readonly #translate: PointerTranslation;
  readonly #maxSteps: number;

  constructor(
    geometry: RadixGeometry,
    options: { readonly translate?: PointerTranslation; readonly maxSteps?: number } = {},
  ) {
    this.geometry = geometry;
    this.#translate = options.translate ?? exactPointer;
    this.#maxSteps = options.maxSteps ?? DEFAULT_WALK_STEPS;
  }

  /**
   * Walks the tree at `root`: every block in walk order, every page of the tree before what is below it.
   * @throws MachineFault where the kernel would oops, KernelHang where it would not come back.
   */
  walk(memory: PhysicalMemory, root: PhysAddr, visit: BlockVisitor, visitMetadata?: MetadataVisitor): void {
    const callbacks: RadixCallbacks = { block: visit };
    if (visitMetadata !== undefined) {
      callbacks.node = (phys) => {
        visitMetadata(phys, memory.page.sizeBytes);
        return 0;
      };
    }
    this.walkKeys(memory, root, callbacks);
  }

  /** The same walk with the kernel's own callbacks: raw keys, and a result that ends it. */
  walkKeys(memory: PhysicalMemory, root: PhysAddr, callbacks: RadixCallbacks): number {
    const source = new MemoryNodeSource(memory, this.#translate);
    const walk = new RadixWalk(source, this.geometry, callbacks, this.#maxSteps);
    return walk.run(root >>> 0, Math.floor(root / 0x1_0000_0000));
  }
}
