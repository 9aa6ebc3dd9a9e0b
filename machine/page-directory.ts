import type { Pfn } from './units.ts';

/*
 * One number for each page of some spans, at the price of what differs. A directory of three levels lies over each span;
 * an entry at any level is
 *
 *      <= 0   the number of every page below
 *       > 0   the next level: a group (top), a chunk's number (group); at the last level the page's own number
 *
 *      index of the page in its span
 *                             14 13            4 3      0
 *     +-------------------------+---------------+--------+
 *     |       group (top)       |     chunk     |  page  |
 *     +-------------------------+---------------+--------+
 *
 * So numbers up to 0 cost nothing where many neighbours share one, and a number above 0 is one page's own. Chunks are
 * small because pages are scattered: a million of them in 1 TiB touch a million chunks of 64 bytes. Groups and chunks carry
 * the epoch in which they were made; `mark` starts a new epoch, and a change to something older copies it first. So a
 * version is one copy of the top-level arrays, and going back to it is putting them in place again.
 */

const CHUNK_SHIFT = 4;
const CHUNK_PAGES = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_PAGES - 1;
const GROUP_SHIFT = 14;
const GROUP_PAGES = 1 << GROUP_SHIFT;
const GROUP_CHUNKS = 1 << (GROUP_SHIFT - CHUNK_SHIFT);
const GROUP_MASK = GROUP_CHUNKS - 1;
/** Chunks lie one behind the other in slabs: 256 KiB each, so that a growing pool is never copied. */
const SLAB_CELLS_SHIFT = 16;
const SLAB_CELLS = 1 << SLAB_CELLS_SHIFT;
const SLAB_MASK = SLAB_CELLS - 1;

interface Group {
  readonly epoch: number;
  readonly chunks: Int32Array;
}

type TopEntry = Group | number;

/** A span of pages, as `find` gives it. */
export interface DirectorySpan {
  readonly firstPfn: number;
  /** At most 2^32. */
  readonly nrPages: number;
  /** For the directory alone. */
  top: TopEntry[];
}

/** A version of a directory that can be gone back to, and compared with another. */
export interface DirectoryVersion {
  readonly tops: readonly (readonly TopEntry[])[];
}

/** A number, at first 0, for every page of some spans. */
export class PageDirectory {
  readonly spans: readonly DirectorySpan[];
  #last: DirectorySpan;
  #epoch = 1;
  #slabs: Int32Array[] = [];
  #chunkEpochs = new Uint32Array(256);
  #nrChunks = 1;

  /** @param ranges ascending and apart; at least one, else it throws RangeError. */
  constructor(ranges: readonly { readonly firstPfn: number; readonly nrPages: number }[]) {
    this.spans = ranges.map(({ firstPfn, nrPages }) => ({
      firstPfn,
      nrPages,
      top: new Array<TopEntry>(Math.ceil(nrPages / GROUP_PAGES)).fill(0),
    }));
    const first = this.spans[0];
    if (first === undefined) throw new RangeError('a machine needs at least one bank of RAM');
    this.#last = first;
  }

  /** Counts the versions: what was made in an older epoch belongs to a version too, and must be copied to be changed. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The span that a page lies in. */
  find(pfn: number): DirectorySpan | undefined {
    const last = this.#last;
    if (pfn >= last.firstPfn && pfn < last.firstPfn + last.nrPages) return last;
    for (const span of this.spans) {
      if (pfn >= span.firstPfn && pfn < span.firstPfn + span.nrPages) {
        this.#last = span;
        return span;
      }
    }
    return undefined;
  }

  // --- one page ---------------------------------------------------------------------------------------------------

  /** The number of the page at an index of a span. */
  valueAt(span: DirectorySpan, index: number): number {
    const group = span.top[Math.floor(index / GROUP_PAGES)] as TopEntry;
    if (typeof group === 'number') return group;
    const chunk = group.chunks[(index >>> CHUNK_SHIFT) & GROUP_MASK] as number;
    return chunk <= 0 ? chunk : this.cellValue((chunk << CHUNK_SHIFT) | (index & CHUNK_MASK));
  }

