import { PageFlag, type PageStates } from '../../kernel/mm/page-states.ts';
import { type Pfn, type PhysicalMemory, physOf, type RamBank } from '../../machine/index.ts';
import type { ExpectedObject } from './expected-object.ts';
import { PageRanges, ramParts } from './ranges.ts';

/*
 * The checker of memory. It stands outside both kernels, remembers in numbers what the scenario asked to preserve, and
 * looks at RAM and at the new kernel's page states.
 *
 * It verifies, for every page of every object that crossed a jump:
 *   - its content, byte for byte (each page's is unique to seed and frame, so a page in another's place is found);
 *   - that the page allocator did not get it;
 *   - after its client restored it: that it is in use and counted as managed, with the order it was preserved with and the
 *     reference counts of a folio (1, tails 0) or of single pages (1 each), in struct pages that were initialised;
 *   - that the struct pages of what is more than one page name the NUMA node that the memory is on.
 * It does not verify:
 *   - pages of zeroes, whose content proves nothing: they are counted as untested;
 *   - memory that nobody asked to preserve, and what kernels keep for themselves;
 *   - what user space would see through a mapping: files of sessions are checked where they are retrieved.
 */

/** What is wrong with the pages of one object. */
export interface MemoryFindings {
  /** Content differs from what was preserved. */
  readonly damaged: PageRanges;
  /** The page allocator has it, or had it: its reservation was lost. */
  readonly lost: PageRanges;
  /** Content as it was, still set aside, and nobody restored it. */
  readonly unrestored: PageRanges;
  /** Restored, but not as it was preserved: order or reference counts. */
  readonly wrongState: PageRanges;
  /** What is wrong with the first page of `wrongState`. */
  wrongStateDetail: string;
  /** Zero pages. */
  untestedPages: number;
  /** Pages that their client has again, in order. */
  restoredPages: number;
}

/**
 * Compares one object with RAM and page states.
 * @param pages undefined when there is no kernel left to ask (it fell over).
 * @param banks RAM as the kernel sees it: all on node 0 for one without NUMA.
 */
export function checkObject(
  object: ExpectedObject,
  memory: PhysicalMemory,
  pages: PageStates | undefined,
  banks: readonly RamBank[],
): MemoryFindings {
  const findings: MemoryFindings = {
    damaged: new PageRanges(),
    lost: new PageRanges(),
    unrestored: new PageRanges(),
    wrongState: new PageRanges(),
    wrongStateDetail: '',
    untestedPages: 0,
    restoredPages: 0,
  };
  const starts = ascending(object.blocks.starts);
  checkContent(object, starts, memory, findings);
  // A reserve_mem region is never restored: the kernel that revives it keeps it set aside, and hands it on.
  const keptAside = object.kind === 'reserve_mem' && !object.abandoned;
  if (pages !== undefined && !keptAside) checkStates(object, starts, pages, banks, findings);
  return findings;
}

/** Ranges beyond this span holes, which hold nothing: only their parts in RAM are looked at. */
const WHOLE_RANGE_PAGES = 2 ** 30;

/** Blocks from the lowest up: neighbours are found faster, and the first that is wrong is the lowest. */
function ascending(starts: Float64Array): Float64Array {
  const isAscending = starts.every((start, i) => i === 0 || (starts[i - 1] as number) <= start);
  return isAscending ? starts : starts.slice().sort();
}

function checkContent(
  object: ExpectedObject,
  starts: Float64Array,
  memory: PhysicalMemory,
  findings: MemoryFindings,
): void {
  const { nrPagesEach } = object.blocks;
  for (let i = 0; i < starts.length; i++) {
    const start = starts[i] as number;
    if (nrPagesEach <= WHOLE_RANGE_PAGES) checkPages(object, memory, findings, start, nrPagesEach);
    else {
      const parts = ramParts(memory.banks, start, nrPagesEach, memory.page.sizeBytes);
      for (const [at, nrPages] of parts) checkPages(object, memory, findings, at, nrPages);
    }
  }
}

