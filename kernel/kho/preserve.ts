import { ctz, ilog2, type Order, type PageSize, type Pfn } from '../../machine/index.ts';
import { EINVAL, type Errno } from '../errno.ts';
import { KernelHang } from '../failure.ts';
import type { KernelLog } from '../log.ts';
import type { OutgoingMap } from './memory-map.ts';

/**
 * What preserving needs beside the map. What is left out does not happen: without `nidOf` no order is lowered at node
 * borders (kernels before 7.1, and any without NUMA), without `scratchOverlaps` nothing is checked (kernels built
 * without KEXEC_HANDOVER_DEBUG, and 6.16 and 6.17).
 */
export interface PreserveHooks {
  readonly map: OutgoingMap;
  readonly page: PageSize;
  readonly log?: Pick<KernelLog, 'warnOn'> | undefined;
  /** The NUMA node of a frame. */
  readonly nidOf?: ((pfn: number) => number) | undefined;
  /** Whether any of `sizeBytes` bytes at `phys` lies in a scratch area. */
  readonly scratchOverlaps?: ((phys: number, sizeBytes: number) => boolean) | undefined;
  /** Unpreserving lowers orders at node borders too. False: only preserving does, so that unpreserving misses blocks. */
  readonly unpreserveSplitsAtNodes?: boolean | undefined;
}

/** Preserves one folio. 0, -EINVAL when it overlaps scratch, or what the map says. */
export function preserveFolio(hooks: PreserveHooks, pfn: Pfn, order: Order): 0 | Errno {
  const { page } = hooks;
  if (hooks.scratchOverlaps?.(pfn * page.sizeBytes, page.sizeBytes * 2 ** order) === true) {
    hooks.log?.warnOn('kho_preserve_folio');
    return EINVAL;
  }
  return hooks.map.preserve(pfn, order);
}

/**
 * Preserves `count` folios of one order that lie one behind the other, as so many calls of `preserveFolio` would.
 * 0, or the error of the first that could not be preserved; those before it stay so.
 */
export function preserveFolios(hooks: PreserveHooks, pfn: Pfn, order: Order, count: number): 0 | Errno {
  const { map, page } = hooks;
  const blockPages = 2 ** order;
  const overlaps = hooks.scratchOverlaps?.(pfn * page.sizeBytes, count * blockPages * page.sizeBytes) === true;
  if (!overlaps && map.preserveRun !== undefined) return map.preserveRun(pfn, order, count);
  for (let i = 0; i < count; i++) {
    const err = preserveFolio(hooks, (pfn + i * blockPages) as Pfn, order);
    if (err !== 0) return err;
  }
  return 0;
}

/** Unpreserves a folio; it must be the one that was preserved, of the same order. */
export function unpreserveFolio(hooks: PreserveHooks, pfn: Pfn, order: Order): void {
  hooks.map.unpreserve(pfn, order);
}

/**
 * Preserves a range of pages as blocks, each the largest that is aligned, fits, and lies on one node. When one cannot
 * be recorded, those before it are unpreserved again. 0, -EINVAL for an overlap with scratch, or the map's error.
 * @throws KernelHang for a range whose split never ends (a block of order 31 that does not start at frame 0).
 */
export function preservePages(hooks: PreserveHooks, start: Pfn, nrPages: number): 0 | Errno {
  const { map, page } = hooks;
  if (hooks.scratchOverlaps?.(start * page.sizeBytes, nrPages * page.sizeBytes) === true) {
    hooks.log?.warnOn('kho_preserve_pages');
    return EINVAL;
  }
  const end = start + nrPages;
  const pieces = new PieceCursor(start, end, hooks.nidOf);
  while (pieces.pfn < end) {
    const order = pieces.order();
    const result = map.preserve(pieces.pfn as Pfn, order);
    if (result !== 0) {
      unpreserveRange(hooks, start, pieces.pfn);
      return result;
    }
    pieces.advance(order);
  }
  return 0;
}

/**
 * Unpreserves a range, split as `preservePages` splits it: it must be the same range.
 * @throws KernelHang as there.
 */
export function unpreservePages(hooks: PreserveHooks, start: Pfn, nrPages: number): void {
  unpreserveRange(hooks, start, start + nrPages);
}

function unpreserveRange(hooks: PreserveHooks, start: number, end: number): void {
  const nidOf = hooks.unpreserveSplitsAtNodes === false ? undefined : hooks.nidOf;
  const pieces = new PieceCursor(start, end, nidOf);
  while (pieces.pfn < end) {
    const order = pieces.order();
    hooks.map.unpreserve(pieces.pfn as Pfn, order);
    pieces.advance(order);
  }
}

/** Backward steps after which a split is taken to have no end: it has come to the same frame before. */
const MAX_BACKWARD_STEPS = 64;

/** Where the split of a range stands. */
class PieceCursor {
  pfn: number;
  readonly #end: number;
  readonly #nidOf: ((pfn: number) => number) | undefined;
  #backward = 0;

  constructor(start: number, end: number, nidOf: ((pfn: number) => number) | undefined) {
    this.pfn = start;
    this.#end = end;
    this.#nidOf = nidOf;
  }

  /** The order of the block at `pfn`. */
  order(): Order {
    const { pfn } = this;
    let order = Math.min(ctz(pfn), ilog2(this.#end - pfn));
    const nidOf = this.#nidOf;
    if (nidOf !== undefined) {
      const nid = nidOf(pfn);
      while (order > 0 && nid !== nidOf(pfn + 2 ** order - 1)) order--;
    }
    return order as Order;
  }

  /**
   * Goes past a block as `pfn += 1 << order` does with a 32-bit int: 2^31 is negative, so that the sum falls (below 0
   * it is beyond every end), and from order 32 on the shift count wraps.
   */
  advance(order: number): void {
    if (order < 31) {
      this.pfn += 2 ** order;
      return;
    }
    const step = 1 << (order & 31);
    this.pfn += step;
    if (this.pfn < 0) this.pfn = Number.POSITIVE_INFINITY;
    else if (step < 0 && ++this.#backward > MAX_BACKWARD_STEPS)
      throw new KernelHang('splitting a range of 2^31 pages or more');
  }
}
