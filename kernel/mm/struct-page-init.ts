import { alignUp, type Order, type PageSize, type Pfn } from '../../machine/index.ts';
import type { BuddyAllocator } from './buddy.ts';
import { PageFlag, type PageStates } from './page-states.ts';

/** A region of memory as memblock has it. */
export interface MemoryRegion {
  readonly base: number;
  readonly sizeBytes: number;
  readonly nid: number;
}

export interface StructPageInitOptions {
  /** CONFIG_DEFERRED_STRUCT_PAGE_INIT. */
  readonly deferred: boolean;
  /** Late initialisation makes its pageblocks movable ones, scratch too (before 7.2). */
  readonly lateForgetsCma?: boolean;
  /** Bytes of a memory section; `defaultSectionBytes` unless given. */
  readonly sectionBytes?: number;
  /** Addresses at which a zone ends and the next begins, ascending: x86 16 MiB and 4 GiB, arm64 its DMA limits. */
  readonly zoneEnds?: readonly number[];
}

/** Bytes of a memory section: 512 MiB with 64K pages on arm64, 128 MiB otherwise (SECTION_SIZE_BITS 29 and 27). */
export function defaultSectionBytes(page: PageSize): number {
  return page.shift >= 16 ? 2 ** 29 : 2 ** 27;
}

/** A range of frames [start, end). */
interface FrameRange {
  readonly start: number;
  end: number;
}

/**
 * Initialisation of struct pages during boot, in the kernel's order:
 *
 *      initMemory        all memory: memmap_init. With deferred initialisation the last zone of each node stops after
 *                        the first section and what fills up to a section's border
 *      initPreserved     KHO's walk: what is preserved is initialised before it is written to
 *      initReserved      memblock's end: reserved ranges that are not noinit, marked PageReserved
 *      release           memblock's end: free chunks; `flush` hands them to the page allocator
 *      initLate          the deferred rest, initialised and then freed (page_alloc_init_late, before device initcalls)
 *
 * Without deferral every struct page is initialised once, before KHO's walk, so a lost noinit mark only adds
 * PageReserved. With it, a reserved range that is not noinit is initialised again, and {order, magic} with it is gone.
 */
export class StructPageInit {
  readonly #pages: PageStates;
  readonly #page: PageSize;
  readonly #sectionPages: number;
  readonly #zoneEnds: readonly number[];
  readonly #deferred: boolean;
  readonly #lateForgetsCma: boolean;
  /** The first frame of each node that is still to be initialised. */
  readonly #firstDeferred = new Map<number, number>();
  #early: FrameRange[] = [];
  #late: (FrameRange & { readonly nid: number })[] = [];
  #regions: { readonly start: number; readonly end: number; readonly nid: number }[] = [];

  constructor(pages: PageStates, options: StructPageInitOptions) {
    this.#pages = pages;
    this.#page = pages.page;
    this.#deferred = options.deferred;
    this.#lateForgetsCma = options.lateForgetsCma ?? false;
    this.#sectionPages = (options.sectionBytes ?? defaultSectionBytes(pages.page)) / pages.page.sizeBytes;
    this.#zoneEnds = (options.zoneEnds ?? []).map((addr) => Math.floor(addr / pages.page.sizeBytes));
  }

