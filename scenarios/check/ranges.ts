import { hex } from '../../machine/index.ts';
import { formatBytes } from '../run/quantity.ts';

/** The parts of a range of frames that are RAM, as [first frame, number of frames], ascending. */
export function ramParts(
  banks: readonly { readonly base: number; readonly sizeBytes: number }[],
  start: number,
  nrPages: number,
  pageBytes: number,
): readonly (readonly [number, number])[] {
  const parts: (readonly [number, number])[] = [];
  for (const bank of banks) {
    const from = Math.max(start, bank.base / pageBytes);
    const end = Math.min(start + nrPages, (bank.base + bank.sizeBytes) / pageBytes);
    if (from < end) parts.push([from, end - from]);
  }
  return parts;
}

/** A set of pages as ranges that grow as pages are added in any order; printed by address. */
export class PageRanges {
  #starts: number[] = [];
  #ends: number[] = [];
  #sorted = true;

  /** Adds `nrPages` frames from `pfn`. */
  add(pfn: number, nrPages: number): void {
    if (nrPages <= 0) return;
    const last = this.#starts.length - 1;
    if (last >= 0 && this.#ends[last] === pfn) {
      this.#ends[last] = pfn + nrPages;
      return;
    }
    if (last >= 0 && pfn < (this.#ends[last] ?? 0)) this.#sorted = false;
    this.#starts.push(pfn);
    this.#ends.push(pfn + nrPages);
  }

  #sort(): void {
    if (this.#sorted) return;
    const order = this.#starts.map((_, i) => i).sort((a, b) => (this.#starts[a] ?? 0) - (this.#starts[b] ?? 0));
    const starts: number[] = [];
    const ends: number[] = [];
    for (const i of order) {
      const start = this.#starts[i] ?? 0;
      const end = this.#ends[i] ?? 0;
      const last = ends.length - 1;
      if (last >= 0 && start <= (ends[last] ?? 0)) ends[last] = Math.max(ends[last] ?? 0, end);
      else {
        starts.push(start);
        ends.push(end);
      }
    }
    this.#starts = starts;
    this.#ends = ends;
    this.#sorted = true;
  }

  /** How many different pages. */
  get nrPages(): number {
    this.#sort();
    return this.#starts.reduce((sum, start, i) => sum + (this.#ends[i] ?? 0) - start, 0);
  }

  /** The lowest page, undefined when there is none. */
  get first(): number | undefined {
    this.#sort();
    return this.#starts[0];
  }

  /** [first frame, number of frames] of each range, ascending. */
  *ranges(): Generator<readonly [number, number]> {
    this.#sort();
    for (const [i, start] of this.#starts.entries()) yield [start, (this.#ends[i] ?? 0) - start];
  }

  /**
   * `3 pages (12 KiB): 0x1000-0x2fff, 0x8000-0x8fff`: addresses of first and last byte, at most `limit` ranges.
   * @param pageBytes bytes of a page.
   */
  describe(pageBytes: number, limit = 4): string {
    const { nrPages } = this;
    const parts: string[] = [];
    let more = 0;
    for (const [pfn, count] of this.ranges()) {
      if (parts.length === limit) more++;
      else parts.push(`${hex(pfn * pageBytes)}-${hex((pfn + count) * pageBytes - 1)}`);
    }
    const tail = more === 0 ? '' : ` and ${more} more ranges`;
    return `${nrPages} ${nrPages === 1 ? 'page' : 'pages'} (${formatBytes(nrPages * pageBytes)}): ${parts.join(', ')}${tail}`;
  }
}
