import { MachineFault } from '../../machine/fault.ts';
import type { Memblock } from '../../machine/memblock/memblock.ts';
import type { PageSize } from '../../machine/page-size.ts';
import type { Order, Pfn } from '../../machine/units.ts';
import type { PageStates } from '../mm/page-states.ts';
import type { ReleaseQuirks } from '../release-quirks.ts';
import type { BlockVisitor } from './memory-map.ts';
import { bigOf, shr64 } from './u64.ts';

/** `KHOP`: what stands in the upper half of page->private of a preserved block's head, from 6.18 on. */
export const KHO_PAGE_MAGIC = 0x4b48_4f50;

/** What the retrieving walk works on. */
export interface RetrieveDeps {
  readonly memblock: Memblock;
  readonly pages: Pick<PageStates, 'hasStructPage' | 'setPrivate' | 'setPrivateRange'>;
  readonly page: PageSize;
  readonly quirks: Pick<ReleaseQuirks, 'pagePrivate' | 'retrieveSizeIsInt'>;
  /** With DEFERRED_STRUCT_PAGE_INIT: initialises the struct pages of the block, whose later initialisation noinit prevents. */
  readonly initDeferred?: (first: Pfn, order: Order) => void;
  /** No runs: each block is dealt with before the visitor returns. For whoever wants to meddle in between. */
  readonly blockByBlock?: boolean;
}

/**
 * The size that the walk computes for a block, in bytes: 1 shifted by order + page shift. Up to 7.1 that is an int, so
 * 2 GiB become 2^64 - 2^31 and more than that wraps round to a few bytes; later the shift wraps at 64 only.
 */
export function retrievedBlockBytes(page: PageSize, order: number, sizeIsInt: boolean): number {
  const shift = (order + page.shift) >>> 0;
  if (!sizeIsInt) return 2 ** (shift & 63);
  return (shift & 31) === 31 ? 2 ** 64 - 2 ** 31 : 2 ** (shift & 31);
}

/**
 * Walks the preserved blocks: memblock reserves each and marks it noinit, and its head's struct page remembers the
 * order. What memblock returns is ignored, as in the kernel: with too little scratch for its array, blocks stay
 * unreserved and nobody is told.
 *
 * Blocks of one order that lie one behind the other are handled as a run, with the same outcome.
 * @param walk calls its visitor for each block, in the order of the map.
 * @throws MachineFault for a block without struct page, with those before it done; and what the walk throws.
 */
export function retrievePreserved(deps: RetrieveDeps, walk: (visit: BlockVisitor) => void): void {
  const { memblock, pages, page, initDeferred, blockByBlock = false } = deps;
  const pageBytes = page.sizeBytes;
  const sizeIsInt = deps.quirks.retrieveSizeIsInt;
  const magic = deps.quirks.pagePrivate === 'order-and-magic' ? KHO_PAGE_MAGIC : 0;
  let runOrder = -1;
  let sizeBytes = 0;
  let runStart = 0;
  let runEnd = -1;
  let nrBlocks = 0;
  const finishRun = () => {
    const pfn = (runStart / pageBytes) as Pfn;
    const blockPages = 2 ** (runOrder & 63);
    if (initDeferred !== undefined) {
      for (let i = 0; i < nrBlocks; i++) initDeferred((pfn + i * blockPages) as Pfn, (runOrder & 63) as Order);
    }
    memblock.reserveNoinit(runStart, sizeBytes, nrBlocks);
    if (runOrder === 0) pages.setPrivateRange(pfn, nrBlocks, 0, magic);
    else for (let i = 0; i < nrBlocks; i++) pages.setPrivate((pfn + i * blockPages) as Pfn, runOrder, magic);
    nrBlocks = 0;
  };
  const visit: BlockVisitor = (physLo, physHi, order) => {
    const phys = physHi * 0x1_0000_0000 + physLo;
    const inRun = nrBlocks > 0 && phys === runEnd && order === runOrder;
    if (nrBlocks > 0 && !inRun) finishRun();
    if (physHi >= 0x20_0000 || !pages.hasStructPage(Math.floor(phys / pageBytes))) {
      const frame = shr64(physLo, physHi, page.shift);
      throw new MachineFault('pfn_to_page', bigOf(frame.lo, frame.hi));
    }
    if (inRun) {
      nrBlocks++;
      runEnd += sizeBytes;
      return;
    }
    if (order !== runOrder) {
      runOrder = order;
      sizeBytes = retrievedBlockBytes(page, order, sizeIsInt);
    }
    runStart = phys;
    // Nonsense orders, and sizes that an int does not hold, make no runs.
    runEnd = sizeBytes === pageBytes * 2 ** order ? phys + sizeBytes : -1;
    nrBlocks = 1;
    if (blockByBlock) finishRun();
  };
  try {
    walk(visit);
  } finally {
    if (nrBlocks > 0) finishRun();
  }
}
