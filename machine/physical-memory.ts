import { DeadMachineError, MachineFault } from './fault.ts';
import { type Fill, fillUnderPage, generatePage, imageFill, maybeSameBytes, sameFill, ZERO_FILL } from './fill.ts';
import type { RamBank } from './memory-map.ts';
import type { PageSize } from './page-size.ts';
import { hexOfHalves, type Pfn, type PhysAddr } from './units.ts';

/*
 * RAM that costs what is touched. Each bank has a three-level directory over its pages; an entry at any level is one
 * number that says what is below it:
 *
 *        0   every byte is zero
 *      < 0   fill recipe number -entry, for all pages below
 *      > 0   the next level: table number entry (levels 2, 1), or frame number entry (level 0)
 *
 *      page index in the bank (up to 2^32 pages)
 *      31                    16 15          4 3      0
 *     +------------------------+-------------+--------+
 *     |      group (top)       |    chunk    |  page  |
 *     +------------------------+-------------+--------+
 *
 * Chunks are small because pages are scattered: a million of them in 1 TiB touch a million chunks of 64 bytes.
 * Frames are pages of a growing pool of slabs. Groups, chunk tables and frames carry the epoch in which they were
 * made; `mark` starts a new epoch, and a write to something older copies it first. So a version is one copy of the
 * top-level array, and restoring it is putting that array back.
 */

const CHUNK_SHIFT = 4;
const CHUNK_PAGES = 1 << CHUNK_SHIFT;
const GROUP_SHIFT = 16;
const GROUP_CHUNKS = 1 << (GROUP_SHIFT - CHUNK_SHIFT);
const GROUP_PAGES = 1 << GROUP_SHIFT;
/** log2 of the 32-bit words of a slab. */
export const SLAB_WORDS_LOG2 = 20;
const SLAB_BYTES_LOG2 = SLAB_WORDS_LOG2 + 2;

interface Group {
  readonly epoch: number;
  readonly chunks: Int32Array;
}

interface BankState {
  readonly bank: RamBank;
  readonly firstPfn: number;
  readonly nrPages: number;
  /** Each entry a group, or a number as above. */
  top: (Group | number)[];
}

/** A state of RAM that can be gone back to, and compared with another. */
export interface MemoryVersion {
  readonly tops: readonly (readonly (Group | number)[])[];
}

/** What is known about a page without reading it. */
export type PageBacking =
  | { readonly kind: 'fill'; readonly fill: Fill; readonly writer: string }
  | { readonly kind: 'frame'; readonly frame: number; readonly writer: string };

interface Recipe {
  readonly fill: Fill;
  readonly writer: number;
}

/** The pools that all versions share. */
interface Store {
  epoch: number;
  recipes: Recipe[];
  recipeIndex: Map<string, number>;
  writers: string[];
  chunkPool: Int32Array;
  chunkEpochs: Uint32Array;
  nrChunks: number;
  slabs: Uint32Array[];
  slabBytes: Uint8Array[];
  frameEpochs: Uint32Array;
  frameWriters: Uint16Array;
  nrFrames: number;
}

function grown<T extends Int32Array | Uint32Array | Uint16Array>(array: T, length: number): T {
  const next = new (array.constructor as new (n: number) => T)(Math.max(length, array.length * 2));
  next.set(array);
  return next;
}

/**
 * Physical RAM, one bank for each range. Every access is checked against the banks; outside them it throws
 * MachineFault. Multi-byte values are little-endian, as on both architectures that khosim models, and may lie at any
 * byte address.
 */
export class PhysicalMemory {
  readonly page: PageSize;
  readonly banks: readonly RamBank[];
  /**
   * Changes with every write through this class and with every change of what backs a page that had a frame. Code
   * that keeps frame numbers or the content of pages in a cache compares it before each use. Not changed by filling
   * pages that have no frame, nor by writes to the arrays that `frameWords` returns.
   */
  generation = 0;
  #store: Store | undefined;
  readonly #states: BankState[];
  #last: BankState;
  #writer = 0;
  /** How often the page size changed: tells the fills apart that stand for the memory before. */
  #nrResizes = 0;
  /** The recipe used last. */
  #lastRecipe = 0;
  readonly #framesPerSlabShift: number;
  readonly #frameMask: number;
  readonly #wordShift: number;
  readonly #scratchPage: Uint32Array;