  /** The cell that holds the number of the page at an index of a span, ready to be changed until the next `mark`. */
  cellForWrite(span: DirectorySpan, index: number): number {
    const group = this.#groupForWrite(span, Math.floor(index / GROUP_PAGES));
    return this.#chunkForWrite(group, (index >>> CHUNK_SHIFT) & GROUP_MASK) | (index & CHUNK_MASK);
  }

  cellValue(cell: number): number {
    return (this.#slabs[cell >>> SLAB_CELLS_SHIFT] as Int32Array)[cell & SLAB_MASK] as number;
  }

  setCell(cell: number, value: number): void {
    (this.#slabs[cell >>> SLAB_CELLS_SHIFT] as Int32Array)[cell & SLAB_MASK] = value;
  }

  #groupForWrite(span: DirectorySpan, groupIndex: number): Group {
    const entry = span.top[groupIndex] as TopEntry;
    const epoch = this.#epoch;
    if (typeof entry !== 'number') {
      if (entry.epoch === epoch) return entry;
      const copy = { epoch, chunks: entry.chunks.slice() };
      span.top[groupIndex] = copy;
      return copy;
    }
    const chunks = new Int32Array(GROUP_CHUNKS);
    if (entry !== 0) chunks.fill(entry);
    const fresh = { epoch, chunks };
    span.top[groupIndex] = fresh;
    return fresh;
  }

  /** The first cell of a chunk that may be changed. */
  #chunkForWrite(group: Group, chunkIndex: number): number {
    const old = group.chunks[chunkIndex] as number;
    if (old > 0 && this.#chunkEpochs[old] === this.#epoch) return old << CHUNK_SHIFT;
    const chunk = this.#nrChunks++;
    if (chunk >= this.#chunkEpochs.length) {
      const next = new Uint32Array(this.#chunkEpochs.length * 2);
      next.set(this.#chunkEpochs);
      this.#chunkEpochs = next;
    }
    this.#chunkEpochs[chunk] = this.#epoch;
    const cell = chunk << CHUNK_SHIFT;
    const slabIndex = cell >>> SLAB_CELLS_SHIFT;
    if (slabIndex >= this.#slabs.length) this.#slabs.push(new Int32Array(SLAB_CELLS));
    const slab = this.#slabs[slabIndex] as Int32Array;
    const at = cell & SLAB_MASK;
    if (old > 0) {
      const from = old << CHUNK_SHIFT;
      const source = this.#slabs[from >>> SLAB_CELLS_SHIFT] as Int32Array;
      for (let i = 0; i < CHUNK_PAGES; i++) slab[at + i] = source[(from & SLAB_MASK) + i] as number;
    } else if (old < 0) {
      slab.fill(old, at, at + CHUNK_PAGES);
    }
    group.chunks[chunkIndex] = chunk;
    return cell;
  }

  // --- many pages -------------------------------------------------------------------------------------------------

  /**
   * Gives the pages [from, end) of a span, by index, one number, at most 0.
   * @returns whether a page had a number of its own before, or may have had one.
   */
  fill(span: DirectorySpan, from: number, end: number, value: number): boolean {
    let replaced = false;
    let index = from;
    while (index < end) {
      const groupIndex = Math.floor(index / GROUP_PAGES);
      const groupStart = groupIndex * GROUP_PAGES;
      const groupEnd = Math.min(end, groupStart + GROUP_PAGES);
      if (index === groupStart && groupEnd === Math.min(span.nrPages, groupStart + GROUP_PAGES)) {
        if (typeof span.top[groupIndex] !== 'number') replaced = true;
        span.top[groupIndex] = value;
      } else if (span.top[groupIndex] !== value) {
        const group = this.#groupForWrite(span, groupIndex);
        if (this.#fillChunks(group, index - groupStart, groupEnd - groupStart, value)) replaced = true;
      }
      index = groupEnd;
    }
    return replaced;
  }

  #fillChunks(group: Group, from: number, end: number, value: number): boolean {
    let replaced = false;
    let index = from;
    while (index < end) {
      const chunkIndex = index >>> CHUNK_SHIFT;
      const stop = Math.min(end, (chunkIndex + 1) << CHUNK_SHIFT);
      const chunk = group.chunks[chunkIndex] as number;
      if (stop - index === CHUNK_PAGES) {
        if (chunk > 0) replaced = true;
        group.chunks[chunkIndex] = value;
      } else if (chunk !== value) {
        const cell = this.#chunkForWrite(group, chunkIndex);
        for (let i = index; i < stop; i++) {
          if (this.cellValue(cell | (i & CHUNK_MASK)) > 0) replaced = true;
          this.setCell(cell | (i & CHUNK_MASK), value);
        }
      }
      index = stop;
    }
    return replaced;
  }

  /**
   * Changes the number of the pages [from, end) of a span, by index, from what it is to what `changed` makes of it.
   * `changed` is called for pieces of pages alike, and may be called again for parts of such a piece.
   * @param changed takes and returns numbers of at most 0.
   * @param onChange told of each change: so many pages went from one number to another.
   */
  update(
    span: DirectorySpan,
    from: number,
    end: number,
    changed: (value: number) => number,
    onChange: (before: number, after: number, nrPages: number) => void,
  ): void {
    let index = from;
    while (index < end) {
      const groupIndex = Math.floor(index / GROUP_PAGES);
      const groupStart = groupIndex * GROUP_PAGES;
      const groupEnd = Math.min(end, groupStart + GROUP_PAGES);
      const entry = span.top[groupIndex] as TopEntry;
      const whole = index === groupStart && groupEnd === Math.min(span.nrPages, groupStart + GROUP_PAGES);
      const after = typeof entry === 'number' ? changed(entry) : 0;
      if (typeof entry !== 'number' || (after !== entry && !whole)) {
        const group = this.#groupForWrite(span, groupIndex);
        this.#updateChunks(group, index - groupStart, groupEnd - groupStart, changed, onChange);
      } else if (after !== entry) {
        onChange(entry, after, groupEnd - index);
        span.top[groupIndex] = after;
      }
      index = groupEnd;
    }
  }

  #updateChunks(
    group: Group,
    from: number,
    end: number,
    changed: (value: number) => number,
    onChange: (before: number, after: number, nrPages: number) => void,
  ): void {
    let index = from;
    while (index < end) {
      const chunkIndex = index >>> CHUNK_SHIFT;
      const stop = Math.min(end, (chunkIndex + 1) << CHUNK_SHIFT);
      const nr = stop - index;
      const old = group.chunks[chunkIndex] as number;
      const after = old <= 0 ? changed(old) : 0;
      if (old > 0 || (after !== old && nr !== CHUNK_PAGES)) {
        const cell = this.#chunkForWrite(group, chunkIndex);
        this.#updateCells(cell | (index & CHUNK_MASK), nr, changed, onChange);
        // A chunk whose pages are all alike again needs no cells of its own. (The pool keeps them: versions may use them.)
        if (nr === CHUNK_PAGES && this.#alike(cell)) group.chunks[chunkIndex] = this.cellValue(cell);
      } else if (after !== old) {
        onChange(old, after, nr);
        group.chunks[chunkIndex] = after;
      }
      index = stop;
    }
  }

  #updateCells(
    cell: number,
    nr: number,
    changed: (value: number) => number,
    onChange: (before: number, after: number, nrPages: number) => void,
  ): void {
    for (let at = cell; at < cell + nr; at++) {
      const before = this.cellValue(at);
      const after = changed(before);
      if (after === before) continue;
      this.setCell(at, after);
      onChange(before, after, 1);
    }
  }

  #alike(cell: number): boolean {
    const first = this.cellValue(cell);
    if (first > 0) return false;
    for (let i = 1; i < CHUNK_PAGES; i++) if (this.cellValue(cell + i) !== first) return false;
    return true;
  }

  // --- looking on -------------------------------------------------------------------------------------------------

  /** The piece [from, end), by index, around a page of a span whose pages surely have one number. May pass the span's end. */
  pieceAround(span: DirectorySpan, index: number): readonly [from: number, end: number] {
    const groupIndex = Math.floor(index / GROUP_PAGES);
    const group = span.top[groupIndex] as TopEntry;
    if (typeof group === 'number') return [groupIndex * GROUP_PAGES, (groupIndex + 1) * GROUP_PAGES];
    if ((group.chunks[(index >>> CHUNK_SHIFT) & GROUP_MASK] as number) > 0) return [index, index + 1];
    const from = index - (index & CHUNK_MASK);
    return [from, from + CHUNK_PAGES];
  }

  /** All pages, ascending: stretches of one number of at most 0, and pages with a number of their own one by one. */
  *valueRuns(): Generator<{ readonly start: Pfn; readonly nrPages: number; readonly value: number }> {
    for (const span of this.spans) {
      for (let index = 0; index < span.nrPages; ) {
        const start = index;
        const value = this.valueAt(span, index);
        do index = this.pieceAround(span, index)[1];
        while (value <= 0 && index < span.nrPages && this.valueAt(span, index) === value);
        const end = Math.min(index, span.nrPages);
        yield { start: (span.firstPfn + start) as Pfn, nrPages: end - start, value };
        index = end;
      }
    }
  }

  /** Every page that has a number above 0, ascending. */
  *pagesAboveZero(): Generator<Pfn> {
    for (const { start, value } of this.valueRuns()) if (value > 0) yield start;
  }

  /** Bytes that groups and chunks take: what has been spent beside the top level. */
  get committedBytes(): number {
    let bytes = this.#slabs.length * SLAB_CELLS * 4 + this.#chunkEpochs.byteLength;
    for (const { top } of this.spans) {
      for (const entry of top) if (typeof entry !== 'number') bytes += entry.chunks.byteLength;
    }
    return bytes;
  }

  // --- versions ---------------------------------------------------------------------------------------------------

  /** Remembers the present state. Costs a copy of the top level; later changes copy what they touch. */
  mark(): DirectoryVersion {
    this.#epoch++;
    return { tops: this.spans.map((span) => span.top.slice()) };
  }

  /** Goes back to a version that `mark` of this object gave, as often as wanted, and forwards again. */
  restore(version: DirectoryVersion): void {
    this.#epoch++;
    for (const [i, span] of this.spans.entries()) span.top = (version.tops[i] as TopEntry[]).slice();
  }

  /** The pages whose numbers differ between two versions, ascending. */
  changedPages(before: DirectoryVersion, after: DirectoryVersion): Pfn[] {
    const out: Pfn[] = [];
    for (const [i, span] of this.spans.entries()) {
      const from = before.tops[i] as readonly TopEntry[];
      const to = after.tops[i] as readonly TopEntry[];
      for (const [g, group] of from.entries()) {
        if (group !== to[g]) this.#changedInGroup(group, to[g] as TopEntry, span, g * GROUP_PAGES, out);
      }
    }
    return out;
  }

  #changedInGroup(before: TopEntry, after: TopEntry, span: DirectorySpan, groupStart: number, out: Pfn[]): void {
    for (let c = 0; c < GROUP_CHUNKS; c++) {
      const from = typeof before === 'number' ? before : (before.chunks[c] as number);
      const to = typeof after === 'number' ? after : (after.chunks[c] as number);
      if (from === to) continue;
      const end = Math.min(span.nrPages, groupStart + (c + 1) * CHUNK_PAGES);
      for (let index = groupStart + c * CHUNK_PAGES; index < end; index++) {
        if (this.#inChunk(from, index) !== this.#inChunk(to, index)) out.push((span.firstPfn + index) as Pfn);
      }
    }
  }

  #inChunk(chunk: number, index: number): number {
    return chunk <= 0 ? chunk : this.cellValue((chunk << CHUNK_SHIFT) | (index & CHUNK_MASK));
  }
}
