import { alignDown, alignUp, type Order, type PageSize, type Pfn, type RamBank } from '../../machine/index.ts';
import { FrameDirectory, type FrameDirectoryVersion } from './frame-directory.ts';
import { internState, makeStateTable, type StateTable } from './state-table.ts';

/*
 * What struct page says for every frame. All that is known of a frame is interned: equal states have one number, which
 * a directory keeps for each frame.
 */

/** The flags of a frame, as bits that can be or-ed together. */
export const PageFlag = {
  /** PG_reserved: memblock kept it, the page allocator never had it. */
  reserved: 1,
  /** It lies in a reserved region with RSRV_NOINIT. Of memblock rather than of struct page; kept here for pictures and checks. */
  noinit: 2,
  /** The struct page went through initialisation in this kernel. */
  initialised: 4,
  /** Its pageblock is of migratetype CMA: scratch. */
  cma: 8,
  /** Counted in the zone's managed pages. */
  managed: 16,
  /** In a free list of the buddy allocator. */
  free: 32,
} as const;

/** One or more of `PageFlag`, or-ed. */
export type PageFlags = number;

/** What a frame is in a compound page. */
export type CompoundKind = 'none' | 'head' | 'tail';

const COMPOUND_KINDS: readonly CompoundKind[] = ['none', 'head', 'tail'];

/*
 * The fourth word of a state:  31..26 zero | 25..16 node | 15..14 compound kind | 13..8 order | 7..0 flags
 */
const FLAGS_MASK = 0xff;
const ORDER_SHIFT = 8;
const KIND_SHIFT = 14;
const COMPOUND_MASK = (0x3f << ORDER_SHIFT) | (3 << KIND_SHIFT);
const NID_SHIFT = 16;
const NID_MASK = 0x3ff << NID_SHIFT;
const HEAD = 1;
const TAIL = 2;

/** All that is known of a frame. */
export interface PageState {
  /** page->private, in halves. */
  readonly privateLo: number;
  readonly privateHi: number;
  readonly refcount: number;
  readonly compound: CompoundKind;
  /** Of the compound page that the frame is in; 0 for none. */
  readonly order: Order;
  readonly nid: number;
  readonly flags: PageFlags;
}

/** Neighbouring frames in one state. */
export interface PageRun {
  readonly start: Pfn;
  readonly nrPages: number;
  readonly state: PageState;
}

/** How page states are kept. */
export interface PageStatesOptions {
  /**
   * Bytes of a memory section, a power of two. A kernel with SPARSEMEM_VMEMMAP has struct pages for whole sections
   * (128 MiB at 4K on both architectures), beyond the RAM in them too. Left out, exactly the frames of RAM have one.
   */
  readonly sectionBytes?: number;
}

/** A state of all struct pages that can be gone back to. */
export interface PageStatesVersion {
  readonly frames: FrameDirectoryVersion;
  readonly nrManaged: number;
  readonly nrFree: number;
}

function wordOf(table: StateTable, id: number, word: number): number {
  return table.words[id * 4 + word] as number;
}

/**
 * The struct pages of one kernel. They are the kernel's own memory: nothing here survives the jump. All frames start
 * uninitialised: private, refcount, order and flags 0.
 *
 * Whoever asks for a frame without a struct page gets MachineFault('pfn_to_page'): in the kernel, an access to an
 * address outside the memory map.
 */
export class PageStates {
  readonly page: PageSize;
  readonly #frames: FrameDirectory;
  readonly #table: StateTable = makeStateTable();
  #nrManaged = 0;
  #nrFree = 0;
  /** The state that was claimed last, and what it became: free pages are mostly alike. */
  #claimed = -1;
  #claimedBecomes = -1;

  constructor(page: PageSize, banks: readonly RamBank[], options: PageStatesOptions = {}) {
    this.page = page;
    const granule = Math.max(options.sectionBytes ?? page.sizeBytes, page.sizeBytes);
    const ranges: { start: number; end: number }[] = [];
    for (const bank of [...banks].sort((a, b) => a.base - b.base)) {
      const start = alignDown(bank.base, granule) / page.sizeBytes;
      const end = alignUp(bank.base + bank.sizeBytes, granule) / page.sizeBytes;
      const before = ranges.at(-1);
      if (before !== undefined && start <= before.end) before.end = Math.max(before.end, end);
      else ranges.push({ start, end });
    }
    this.#frames = new FrameDirectory(ranges, (before, after, nr) => this.#count(before, after, nr));
  }

  // --- which frames have one --------------------------------------------------------------------------------------

  /** pfn_valid. */
  hasStructPage(pfn: number): boolean {
    return this.#frames.has(pfn);
  }

