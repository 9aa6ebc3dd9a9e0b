import { DeadMachineError, MachineFault } from './fault.ts';
import { type Fill, fillUnderPage, generatePage, imageFill, maybeSameBytes, sameFill, ZERO_FILL } from './fill.ts';
import { FillRecipes } from './fill-recipes.ts';
import { FramePool } from './frame-pool.ts';
import type { RamBank } from './memory-map.ts';
import { type DirectorySpan, type DirectoryVersion, PageDirectory } from './page-directory.ts';
import type { PageSize } from './page-size.ts';
import { hexOfHalves, type Pfn, type PhysAddr } from './units.ts';

/*
 * RAM that costs what is touched: a page directory (page-directory.ts) says of each page
 *
 *        0   every byte is zero
 *      < 0   fill recipe number -value
 *      > 0   frame number value
 *
 * Frames are pages of a growing pool of slabs. Each carries the epoch of the directory in which it was made; a write to an
 * older one copies it first, since a version holds it too.
 */

/** A state of RAM that can be gone back to, and compared with another. */
export type MemoryVersion = DirectoryVersion;

/** What is known about a page without reading it. */
export type PageBacking =
  | { readonly kind: 'fill'; readonly fill: Fill; readonly writer: string }
  | { readonly kind: 'frame'; readonly frame: number; readonly writer: string };

/** All that goes from kernel to kernel: what each page is, and the pools that all versions share. */
interface Store {
  readonly directory: PageDirectory;
  readonly frames: FramePool;
  readonly recipes: FillRecipes;
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
  #writer = 0;
  /** How often the page size changed: tells the fills apart that stand for the memory before. */
  #nrResizes = 0;
  /** The inverse of a power of two: exact. */
  readonly #pagesPerByte: number;
  readonly #scratchPage: Uint32Array;
  /** Which page, of which fill, `pageWords` made last in the scratch page: whoever reads words of it comes again. */
  #scratchPfn = -1;
  #scratchValue = 0;

  constructor(page: PageSize, banks: readonly RamBank[]) {
    this.page = page;
    this.banks = [...banks];
    this.#pagesPerByte = 1 / page.sizeBytes;
    this.#scratchPage = new Uint32Array(page.sizeBytes / 4);
    const spans = this.banks.map((bank) => {
      const nrPages = bank.sizeBytes / page.sizeBytes;
      if (!Number.isInteger(nrPages) || nrPages > 0x1_0000_0000) {
        throw new RangeError(`a bank has a whole number of pages, at most 2^32: ${nrPages}`);
      }
      return { firstPfn: bank.base / page.sizeBytes, nrPages };
    });
    this.#store = { directory: new PageDirectory(spans), frames: new FramePool(page), recipes: new FillRecipes() };
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
    for (const { start, nrPages, value } of this.#live.directory.valueRuns()) {
      if (value !== 0) yield { start, nrPages, backing: this.backing(start) };
    }
  }

  /** False once the RAM went to another kernel. */
  get alive(): boolean {
    return this.#store !== undefined;
  }

  /** Sets who is named as the writer of the pages that are written from now on; at most 65,535 different names. */
  setWriter(name: string): void {
    this.#writer = this.#live.recipes.writerNumber(name);
  }

  // --- where things are -------------------------------------------------------------------------------------------

  /** Whether `sizeBytes` bytes at `addr` all lie in one bank. */
  contains(addr: number, sizeBytes = 1): boolean {
    return this.banks.some((bank) => addr >= bank.base && addr + sizeBytes <= bank.base + bank.sizeBytes);
  }

