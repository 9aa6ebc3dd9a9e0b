import { PageFlag, type PageStates } from '../../kernel/mm/page-states.ts';
import {
  type Fill,
  fillUnderPage,
  generatePage,
  maybeSameBytes,
  type PageSize,
  type Pfn,
  type PhysicalMemory,
  physOf,
  type RamBank,
  sameFill,
} from '../../machine/index.ts';
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
 *   - that the struct pages of what is more than one page name the NUMA node that the memory is on;
 *   - in a kernel with larger pages, that what was restored is made of whole ones.
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
 * @param unit the page size in which the object's frames are counted: the kernel's own, or a smaller one.
 * @param pages undefined when there is no kernel left to ask (it fell over).
 * @param banks RAM as the kernel sees it: all on node 0 for one without NUMA.
 */
export function checkObject(
  object: ExpectedObject,
  unit: PageSize,
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
  checkContent(object, unit, starts, memory, findings);
  // A reserve_mem region is never restored: the kernel that revives it keeps it set aside, and hands it on.
  const keptAside = object.kind === 'reserve_mem' && !object.abandoned;
  if (pages !== undefined && !keptAside) {
    checkStates(object, memory.page.sizeBytes / unit.sizeBytes, starts, pages, banks, findings);
  }
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
  unit: PageSize,
  starts: Float64Array,
  memory: PhysicalMemory,
  findings: MemoryFindings,
): void {
  const { nrPagesEach } = object.blocks;
  const holds = new ContentCheck(object, unit, memory);
  for (let i = 0; i < starts.length; i++) {
    const start = starts[i] as number;
    if (nrPagesEach <= WHOLE_RANGE_PAGES) checkPages(object, holds, findings, start, nrPagesEach);
    else {
      const parts = ramParts(memory.banks, start, nrPagesEach, unit.sizeBytes);
      for (const [at, nrPages] of parts) checkPages(object, holds, findings, at, nrPages);
    }
  }
}

/** Compares frames with an object's content, in memory of pages of the same or another size. */
class ContentCheck {
  readonly #memory: PhysicalMemory;
  readonly #unit: PageSize;
  /** The object's fill as the memory would name it, and as it is in frames. */
  readonly #fill: Fill;
  readonly #unitFill: Fill;
  readonly #words: Uint32Array;

  constructor(object: ExpectedObject, unit: PageSize, memory: PhysicalMemory) {
    this.#memory = memory;
    this.#unit = unit;
    this.#fill = fillUnderPage(object.fill, object.page, memory.page);
    this.#unitFill = fillUnderPage(object.fill, object.page, unit);
    this.#words = new Uint32Array(unit.sizeBytes / 4);
  }