  /** The ranges of frames that have struct pages, ascending and apart. */
  spans(): { readonly start: Pfn; readonly nrPages: number }[] {
    return this.#frames.spans();
  }

  // --- one frame --------------------------------------------------------------------------------------------------

  #setId(pfn: number, before: number, after: number): void {
    if (before !== after) this.#frames.set(pfn, before, after);
  }

  #count(before: number, after: number, nrPages: number): void {
    const a = wordOf(this.#table, before, 3);
    const z = wordOf(this.#table, after, 3);
    if (((a ^ z) & (PageFlag.managed | PageFlag.free)) === 0) return;
    this.#nrManaged += nrPages * (((z & PageFlag.managed) >>> 4) - ((a & PageFlag.managed) >>> 4));
    this.#nrFree += nrPages * (((z & PageFlag.free) >>> 5) - ((a & PageFlag.free) >>> 5));
  }

  #with(id: number, lo: number, hi: number, refcount: number, meta: number): number {
    const words = this.#table.words;
    const at = id * 4;
    if (words[at] === lo && words[at + 1] === hi && words[at + 2] === refcount && words[at + 3] === meta) return id;
    return internState(this.#table, lo, hi, refcount, meta);
  }

  /** The low 32 bits of page->private. */
  privateLo(pfn: Pfn): number {
    return wordOf(this.#table, this.#frames.get(pfn), 0);
  }

  /** The high 32 bits of page->private. */
  privateHi(pfn: Pfn): number {
    return wordOf(this.#table, this.#frames.get(pfn), 1);
  }

  /** Sets page->private from its halves (each taken modulo 2^32). */
  setPrivate(pfn: Pfn, lo: number, hi: number): void {
    const id = this.#frames.get(pfn);
    const refcount = wordOf(this.#table, id, 2);
    this.#setId(pfn, id, this.#with(id, lo >>> 0, hi >>> 0, refcount, wordOf(this.#table, id, 3)));
  }

  refcount(pfn: Pfn): number {
    return wordOf(this.#table, this.#frames.get(pfn), 2);
  }

  setRefcount(pfn: Pfn, refcount: number): void {
    const id = this.#frames.get(pfn);
    const table = this.#table;
    const after = this.#with(id, wordOf(table, id, 0), wordOf(table, id, 1), refcount >>> 0, wordOf(table, id, 3));
    this.#setId(pfn, id, after);
  }

  /** Whether all the given flags are set. */
  has(pfn: Pfn, flags: PageFlags): boolean {
    return (wordOf(this.#table, this.#frames.get(pfn), 3) & flags) === flags;
  }

  /** All flags of a frame. */
  flags(pfn: Pfn): PageFlags {
    return wordOf(this.#table, this.#frames.get(pfn), 3) & FLAGS_MASK;
  }

  setFlags(pfn: Pfn, flags: PageFlags): void {
    this.#changeFlags(pfn, flags, 0);
  }

  clearFlags(pfn: Pfn, flags: PageFlags): void {
    this.#changeFlags(pfn, 0, flags);
  }

  #changeFlags(pfn: number, set: PageFlags, clear: PageFlags): void {
    const id = this.#frames.get(pfn);
    const at = id * 4;
    const words = this.#table.words;
    const meta = ((words[at + 3] as number) & ~clear) | set;
    this.#setId(
      pfn,
      id,
      this.#with(id, words[at] as number, words[at + 1] as number, words[at + 2] as number, meta >>> 0),
    );
  }

  /** The node in the struct page: what initialisation was told. */
  nid(pfn: Pfn): number {
    return (wordOf(this.#table, this.#frames.get(pfn), 3) & NID_MASK) >>> NID_SHIFT;
  }

  // --- compound pages ---------------------------------------------------------------------------------------------

  /** compound_order, of the head and of its tails alike; 0 for a page that is not compound. */
  order(pfn: Pfn): Order {
    return ((wordOf(this.#table, this.#frames.get(pfn), 3) >>> ORDER_SHIFT) & 0x3f) as Order;
  }

  /** Whether a frame heads a compound page, or is a tail of one. */
  compound(pfn: Pfn): CompoundKind {
    return COMPOUND_KINDS[(wordOf(this.#table, this.#frames.get(pfn), 3) >>> KIND_SHIFT) & 3] as CompoundKind;
  }

  /** compound_head: the frame itself unless it is a tail. */
  headOf(pfn: Pfn): Pfn {
    const meta = wordOf(this.#table, this.#frames.get(pfn), 3);
    if (((meta >>> KIND_SHIFT) & 3) !== TAIL) return pfn;
    const size = 2 ** ((meta >>> ORDER_SHIFT) & 0x3f);
    const aligned = pfn - (pfn % size);
    if (this.hasStructPage(aligned) && this.compound(aligned as Pfn) === 'head') return aligned as Pfn;
    // A broken map can make a folio that is not aligned to its size: back over the tails, alike ones in one step.
    for (let at = pfn as number; this.#frames.has(at); at = this.#frames.pieceStart(at) - 1) {
      const kind = this.compound(at as Pfn);
      if (kind === 'head') return at as Pfn;
      if (kind === 'none') break;
    }
    return pfn;
  }

  /**
   * prep_compound_page: frame `pfn` becomes the head and the 2^order - 1 behind it its tails. Refcounts stay, so does
   * the head's private; the tails' is erased. Nothing for order 0. The number of tails is what an int shift gives: an
   * order from foreign memory counts modulo 32, and 31 has none.
   * @throws MachineFault at the first frame without a struct page, with those before it done.
   */
  setCompound(pfn: Pfn, order: Order): void {
    if (order === 0) return;
    const compound = (order & 0x3f) << ORDER_SHIFT;
    this.#update(pfn, 1, (lo, hi, ref, meta) =>
      this.#intern(lo, hi, ref, (meta & ~COMPOUND_MASK) | compound | (HEAD << KIND_SHIFT)),
    );
    this.#update(pfn + 1, Math.max(0, (1 << (order & 31)) - 1), (_lo, _hi, ref, meta) =>
      this.#intern(0, 0, ref, (meta & ~COMPOUND_MASK) | compound | (TAIL << KIND_SHIFT)),
    );
  }

  /** Takes a compound page apart: its frames are single pages again, refcounts stay. Nothing for a frame that heads none. */
  clearCompound(pfn: Pfn): void {
    if (this.compound(pfn) !== 'head') return;
    this.#update(pfn, 2 ** this.order(pfn), (lo, hi, ref, meta) => this.#intern(lo, hi, ref, meta & ~COMPOUND_MASK));
  }

  // --- ranges -----------------------------------------------------------------------------------------------------
  //
  // All throw MachineFault at the first frame without a struct page, with those before it done. Their cost is that of
  // the pieces in different states, not of the frames.

  /** Sets flags of `nrPages` frames. */
  setRange(start: Pfn, nrPages: number, flags: PageFlags): void {
    this.#update(start, nrPages, (lo, hi, ref, meta) => this.#intern(lo, hi, ref, meta | flags));
  }

  /** Clears flags of `nrPages` frames. */
  clearRange(start: Pfn, nrPages: number, flags: PageFlags): void {
    this.#update(start, nrPages, (lo, hi, ref, meta) => this.#intern(lo, hi, ref, meta & ~flags));
  }

  /** Sets page->private of `nrPages` frames, each to the same. */
  setPrivateRange(start: Pfn, nrPages: number, lo: number, hi: number): void {
    this.#update(start, nrPages, (_lo, _hi, ref, meta) => this.#intern(lo >>> 0, hi >>> 0, ref, meta));
  }

  setRefcountRange(start: Pfn, nrPages: number, refcount: number): void {
    this.#update(start, nrPages, (lo, hi, _, meta) => this.#intern(lo, hi, refcount, meta));
  }

  /**
   * Initialises struct pages as the kernel does for all memory (__init_single_page): private and order erased, refcount
   * 1, the node set, no flag but `initialised`. `cma` and `noinit` stay, since they belong to the pageblock and to
   * memblock. Whether a range must be spared because of noinit is for the caller to say.
   */
  initRange(start: Pfn, nrPages: number, nid: number): void {
    const node = (Math.max(nid, 0) << NID_SHIFT) & NID_MASK;
    this.#update(start, nrPages, (_lo, _hi, _ref, meta) =>
      this.#intern(0, 0, 1, (meta & (PageFlag.cma | PageFlag.noinit)) | PageFlag.initialised | node),
    );
  }

  /**
   * What the page allocator makes of frames that it takes in, as free memory: not reserved, refcount 0, no compound
   * page, managed and free. private stays, but for those frames that head a free block.
   */
  releaseRange(start: Pfn, nrPages: number): void {
    this.#update(start, nrPages, (lo, hi, _ref, meta) =>
      this.#intern(lo, hi, 0, (meta & ~(COMPOUND_MASK | PageFlag.reserved)) | PageFlag.managed | PageFlag.free),
    );
  }

  /**
   * What the page allocator makes of a free block that it hands out: not free, the head with refcount 1 and private 0,
   * the others with refcount 0 and whatever their private was.
   */
  claimBlock(pfn: Pfn, order: Order): void {
    const id = this.#frames.get(pfn);
    if (id !== this.#claimed) {
      const meta = (wordOf(this.#table, id, 3) & ~(COMPOUND_MASK | PageFlag.free)) >>> 0;
      this.#claimedBecomes = internState(this.#table, 0, 0, 1, meta);
      this.#claimed = id;
    }
    this.#setId(pfn, id, this.#claimedBecomes);
    if (order > 0) {
      this.#update(pfn + 1, 2 ** order - 1, (lo, hi, _ref, meta) =>
        this.#intern(lo, hi, 0, meta & ~(COMPOUND_MASK | PageFlag.free)),
      );
    }
  }

  /** What `claimBlock` makes of single pages, for `nrPages` of them at once. */
  claimPages(start: Pfn, nrPages: number): void {
    this.#update(start, nrPages, (_lo, _hi, _ref, meta) =>
      this.#intern(0, 0, 1, meta & ~(COMPOUND_MASK | PageFlag.free)),
    );
  }

  /** Whether all frames of a range are in one state, with private 0. Looks at pieces, not frames. */
  isPlain(start: Pfn, nrPages: number): boolean {
    const state = this.#frames.uniformState(start, start + nrPages);
    return state >= 0 && wordOf(this.#table, state, 0) === 0 && wordOf(this.#table, state, 1) === 0;
  }

  /** The frames of a range whose private is not 0, ascending. */
  *withPrivate(start: Pfn, nrPages: number): Generator<Pfn> {
    for (const run of this.runs(start, (start + nrPages) as Pfn)) {
      if (run.state.privateLo === 0 && run.state.privateHi === 0) continue;
      for (let i = 0; i < run.nrPages; i++) yield (run.start + i) as Pfn;
    }
  }

  #intern(lo: number, hi: number, refcount: number, meta: number): number {
    return internState(this.#table, lo, hi, refcount >>> 0, meta >>> 0);
  }

  #update(
    start: number,
    nrPages: number,
    change: (lo: number, hi: number, refcount: number, meta: number) => number,
  ): void {
    // Neighbours are mostly in one state: the last answer is most often the next one too.
    let known = -1;
    let result = -1;
    const changed = (id: number): number => {
      if (id !== known) {
        const words = this.#table.words;
        result = change(
          words[id * 4] as number,
          words[id * 4 + 1] as number,
          words[id * 4 + 2] as number,
          words[id * 4 + 3] as number,
        );
        known = id;
      }
      return result;
    };
    this.#frames.update(start, nrPages, changed);
  }

  // --- looking on -------------------------------------------------------------------------------------------------

  /** Pages that the zones manage: handed to the page allocator, or restored. */
  get nrManaged(): number {
    return this.#nrManaged;
  }

  /** Pages in the free lists. */
  get nrFree(): number {
    return this.#nrFree;
  }

  /** All that is known of a frame. */
  state(pfn: Pfn): PageState {
    return this.#stateOfId(this.#frames.get(pfn));
  }

  #stateOfId(id: number): PageState {
    const meta = wordOf(this.#table, id, 3);
    return {
      privateLo: wordOf(this.#table, id, 0),
      privateHi: wordOf(this.#table, id, 1),
      refcount: wordOf(this.#table, id, 2),
      compound: COMPOUND_KINDS[(meta >>> KIND_SHIFT) & 3] as CompoundKind,
      order: ((meta >>> ORDER_SHIFT) & 0x3f) as Order,
      nid: (meta & NID_MASK) >>> NID_SHIFT,
      flags: meta & FLAGS_MASK,
    };
  }

  /** The frames from `start` up to `end` (exclusive) that have struct pages, as runs of equal state, ascending. */
  *runs(start: Pfn, end: Pfn): Generator<PageRun> {
    for (const run of this.#frames.runs(start, end)) {
      yield { start: run.start, nrPages: run.nrPages, state: this.#stateOfId(run.state) };
    }
  }

  /** Bytes that the directory and the chunks take at present, roughly: what a bench reports. */
  get committedBytes(): number {
    return this.#frames.committedBytes + this.#table.words.byteLength + this.#table.buckets.byteLength;
  }

  // --- versions ---------------------------------------------------------------------------------------------------

  /** Remembers the present state. Costs a copy of the top-level directory; later changes copy what they touch. */
  mark(): PageStatesVersion {
    return { frames: this.#frames.mark(), nrManaged: this.#nrManaged, nrFree: this.#nrFree };
  }

  /** Goes back to a version that `mark` of this object gave, as often as wanted, and forwards again. */
  restore(version: PageStatesVersion): void {
    this.#frames.restore(version.frames);
    this.#nrManaged = version.nrManaged;
    this.#nrFree = version.nrFree;
  }
}
