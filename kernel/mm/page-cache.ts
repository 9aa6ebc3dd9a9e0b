import type { Order, Pfn } from '../../machine/index.ts';
import { EEXIST, type Errno } from '../errno.ts';

/** What is known of a folio in a page cache, as bits. */
export const FolioFlag = { uptodate: 1, dirty: 2 } as const;

/** One or more of `FolioFlag`, or-ed. */
export type FolioFlags = number;

/** A folio of a file: 2^order pages of the file from page `index` on, in frames from `pfn` on. */
export interface CachedFolio {
  readonly index: number;
  readonly pfn: Pfn;
  readonly order: Order;
  readonly flags: FolioFlags;
}

/** Neighbours: `nrFolios` folios of one order, one behind the other both in the file and in memory, with equal flags. */
interface Run {
  index: number;
  pfn: Pfn;
  readonly order: Order;
  nrFolios: number;
  flags: FolioFlags;
}

/**
 * The folios of one file by index. Kept as runs, so that 64 GiB which were allocated in one go are a handful of
 * entries; folios in arbitrary frames cost one entry each.
 */
export class PageCache {
  #runs: Run[] = [];
  #nrPages = 0;
  /** Where the last search ended: most begin there or one further on. A guess, that any change may make wrong. */
  #near = 0;

  /** Pages of all folios. */
  get nrPages(): number {
    return this.#nrPages;
  }

  get nrFolios(): number {
    return this.#runs.reduce((sum, run) => sum + run.nrFolios, 0);
  }

  /** Position of the first run that ends behind `index`. */
  #position(index: number): number {
    for (let at = this.#near; at <= this.#near + 1; at++) {
      const run = this.#runs[at];
      if (run !== undefined && run.index <= index && index < endOf(run)) {
        this.#near = at;
        return at;
      }
    }
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endOf(this.#runs[middle] as Run) <= index) low = middle + 1;
      else high = middle;
    }
    this.#near = low;
    return low;
  }

  /** The folio that holds page `index` of the file, undefined for a hole. */
  find(index: number): CachedFolio | undefined {
    const run = this.#runs[this.#position(index)];
    if (run === undefined || run.index > index) return undefined;
    return folioAt(run, Math.floor((index - run.index) / 2 ** run.order));
  }

  /** How many pages from page `index` on lie one behind the other in memory, with the flags that they share; undefined for a hole. */
  extent(index: number): { readonly pfn: Pfn; readonly nrPages: number; readonly flags: FolioFlags } | undefined {
    const run = this.#runs[this.#position(index)];
    if (run === undefined || run.index > index) return undefined;
    return { pfn: (run.pfn + index - run.index) as Pfn, nrPages: endOf(run) - index, flags: run.flags };
  }

  /** The first page at or behind `index` that a folio holds, Infinity when there is none. */
  nextPage(index: number): number {
    const run = this.#runs[this.#position(index)];
    return run === undefined ? Number.POSITIVE_INFINITY : Math.max(index, run.index);
  }

  /**
   * Puts `nrFolios` neighbouring folios in. An index that is not a multiple of the folio's size is rounded down to one,
   * as the kernel's xarray does. @returns -EEXIST, with nothing changed, when a folio is there already.
   */
  insert(index: number, pfn: Pfn, order: Order, flags: FolioFlags, nrFolios = 1): 0 | Errno {
    const size = 2 ** order;
    const start = index - (index % size);
    const at = this.#position(start);
    const next = this.#runs[at];
    if (next !== undefined && next.index < start + nrFolios * size) return EEXIST;
    this.#nrPages += nrFolios * size;
    const before = this.#runs[at - 1];
    if (before !== undefined && continues(before, start, pfn, order, flags)) {
      before.nrFolios += nrFolios;
      return 0;
    }
    this.#runs.splice(at, 0, { index: start, pfn, order, nrFolios, flags });
    return 0;
  }

  /** Sets and clears flags of the folio that holds page `index`; nothing for a hole. */
  changeFlags(index: number, set: FolioFlags, clear: FolioFlags = 0): void {
    const folio = this.find(index);
    if (folio === undefined) return;
    const flags = (folio.flags & ~clear) | set;
    if (flags !== folio.flags) (this.#isolate(folio.index) as Run).flags = flags;
  }

  /** Sets flags of every folio, among neighbours without taking them apart. */
  setAllFlags(set: FolioFlags): void {
    for (const run of this.#runs) run.flags |= set;
  }

  /** Puts a folio in other frames. */
  replace(index: number, pfn: Pfn): void {
    const folio = this.find(index);
    if (folio !== undefined) (this.#isolate(folio.index) as Run).pfn = pfn;
  }

  /** Takes the folio that holds page `index` out, and returns it. */
  remove(index: number): CachedFolio | undefined {
    const folio = this.find(index);
    if (folio === undefined) return undefined;
    this.#isolate(folio.index);
    this.#runs.splice(this.#position(index), 1);
    this.#nrPages -= 2 ** folio.order;
    return folio;
  }

  /** Makes the folio that begins at `index` a run of its own. */
  #isolate(index: number): Run | undefined {
    const at = this.#position(index);
    const run = this.#runs[at];
    if (run === undefined || run.nrFolios === 1) return run;
    const size = 2 ** run.order;
    const before = (index - run.index) / size;
    const parts = [before, 1, run.nrFolios - before - 1];
    let done = 0;
    const pieces: Run[] = [];
    for (const nrFolios of parts) {
      if (nrFolios > 0) {
        pieces.push({ ...run, index: run.index + done * size, pfn: (run.pfn + done * size) as Pfn, nrFolios });
      }
      done += nrFolios;
    }
    this.#runs.splice(at, 1, ...pieces);
    return pieces.find((piece) => piece.index === index);
  }

  /** Every folio, ascending. */
  *folios(): Generator<CachedFolio> {
    for (const run of this.#runs) for (let i = 0; i < run.nrFolios; i++) yield folioAt(run, i);
  }

  /** `folios` without a value per folio: for files of millions. */
  forEach(visit: (index: number, pfn: Pfn, order: Order, flags: FolioFlags) => void): void {
    for (const run of this.#runs) {
      const size = 2 ** run.order;
      for (let i = 0, offset = 0; i < run.nrFolios; i++, offset += size) {
        visit(run.index + offset, (run.pfn + offset) as Pfn, run.order, run.flags);
      }
    }
  }

  /** Neighbouring folios together, ascending: for code that works on many. */
  *runs(): Generator<CachedFolio & { readonly nrFolios: number }> {
    for (const run of this.#runs) yield { ...run };
  }

  clone(): PageCache {
    const copy = new PageCache();
    copy.#runs = this.#runs.map((run) => ({ ...run }));
    copy.#nrPages = this.#nrPages;
    return copy;
  }
}

function endOf(run: Run): number {
  return run.index + run.nrFolios * 2 ** run.order;
}

function folioAt(run: Run, nth: number): CachedFolio {
  const offset = nth * 2 ** run.order;
  return { index: run.index + offset, pfn: (run.pfn + offset) as Pfn, order: run.order, flags: run.flags };
}

function continues(run: Run, index: number, pfn: Pfn, order: Order, flags: FolioFlags): boolean {
  const pages = run.nrFolios * 2 ** run.order;
  return run.order === order && run.flags === flags && run.index + pages === index && run.pfn + pages === pfn;
}