  /** @throws MachineFault outside RAM. */
  bytes(pfn: number, wanted: Uint8Array): boolean {
    return sameBytes(this.#memory.readBytes(physOf(this.#unit, pfn as Pfn), wanted.length), wanted);
  }

  /** @throws MachineFault outside RAM. */
  fill(pfn: number): boolean {
    const memory = this.#memory;
    if (memory.page === this.#unit) return memory.holdsFill(pfn as Pfn, this.#fill);
    const frame = Math.floor((pfn * this.#unit.sizeBytes) / memory.page.sizeBytes) as Pfn;
    const backing = memory.backing(frame);
    if (backing.kind === 'fill' && sameFill(backing.fill, this.#fill)) return true;
    if (backing.kind === 'fill' && !maybeSameBytes(backing.fill, this.#fill)) return false;
    generatePage(this.#unitFill, pfn, this.#words);
    return this.bytes(pfn, new Uint8Array(this.#words.buffer));
  }
}

function checkPages(
  object: ExpectedObject,
  content: ContentCheck,
  findings: MemoryFindings,
  start: number,
  nrPages: number,
): void {
  const zero = object.fill.kind === 'zero';
  for (let pfn = start; pfn < start + nrPages; pfn++) {
    const written = object.written.size > 0 ? object.written.get(pfn as Pfn) : undefined;
    if (written !== undefined) {
      if (!content.bytes(pfn, written)) findings.damaged.add(pfn, 1);
      continue;
    }
    if (!content.fill(pfn)) findings.damaged.add(pfn, 1);
    else if (zero) findings.untestedPages++;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** @param units frames that a page of the kernel is. */
function checkStates(
  object: ExpectedObject,
  units: number,
  starts: Float64Array,
  pages: PageStates,
  banks: readonly RamBank[],
  findings: MemoryFindings,
): void {
  const { nrPagesEach } = object.blocks;
  const restored = object.state === 'restored';
  for (let i = 0; i < starts.length; i++) {
    const start = starts[i] as number;
    if (nrPagesEach === 1 && units === 1) {
      checkSinglePage(start as Pfn, restored, pages, findings);
      continue;
    }
    const block = { start, nrPages: nrPagesEach, units };
    const partial = start % units !== 0 || nrPagesEach % units !== 0;
    for (const run of pages.runs(...framesOf(block))) {
      const { flags } = run.state;
      const [at, count] = unitsOf(block, run.start, run.nrPages);
      if ((flags & PageFlag.free) !== 0) findings.lost.add(at, count);
      else if ((flags & PageFlag.managed) === 0) findings.unrestored.add(at, count);
      else if (restored) {
        findings.restoredPages += count;
        if (partial) noteWrong(findings, at, count, `part of a page of ${pages.page.name}`);
      }
    }
    if (restored && !partial) checkRestoredBlock(object, block, pages, findings);
    checkNode(block, pages, banks, findings);
  }
}

/** A block, and how many of its frames a page of the kernel is. */
interface CheckedBlock {
  readonly start: number;
  readonly nrPages: number;
  readonly units: number;
}

/** The kernel's frames that a block lies in: first and end. */
function framesOf({ start, nrPages, units }: CheckedBlock): [Pfn, Pfn] {
  return [Math.floor(start / units) as Pfn, Math.ceil((start + nrPages) / units) as Pfn];
}

/** What of a block lies in some of the kernel's frames: first and number. */
function unitsOf({ start, nrPages, units }: CheckedBlock, first: number, count: number): readonly [number, number] {
  const at = Math.max(start, first * units);
  return [at, Math.min(start + nrPages, (first + count) * units) - at];
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

/** A block of whole pages of the kernel. */
function checkRestoredBlock(
  object: ExpectedObject,
  block: CheckedBlock,
  pages: PageStates,
  findings: MemoryFindings,
): void {
  const { units } = block;
  const ownOrder = object.order - Math.log2(units);
  const isFolio = ownOrder > 0;
  const [first, end] = framesOf(block);
  for (const run of pages.runs(first, end)) {
    const { refcount, order, flags } = run.state;
    if ((flags & (PageFlag.free | PageFlag.managed)) !== PageFlag.managed) continue;
    const isHead = run.start === first;
    const wantedCount = isFolio && !isHead ? 0 : 1;
    // The head of a folio differs from its tails, so it is a run of its own.
    const nrPages = isFolio && isHead ? 1 : run.nrPages;
    const wrong = wrongOf(flags, order, isFolio ? ownOrder : 0, refcount, wantedCount);
    noteWrong(findings, run.start * units, nrPages * units, wrong);
    if (nrPages < run.nrPages) {
      noteWrong(findings, (run.start + 1) * units, (run.nrPages - 1) * units, 'tail pages look like their head');
    }
  }
}

/** Struct pages that say another node than that of their memory: freed, they go to the wrong one. */
function checkNode(block: CheckedBlock, pages: PageStates, banks: readonly RamBank[], findings: MemoryFindings): void {
  const { sizeBytes } = pages.page;
  const [start, stop] = framesOf(block);
  for (const bank of banks) {
    const first = Math.max(start, bank.base / sizeBytes);
    const end = Math.min(stop, (bank.base + bank.sizeBytes) / sizeBytes);
    if (first >= end) continue;
    for (const run of pages.runs(first as Pfn, end as Pfn)) {
      if ((run.state.flags & PageFlag.free) !== 0 || run.state.nid === bank.nid) continue;
      const wrong = `on node ${run.state.nid} in place of ${bank.nid}`;
      noteWrong(findings, ...unitsOf(block, run.start, run.nrPages), wrong);
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