  /**
   * memmap_init: struct pages of all memory, and of the frames in no region that have one too, which become reserved.
   * @param regions memblock's memory regions, ascending.
   */
  initMemory(regions: Iterable<MemoryRegion>): void {
    const size = this.#page.sizeBytes;
    this.#regions = [...regions].map((region) => ({
      start: Math.ceil(region.base / size),
      end: Math.floor((region.base + region.sizeBytes) / size),
      nid: Math.max(region.nid, 0),
    }));
    if (this.#deferred) this.#findDeferred();
    for (const region of this.#regions) {
      const end = Math.min(region.end, Math.max(region.start, this.#firstDeferredOf(region.nid)));
      this.#pages.initRange(region.start as Pfn, end - region.start, region.nid);
    }
    this.#initUnavailable();
  }

  /** Where each node's deferred part begins: in its last zone, at a section border with at least a section before it. */
  #findDeferred(): void {
    const nodeEnds = new Map<number, number>();
    for (const region of this.#regions) {
      nodeEnds.set(region.nid, Math.max(region.end, nodeEnds.get(region.nid) ?? 0));
    }
    for (const [nid, nodeEnd] of nodeEnds) {
      const zoneStart = this.#zoneEnds.filter((end) => end < nodeEnd).at(-1) ?? 0;
      let initialised = 0;
      for (const region of this.#regions) {
        const start = Math.max(region.start, zoneStart);
        if (region.nid !== nid || start >= region.end) continue;
        const from = Math.max(start, start + this.#sectionPages - initialised);
        const border = alignUp(from, this.#sectionPages);
        if (border < region.end) {
          this.#firstDeferred.set(nid, border);
          break;
        }
        initialised += region.end - start;
      }
    }
  }

  #firstDeferredOf(nid: number): number {
    return this.#firstDeferred.get(nid) ?? Number.POSITIVE_INFINITY;
  }

  #initUnavailable(): void {
    for (const span of this.#pages.spans()) {
      let at = span.start as number;
      const end = span.start + span.nrPages;
      const hole = (stop: number, nid: number) => {
        if (stop <= at) return;
        this.#pages.initRange(at as Pfn, stop - at, nid);
        this.#pages.setRange(at as Pfn, stop - at, PageFlag.reserved);
      };
      let nid = 0;
      for (const region of this.#regions) {
        if (region.end <= at || region.start >= end) continue;
        nid = region.nid;
        hole(region.start, nid);
        at = Math.max(at, region.end);
      }
      hole(end, nid);
    }
  }

  /** Whether a frame's struct page waits for late initialisation. */
  isDeferred(pfn: number, nid: number): boolean {
    return pfn >= this.#firstDeferredOf(Math.max(nid, 0));
  }

  /** The node that memblock's memory says a frame is on; 0 for a hole (early_pfn_to_nid). */
  nidOf(pfn: number): number {
    return this.#regions.find((region) => pfn >= region.start && pfn < region.end)?.nid ?? 0;
  }

  /**
   * Initialises those struct pages of a preserved block that are deferred; as often as it is called. The node is that
   * of the first frame, as in the kernel (7.2 on). Before 7.2 nothing did this: the caller leaves it out.
   * @throws MachineFault at the first frame without a struct page.
   */
  initPreserved(pfn: Pfn, order: Order): void {
    if (this.#deferred) this.#initDeferred(pfn, 2 ** order, this.nidOf(pfn));
  }

  #initDeferred(start: number, nrPages: number, nid: number): void {
    const from = Math.max(start, this.#firstDeferredOf(nid));
    if (from < start + nrPages) this.#pages.initRange(from as Pfn, start + nrPages - from, nid);
  }

  /** A range that memblock keeps, frames [first, end) as Memblock.freeAll tells them. Frames without struct page are skipped. */
  initReserved(first: number, end: number, nid: number): void {
    for (const span of this.#pages.spans()) {
      const from = Math.max(first, span.start);
      const to = Math.min(end, span.start + span.nrPages);
      if (from >= to) continue;
      this.#initDeferred(from, to - from, Math.max(nid, 0));
      this.#pages.setRange(from as Pfn, to - from, PageFlag.reserved);
    }
  }

  /** A free chunk of memblock's, ascending. Chunks whose first struct page is deferred wait for `initLate`. */
  release(pfn: number, order: number): void {
    const end = pfn + 2 ** order;
    if (this.#firstDeferred.size > 0) {
      const nid = this.nidOf(pfn);
      if (this.isDeferred(pfn, nid)) {
        const last = this.#late.at(-1);
        if (last !== undefined && last.end === pfn && last.nid === nid) last.end = end;
        else this.#late.push({ start: pfn, end, nid });
        return;
      }
    }
    const last = this.#early.at(-1);
    if (last !== undefined && last.end === pfn) last.end = end;
    else this.#early.push({ start: pfn, end });
  }

  /** Hands what `release` collected (and may be handed over now) to the page allocator. @returns the number of pages. */
  flush(buddy: BuddyAllocator): number {
    let nrPages = 0;
    for (const range of this.#early) {
      buddy.addFreeRange(range.start as Pfn, range.end - range.start);
      nrPages += range.end - range.start;
    }
    this.#early = [];
    return nrPages;
  }

  /** Initialises and frees the deferred rest; nothing is deferred afterwards. @returns the number of pages freed. */
  initLate(buddy: BuddyAllocator): number {
    let nrPages = 0;
    for (const range of this.#late) {
      if (this.#lateForgetsCma) this.#pages.clearRange(range.start as Pfn, range.end - range.start, PageFlag.cma);
      this.#pages.initRange(range.start as Pfn, range.end - range.start, range.nid);
      buddy.addFreeRange(range.start as Pfn, range.end - range.start);
      nrPages += range.end - range.start;
    }
    this.#late = [];
    this.#firstDeferred.clear();
    return nrPages;
  }
}
