import {
  copiedFill,
  type Fill,
  type Order,
  type Pfn,
  type PhysAddr,
  pageAlignUp,
  ZERO_FILL,
} from '../../machine/index.ts';
import { EINVAL, ENOMEM, EPERM, type Errno } from '../errno.ts';
import { folioPut, type MmContext, migrateFolio } from './folio.ts';
import type { AllocOptions } from './page-allocator.ts';
import { type CachedFolio, FolioFlag, PageCache } from './page-cache.ts';
import { PageFlag } from './page-states.ts';

/** The seals of a memfd, with the values of F_ADD_SEALS. */
export const Seal = {
  SEAL: 0x01,
  SHRINK: 0x02,
  GROW: 0x04,
  WRITE: 0x08,
  FUTURE_WRITE: 0x10,
  EXEC: 0x20,
} as const;

const ALL_SEALS = 0x3f;

/** One or more of `Seal`, or-ed. */
export type Seals = number;

/** How a file allocates. */
export interface ShmemOptions {
  /** 0 (sealing allowed) unless given; a memfd made without MFD_ALLOW_SEALING has SEAL. */
  readonly seals?: Seals;
  /** Whether the mode has an x bit: true unless given, false for MFD_NOEXEC_SEAL. */
  readonly executable?: boolean;
  /** The order of the folios that the file gets where there is room for them: 0, or a PMD's with huge pages on. */
  readonly folioOrder?: Order;
  readonly nid?: number;
}

/** A state of a file that can be gone back to; its bytes and frames go back with memory, page states and allocator. */
export interface ShmemVersion {
  readonly sizeBytes: number;
  readonly pos: number;
  readonly seals: Seals;
  readonly frozen: boolean;
  readonly cache: PageCache;
}

/**
 * A file in memory (memfd, shmem): a size, seals, and a page cache. Its folios are movable, so they may lie in CMA
 * memory until they are pinned. What it does not model: swap, memcg limits, mappings.
 */
export class ShmemFile {
  readonly name: string;
  sizeBytes = 0;
  /** The file position of the (one) descriptor. */
  pos = 0;
  seals: Seals;
  readonly executable: boolean;
  /** shmem_freeze: while set, growing, shrinking and fallocate are -EPERM. */
  frozen = false;
  cache = new PageCache();
  readonly #mm: MmContext;
  readonly #folioOrder: Order;
  readonly #alloc: AllocOptions;

  constructor(mm: MmContext, name: string, options: ShmemOptions = {}) {
    this.#mm = mm;
    this.name = name;
    this.seals = options.seals ?? 0;
    this.executable = options.executable ?? true;
    this.#folioOrder = options.folioOrder ?? (0 as Order);
    this.#alloc = { migratetype: 'movable', ...(options.nid === undefined ? {} : { nid: options.nid }) };
  }

