import {
  ONES_FILL,
  type Order,
  type Pfn,
  type PhysAddr,
  type PhysicalMemory,
  SLAB_WORDS_LOG2,
} from '../../machine/index.ts';
import { EINVAL, ENOMEM, ERANGE, type Errno } from '../errno.ts';
import type { KernelLog } from '../log.ts';
import { encodeKey, type RadixGeometry } from './geometry.ts';
import { LeafPlaces } from './leaf-places.ts';
import type { BlockVisitor, OutgoingMap } from './memory-map.ts';
import { exactPointer, MemoryNodeSource, type PointerTranslation } from './node-source.ts';
import { DEFAULT_WALK_STEPS, type RadixCallbacks, RadixWalk } from './radix-walk.ts';
import { type NodeAllocator, TreeTables } from './tree-tables.ts';
import { fls64, shl64, type U64, u64Of } from './u64.ts';

/** What sets a tree apart from the newest kernel's, and its limits. */
export interface RadixTreeOptions {
  /** Where WARNs go; without it they are not counted. */
  readonly log?: Pick<KernelLog, 'warnOn' | 'warnOnOnce'>;
  /**
   * Whether a key wider than the tree is -ERANGE on insert and ignored on delete (7.3). Before that its high bits were
   * cut off, so that it went where another key belongs.
   */
  readonly rejectWideKeys?: boolean;
  /** An insert that runs out of memory frees what it made, and leaves the entry that leads there (patches before the merge). */
  readonly leavesDanglingEntry?: boolean;
  readonly translate?: PointerTranslation;
  /** Bound of a walk and of a destruction, DEFAULT_WALK_STEPS unless given. */
  readonly maxWalkSteps?: number;
  /** Runs of keys that fill a leaf make it a fill, which costs nothing: for a tree that is not handed over. */
  readonly fullLeavesAsFill?: boolean;
  /** The names under which WARNs are printed. */
  readonly functionNames?: { readonly add: string; readonly del: string; readonly walk: string };
}

// Constants of this module are compiled into its code, imported ones are looked up each time.
const SLAB_SHIFT = SLAB_WORDS_LOG2;
const SLAB_MASK = (1 << SLAB_SHIFT) - 1;

const NO_PLACES = new Int32Array(0);
const NO_WORDS = new Uint32Array(0);

const FUNCTION_NAMES = { add: 'kho_radix_add_key', del: 'kho_radix_del_key', walk: 'kho_radix_walk_tree' };

/**
 * The radix tree in simulated RAM, literally as the kernel keeps it: insert makes missing tables on the way down,
 * delete clears a bit and never frees a page, nothing is validated.
 *
 * For speed it remembers in which frame the leaf of a key prefix lies, so that runs of neighbours and scattered keys
 * alike touch one word; and beside that it keeps a leaf in hand, for keys of any kind. What it remembers counts only
 * while `memory.generation` stands still.
 */
export class RadixTree implements OutgoingMap {
  readonly kind = 'radix-tree';
  readonly geometry: RadixGeometry;
  readonly #memory: PhysicalMemory;
  readonly #alloc: NodeAllocator;
  readonly #log: RadixTreeOptions['log'];
  readonly #rejectWideKeys: boolean;
  readonly #translate: PointerTranslation;
  readonly #maxWalkSteps: number;
  readonly #fullLeavesAsFill: boolean;
  readonly #names: typeof FUNCTION_NAMES;
  readonly #tables: TreeTables;
  #root: PhysAddr | undefined;

  // What is known holds while the memory's generation is this one.
  #generation = -1;
  readonly #leaves: LeafPlaces;

  // The leaf in hand: its number if it has one, the bits of its keys above its own, and where its bits are.
  #heldLeaf = 0;
  #heldKeyHi = 0;
  #heldKeyLo = 0;
  #heldWords: Uint32Array = NO_WORDS;
  #heldOffset = 0;
  /** The leaf met last that was not in hand. */
  #previousLeaf = 0;

  // Copies for the hot path. They start with a value of their kind, so that V8 knows it and checks nothing.
  readonly #bitmapLog2: number = 0;
  readonly #bitmapMask: number = 0;
  readonly #pfnLimit: number = 0;
  readonly #maxNumberedOrder: number = 0;
  #places: Int32Array = NO_PLACES;
  readonly #slabs: readonly Uint32Array[];