  constructor(page: PageSize, banks: readonly RamBank[]) {
    this.page = page;
    this.banks = [...banks];
    this.#framesPerSlabShift = SLAB_BYTES_LOG2 - page.shift;
    this.#frameMask = (1 << this.#framesPerSlabShift) - 1;
    this.#wordShift = page.shift - 2;
    this.#scratchPage = new Uint32Array(page.sizeBytes / 4);
    this.#states = this.banks.map((bank) => {
      const nrPages = bank.sizeBytes / page.sizeBytes;
      if (!Number.isInteger(nrPages) || nrPages > 0x1_0000_0000) {
        throw new RangeError(`a bank has a whole number of pages, at most 2^32: ${nrPages}`);
      }
      const groups = Math.ceil(nrPages / GROUP_PAGES);
      return { bank, firstPfn: bank.base / page.sizeBytes, nrPages, top: new Array<Group | number>(groups).fill(0) };
    });
    const first = this.#states[0];
    if (first === undefined) throw new RangeError('a machine needs at least one bank of RAM');
    this.#last = first;
    this.#store = {
      epoch: 1,
      recipes: [{ fill: ZERO_FILL, writer: 0 }],
      recipeIndex: new Map(),
      writers: ['power-on'],
      chunkPool: new Int32Array(CHUNK_PAGES * 16),
      chunkEpochs: new Uint32Array(16),
      nrChunks: 1,
      slabs: [],
      slabBytes: [],
      frameEpochs: new Uint32Array(256),
      frameWriters: new Uint16Array(256),
      nrFrames: 1,
    };
  }

  get #live(): Store {
    if (this.#store === undefined) throw new DeadMachineError('this physical memory');
    return this.#store;
  }

  /**
   * Hands all RAM over to a new object and kills this one: the jump. Whatever the old kernel still holds throws
   * DeadMachineError when it is used.
   */
  transfer(): PhysicalMemory {
    const next = new PhysicalMemory(this.page, this.banks);
    next.#store = this.#live;
    for (const [i, state] of next.#states.entries()) state.top = this.#states[i]!.top;
    this.#store = undefined;
    this.generation++;
    next.generation = this.generation + 1;
    next.#nrResizes = this.#nrResizes;
    return next;
  }

  /**
   * As `transfer`, to a kernel with pages of another size: the same bytes, of the same writers.
   * @throws RangeError when a bank is no whole number of such pages.
   */
  transferTo(page: PageSize): PhysicalMemory {
    if (page === this.page) return this.transfer();
    const next = new PhysicalMemory(page, this.banks);
    const old = this.transfer();
    next.#nrResizes = old.#nrResizes + 1;
    // Pages that are no fill as a whole are put together of the old ones when somebody looks.
    const source = {
      readPage: (pfn: number, words: Uint32Array) => {
        const bytes = old.readBytes((pfn * page.sizeBytes) as PhysAddr, page.sizeBytes);
        words.set(new Uint32Array(bytes.buffer));
      },
    };
    const pieces = imageFill(source, next.#nrResizes);
    for (const { start, nrPages, backing } of old.#backingRuns()) {
      next.setWriter(backing.writer);
      const first = (start * this.page.sizeBytes) / page.sizeBytes;
      const end = ((start + nrPages) * this.page.sizeBytes) / page.sizeBytes;
      const give = (from: number, to: number, fill: Fill) => next.fillPages(from as Pfn, to - from, fill);
      if (backing.kind === 'frame' || Math.ceil(first) >= Math.floor(end)) {
        give(Math.floor(first), Math.ceil(end), pieces);
        continue;
      }
      give(Math.floor(first), Math.ceil(first), pieces);
      give(Math.ceil(first), Math.floor(end), fillUnderPage(backing.fill, this.page, page));
      give(Math.floor(end), Math.ceil(end), pieces);
    }
    next.#writer = 0;
    return next;
  }

  /** All of RAM but what nobody wrote since power-on: stretches of one fill, and written pages one by one. */
  *#backingRuns(): Generator<{ readonly start: number; readonly nrPages: number; readonly backing: PageBacking }> {
    for (const state of this.#states) {
      let open = { start: 0, end: 0, entry: 0 };
      const closed = () => {
        const { start, end, entry } = open;
        if (entry === 0 || start === end) return [];
        const first = state.firstPfn + start;
        return [{ start: first, nrPages: end - start, backing: this.backing(first as Pfn) }];
      };
      for (const [start, end, entry] of this.#entryRuns(state)) {
        if (entry === open.entry && entry <= 0) open.end = end;
        else {
          yield* closed();
          open = { start, end, entry };
        }
      }
      yield* closed();
    }
  }

  /** [first, end, entry] over the pages of a bank; written pages one by one. */
  *#entryRuns(state: BankState): Generator<readonly [number, number, number]> {
    for (const [g, group] of state.top.entries()) {
      const groupStart = g * GROUP_PAGES;
      const groupEnd = Math.min(groupStart + GROUP_PAGES, state.nrPages);
      if (typeof group === 'number') {
        yield [groupStart, groupEnd, group];
        continue;
      }
      for (let start = groupStart; start < groupEnd; start += CHUNK_PAGES) {
        const chunk = group.chunks[(start - groupStart) >>> CHUNK_SHIFT] as number;
        const end = Math.min(start + CHUNK_PAGES, groupEnd);
        if (chunk <= 0) yield [start, end, chunk];
        else for (let at = start; at < end; at++) yield [at, at + 1, this.#chunkEntry(chunk, at - start)];
      }
    }
  }

  /** False once the RAM went to another kernel. */
  get alive(): boolean {
    return this.#store !== undefined;
  }

  /** Sets who is named as the writer of the pages that are written from now on; at most 65,535 different names. */
  setWriter(name: string): void {
    const writers = this.#live.writers;
    let index = writers.indexOf(name);
    if (index < 0) index = writers.push(name) - 1;
    this.#writer = Math.min(index, 0xffff);
  }

  // --- where things are -------------------------------------------------------------------------------------------

  /** Whether `sizeBytes` bytes at `addr` all lie in one bank. */
  contains(addr: number, sizeBytes = 1): boolean {
    return this.banks.some((bank) => addr >= bank.base && addr + sizeBytes <= bank.base + bank.sizeBytes);
  }

  #stateOf(addr: number, access: 'read' | 'write'): BankState {
    const last = this.#last;
    if (addr >= last.bank.base && addr < last.bank.base + last.bank.sizeBytes) return last;
    for (const state of this.#states) {
      if (addr >= state.bank.base && addr < state.bank.base + state.bank.sizeBytes) {
        this.#last = state;
        return state;
      }
    }
    if (this.#store === undefined) throw new DeadMachineError('this physical memory');
    throw new MachineFault(access, addr);
  }

  /** The directory entry of a page: 0 zero, negative a recipe, positive a frame. */
  #entry(state: BankState, index: number): number {
    const group = state.top[Math.floor(index / GROUP_PAGES)]!;
    if (typeof group === 'number') return group;
    const chunk = group.chunks[(index >>> CHUNK_SHIFT) & (GROUP_CHUNKS - 1)]!;
    if (chunk <= 0) return chunk;
    return this.#live.chunkPool[chunk * CHUNK_PAGES + (index & (CHUNK_PAGES - 1))]!;
  }

  #writableGroup(state: BankState, groupIndex: number): Group {
    const group = state.top[groupIndex]!;
    const epoch = this.#live.epoch;
    if (typeof group !== 'number') {
      if (group.epoch === epoch) return group;
      const copy = { epoch, chunks: group.chunks.slice() };
      state.top[groupIndex] = copy;
      return copy;
    }
    const chunks = new Int32Array(GROUP_CHUNKS);
    if (group !== 0) chunks.fill(group);
    const fresh = { epoch, chunks };
    state.top[groupIndex] = fresh;
    return fresh;
  }

  /** The pool offset of a chunk's entries, ready to be written. */
  #writableChunk(group: Group, chunkIndex: number): number {
    const store = this.#live;
    const chunk = group.chunks[chunkIndex]!;
    if (chunk > 0 && store.chunkEpochs[chunk] === store.epoch) return chunk * CHUNK_PAGES;
    const fresh = store.nrChunks++;
    if (fresh >= store.chunkEpochs.length) {
      store.chunkEpochs = grown(store.chunkEpochs, fresh + 1);
      store.chunkPool = grown(store.chunkPool, store.chunkEpochs.length * CHUNK_PAGES);
    }
    store.chunkEpochs[fresh] = store.epoch;
    const at = fresh * CHUNK_PAGES;
    if (chunk > 0) store.chunkPool.copyWithin(at, chunk * CHUNK_PAGES, (chunk + 1) * CHUNK_PAGES);
    else store.chunkPool.fill(chunk, at, at + CHUNK_PAGES);
    group.chunks[chunkIndex] = fresh;
    return at;
  }

  #newFrame(): number {
    const store = this.#live;
    const frame = store.nrFrames++;
    if (frame >= store.frameEpochs.length) {
      store.frameEpochs = grown(store.frameEpochs, frame + 1);
      store.frameWriters = grown(store.frameWriters, frame + 1);
    }
    const slab = frame >>> this.#framesPerSlabShift;
    while (slab >= store.slabs.length) {
      const buffer = new ArrayBuffer(1 << SLAB_BYTES_LOG2);
      store.slabs.push(new Uint32Array(buffer));
      store.slabBytes.push(new Uint8Array(buffer));
    }
    store.frameEpochs[frame] = store.epoch;
    store.frameWriters[frame] = this.#writer;
    return frame;
  }

  // --- frames: for code that works on whole pages ----------------------------------------------------------------

  /**
   * The frame that backs a page for reading, 0 when the page has none (a fill: read it through the other calls).
   * @throws MachineFault outside RAM.
   */
  frameForRead(pfn: Pfn): number {
    const state = this.#stateOf(pfn * this.page.sizeBytes, 'read');
    const entry = this.#entry(state, pfn - state.firstPfn);
    return Math.max(entry, 0);
  }

  /**
   * The frame that backs a page for writing, made (with the page's content) if there was none. It stays valid until
   * `generation` changes.
   * @throws MachineFault outside RAM.
   */
  frameForWrite(pfn: Pfn): number {
    const state = this.#stateOf(pfn * this.page.sizeBytes, 'write');
    const store = this.#live;
    const index = pfn - state.firstPfn;
    const group = this.#writableGroup(state, Math.floor(index / GROUP_PAGES));
    const at = this.#writableChunk(group, (index >>> CHUNK_SHIFT) & (GROUP_CHUNKS - 1)) + (index & (CHUNK_PAGES - 1));
    const entry = store.chunkPool[at]!;
    if (entry > 0 && store.frameEpochs[entry] === store.epoch) {
      store.frameWriters[entry] = this.#writer;
      return entry;
    }
    const frame = this.#newFrame();
    const words = this.frameWords(frame);
    const offset = this.frameWordOffset(frame);
    if (entry > 0) {
      words.set(this.#frameContent(entry), offset);
      this.generation++;
    } else if (entry < 0) {
      generatePage(store.recipes[-entry]!.fill, pfn, words.subarray(offset, offset + this.page.sizeBytes / 4));
    }
    store.chunkPool[at] = frame;
    return frame;
  }

  /**
   * As `frameForWrite`, for a caller that writes the whole page: what a fill would give it is not made first.
   * @throws MachineFault outside RAM.
   */
  frameForOverwrite(pfn: Pfn): number {
    if (this.frameForRead(pfn) === 0) this.fillPages(pfn, 1, ZERO_FILL);
    return this.frameForWrite(pfn);
  }

  /**
   * The slabs that frames lie in, of 2^SLAB_WORDS_LOG2 words each and one frame behind the other: for code so hot that it
   * does itself what `frameWords` and `frameWordOffset` do. The array grows, and stays the same one until the memory is
   * handed over.
   */
  get frameSlabs(): readonly Uint32Array[] {
    return this.#live.slabs;
  }

  /** The slab of 32-bit words that a frame lies in: its first word is at `frameWordOffset(frame)`. */
  frameWords(frame: number): Uint32Array {
    return this.#live.slabs[frame >>> this.#framesPerSlabShift]!;
  }

  /** Index of a frame's first word in its slab. */
  frameWordOffset(frame: number): number {
    return (frame & this.#frameMask) << this.#wordShift;
  }

  #frameContent(frame: number): Uint32Array {
    const at = this.frameWordOffset(frame);
    return this.frameWords(frame).subarray(at, at + this.page.sizeBytes / 4);
  }

  /** The page as 32-bit words: the frame itself, or a scratch array that the next call overwrites. Read only. */
  pageWords(pfn: Pfn): Uint32Array {
    const state = this.#stateOf(pfn * this.page.sizeBytes, 'read');
    const entry = this.#entry(state, pfn - state.firstPfn);
    if (entry > 0) return this.#frameContent(entry);
    generatePage(this.#live.recipes[-entry]!.fill, pfn, this.#scratchPage);
    return this.#scratchPage;
  }

  // --- bytes -----------------------------------------------------------------------------------------------------

  /** Copies `sizeBytes` bytes out. @throws MachineFault at the first byte outside RAM. */
  readBytes(addr: PhysAddr, sizeBytes: number): Uint8Array {
    const out = new Uint8Array(sizeBytes);
    const pageBytes = this.page.sizeBytes;
    let done = 0;
    while (done < sizeBytes) {
      const at = addr + done;
      const offset = at % pageBytes;
      const part = Math.min(pageBytes - offset, sizeBytes - done);
      const words = this.pageWords(((at - offset) / pageBytes) as Pfn);
      out.set(new Uint8Array(words.buffer, words.byteOffset + offset, part), done);
      done += part;
    }
    return out;
  }

  /** Writes bytes. @throws MachineFault at the first page outside RAM, with what lies before it written. */
  writeBytes(addr: PhysAddr, bytes: Uint8Array): void {
    const pageBytes = this.page.sizeBytes;
    this.generation++;
    let done = 0;
    while (done < bytes.length) {
      const at = addr + done;
      const offset = at % pageBytes;
      const part = Math.min(pageBytes - offset, bytes.length - done);
      const frame = this.frameForWrite(((at - offset) / pageBytes) as Pfn);
      const start = (frame & this.#frameMask) * pageBytes + offset;
      this.#live.slabBytes[frame >>> this.#framesPerSlabShift]!.set(bytes.subarray(done, done + part), start);
      done += part;
    }
  }

  readU8(addr: PhysAddr): number {
    const offset = addr % this.page.sizeBytes;
    const words = this.pageWords(((addr - offset) / this.page.sizeBytes) as Pfn);
    return (words[offset >>> 2]! >>> ((offset & 3) * 8)) & 0xff;
  }

  readU16(addr: PhysAddr): number {
    return this.readU8(addr) | (this.readU8((addr + 1) as PhysAddr) << 8);
  }

  readU32(addr: PhysAddr): number {
    const offset = addr % this.page.sizeBytes;
    if ((offset & 3) !== 0) {
      return (this.readU16(addr) | (this.readU16((addr + 2) as PhysAddr) << 16)) >>> 0;
    }
    return this.pageWords(((addr - offset) / this.page.sizeBytes) as Pfn)[offset >>> 2]!;
  }

  writeU8(addr: PhysAddr, value: number): void {
    this.writeBytes(addr, Uint8Array.of(value));
  }

  writeU16(addr: PhysAddr, value: number): void {
    this.writeBytes(addr, Uint8Array.of(value, value >>> 8));
  }

  writeU32(addr: PhysAddr, value: number): void {
    const offset = addr % this.page.sizeBytes;
    if ((offset & 3) !== 0) {
      this.writeBytes(addr, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
      return;
    }
    this.generation++;
    const frame = this.frameForWrite(((addr - offset) / this.page.sizeBytes) as Pfn);
    this.frameWords(frame)[this.frameWordOffset(frame) + (offset >>> 2)] = value;
  }

  /** All 64 bits. For values that may be opaque: tokens, FLB data, page->private. */
  readU64Big(addr: PhysAddr): bigint {
    return (BigInt(this.readU32((addr + 4) as PhysAddr)) << 32n) | BigInt(this.readU32(addr));
  }

  writeU64Big(addr: PhysAddr, value: bigint): void {
    this.writeU32(addr, Number(value & 0xffff_ffffn));
    this.writeU32((addr + 4) as PhysAddr, Number((value >> 32n) & 0xffff_ffffn));
  }

  /**
   * A u64 that is used as a count, a size or an address. Exact up to 2^53 - 1. A larger one comes back as the nearest
   * double: still larger than every address of RAM and every count in use, so comparisons and bounds checks on it hold;
   * whoever prints it uses `readU64Hex`.
   */
  readU64(addr: PhysAddr): number {
    return this.readU32((addr + 4) as PhysAddr) * 0x1_0000_0000 + this.readU32(addr);
  }

  /** A u64 as `0x`-hex, exact. */
  readU64Hex(addr: PhysAddr): string {
    return hexOfHalves(this.readU32(addr), this.readU32((addr + 4) as PhysAddr));
  }

  /** Writes a whole number from 0 to 2^53 - 1 as u64. */
  writeU64(addr: PhysAddr, value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not exact as a number: ${value}`);
    this.writeU32(addr, value >>> 0);
    this.writeU32((addr + 4) as PhysAddr, Math.floor(value / 0x1_0000_0000));
  }

  // --- whole pages -----------------------------------------------------------------------------------------------

  #recipe(fill: Fill): number {
    const store = this.#live;
    if (fill.kind === 'zero' && this.#writer === 0) return 0;
    // The same one over and over, for pages by the million: found without its name.
    const last = store.recipes[this.#lastRecipe];
    if (last !== undefined && last.writer === this.#writer && sameFill(last.fill, fill)) return -this.#lastRecipe;
    const key = `${fill.kind}:${fill.seed}:${fill.shift ?? 0}:${fill.pageShift ?? 0}:${this.#writer}`;
    let index = store.recipeIndex.get(key);
    if (index === undefined) {
      index = store.recipes.push({ fill, writer: this.#writer }) - 1;
      store.recipeIndex.set(key, index);
    }
    this.#lastRecipe = index;
    return -index;
  }

  /**
   * Gives `nrPages` pages from `start` the content of a fill, without storing it.
   * @throws MachineFault when the range is not inside one bank.
   */
  fillPages(start: Pfn, nrPages: number, fill: Fill): void {
    if (nrPages <= 0) return;
    const state = this.#stateOf(start * this.page.sizeBytes, 'write');
    const first = start - state.firstPfn;
    const end = first + nrPages;
    if (end > state.nrPages) throw new MachineFault('write', state.bank.base + state.bank.sizeBytes);
    const entry = this.#recipe(fill);
    const store = this.#live;
    let index = first;
    while (index < end) {
      const groupIndex = Math.floor(index / GROUP_PAGES);
      const groupStart = groupIndex * GROUP_PAGES;
      if (index === groupStart && end - index >= Math.min(GROUP_PAGES, state.nrPages - groupStart)) {
        if (typeof state.top[groupIndex] !== 'number') this.generation++;
        state.top[groupIndex] = entry;
        index = groupStart + GROUP_PAGES;
        continue;
      }
      const group = this.#writableGroup(state, groupIndex);
      const groupEnd = Math.min(end, groupStart + GROUP_PAGES);
      while (index < groupEnd) {
        const chunkIndex = (index >>> CHUNK_SHIFT) & (GROUP_CHUNKS - 1);
        const inChunk = index & (CHUNK_PAGES - 1);
        const count = Math.min(CHUNK_PAGES - inChunk, groupEnd - index);
        const chunk = group.chunks[chunkIndex]!;
        if (count === CHUNK_PAGES) {
          if (chunk > 0) this.generation++;
          group.chunks[chunkIndex] = entry;
        } else if (chunk !== entry) {
          const at = this.#writableChunk(group, chunkIndex) + inChunk;
          for (let i = at; i < at + count; i++) {
            if (store.chunkPool[i]! > 0) this.generation++;
            store.chunkPool[i] = entry;
          }
        }
        index += count;
      }
    }
  }

  /** What backs a page, and who wrote it last. @throws MachineFault outside RAM. */
  backing(pfn: Pfn): PageBacking {
    const state = this.#stateOf(pfn * this.page.sizeBytes, 'read');
    const store = this.#live;
    const entry = this.#entry(state, pfn - state.firstPfn);
    if (entry > 0) return { kind: 'frame', frame: entry, writer: store.writers[store.frameWriters[entry]!]! };
    const recipe = store.recipes[-entry]!;
    return { kind: 'fill', fill: recipe.fill, writer: store.writers[recipe.writer]! };
  }

  /** Whether a page holds exactly what `fill` gives it. Free of charge for a page that was never written since. */
  holdsFill(pfn: Pfn, fill: Fill): boolean {
    const backing = this.backing(pfn);
    if (backing.kind === 'fill' && sameFill(backing.fill, fill)) return true;
    if (backing.kind === 'fill' && !maybeSameBytes(backing.fill, fill)) return false;
    const words = backing.kind === 'fill' ? this.pageWords(pfn).slice() : this.#frameContent(backing.frame);
    generatePage(fill, pfn, this.#scratchPage);
    for (let i = 0; i < words.length; i++) if (words[i] !== this.#scratchPage[i]) return false;
    return true;
  }

  /** Every page that has a frame (was written byte-wise), ascending: what an image must carry beside the fills. */
  *writtenPages(): Generator<Pfn> {
    for (const state of this.#states) {
      for (let g = 0; g < state.top.length; g++) {
        const group = state.top[g]!;
        if (typeof group === 'number') continue;
        for (let c = 0; c < GROUP_CHUNKS; c++) {
          const chunk = group.chunks[c]!;
          if (chunk <= 0) continue;
          for (let p = 0; p < CHUNK_PAGES; p++) {
            if (this.#live.chunkPool[chunk * CHUNK_PAGES + p]! > 0) {
              yield (state.firstPfn + g * GROUP_PAGES + c * CHUNK_PAGES + p) as Pfn;
            }
          }
        }
      }
    }
  }

  /** Bytes of memory that frames and directories take: what khosim itself spends. */
  get committedBytes(): number {
    const store = this.#live;
    return store.slabs.length * 2 ** SLAB_BYTES_LOG2 + store.chunkPool.byteLength;
  }

  // --- versions --------------------------------------------------------------------------------------------------

  /** Remembers the present state. Costs a copy of the top-level directory; later writes copy what they touch. */
  mark(): MemoryVersion {
    this.#live.epoch++;
    this.generation++;
    return { tops: this.#states.map((state) => state.top.slice()) };
  }

  /** Goes back to a version that `mark` gave, as often as wanted, and forwards again. */
  restore(version: MemoryVersion): void {
    this.#live.epoch++;
    this.generation++;
    for (const [i, state] of this.#states.entries()) state.top = version.tops[i]!.slice();
  }

  /** The pages whose backing differs between two versions, ascending. A page written with equal bytes counts. */
  changedPages(before: MemoryVersion, after: MemoryVersion): Pfn[] {
    const out: Pfn[] = [];
    for (const [b, state] of this.#states.entries()) {
      const a = before.tops[b]!;
      const z = after.tops[b]!;
      for (let g = 0; g < a.length; g++) {
        if (a[g] === z[g]) continue;
        for (let c = 0; c < GROUP_CHUNKS; c++) {
          const from = groupEntry(a[g]!, c);
          const to = groupEntry(z[g]!, c);
          if (from === to) continue;
          for (let p = 0; p < CHUNK_PAGES; p++) {
            const index = g * GROUP_PAGES + c * CHUNK_PAGES + p;
            if (index < state.nrPages && this.#chunkEntry(from, p) !== this.#chunkEntry(to, p)) {
              out.push((state.firstPfn + index) as Pfn);
            }
          }
        }
      }
    }
    return out;
  }

  #chunkEntry(chunk: number, page: number): number {
    return chunk > 0 ? this.#live.chunkPool[chunk * CHUNK_PAGES + page]! : chunk;
  }
}

function groupEntry(group: Group | number, chunk: number): number {
  return typeof group === 'number' ? group : group.chunks[chunk]!;
}
