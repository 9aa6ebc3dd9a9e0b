import type { Order, Pfn } from '../../machine/index.ts';

/** Movable allocations may lie in CMA pageblocks (scratch); unmovable ones never, so preserved pages never do. */
export type Migratetype = 'unmovable' | 'movable';

/** What kernel code asks for pages: the buddy allocator, or a bump allocator in a test or a replayed trace. */
export interface PageAllocator {
  /**
   * Takes 2^order naturally aligned pages.
   * @returns the first frame, undefined when there is none. The content is the junk of free memory unless `zero`.
   */
  allocPages(order: Order, options?: AllocOptions): Pfn | undefined;
  /** Gives back what `allocPages` returned (or restore made a folio of). Refills the pages with junk. */
  freePages(pfn: Pfn, order: Order): void;
}

/** An allocator that hands out many single pages in one call, as vmalloc and shmem want them. */
export interface BulkPageAllocator extends PageAllocator {
  /**
   * Takes `nrPages` single pages (order 0, each to be freed on its own), as few runs of neighbours as can be had.
   * @returns the runs, undefined (and nothing taken) when there are not enough.
   */
  allocPagesBulk(nrPages: number, options?: AllocOptions): FrameRun[] | undefined;
  /** Gives back neighbouring single pages. */
  freePagesBulk(pfn: Pfn, nrPages: number): void;
}

/** Neighbouring frames. */
export interface FrameRun {
  readonly pfn: Pfn;
  readonly nrPages: number;
}

/** How pages are asked for. */
export interface AllocOptions {
  /** Fill with zeroes (__GFP_ZERO). */
  readonly zero?: boolean;
  /** Unmovable unless said otherwise, as kernel memory is. */
  readonly migratetype?: Migratetype;
  /** The preferred node, 0 unless said otherwise; others are tried after it. */
  readonly nid?: number;
  /** Only the preferred node (__GFP_THISNODE). */
  readonly thisNode?: boolean;
  /** Make the block a compound page (__GFP_COMP): a folio. */
  readonly compound?: boolean;
}
