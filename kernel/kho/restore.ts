import type { PageSize } from '../../machine/page-size.ts';
import { ctz, ilog2, type Order, type Pfn, type PhysAddr } from '../../machine/units.ts';
import type { KernelLog } from '../log.ts';
import { PageFlag, type PageStates } from '../mm/page-states.ts';
import type { ReleaseQuirks } from '../release-quirks.ts';
import type { Folio } from './kho.ts';
import { KHO_PAGE_MAGIC } from './retrieve.ts';

/** What restoring works on. */
export interface RestoreDeps {
  readonly page: PageSize;
  readonly pages: PageStates;
  readonly log: Pick<KernelLog, 'warnOnOnce'>;
  readonly quirks: Pick<ReleaseQuirks, 'pagePrivate' | 'restoreChecksMaxOrder' | 'restoresRangesAsFolios'>;
  readonly maxPageOrder: number;
}

/**
 * Gives preserved pages back to whoever asks, as kho_restore_folio and kho_restore_pages do. All they go by is what
 * page->private of the head says: the order, and from 6.18 on the magic, which is cleared so that a second restore
 * fails.
 */
export class PreservedPages {
  /** Pages that were counted as managed so far: those of each block restored, even if a block is counted twice. */
  managedPages = 0;
  readonly #deps: RestoreDeps;

  constructor(deps: RestoreDeps) {
    this.#deps = deps;
  }

  /**
   * Restores the block at `phys` as a folio of the order it was preserved with: refcount of the head 1, of the tails 0.
   * @returns undefined when it was not preserved (a WARN, the first time, from 6.18 on), or lies outside memory.
   */
  restoreFolio(phys: PhysAddr): Folio | undefined {
    const pfn = Math.floor(phys / this.#deps.page.sizeBytes) as Pfn;
    const order = this.#restore(pfn, true);
    return order === undefined ? undefined : { pfn, order };
  }

  /**
   * Restores `nrPages` pages from `phys` as single pages, each with refcount 1. It goes from block to block by the orders
   * that a preserver without NUMA would have chosen, not by those it finds: where preserving lowered an order at a node
   * border, the rest of that block is skipped and the call succeeds all the same.
   * @returns the first frame, undefined when a block where it looked was not preserved.
   */
  restorePages(phys: PhysAddr, nrPages: number): Pfn | undefined {
    const first = Math.floor(phys / this.#deps.page.sizeBytes) as Pfn;
    const end = first + nrPages;
    let pfn: number = first;
    while (pfn < end) {
      const expected = Math.min(pfn === 0 ? 64 : ctz(pfn), ilog2(end - pfn));
      if (this.#restore(pfn as Pfn, false) === undefined) return undefined;
      if (this.#deps.quirks.restoresRangesAsFolios) {
        // split_page takes the count apart but not the compound page that was made of the block (6.18).
        this.#deps.pages.setRefcountRange(pfn as Pfn, 2 ** expected, 1);
      }
      pfn += intShift(expected);
      // As unsigned long a negative frame number is far above the end.
      if (pfn < 0) break;
    }
    return first;
  }

  #restore(pfn: Pfn, asFolio: boolean): Order | undefined {
    const { pages, quirks, maxPageOrder } = this.#deps;
    if (!pages.hasStructPage(pfn)) return undefined;
    const order = pages.privateLo(pfn);
    const magic = pages.privateHi(pfn);
    if (quirks.pagePrivate === 'order') {
      // Any page whose private is a small number will do, and restoring again works just as well.
      if (magic !== 0 || order > maxPageOrder) return undefined;
    } else if (magic !== KHO_PAGE_MAGIC || (quirks.restoreChecksMaxOrder && order > maxPageOrder)) {
      this.#deps.log.warnOnOnce('kho_restore_page');
      return undefined;
    } else {
      pages.setPrivate(pfn, 0, 0);
    }
    const nrPages = intShift(order);
    // An int of order 31 is negative, as unsigned long the rest of the address space: it ends where struct pages do.
    const count = nrPages < 0 ? 2 ** 53 - pfn : nrPages;
    if (asFolio || quirks.restoresRangesAsFolios) {
      pages.setRefcount(pfn, 1);
      pages.setRefcountRange((pfn + 1) as Pfn, count - 1, 0);
      if (order > 0) pages.setCompound(pfn, order as Order);
    } else {
      pages.setRefcountRange(pfn, count, 1);
    }
    pages.setRange(pfn, count, PageFlag.managed);
    this.managedPages += nrPages;
    return order as Order;
  }
}

/** `1 << n` on an int: n counts modulo 32, and 31 gives the lowest int. */
function intShift(n: number): number {
  return 1 << (n & 31);
}