  get #pageBytes(): number {
    return this.#mm.memory.page.sizeBytes;
  }

  // --- seals ------------------------------------------------------------------------------------------------------

  /**
   * memfd_add_seals. Sealing the mode of an executable file (EXEC) seals its content and size too.
   * @returns -EINVAL for an unknown seal, -EPERM once SEAL is set.
   */
  addSeals(seals: Seals): 0 | Errno {
    if ((seals & ~ALL_SEALS) !== 0) return EINVAL;
    if ((this.seals & Seal.SEAL) !== 0) return EPERM;
    const implied = Seal.SHRINK | Seal.GROW | Seal.WRITE | Seal.FUTURE_WRITE;
    this.seals |= (seals & Seal.EXEC) !== 0 && this.executable ? seals | implied : seals;
    return 0;
  }

  // --- size -------------------------------------------------------------------------------------------------------

  /**
   * ftruncate. Folios behind the new end are freed, what the last page holds behind it is zeroed.
   * @returns -EPERM where a seal or a freeze forbids it.
   */
  truncate(sizeBytes: number): 0 | Errno {
    if (sizeBytes < 0) return EINVAL;
    const grows = sizeBytes > this.sizeBytes;
    if (sizeBytes !== this.sizeBytes) {
      if (this.frozen || (this.seals & (grows ? Seal.GROW : Seal.SHRINK)) !== 0) return EPERM;
    }
    const old = this.sizeBytes;
    this.sizeBytes = sizeBytes;
    if (grows) return 0;
    this.#zero(sizeBytes, Math.min(pageAlignUp(this.#mm.memory.page, sizeBytes), old) - sizeBytes);
    const firstGone = Math.ceil(sizeBytes / this.#pageBytes);
    for (const folio of this.#foliosFrom(firstGone)) {
      // A large folio across the end is kept whole; the kernel would split it, or zero its rest if that fails.
      if (folio.index >= firstGone) this.#drop(folio);
      else this.#zeroPages(folio, firstGone - folio.index);
    }
    return 0;
  }

  /**
   * fallocate of [offset, offset + sizeBytes): folios for the holes in it, not up to date (they read as zeroes). Grows
   * the file unless `keepSize`. @returns -EPERM where a seal or a freeze forbids it, -ENOMEM.
   */
  fallocate(offset: number, sizeBytes: number, keepSize = false): 0 | Errno {
    if (offset < 0 || sizeBytes <= 0) return EINVAL;
    if (this.frozen) return EPERM;
    const end = offset + sizeBytes;
    if (!keepSize && end > this.sizeBytes && (this.seals & Seal.GROW) !== 0) return EPERM;
    const result = this.#populate(Math.floor(offset / this.#pageBytes), Math.ceil(end / this.#pageBytes), 0);
    if (result === 0 && !keepSize) this.sizeBytes = Math.max(this.sizeBytes, end);
    return result;
  }

  /** fallocate with FALLOC_FL_PUNCH_HOLE: whole folios in the range are freed, the rest of it is zeroed. */
  punchHole(offset: number, sizeBytes: number): 0 | Errno {
    if (offset < 0 || sizeBytes <= 0) return EINVAL;
    if (this.frozen || (this.seals & (Seal.WRITE | Seal.FUTURE_WRITE)) !== 0) return EPERM;
    const first = Math.ceil(offset / this.#pageBytes);
    const end = Math.floor((offset + sizeBytes) / this.#pageBytes);
    this.#zero(offset, Math.min(sizeBytes, this.sizeBytes - offset));
    for (const folio of this.#foliosFrom(first)) {
      if (folio.index >= first && folio.index + 2 ** folio.order <= end) this.#drop(folio);
    }
    return 0;
  }

  // --- bytes ------------------------------------------------------------------------------------------------------

  /** Reads up to the end of the file. Holes and folios that are not up to date read as zeroes, and stay as they are. */
  read(offset: number, sizeBytes: number): Uint8Array {
    const nr = Math.max(0, Math.min(sizeBytes, this.sizeBytes - offset));
    const out = new Uint8Array(nr);
    const pageBytes = this.#pageBytes;
    for (let done = 0; done < nr; ) {
      const within = (offset + done) % pageBytes;
      const page = (offset + done - within) / pageBytes;
      const extent = this.cache.extent(page);
      const nrPages = extent?.nrPages ?? this.cache.nextPage(page) - page;
      const part = Math.min(nrPages * pageBytes - within, nr - done);
      if (extent !== undefined && (extent.flags & FolioFlag.uptodate) !== 0) {
        out.set(this.#mm.memory.readBytes((extent.pfn * pageBytes + within) as PhysAddr, part), done);
      }
      done += part;
    }
    return out;
  }

  /**
   * Whether page `index` reads as what `fill` gives the page frame `of` (which may be another than the one that holds
   * it: folios move). As `read`, but free of charge while the page was never written byte-wise.
   */
  pageHoldsFill(index: number, fill: Fill, of: Pfn): boolean {
    const folio = this.cache.find(index);
    if (folio === undefined || (folio.flags & FolioFlag.uptodate) === 0) return fill.kind === 'zero';
    const pfn = (folio.pfn + index - folio.index) as Pfn;
    const { memory } = this.#mm;
    return memory.holdsFill(pfn, copiedFill(fill, pfn - of, memory.page));
  }

  /** Writes bytes, growing the file. @returns -EPERM where a seal or a freeze forbids it, -ENOMEM (with what lies before written). */
  write(offset: number, bytes: Uint8Array): 0 | Errno {
    const allowed = this.#mayWrite(offset, bytes.length);
    if (allowed !== 0) return allowed;
    let result: 0 | Errno = 0;
    this.#forEachPage(offset, bytes.length, (page, within, part, done) => {
      if (result !== 0) return;
      result = this.#populate(page, page + 1, FolioFlag.uptodate);
      const folio = this.cache.find(page);
      if (result !== 0 || folio === undefined) return;
      this.#makeUptodate(folio);
      this.cache.changeFlags(page, FolioFlag.dirty);
      const phys = (folio.pfn + page - folio.index) * this.#pageBytes + within;
      this.#mm.memory.writeBytes(phys as PhysAddr, bytes.subarray(done, done + part));
      this.sizeBytes = Math.max(this.sizeBytes, offset + done + part);
    });
    return result;
  }

  /**
   * Writes whole pages of a fill from page `index` on: what a scenario puts into a big file without storing it. The
   * content of each page follows its frame. The file grows to hold them. @returns as `write`.
   */
  fill(index: number, nrPages: number, fill: Fill): 0 | Errno {
    const allowed = this.#mayWrite(index * this.#pageBytes, nrPages * this.#pageBytes);
    if (allowed !== 0) return allowed;
    const flags = FolioFlag.uptodate | FolioFlag.dirty;
    const result = this.#populate(index, index + nrPages, flags);
    if (result !== 0) return result;
    for (const run of [...this.cache.runs()]) {
      const runPages = run.nrFolios * 2 ** run.order;
      const from = Math.max(index, run.index);
      const to = Math.min(index + nrPages, run.index + runPages);
      if (from >= to) continue;
      if ((run.flags & flags) !== flags) {
        for (let page = from; page < to; ) {
          const folio = this.cache.find(page) as CachedFolio;
          this.#makeUptodate(folio);
          this.cache.changeFlags(page, flags);
          page = folio.index + 2 ** folio.order;
        }
      }
      this.#mm.memory.fillPages((run.pfn + from - run.index) as Pfn, to - from, fill);
    }
    this.sizeBytes = Math.max(this.sizeBytes, (index + nrPages) * this.#pageBytes);
    return 0;
  }

  #mayWrite(offset: number, sizeBytes: number): 0 | Errno {
    if (offset < 0) return EINVAL;
    if ((this.seals & (Seal.WRITE | Seal.FUTURE_WRITE)) !== 0) return EPERM;
    if (offset + sizeBytes > this.sizeBytes && (this.frozen || (this.seals & Seal.GROW) !== 0)) return EPERM;
    return 0;
  }

  #forEachPage(
    offset: number,
    sizeBytes: number,
    visit: (page: number, within: number, part: number, done: number) => void,
  ): void {
    const pageBytes = this.#pageBytes;
    for (let done = 0; done < sizeBytes; ) {
      const within = (offset + done) % pageBytes;
      const part = Math.min(pageBytes - within, sizeBytes - done);
      visit((offset + done - within) / pageBytes, within, part, done);
      done += part;
    }
  }

  // --- folios -----------------------------------------------------------------------------------------------------

  /**
   * shmem_add_to_page_cache: puts a folio that the caller holds into the file, which owns it from then on. The size of
   * the file does not follow. @returns -EEXIST when the place is taken.
   */
  addFolio(index: number, pfn: Pfn, order: Order, flags: number): 0 | Errno {
    return this.cache.insert(index, pfn, order, flags);
  }

  /**
   * memfd_pin_folios over the whole file: allocates (zeroed, up to date) folios for its holes and moves those in CMA
   * memory out of it. `pinnedFolios` tells them afterwards.
   * @param maxFolios room for so many: it ends, in good order, when they are pinned.
   * @returns -ENOMEM when it cannot be done.
   */
  pin(maxFolios = Number.POSITIVE_INFINITY): 0 | Errno {
    const nrPages = Math.min(Math.ceil(this.sizeBytes / this.#pageBytes), maxFolios * 2 ** this.#folioOrder);
    const result = this.#populate(0, nrPages, FolioFlag.uptodate);
    if (result !== 0) return result;
    for (const folio of this.#foliosInCma(nrPages)) {
      const moved = migrateFolio(this.#mm, folio, this.#alloc);
      if (moved === undefined) return ENOMEM;
      this.cache.replace(folio.index, moved.pfn);
    }
    return 0;
  }

  /** The folios that hold bytes of the file, ascending: not those wholly behind its end. */
  *pinnedFolios(): Generator<CachedFolio> {
    const nrPages = Math.ceil(this.sizeBytes / this.#pageBytes);
    for (const folio of this.cache.folios()) {
      if (folio.index >= nrPages) return;
      yield folio;
    }
  }

  /** The folios among the first `nrPages` pages of the file whose head lies in CMA memory. */
  #foliosInCma(nrPages: number): CachedFolio[] {
    const out: CachedFolio[] = [];
    for (const run of this.cache.runs()) {
      if (run.index >= nrPages) break;
      const end = (run.pfn + run.nrFolios * 2 ** run.order) as Pfn;
      for (const frames of this.#mm.pages.runs(run.pfn, end)) {
        if ((frames.state.flags & PageFlag.cma) === 0) continue;
        for (let i = 0; i < frames.nrPages; i++) {
          const index = run.index + frames.start + i - run.pfn;
          const folio = index < nrPages ? this.cache.find(index) : undefined;
          if (folio?.index === index) out.push(folio);
        }
      }
    }
    return out;
  }

  /** Zeroes a folio that was never used, and marks it up to date. */
  #makeUptodate(folio: CachedFolio): void {
    if ((folio.flags & FolioFlag.uptodate) !== 0) return;
    this.#mm.memory.fillPages(folio.pfn, 2 ** folio.order, ZERO_FILL);
    this.cache.changeFlags(folio.index, FolioFlag.uptodate);
  }

  /** Folios for the holes among pages [first, end) of the file; zeroed where `flags` say up to date. */
  #populate(first: number, end: number, flags: number): 0 | Errno {
    const size = 2 ** this.#folioOrder;
    const zero = (flags & FolioFlag.uptodate) !== 0;
    let page = first;
    while (page < end) {
      const next = this.cache.nextPage(page);
      if (next === page) {
        const folio = this.cache.find(page) as CachedFolio;
        page = folio.index + 2 ** folio.order;
        continue;
      }
      const start = page - (page % size);
      if (this.#folioOrder > 0 && this.cache.nextPage(start) >= start + size) {
        const pfn = this.#mm.allocator.allocPages(this.#folioOrder, { ...this.#alloc, zero, compound: true });
        if (pfn !== undefined) {
          this.cache.insert(start, pfn, this.#folioOrder, flags);
          page = start + size;
          continue;
        }
      }
      // Single pages up to the next folio, or only to where a large one may fit again.
      const hole = Math.min(next, end);
      const nrPages = this.#folioOrder > 0 ? Math.min(hole, start + size) - page : hole - page;
      const runs = this.#mm.allocator.allocPagesBulk(nrPages, { ...this.#alloc, zero });
      if (runs === undefined) return ENOMEM;
      for (const run of runs) {
        this.cache.insert(page, run.pfn, 0 as Order, flags, run.nrPages);
        page += run.nrPages;
      }
    }
    return 0;
  }

  /** The folios with a page at or behind `index`, collected so that the cache may change under the loop. */
  #foliosFrom(index: number): CachedFolio[] {
    const out: CachedFolio[] = [];
    for (let at = this.cache.nextPage(index); at !== Number.POSITIVE_INFINITY; ) {
      const folio = this.cache.find(at) as CachedFolio;
      out.push(folio);
      at = this.cache.nextPage(folio.index + 2 ** folio.order);
    }
    return out;
  }

  #drop(folio: CachedFolio): void {
    this.cache.remove(folio.index);
    folioPut(this.#mm, folio);
  }

  /** Zeroes bytes of pages that are there and up to date. */
  #zero(offset: number, sizeBytes: number): void {
    this.#forEachPage(offset, sizeBytes, (page, within, part) => {
      const folio = this.cache.find(page);
      if (folio === undefined || (folio.flags & FolioFlag.uptodate) === 0) return;
      const pfn = (folio.pfn + page - folio.index) as Pfn;
      if (part === this.#pageBytes) this.#mm.memory.fillPages(pfn, 1, ZERO_FILL);
      else this.#mm.memory.writeBytes((pfn * this.#pageBytes + within) as PhysAddr, new Uint8Array(part));
    });
  }

  #zeroPages(folio: CachedFolio, from: number): void {
    if ((folio.flags & FolioFlag.uptodate) === 0) return;
    this.#mm.memory.fillPages((folio.pfn + from) as Pfn, 2 ** folio.order - from, ZERO_FILL);
  }

  /**
   * What reclaim does to the file under memory pressure: folios that are clean are dropped, since nothing in them is said to be
   * worth a place in swap (which is not modelled: dirty ones stay). Folios that are pinned stay too.
   * @returns how many went.
   */
  reclaim(): number {
    if (this.frozen) return 0;
    const clean = [...this.cache.folios()].filter(({ flags }) => (flags & FolioFlag.dirty) === 0);
    for (const folio of clean) this.#drop(folio);
    return clean.length;
  }

  /** The last reference to the file is gone: all its folios are put. */
  release(): void {
    const cache = this.cache;
    this.cache = new PageCache();
    this.sizeBytes = 0;
    const { pages, allocator } = this.#mm;
    for (const run of cache.runs()) {
      if (run.order > 0) {
        for (let i = 0; i < run.nrFolios; i++) {
          folioPut(this.#mm, { pfn: (run.pfn + i * 2 ** run.order) as Pfn, order: run.order });
        }
        continue;
      }
      for (const frames of [...pages.runs(run.pfn, (run.pfn + run.nrFolios) as Pfn)]) {
        if (frames.state.refcount === 1) {
          allocator.freePagesBulk(frames.start, frames.nrPages);
          continue;
        }
        for (let i = 0; i < frames.nrPages; i++) {
          folioPut(this.#mm, { pfn: (frames.start + i) as Pfn, order: 0 as Order });
        }
      }
    }
  }

  // --- versions ---------------------------------------------------------------------------------------------------

  mark(): ShmemVersion {
    const { sizeBytes, pos, seals, frozen } = this;
    return { sizeBytes, pos, seals, frozen, cache: this.cache.clone() };
  }

  restore(version: ShmemVersion): void {
    this.sizeBytes = version.sizeBytes;
    this.pos = version.pos;
    this.seals = version.seals;
    this.frozen = version.frozen;
    this.cache = version.cache.clone();
  }
}