  /** @param root an existing tree's root page; without it `init` makes one. */
  constructor(
    memory: PhysicalMemory,
    geometry: RadixGeometry,
    alloc: NodeAllocator,
    options: RadixTreeOptions & { readonly root?: PhysAddr } = {},
  ) {
    this.geometry = geometry;
    this.#memory = memory;
    this.#alloc = alloc;
    this.#log = options.log;
    this.#rejectWideKeys = options.rejectWideKeys ?? true;
    this.#translate = options.translate ?? exactPointer;
    this.#maxWalkSteps = options.maxWalkSteps ?? DEFAULT_WALK_STEPS;
    this.#fullLeavesAsFill = options.fullLeavesAsFill ?? false;
    this.#names = options.functionNames ?? FUNCTION_NAMES;
    this.#root = options.root;
    this.#bitmapLog2 = geometry.bitmapLog2 | 0;
    this.#bitmapMask = (1 << geometry.bitmapLog2) - 1;
    this.#tables = new TreeTables(memory, geometry, alloc, this.#translate, options.leavesDanglingEntry ?? false);
    this.#leaves = new LeafPlaces(memory, geometry);
    this.#pfnLimit = this.#leaves.pfnLimit | 0;
    this.#maxNumberedOrder = this.#leaves.maxOrder | 0;
    this.#places = this.#leaves.places;
    this.#slabs = memory.frameSlabs;
  }

  /** The root page, undefined before `init` and after `destroy`. */
  get root(): PhysAddr | undefined {
    return this.#root;
  }

  /** Points the tree at another root page, or at none. */
  setRoot(root: PhysAddr | undefined): void {
    this.#root = root;
    this.#forget();
  }

