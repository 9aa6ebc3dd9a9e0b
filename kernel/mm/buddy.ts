import {
  ilog2,
  junk,
  NUMA_NO_NODE,
  type Order,
  type PageSize,
  type Pfn,
  type PhysicalMemory,
  type RamBank,
  type Random,
  ZERO_FILL,
} from '../../machine/index.ts';
import type { FaultInjector } from '../fault-injection.ts';
import { ALLOC_PAGES_SITE } from '../fault-sites.ts';
import type { KernelLog } from '../log.ts';
import { FreeArea, type FreeAreaVersion } from './free-area.ts';
import type { AllocOptions, BulkPageAllocator, FrameRun } from './page-allocator.ts';
import { PageFlag, type PageStates } from './page-states.ts';

/** Where free memory lies: in pageblocks that serve everything, or in CMA ones (scratch), for movable pages only. */
export type FreeKind = 'normal' | 'cma';

/** What the allocator works on. */
export interface BuddyContext {
  readonly page: PageSize;
  /** All RAM with its nodes (every nid 0 without NUMA). */
  readonly banks: readonly RamBank[];
  readonly memory: PhysicalMemory;
  readonly pages: PageStates;
  readonly maxPageOrder?: number;
  /** Where ZONE_DMA ends (x86: 16 MiB): what lies below is the last to be given out. None by default. */
  readonly dmaEnd?: number | undefined;
  /**
   * Of the junk that fills free pages; another one for each kernel. Undefined: a free page keeps what it held until
   * somebody writes to it, as in a kernel without page poisoning.
   */
  readonly junkSeed: number | undefined;
  readonly faults?: FaultInjector;
  readonly log?: KernelLog;
}

/** Free memory of one node and kind, as /proc/buddyinfo shows it. */
export interface BuddyInfo {
  readonly nid: number;
  readonly kind: FreeKind;
  readonly freePages: number;
  /** Blocks in the free list of each order. */
  readonly blocks: readonly number[];
}

interface NodeAreas {
  readonly nid: number;
  /** ZONE_DMA: taken from only when nothing else is left anywhere. */
  readonly dma: boolean;
  readonly normal: FreeArea;
  readonly cma: FreeArea;
  readonly ranges: { start: Pfn; nrPages: number }[];
}

/** A state of the free lists. Page states and memory have versions of their own, to be restored together with it. */
export interface BuddyVersion {
  readonly areas: readonly { readonly normal: FreeAreaVersion; readonly cma: FreeAreaVersion }[];
}

/**
 * The page allocator of a running kernel: buddies up to MAX_PAGE_ORDER, per node, with CMA pageblocks apart.
 *
 * What it models of the kernel's: block splitting and merging, last in first out, preference of the asked node,
 * movable allocations going to CMA memory while more than half of a node's free memory is there, unmovable ones never.
 * What it does not: zones within a node save ZONE_DMA, watermarks, per-CPU lists, reclaim, compaction, unmovable and movable
 * pageblocks kept apart.
 *
 * With poisoning every free page holds junk, so that memory which was not reserved when it should have been shows up as
 * damage.
 */
export class BuddyAllocator implements BulkPageAllocator {
  readonly maxPageOrder: number;
  readonly #ctx: BuddyContext;
  /** Those below `dmaEnd` last. */
  readonly #nodes: readonly NodeAreas[];
  readonly #plainNodes: readonly NodeAreas[];
  readonly #dmaNodes: readonly NodeAreas[];
  /** All RAM, by node. */
  readonly #ranges: readonly { readonly start: Pfn; readonly nrPages: number }[];
  readonly #nrRamPages: number;
  /** Frames with {order, magic} in private may be free: a reservation was lost. Then splitting has heads to clean. */
  #stalePrivates = false;
  readonly #cleanHead = (pfn: number): void => {
    if (this.#stalePrivates) this.#ctx.pages.setPrivate(pfn as Pfn, 0, 0);
  };

