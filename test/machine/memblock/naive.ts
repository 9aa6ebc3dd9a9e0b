import {
  MEMBLOCK_DRIVER_MANAGED,
  MEMBLOCK_HOTPLUG,
  MEMBLOCK_KHO_SCRATCH,
  MEMBLOCK_MIRROR,
  MEMBLOCK_NOMAP,
  MEMBLOCK_RSRV_HUGETLB,
  MEMBLOCK_RSRV_KERN,
} from '../../../machine/memblock/flags.ts';

/** What a page is marked with; undefined: not there. */
export interface PageMark {
  readonly flags: number;
  readonly nid: number;
}

/** Pages [start, end) that are marked alike. */
export interface Run extends PageMark {
  readonly start: number;
  readonly end: number;
}

type Pages = (PageMark | undefined)[];

/** memblock as two lists of pages: slow, obvious, and for whole pages only. */
export class NaiveMemblock {
  readonly memory: Pages;
  readonly reserved: Pages;
  readonly numa: boolean;
  bottomUp = false;
  khoScratchOnly = false;
  movableNode = false;
  mirroredKernelcore = false;
  hasMirror = false;
  /** In pages. */
  limit = Number.POSITIVE_INFINITY;
  warnings = 0;

  constructor(nrPages: number, numa: boolean) {
    this.memory = new Array(nrPages).fill(undefined);
    this.reserved = new Array(nrPages).fill(undefined);
    this.numa = numa;
  }

  runs(pages: Pages): Run[] {
    const runs: Run[] = [];
    for (const [i, mark] of pages.entries()) {
      if (mark === undefined) continue;
      const last = runs.at(-1);
      if (last !== undefined && last.end === i && last.flags === mark.flags && last.nid === mark.nid) {
        runs[runs.length - 1] = { ...last, end: i + 1 };
      } else runs.push({ ...mark, start: i, end: i + 1 });
    }
    return runs;
  }

  add(pages: Pages, start: number, count: number, nid: number, flags: number): void {
    if (!this.numa) nid = 0;
    const end = start + count;
    let rest = start;
    for (const run of this.runs(pages)) {
      if (run.end <= start || run.start >= end) continue;
      if (run.start > rest) {
        if (this.numa && run.nid !== nid) this.warnings++;
        if (flags !== 0 && run.flags !== flags) this.warnings++;
      }
      rest = run.end;
    }
    for (let i = start; i < end; i++) pages[i] ??= { flags, nid };
  }

  remove(pages: Pages, start: number, count: number): void {
    pages.fill(undefined, start, start + count);
  }

  change(pages: Pages, start: number, count: number, change: (mark: PageMark) => PageMark): void {
    for (let i = start; i < start + count; i++) {
      const mark = pages[i];
      if (mark !== undefined) pages[i] = change(mark);
    }
  }

  setFlag(pages: Pages, start: number, count: number, flag: number, on: boolean): void {
    this.change(pages, start, count, ({ flags, nid }) => ({ flags: on ? flags | flag : flags & ~flag, nid }));
  }

  setNode(pages: Pages, start: number, count: number, nid: number): void {
    if (this.numa) this.change(pages, start, count, ({ flags }) => ({ flags, nid }));
  }