  /** Makes an empty root table if there is no root. 0 or -ENOMEM. */
  init(): 0 | Errno {
    if (this.#root !== undefined) return 0;
    const root = this.#alloc.allocNode();
    if (root === undefined) return ENOMEM;
    this.setRoot(root);
    return 0;
  }

  // --- blocks --------------------------------------------------------------------------------------------------------

  /**
   * Sets the bit of a block's key. 0, -ENOMEM (the tree is as before), -ERANGE (7.3, a key wider than the tree),
   * -EINVAL without a root. Operands beyond all orders and addresses give the keys that a kernel would compute.
   */
  preserve(pfn: Pfn, order: Order): 0 | Errno {
    if (pfn < this.#pfnLimit && order <= this.#maxNumberedOrder && this.#memory.generation === this.#generation) {
      const keyLo = pfn >> order;
      const leaf = ((1 << (this.#maxNumberedOrder - order)) + (keyLo >>> this.#bitmapLog2)) | 0;
      if (leaf === this.#heldLeaf) {
        const words = this.#heldWords;
        const at = this.#heldOffset | ((keyLo & this.#bitmapMask) >>> 5);
        words[at] = (words[at] as number) | (1 << keyLo);
        return 0;
      }
      const place = this.#places[leaf] as number;
      if (place > 0) {
        const words = this.#slabs[place >>> SLAB_SHIFT] as Uint32Array;
        const at = (place & SLAB_MASK) | ((keyLo & this.#bitmapMask) >>> 5);
        words[at] = (words[at] as number) | (1 << keyLo);
        // A leaf met twice running is likely to be met again.
        if (leaf === this.#previousLeaf) this.#take(keyLo, this.#markerHi(order), leaf, words, place & SLAB_MASK);
        this.#previousLeaf = leaf;
        return 0;
      }
    }
    return this.#preserveByKey(pfn, order);
  }

  #preserveByKey(pfn: number, order: number): 0 | Errno {
    const key = this.#keyOf(pfn, order);
    return this.addKey(key.lo, key.hi);
  }

  /** Clears the bit of a block's key; a WARN when there is no leaf for it. */
  unpreserve(pfn: Pfn, order: Order): void {
    const key = this.#keyOf(pfn, order);
    this.delKey(key.lo, key.hi);
  }

  /**
   * Preserves `count` blocks of one order that lie one behind the other: exactly what as many calls of `preserve` in
   * ascending order do, with whole words of a leaf filled at once. Keys of such blocks are neighbours.
   *
   *     leaf    |................|###............|     the first key of each leaf goes down the tree,
   *              ^^^ filled words  ^^               the rest are filled in
   *
   * @returns 0, or the error of the first block that could not be preserved; those before it stay so.
   */
  preserveRun(pfn: Pfn, order: Order, count: number): 0 | Errno {
    const blockPages = 2 ** order;
    const leafKeys = this.#bitmapMask + 1;
    for (let done = 0; done < count; ) {
      const at = pfn + done * blockPages;
      const { lo, hi } = this.#keyOf(at, order);
      let nrKeys = Math.min(count - done, leafKeys - (lo & this.#bitmapMask));
      // Where addresses wrap keys are no neighbours any more.
      if (this.#keyOf(at + (nrKeys - 1) * blockPages, order).lo !== lo + nrKeys - 1) nrKeys = 1;
      const err = this.addKeyRun(lo, hi, nrKeys);
      if (err !== 0) return err;
      done += nrKeys;
    }
    return 0;
  }

  #keyOf(pfn: number, order: number): U64 {
    const { lo, hi } = u64Of(pfn);
    const phys = shl64(lo, hi, this.geometry.page.shift);
    return encodeKey(this.geometry, phys.lo, phys.hi, order);
  }

  // --- keys ----------------------------------------------------------------------------------------------------------

  /** Sets the bit of any 64-bit key, given as halves. Results as of `preserve`. */
  addKey(keyLo: number, keyHi: number): 0 | Errno {
    const root = this.#root;
    if (root === undefined) {
      this.#log?.warnOnOnce(this.#names.add);
      return EINVAL;
    }
    if (this.#isTooWide(keyLo, keyHi)) return ERANGE;
    const lo = keyLo | 0;
    const hi = keyHi | 0;
    if (!this.#inHand(lo, hi)) {
      const leaf = this.#tables.makeLeaf(root, lo, hi);
      if (leaf === undefined) return ENOMEM;
      if (!this.#hold(leaf, lo, hi)) {
        const word = this.#wordOf(leaf, lo);
        this.#memory.writeU32(word, this.#memory.readU32(word) | (1 << lo));
        return 0;
      }
    }
    const at = this.#heldOffset + ((lo & this.#bitmapMask) >>> 5);
    this.#heldWords[at] = (this.#heldWords[at] as number) | (1 << lo);
    return 0;
  }

  /**
   * Sets the bits of `count` keys, one behind the other from a key given as halves: what as many calls of `addKey` in
   * ascending order do. Only the first key of each leaf goes down the tree.
   * @returns 0, or the error of the first key that could not be added; those before it stay.
   */
  addKeyRun(keyLo: number, keyHi: number, count: number): 0 | Errno {
    const leafKeys = this.#bitmapMask + 1;
    let lo = keyLo >>> 0;
    let hi = keyHi >>> 0;
    for (let left = count; left > 0; ) {
      const bit = lo & this.#bitmapMask;
      let nrKeys = Math.min(left, leafKeys - bit);
      const asFill = this.#fullLeavesAsFill && nrKeys === leafKeys;
      const err = asFill ? this.#addFullLeaf(lo, hi) : this.addKey(lo, hi);
      if (err !== 0) return err;
      if (!asFill) {
        // A leaf outside whole pages is not kept in hand: each of its keys goes down.
        if (this.#inHand(lo | 0, hi | 0)) fillBits(this.#heldWords, this.#heldOffset, bit, bit + nrKeys);
        else nrKeys = 1;
      }
      left -= nrKeys;
      lo += nrKeys;
      if (lo >= 0x1_0000_0000) {
        lo = 0;
        hi++;
      }
    }
    return 0;
  }

  /** Clears the bit of any 64-bit key. Silence for a key wider than the tree (7.3), a WARN when there is no leaf for it. */
  delKey(keyLo: number, keyHi: number): void {
    const root = this.#root;
    if (root === undefined) {
      this.#log?.warnOnOnce(this.#names.del);
      return;
    }
    if (this.#isTooWide(keyLo, keyHi)) return;
    const lo = keyLo | 0;
    const hi = keyHi | 0;
    if (!this.#inHand(lo, hi)) {
      const leaf = this.#tables.findLeaf(root, lo, hi);
      if (leaf === undefined) {
        this.#log?.warnOn(this.#names.del);
        return;
      }
      if (!this.#hold(leaf, lo, hi)) {
        const word = this.#wordOf(leaf, lo);
        this.#memory.writeU32(word, this.#memory.readU32(word) & ~(1 << lo));
        return;
      }
    }
    const at = this.#heldOffset + ((lo & this.#bitmapMask) >>> 5);
    this.#heldWords[at] = (this.#heldWords[at] as number) & ~(1 << lo);
  }

  #isTooWide(keyLo: number, keyHi: number): boolean {
    return this.#rejectWideKeys && fls64(keyLo, keyHi) > this.geometry.keyWidth;
  }

  // --- leaves: keys as signed halves ---------------------------------------------------------------------------------

  /** Sets all the bits of a leaf, given as its first key. Results as of `addKey`. */
  #addFullLeaf(keyLo: number, keyHi: number): 0 | Errno {
    const root = this.#root;
    if (root === undefined || this.#isTooWide(keyLo, keyHi)) return this.addKey(keyLo, keyHi);
    const leaf = this.#tables.makeLeaf(root, keyLo | 0, keyHi | 0);
    if (leaf === undefined) return ENOMEM;
    this.#memory.fillPages((leaf / this.#memory.page.sizeBytes) as Pfn, 1, ONES_FILL);
    return 0;
  }

  #wordOf(leaf: PhysAddr, lo: number): PhysAddr {
    return (leaf + 4 * ((lo & this.#bitmapMask) >>> 5)) as PhysAddr;
  }

  // --- what is known of leaves ---------------------------------------------------------------------------------------

  /** Whether the leaf of a key is in hand, where it is taken if its place is known. */
  #inHand(lo: number, hi: number): boolean {
    if (this.#memory.generation !== this.#generation) {
      this.#forget();
      return false;
    }
    if (lo >>> this.#bitmapLog2 === this.#heldKeyLo && hi === this.#heldKeyHi) return true;
    const leaf = this.#leaves.leafOf(lo, hi);
    const place = this.#places[leaf] as number;
    if (place === 0) return false;
    this.#take(lo, hi, leaf, this.#slabs[place >>> SLAB_SHIFT] as Uint32Array, place & SLAB_MASK);
    return true;
  }

  /**
   * Takes in hand a leaf that the way down led to, about to be written, and notes its place.
   * @returns false for one at an address within a page, which has none.
   */
  #hold(phys: PhysAddr, lo: number, hi: number): boolean {
    const memory = this.#memory;
    const pageBytes = memory.page.sizeBytes;
    if (phys % pageBytes !== 0) return false;
    const frame = memory.frameForWrite((phys / pageBytes) as Pfn);
    const leaf = this.#leaves.leafOf(lo, hi);
    this.#leaves.remember(leaf, frame);
    this.#places = this.#leaves.places;
    this.#take(lo, hi, leaf, memory.frameWords(frame), memory.frameWordOffset(frame));
    // The write to come is one: a walk whose callback makes it has to see it.
    this.#generation = ++memory.generation;
    return true;
  }

  #take(lo: number, hi: number, leaf: number, words: Uint32Array, offset: number): void {
    this.#heldKeyLo = lo >>> this.#bitmapLog2;
    this.#heldKeyHi = hi;
    this.#heldLeaf = leaf;
    this.#heldWords = words;
    this.#heldOffset = offset;
  }

  /** The high half of the keys of an order whose leaves have numbers. */
  #markerHi(order: number): number {
    return 1 << (this.geometry.markerBits[order] as number);
  }

  #forget(): void {
    this.#generation = -1;
    this.#leaves.forget();
  }

  // --- the whole tree ------------------------------------------------------------------------------------------------

  /** The root page's address: final from the start. Without a root 0. */
  finalize(): PhysAddr {
    return this.#root ?? (0 as PhysAddr);
  }

  /** Nothing to take back. */
  abort(): void {}

  /** Every block in walk order. @throws as `walk`. */
  forEach(visit: BlockVisitor): void {
    this.walk({ block: visit });
  }

  /**
   * Walks the tree with the kernel's callbacks. 0, what a callback ended it with, or -EINVAL (a WARN) without a root.
   * @throws MachineFault where the kernel would oops, KernelHang where it would not come back.
   */
  walk(callbacks: RadixCallbacks): number {
    if (this.#root === undefined) {
      this.#log?.warnOnOnce(this.#names.walk);
      return EINVAL;
    }
    const { lo, hi } = u64Of(this.#root);
    return new RadixWalk(this.#source(), this.geometry, callbacks, this.#maxWalkSteps).run(lo, hi);
  }

  #source(): MemoryNodeSource {
    return new MemoryNodeSource(this.#memory, this.#translate);
  }

  /**
   * Gives back every page, children before their table, and forgets the root. A page that is reached twice is given
   * back twice.
   * @throws MachineFault for a wild pointer, KernelHang when there are more words in them than a walk makes steps.
   */
  destroy(): void {
    if (this.#root === undefined) return;
    this.#tables.destroy(this.#root, this.#maxWalkSteps);
    this.setRoot(undefined);
  }
}

/** Sets the bits [from, to) of a bitmap that starts at word `offset`. */
function fillBits(words: Uint32Array, offset: number, from: number, to: number): void {
  const first = from >>> 5;
  const last = (to - 1) >>> 5;
  const head = -1 << (from & 31);
  const tail = -1 >>> (31 - ((to - 1) & 31));
  if (first === last) {
    words[offset + first] = (words[offset + first] as number) | (head & tail);
    return;
  }
  words[offset + first] = (words[offset + first] as number) | head;
  words.fill(0xffff_ffff, offset + first + 1, offset + last);
  words[offset + last] = (words[offset + last] as number) | tail;
}