  constructor(ctx: BuddyContext) {
    this.#ctx = ctx;
    this.maxPageOrder = ctx.maxPageOrder ?? ctx.page.defaultMaxPageOrder;
    const pageBytes = ctx.page.sizeBytes;
    const dmaEnd = Math.ceil((ctx.dmaEnd ?? 0) / pageBytes);
    const zones = new Map<string, { nid: number; dma: boolean; ranges: { start: Pfn; nrPages: number }[] }>();
    const add = (nid: number, start: number, end: number, dma: boolean) => {
      if (start >= end) return;
      const zone = zones.get(`${dma} ${nid}`) ?? { nid, dma, ranges: [] };
      zones.set(`${dma} ${nid}`, zone);
      zone.ranges.push({ start: start as Pfn, nrPages: end - start });
    };
    for (const bank of [...ctx.banks].sort((x, y) => x.base - y.base)) {
      const start = bank.base / pageBytes;
      const end = start + bank.sizeBytes / pageBytes;
      add(bank.nid, start, Math.min(end, dmaEnd), true);
      add(bank.nid, Math.max(start, dmaEnd), end, false);
    }
    this.#nodes = [...zones.values()]
      .sort((x, y) => Number(x.dma) - Number(y.dma) || x.nid - y.nid)
      .map((zone) => ({
        ...zone,
        normal: new FreeArea(zone.ranges, this.maxPageOrder),
        cma: new FreeArea(zone.ranges, this.maxPageOrder),
      }));
    this.#plainNodes = this.#nodes.filter((node) => !node.dma);
    this.#dmaNodes = this.#nodes.filter((node) => node.dma);
    this.#ranges = this.#nodes.flatMap((node) => node.ranges);
    this.#nrRamPages = this.#ranges.reduce((sum, range) => sum + range.nrPages, 0);
  }

