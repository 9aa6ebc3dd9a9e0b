import { MachineFault } from '../../machine/fault.ts';
import type { Memblock } from '../../machine/memblock/memblock.ts';
import type { PageSize } from '../../machine/page-size.ts';
import type { Pfn } from '../../machine/units.ts';
import type { PageStates } from '../mm/page-states.ts';
import type { ReleaseQuirks } from '../release.ts';
import type { BlockVisitor } from './memory-map.ts';
import { bigOf, shr64 } from './u64.ts';

/** `KHOP`: what stands in the upper half of page->private of a preserved block's head, from 6.18 on. */
export const KHO_PAGE_MAGIC = 0x4b48_4f50;

export interface RetrieveDeps {
  readonly memblock: Memblock;
  readonly pages: Pick<PageStates, 'hasStructPage' | 'setPrivate'>;
  readonly page: PageSize;
  readonly quirks: Pick<ReleaseQuirks, 'pagePrivate' | 'retrieveSizeIsInt'>;
  /** With DEFERRED_STRUCT_PAGE_INIT: initialises the struct pages of the block, whose later initialisation noinit prevents. */
  readonly initDeferred?: (first: Pfn, nrPages: number) => void;
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
 * What the retrieving walk does with each preserved block: memblock reserves it and marks it noinit, and the head's
 * struct page remembers the order. What memblock returns is ignored, as in the kernel: with too little scratch for its
 * array, blocks stay unreserved and nobody is told.
 * @returns the visitor for a walk. It throws MachineFault for a block without struct page.
 */
export function makeRetriever(deps: RetrieveDeps): BlockVisitor {
  const { memblock, pages, page, initDeferred } = deps;
  const pageBytes = page.sizeBytes;
  const sizeIsInt = deps.quirks.retrieveSizeIsInt;
  const magic = deps.quirks.pagePrivate === 'order-and-magic' ? KHO_PAGE_MAGIC : 0;
  let lastOrder = -1;
  let sizeBytes = 0;
  return (physLo, physHi, order) => {
    const phys = physHi * 0x1_0000_0000 + physLo;
    const pfn = Math.floor(phys / pageBytes) as Pfn;
    if (physHi >= 0x20_0000 || !pages.hasStructPage(pfn)) {
      const frame = shr64(physLo, physHi, page.shift);
      throw new MachineFault('pfn_to_page', bigOf(frame.lo, frame.hi));
    }
    if (order !== lastOrder) {
      lastOrder = order;
      sizeBytes = retrievedBlockBytes(page, order, sizeIsInt);
    }
    initDeferred?.(pfn, 2 ** (order & 63));
    memblock.reserve(phys, sizeBytes);
    memblock.reservedMarkNoinit(phys, sizeBytes);
    pages.setPrivate(pfn, order, magic);
  };
}