  /** The span of the directory that a page lies in. @throws MachineFault outside RAM. */
  #spanOf(pfn: number, access: 'read' | 'write'): DirectorySpan {
    const span = this.#live.directory.find(pfn);
    if (span === undefined) throw new MachineFault(access, pfn * this.page.sizeBytes);
    return span;
  }

  /** What the directory says of a page: 0 zero, negative a recipe, positive a frame. @throws MachineFault outside RAM. */
  #valueOf(pfn: number): number {
    const span = this.#spanOf(pfn, 'read');
    return this.#live.directory.valueAt(span, pfn - span.firstPfn);
  }

  // --- frames: for code that works on whole pages ----------------------------------------------------------------

  /**
   * The frame that backs a page for reading, 0 when the page has none (a fill: read it through the other calls).
   * @throws MachineFault outside RAM.
   */
  frameForRead(pfn: Pfn): number {
    return Math.max(this.#valueOf(pfn), 0);
  }

  /**
   * The frame that backs a page for writing, made (with the page's content) if there was none. It stays valid until
   * `generation` changes.
   * @throws MachineFault outside RAM.
   */
  frameForWrite(pfn: Pfn): number {
    const span = this.#spanOf(pfn, 'write');
    const { directory, frames, recipes } = this.#live;
    const cell = directory.cellForWrite(span, pfn - span.firstPfn);
    const value = directory.cellValue(cell);
    if (value > 0 && frames.epochOf(value) === directory.epoch) {
      frames.setWriter(value, this.#writer);
      return value;
    }
    const frame = frames.make(directory.epoch, this.#writer);
    if (value > 0) {
      frames.words(frame).set(frames.content(value), frames.wordOffset(frame));
      this.generation++;
    } else if (value < 0) {
      generatePage(recipes.at(-value).fill, pfn, frames.content(frame));
    }
    directory.setCell(cell, frame);
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
    return this.#live.frames.slabs;
  }

  /** The slab of 32-bit words that a frame lies in: its first word is at `frameWordOffset(frame)`. */
  frameWords(frame: number): Uint32Array {
    return this.#live.frames.words(frame);
  }

  /** Index of a frame's first word in its slab. */
  frameWordOffset(frame: number): number {
    return this.#live.frames.wordOffset(frame);
  }

  /** The page as 32-bit words: the frame itself, or a scratch array that the next call overwrites. Read only. */
  pageWords(pfn: Pfn): Uint32Array {
    const value = this.#valueOf(pfn);
    if (value > 0) return this.#live.frames.content(value);
    if (this.#scratchPfn !== pfn || this.#scratchValue !== value) {
      generatePage(this.#live.recipes.at(-value).fill, pfn, this.#scratchPage);
      this.#scratchPfn = pfn;
      this.#scratchValue = value;
    }
    return this.#scratchPage;
  }

  /** The page that an address is in. Not by `%`: of numbers above 2^31 that is a call of fmod. */
  #pfnOf(addr: number): Pfn {
    return Math.floor(addr * this.#pagesPerByte) as Pfn;
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
      this.#live.frames.setBytes(frame, offset, bytes.subarray(done, done + part));
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
    const pfn = this.#pfnOf(addr);
    const offset = addr - pfn * this.page.sizeBytes;
    if ((offset & 3) !== 0) {
      return (this.readU16(addr) | (this.readU16((addr + 2) as PhysAddr) << 16)) >>> 0;
    }
    const frame = this.frameForRead(pfn);
    // Without an array for the page: words are read by the million.
    if (frame > 0) return this.frameWords(frame)[this.frameWordOffset(frame) + (offset >>> 2)]!;
    return this.pageWords(pfn)[offset >>> 2]!;
  }

  writeU8(addr: PhysAddr, value: number): void {
    this.writeBytes(addr, Uint8Array.of(value));
  }

  writeU16(addr: PhysAddr, value: number): void {
    this.writeBytes(addr, Uint8Array.of(value, value >>> 8));
  }

  writeU32(addr: PhysAddr, value: number): void {
    const pfn = this.#pfnOf(addr);
    const offset = addr - pfn * this.page.sizeBytes;
    if ((offset & 3) !== 0) {
      this.writeBytes(addr, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
      return;
    }
    this.generation++;
    const frame = this.frameForWrite(pfn);
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

  /**
   * Gives `nrPages` pages from `start` the content of a fill, without storing it.
   * @throws MachineFault when the range is not inside one bank.
   */
  fillPages(start: Pfn, nrPages: number, fill: Fill): void {
    if (nrPages <= 0) return;
    const span = this.#spanOf(start, 'write');
    const first = start - span.firstPfn;
    if (first + nrPages > span.nrPages) {
      throw new MachineFault('write', (span.firstPfn + span.nrPages) * this.page.sizeBytes);
    }
    const { directory, recipes } = this.#live;
    if (directory.fill(span, first, first + nrPages, -recipes.numberOf(fill, this.#writer))) this.generation++;
  }

  /** What backs a page, and who wrote it last. @throws MachineFault outside RAM. */
  backing(pfn: Pfn): PageBacking {
    const value = this.#valueOf(pfn);
    const { frames, recipes } = this.#live;
    if (value > 0) return { kind: 'frame', frame: value, writer: recipes.writerName(frames.writerOf(value)) };
    const { fill, writer } = recipes.at(-value);
    return { kind: 'fill', fill, writer: recipes.writerName(writer) };
  }

  /** Whether a page holds exactly what `fill` gives it. Free of charge for a page that was never written since. */
  holdsFill(pfn: Pfn, fill: Fill): boolean {
    const backing = this.backing(pfn);
    if (backing.kind === 'fill' && sameFill(backing.fill, fill)) return true;
    if (backing.kind === 'fill' && !maybeSameBytes(backing.fill, fill)) return false;
    const words = backing.kind === 'fill' ? this.pageWords(pfn).slice() : this.#live.frames.content(backing.frame);
    generatePage(fill, pfn, this.#scratchPage);
    this.#scratchPfn = -1;
    for (let i = 0; i < words.length; i++) if (words[i] !== this.#scratchPage[i]) return false;
    return true;
  }

  /** Every page that has a frame (was written byte-wise), ascending: what an image must carry beside the fills. */
  writtenPages(): Generator<Pfn> {
    return this.#live.directory.pagesAboveZero();
  }

  /** Bytes of memory that frames and directories take: what khosim itself spends. */
  get committedBytes(): number {
    const { frames, directory } = this.#live;
    return frames.committedBytes + directory.committedBytes;
  }

  // --- versions --------------------------------------------------------------------------------------------------

  /** Remembers the present state. Costs a copy of the top-level directory; later writes copy what they touch. */
  mark(): MemoryVersion {
    this.generation++;
    return this.#live.directory.mark();
  }

  /** Goes back to a version that `mark` gave, as often as wanted, and forwards again. */
  restore(version: MemoryVersion): void {
    this.generation++;
    this.#live.directory.restore(version);
  }

  /** The pages whose backing differs between two versions, ascending. A page written with equal bytes counts. */
  changedPages(before: MemoryVersion, after: MemoryVersion): Pfn[] {
    return this.#live.directory.changedPages(before, after);
  }
}