  #nodeOf(pfn: number): NodeAreas {
    for (const node of this.#nodes) {
      for (const range of node.ranges) if (pfn >= range.start && pfn < range.start + range.nrPages) return node;
    }
    throw new RangeError(`frame ${pfn} is in no bank of RAM`);
  }

  // --- taking memory in -------------------------------------------------------------------------------------------

  /**
   * Takes in memory that never was the allocator's: what memblock hands over at the end of early boot, or scratch that
   * becomes CMA. The pages count as managed, lose PG_reserved, and are filled with junk. The range may span banks that
   * touch, and nodes. Costs the pieces that differ, not the pages.
   * @throws Error when a page of it is free already (a bug of the caller), MachineFault where there is no RAM.
   */
  addFreeRange(start: Pfn, nrPages: number, kind: FreeKind = 'normal'): void {
    if (nrPages <= 0) return;
    if (kind === 'cma') this.#ctx.pages.setRange(start, nrPages, PageFlag.cma);
    const freeBefore = this.#ctx.pages.nrFree;
    this.#release(start, nrPages);
    if (this.#ctx.pages.nrFree - freeBefore !== nrPages) {
      throw new Error(`frames ${start} to ${start + nrPages} were partly free already`);
    }
  }

  /** Makes a range free: states, junk, free lists. Split where node or kind changes. */
  #release(start: Pfn, nrPages: number): void {
    const { pages, memory, junkSeed } = this.#ctx;
    const end = start + nrPages;
    let at = start as number;
    while (at < end) {
      const node = this.#nodeOf(at);
      const range = node.ranges.find((r) => at >= r.start && at < r.start + r.nrPages) ?? { start, nrPages };
      const stop = Math.min(end, range.start + range.nrPages);
      // Most of what memblock gives away was never touched.
      const isPlain = pages.isPlain(at as Pfn, stop - at);
      const pieces = isPlain ? [{ start: at, nrPages: stop - at, kind: this.#kindOf(at) }] : this.#kinds(at, stop);
      for (const piece of pieces) {
        const first = piece.start as Pfn;
        if (!isPlain) this.#cleanHeads(first, piece.nrPages);
        pages.releaseRange(first, piece.nrPages);
        if (junkSeed !== undefined) memory.fillPages(first, piece.nrPages, junk(junkSeed));
        node[piece.kind].insertRange(first, piece.nrPages);
      }
      at = stop;
    }
  }

  #kindOf(pfn: number): FreeKind {
    return this.#ctx.pages.has(pfn as Pfn, PageFlag.cma) ? 'cma' : 'normal';
  }

  /** The pieces of a range by kind of pageblock. */
  #kinds(start: number, end: number): { start: number; nrPages: number; kind: FreeKind }[] {
    const out: { start: number; nrPages: number; kind: FreeKind }[] = [];
    for (const run of this.#ctx.pages.runs(start as Pfn, end as Pfn)) {
      const kind = (run.state.flags & PageFlag.cma) === 0 ? 'normal' : 'cma';
      const last = out.at(-1);
      if (last?.kind === kind && last.start + last.nrPages === run.start) last.nrPages += run.nrPages;
      else out.push({ start: run.start, nrPages: run.nrPages, kind });
    }
    return out;
  }

  /**
   * A frame that heads a free block has its private overwritten (the kernel keeps the block's order there); the frames
   * behind it keep theirs.
   */
  #cleanHeads(start: Pfn, nrPages: number): void {
    const blockPages = 2 ** this.maxPageOrder;
    const end = start + nrPages;
    let heads: Set<number> | undefined;
    for (const pfn of this.#ctx.pages.withPrivate(start, nrPages)) {
      this.#stalePrivates = true;
      const whole = pfn % blockPages === 0 && pfn + blockPages <= end;
      heads ??= smallHeads(start, end, this.maxPageOrder);
      if (whole || heads.has(pfn)) this.#ctx.pages.setPrivate(pfn, 0, 0);
    }
  }

  // --- allocation -------------------------------------------------------------------------------------------------

  allocPages(order: Order, options: AllocOptions = {}): Pfn | undefined {
    if (this.#ctx.faults?.fails(ALLOC_PAGES_SITE) === true) return undefined;
    if (order > this.maxPageOrder) return undefined;
    const pfn = this.#take(order, options);
    if (pfn < 0) return undefined;
    this.#prepare(pfn as Pfn, order, options);
    return pfn as Pfn;
  }

  /** A block by the order of nodes and kinds that the options ask for; -1 for none. */
  #take(order: number, options: AllocOptions): number {
    const preferred = options.nid === undefined || options.nid === NUMA_NO_NODE ? 0 : options.nid;
    // ZONE_DMA comes after all nodes.
    const pfn = this.#takeAmong(this.#plainNodes, preferred, order, options);
    return pfn >= 0 || this.#dmaNodes.length === 0 ? pfn : this.#takeAmong(this.#dmaNodes, preferred, order, options);
  }

  /** Goes round the nodes from the preferred one. */
  #takeAmong(nodes: readonly NodeAreas[], preferred: number, order: number, options: AllocOptions): number {
    let first = nodes.findIndex((node) => node.nid >= preferred);
    if (first < 0) first = 0;
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[(first + i) % nodes.length] as NodeAreas;
      if (options.thisNode === true && node.nid !== preferred) continue;
      const pfn = this.#takeFrom(node, order, options.migratetype === 'movable');
      if (pfn >= 0) return pfn;
    }
    return -1;
  }

  /** One call of the fault site, however many pages. Takes whole blocks and splits them, largest first. */
  allocPagesBulk(nrPages: number, options: AllocOptions = {}): FrameRun[] | undefined {
    if (this.#ctx.faults?.fails(ALLOC_PAGES_SITE) === true) return undefined;
    const runs: { pfn: Pfn; nrPages: number }[] = [];
    let order = this.maxPageOrder;
    let left = nrPages;
    while (left > 0) {
      order = Math.min(order, ilog2(left));
      const pfn = this.#take(order, options);
      if (pfn < 0) {
        if (order-- > 0) continue;
        for (const run of runs) this.#release(run.pfn, run.nrPages);
        return undefined;
      }
      this.#ctx.pages.claimPages(pfn as Pfn, 2 ** order);
      if (options.zero === true) this.#ctx.memory.fillPages(pfn as Pfn, 2 ** order, ZERO_FILL);
      left -= 2 ** order;
      const last = runs.at(-1);
      if (last !== undefined && last.pfn + last.nrPages === pfn) last.nrPages += 2 ** order;
      else runs.push({ pfn: pfn as Pfn, nrPages: 2 ** order });
    }
    return runs;
  }

  #takeFrom(node: NodeAreas, order: number, movable: boolean): number {
    if (!movable) return node.normal.take(order, this.#cleanHead);
    const cma = node.cma.nrPages;
    const preferCma = cma > node.normal.nrPages;
    const pfn = (preferCma ? node.cma : node.normal).take(order, this.#cleanHead);
    if (pfn >= 0) return pfn;
    return (preferCma ? node.normal : node.cma).take(order, this.#cleanHead);
  }

  #prepare(pfn: Pfn, order: Order, options: AllocOptions): void {
    this.#ctx.pages.claimBlock(pfn, order);
    if (options.compound === true) this.#ctx.pages.setCompound(pfn, order);
    if (options.zero === true) this.#ctx.memory.fillPages(pfn, 2 ** order, ZERO_FILL);
  }

  /**
   * Takes the block at a given place, for layouts that a scenario lays down.
   * @returns false when it is not wholly free, or is CMA memory and the allocation not movable.
   */
  allocSpecific(pfn: Pfn, order: Order, options: AllocOptions = {}): boolean {
    if (order > this.maxPageOrder || (order > 0 && pfn % 2 ** order !== 0) || !this.#ctx.pages.hasStructPage(pfn))
      return false;
    const flags = this.#ctx.pages.flags(pfn);
    if ((flags & PageFlag.free) === 0) return false;
    const node = this.#nodeOf(pfn);
    const area = (flags & PageFlag.cma) !== 0 ? node.cma : node.normal;
    if (area === node.cma && options.migratetype !== 'movable') return false;
    if (!area.takeAt(pfn, order, this.#cleanHead)) return false;
    this.#prepare(pfn, order, options);
    return true;
  }

  /**
   * Takes a block at a place that `random` draws from all of the node's RAM (all nodes unless `nid` is given): how
   * memory looks after a long uptime. After 32 draws that met no free block it takes what `allocPages` gives.
   */
  allocScattered(random: Random, order: Order, options: AllocOptions = {}): Pfn | undefined {
    let ranges = this.#ranges;
    let nrPages = this.#nrRamPages;
    if (options.nid !== undefined) {
      ranges = this.#nodes.find((node) => node.nid === options.nid)?.ranges ?? [];
      nrPages = ranges.reduce((sum, range) => sum + range.nrPages, 0);
    }
    for (let draw = 0; draw < 32 && nrPages > 0; draw++) {
      let at = random.below(nrPages);
      for (const range of ranges) {
        if (at < range.nrPages) {
          const pfn = range.start + at;
          const head = (order === 0 ? pfn : pfn - (pfn % 2 ** order)) as Pfn;
          if (head >= range.start && this.allocSpecific(head, order, options)) return head;
          break;
        }
        at -= range.nrPages;
      }
    }
    return this.allocPages(order, options);
  }

  // --- freeing ----------------------------------------------------------------------------------------------------

  /**
   * Frees 2^order pages, of any order: blocks above MAX_PAGE_ORDER go back in pieces. Compound pages are taken apart.
   * Pages that are free already, or that the allocator never had, are what a kernel calls a bad page: it says so and
   * leaves the block alone.
   */
  freePages(pfn: Pfn, order: Order): void {
    const { pages } = this.#ctx;
    if (order === 0 && (pages.flags(pfn) & (PageFlag.managed | PageFlag.free)) === PageFlag.managed) {
      this.#freeOne(pfn);
      return;
    }
    this.freePagesBulk(pfn, 2 ** order);
  }

  /** As `freePages`, of any number of pages; a bad page among them stops it before any is freed. */
  freePagesBulk(pfn: Pfn, nrPages: number): void {
    const { pages } = this.#ctx;
    for (const run of pages.runs(pfn, (pfn + nrPages) as Pfn)) {
      const bad = (run.state.flags & PageFlag.free) !== 0 || (run.state.flags & PageFlag.managed) === 0;
      if (bad) {
        this.#ctx.log?.err(`BUG: Bad page state in process khosim  pfn:${run.start.toString(16).padStart(5, '0')}`);
        return;
      }
    }
    this.#release(pfn, nrPages);
  }

  /** `#release` of one good page, without the walks over runs. */
  #freeOne(pfn: Pfn): void {
    const { pages, memory, junkSeed } = this.#ctx;
    const node = this.#nodeOf(pfn);
    pages.setPrivate(pfn, 0, 0);
    pages.releaseRange(pfn, 1);
    if (junkSeed !== undefined) memory.fillPages(pfn, 1, junk(junkSeed));
    (pages.has(pfn, PageFlag.cma) ? node.cma : node.normal).insert(pfn, 0);
  }

  // --- looking on -------------------------------------------------------------------------------------------------

  /** Pages in the free lists, of one kind or of both. */
  nrFreePages(kind?: FreeKind): number {
    let sum = 0;
    for (const node of this.#nodes) {
      if (kind !== 'cma') sum += node.normal.nrPages;
      if (kind !== 'normal') sum += node.cma.nrPages;
    }
    return sum;
  }

  /** The order of the free block around a frame, -1 when it is not in a free list. */
  freeOrderAt(pfn: Pfn): number {
    const node = this.#nodeOf(pfn);
    return Math.max(node.normal.orderAt(pfn), node.cma.orderAt(pfn));
  }

  /** All free lists, by node and kind. */
  info(): BuddyInfo[] {
    return this.#nodes.flatMap((node) =>
      (['normal', 'cma'] as const).map((kind) => ({
        nid: node.nid,
        kind,
        freePages: node[kind].nrPages,
        blocks: [...node[kind].counts],
      })),
    );
  }

  // --- versions ---------------------------------------------------------------------------------------------------

  mark(): BuddyVersion {
    return { areas: this.#nodes.map((node) => ({ normal: node.normal.mark(), cma: node.cma.mark() })) };
  }

  restore(version: BuddyVersion): void {
    for (const [i, node] of this.#nodes.entries()) {
      const areas = version.areas[i];
      if (areas === undefined) throw new RangeError('a version of another allocator');
      node.normal.restore(areas.normal);
      node.cma.restore(areas.cma);
    }
  }
}

/** The frames that head the blocks below the largest order which a range falls into: those at its two ends. */
function smallHeads(start: number, end: number, maxOrder: number): Set<number> {
  const blockPages = 2 ** maxOrder;
  const heads = new Set<number>();
  for (let at = start; at < end; ) {
    if (at % blockPages === 0 && at + blockPages <= end) {
      at = end - (end % blockPages);
      continue;
    }
    heads.add(at);
    let size = 1;
    while (at % (size * 2) === 0 && at + size * 2 <= end) size *= 2;
    at += size;
  }
  return heads;
}