  #valid(nid: number): boolean {
    return nid >= 0 && nid < (this.numa ? 1024 : 1);
  }

  #chooseFlags(): number {
    if (this.khoScratchOnly) return MEMBLOCK_KHO_SCRATCH;
    return this.hasMirror ? MEMBLOCK_MIRROR : 0;
  }

  #usable({ flags, nid: own }: PageMark, nid: number, wanted: number): boolean {
    if (this.#valid(nid) && own !== nid) return false;
    if (this.movableNode && (flags & ~wanted & MEMBLOCK_HOTPLUG) !== 0) return false;
    if ((wanted & MEMBLOCK_MIRROR) !== 0 && (flags & MEMBLOCK_MIRROR) === 0) return false;
    if ((wanted & MEMBLOCK_KHO_SCRATCH) !== 0 && (flags & MEMBLOCK_KHO_SCRATCH) === 0) return false;
    return (flags & ~wanted & (MEMBLOCK_NOMAP | MEMBLOCK_DRIVER_MANAGED)) === 0;
  }

  /** Pages from `start` that are free, usable, and of one memory region. */
  #fits(start: number, count: number, nid: number, wanted: number): boolean {
    const first = this.memory[start];
    if (first === undefined || !this.#usable(first, nid, wanted)) return false;
    for (let i = start; i < start + count; i++) {
      const mark = this.memory[i];
      if (mark === undefined || mark.flags !== first.flags || mark.nid !== first.nid) return false;
      if (this.reserved[i] !== undefined) return false;
    }
    return true;
  }

  #find(count: number, align: number, min: number, max: number, nid: number, wanted: number): number {
    const low = Math.max(min, 1);
    const high = Math.min(max === 0 ? this.limit : max, this.memory.length);
    const places: number[] = [];
    for (let at = Math.ceil(low / align) * align; at + count <= high; at += align) {
      if (this.#fits(at, count, nid, wanted)) places.push(at);
    }
    return (this.bottomUp ? places[0] : places.at(-1)) ?? 0;
  }

  allocRange(count: number, align: number, min: number, max: number, nid: number, exact: boolean): number {
    let wanted = this.#chooseFlags();
    for (;;) {
      let found = this.#find(count, align, min, max, nid, wanted);
      let owner = nid;
      if (found === 0 && this.#valid(nid) && !exact) {
        found = this.#find(count, align, min, max, -1, wanted);
        owner = -1;
      }
      if (found !== 0) {
        this.add(this.reserved, found, count, owner, MEMBLOCK_RSRV_KERN);
        return found;
      }
      if ((wanted & MEMBLOCK_MIRROR) === 0) return 0;
      wanted &= ~MEMBLOCK_MIRROR;
    }
  }

  alloc(count: number, align: number, min: number, max: number, nid: number, exact: boolean): number {
    const cap = max > this.limit ? this.limit : max;
    return this.allocRange(count, align, min, cap, nid, exact) || this.allocRange(count, align, 0, cap, nid, exact);
  }

  allocHugetlb(count: number, nid: number, exact: boolean): number {
    const wanted = this.#chooseFlags() & ~MEMBLOCK_MIRROR;
    let owner = nid;
    let found = this.#find(count, count, 0, 0, nid, wanted);
    if (found === 0 && this.#valid(nid) && !exact) {
      owner = -1;
      found = this.#find(count, count, 0, 0, -1, wanted);
    }
    if (found !== 0) this.add(this.reserved, found, count, owner, MEMBLOCK_RSRV_KERN | MEMBLOCK_RSRV_HUGETLB);
    return found;
  }

  trim(align: number): void {
    for (const { start, end } of this.runs(this.memory)) {
      const first = Math.ceil(start / align) * align;
      const last = Math.floor(end / align) * align;
      for (let i = start; i < end; i++) if (i < first || i >= last) this.memory[i] = undefined;
    }
  }

  /** The page behind the first `count` pages of memory; -1 when there are not that many. */
  borderOf(count: number): number {
    let left = count;
    for (const { start, end } of this.runs(this.memory)) {
      if (left <= end - start) return start + left;
      left -= end - start;
    }
    return -1;
  }

  enforceLimit(count: number): void {
    const border = this.borderOf(count);
    if (count === 0 || border < 0) return;
    this.memory.fill(undefined, border);
    this.reserved.fill(undefined, border);
  }

  memLimitRemoveMap(count: number): void {
    const border = this.borderOf(count);
    if (count > 0 && border >= 0) this.cap(0, border);
  }

  cap(start: number, count: number): void {
    if (count === 0 || this.memory.every((mark) => mark === undefined)) return;
    for (const pages of [this.memory, this.reserved]) {
      for (const [i, mark] of pages.entries()) {
        const inside = i >= start && i < start + count;
        const stays = pages === this.memory && ((mark?.flags ?? 0) & MEMBLOCK_NOMAP) !== 0;
        if (!inside && !stays) pages[i] = undefined;
      }
    }
  }

  /** Free ranges that are not empty, ascending. */
  freeRanges(nid: number, wanted: number): Run[] {
    const ranges: Run[] = [];
    for (const run of this.runs(this.memory)) {
      if (!this.#usable(run, nid, wanted)) continue;
      let open: number | undefined;
      for (let i = run.start; i <= run.end; i++) {
        const free = i < run.end && this.reserved[i] === undefined;
        if (free) open ??= i;
        else if (open !== undefined) {
          ranges.push({ ...run, start: open, end: i });
          open = undefined;
        }
      }
    }
    return ranges;
  }

  /** The chunks that free_all hands over, each as [page, order]. */
  freeAll(maxOrder: number): [number, number][] {
    this.khoScratchOnly = false;
    this.setFlag(this.memory, 0, this.memory.length, MEMBLOCK_HOTPLUG, false);
    for (const [i, mark] of this.memory.entries()) if (mark !== undefined) this.setNode(this.reserved, i, 1, mark.nid);
    const chunks: [number, number][] = [];
    for (const range of this.freeRanges(-1, 0)) {
      for (let at = range.start; at < range.end; ) {
        let order = maxOrder;
        while (at % 2 ** order !== 0 || at + 2 ** order > range.end) order--;
        chunks.push([at, order]);
        at += 2 ** order;
      }
    }
    return chunks;
  }
}