function checkPages(
  object: ExpectedObject,
  memory: PhysicalMemory,
  findings: MemoryFindings,
  start: number,
  nrPages: number,
): void {
  const zero = object.fill.kind === 'zero';
  for (let pfn = start; pfn < start + nrPages; pfn++) {
    const written = object.written.size > 0 ? object.written.get(pfn as Pfn) : undefined;
    if (written !== undefined) {
      if (!sameBytes(memory.readBytes(physOf(memory.page, pfn as Pfn), written.length), written))
        findings.damaged.add(pfn, 1);
      continue;
    }
    if (!memory.holdsFill(pfn as Pfn, object.fill)) findings.damaged.add(pfn, 1);
    else if (zero) findings.untestedPages++;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function checkStates(
  object: ExpectedObject,
  starts: Float64Array,
  pages: PageStates,
  banks: readonly RamBank[],
  findings: MemoryFindings,
): void {
  const { nrPagesEach } = object.blocks;
  const restored = object.state === 'restored';
  for (let i = 0; i < starts.length; i++) {
    const start = starts[i] as number;
    if (nrPagesEach === 1) {
      checkSinglePage(start as Pfn, restored, pages, findings);
      continue;
    }
    for (const run of pages.runs(start as Pfn, (start + nrPagesEach) as Pfn)) {
      const { flags } = run.state;
      if ((flags & PageFlag.free) !== 0) findings.lost.add(run.start, run.nrPages);
      else if ((flags & PageFlag.managed) === 0) findings.unrestored.add(run.start, run.nrPages);
      else if (restored) findings.restoredPages += run.nrPages;
    }
    if (restored) checkRestoredBlock(object, start, pages, findings);
    checkNode(start, nrPagesEach, pages, banks, findings);
  }
}

/** The same for a page on its own, of which there may be millions. */
function checkSinglePage(pfn: Pfn, restored: boolean, pages: PageStates, findings: MemoryFindings): void {
  if (pages.has(pfn, PageFlag.free)) findings.lost.add(pfn, 1);
  else if (!pages.has(pfn, PageFlag.managed)) findings.unrestored.add(pfn, 1);
  else if (restored) {
    findings.restoredPages++;
    noteWrong(findings, pfn, 1, wrongOf(pages.flags(pfn), pages.order(pfn), 0, pages.refcount(pfn), 1));
  }
}

function checkRestoredBlock(object: ExpectedObject, start: number, pages: PageStates, findings: MemoryFindings): void {
  const { nrPagesEach } = object.blocks;
  const isFolio = object.order > 0;
  for (const run of pages.runs(start as Pfn, (start + nrPagesEach) as Pfn)) {
    const { refcount, order, flags } = run.state;
    if ((flags & (PageFlag.free | PageFlag.managed)) !== PageFlag.managed) continue;
    const isHead = run.start === start;
    const wantedCount = isFolio && !isHead ? 0 : 1;
    // The head of a folio differs from its tails, so it is a run of its own.
    const nrPages = isFolio && isHead ? 1 : run.nrPages;
    noteWrong(findings, run.start, nrPages, wrongOf(flags, order, isFolio ? object.order : 0, refcount, wantedCount));
    if (nrPages < run.nrPages) noteWrong(findings, run.start + 1, run.nrPages - 1, 'tail pages look like their head');
  }
}

/** Struct pages that say another node than that of their memory: freed, they go to the wrong one. */
function checkNode(
  start: number,
  nrPages: number,
  pages: PageStates,
  banks: readonly RamBank[],
  findings: MemoryFindings,
): void {
  const { sizeBytes } = pages.page;
  for (const bank of banks) {
    const first = Math.max(start, bank.base / sizeBytes);
    const end = Math.min(start + nrPages, (bank.base + bank.sizeBytes) / sizeBytes);
    if (first >= end) continue;
    for (const run of pages.runs(first as Pfn, end as Pfn)) {
      if ((run.state.flags & PageFlag.free) !== 0 || run.state.nid === bank.nid) continue;
      noteWrong(findings, run.start, run.nrPages, `on node ${run.state.nid} in place of ${bank.nid}`);
    }
  }
}

/** What is wrong with a restored page; empty when nothing is. */
function wrongOf(flags: number, order: number, wantedOrder: number, refcount: number, wantedCount: number): string {
  if ((flags & PageFlag.reserved) !== 0) return 'PG_reserved set, as if it were not in use';
  if ((flags & PageFlag.initialised) === 0) return 'its struct page was never initialised';
  if (order !== wantedOrder) return `order ${order}, preserved with ${wantedOrder}`;
  return refcount === wantedCount ? '' : `reference count ${refcount} in place of ${wantedCount}`;
}

function noteWrong(findings: MemoryFindings, pfn: number, nrPages: number, wrong: string): void {
  if (wrong === '') return;
  if (findings.wrongStateDetail === '') findings.wrongStateDetail = wrong;
  findings.wrongState.add(pfn, nrPages);
}
