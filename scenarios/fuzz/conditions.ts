import type { Release } from '../../kernel/release.ts';
import { ctz, ilog2 } from '../../machine/index.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { type Intervals, subtract, union } from '../handover/intervals.ts';
import { type Evidence, intersect, type Jump, type PageSymptom, pagesOf, type Symptom } from './evidence.ts';

/*
 * Questions about a run that known bugs ask of its evidence: what a jump carried, in which kernel, and what of it an object
 * has.
 */

/** No pages. */
export const NONE: Intervals = [];

/** Jumps whose consequences may show in the kernel of a symptom. */
export function jumpsBefore({ jumps }: Evidence, { kernel }: Symptom): readonly Jump[] {
  return jumps.filter(({ to }) => to <= kernel);
}

/** Whether an object made a jump. */
export function crossedIn(jump: Jump, object: ExpectedObject): boolean {
  return jump.crossed.some((each) => each.object === object);
}

/**
 * Whether a symptom is a subtree's whose blob lies in pages of an object. That need not have crossed: unpreserving it
 * unpreserves the blob that came into its place.
 */
export function ownsBlobOf({ page, state }: Evidence, symptom: Symptom, object: ExpectedObject): boolean {
  if (symptom.kind !== 'client' || symptom.client !== 'subtree') return false;
  const phys = state.subtrees.get(symptom.name)?.phys;
  if (phys === undefined) return false;
  const pfn = Math.floor(phys / page.sizeBytes);
  return intersect(pagesOf(object), [[pfn, pfn + 1]]).length > 0;
}

/** Whether the page allocator of the kernel of this number gives out scratch: its deferred initialisation lost the CMA mark. */
export function forgotCma({ state }: Evidence, kernel: number): boolean {
  const { context } = state.kernels[kernel - 1]?.kernel ?? {};
  return (
    context?.kho.isKhoBoot === true &&
    context.config.DEFERRED_STRUCT_PAGE_INIT &&
    context.release.quirks.deferredInitForgetsCma
  );
}

/** Whether the bitmaps and chunks of a jump may have come from scratch, which the next kernel overwrites before it reads. */
export function mayHaveMapInScratch(evidence: Evidence, jump: Jump): boolean {
  return jump.old.map.format === 'chunk-list' && forgotCma(evidence, jump.to - 1);
}

/** The union over the jumps that an object made, of what each spoilt of it. */
export function overJumps(
  evidence: Evidence,
  symptom: PageSymptom,
  spoilt: (jump: Jump, pages: Intervals) => Intervals,
): Intervals {
  const pages = pagesOf(symptom.object);
  const all = jumpsBefore(evidence, symptom).filter((jump) => crossedIn(jump, symptom.object));
  return union(all.flatMap((jump) => [...spoilt(jump, pages)]));
}

/** The blocks of an object that touch some pages, as a whole. */
export function wholeBlocks({ blocks }: ExpectedObject, touched: Intervals): Intervals {
  const { starts, nrPagesEach } = blocks;
  if (touched.length === 0) return NONE;
  const out: (readonly [number, number])[] = [];
  let at = 0;
  for (const start of [...starts].sort((a, b) => a - b)) {
    while (at < touched.length && (touched[at] as readonly [number, number])[1] <= start) at++;
    const range = touched[at];
    if (range === undefined) break;
    if (range[0] < start + nrPagesEach) out.push([start, start + nrPagesEach]);
  }
  return union(out);
}

/** Blocks that overlap others of another order, each with all that hangs together. */
export function overlappingBlocks({ blocks }: Jump): Intervals {
  const sorted = [...blocks].sort((a, b) => a.start - b.start || b.order - a.order);
  const out: [number, number][] = [];
  let from = 0;
  let end = -1;
  let isMixed = false;
  const close = () => {
    if (isMixed) out.push([from, end]);
  };
  for (const { start, order } of sorted) {
    if (start >= end) {
      close();
      [from, end, isMixed] = [start, start + 2 ** order, false];
      continue;
    }
    isMixed = true;
    end = Math.max(end, start + 2 ** order);
  }
  close();
  return union(out);
}

/** Pages that an object has together with another, or took from somebody. */
export function sharedPages({ foreign, state }: Evidence, object: ExpectedObject): Intervals {
  const pages = pagesOf(object);
  const shared = [...state.objects.objects.values()]
    .filter((other) => other !== object)
    .flatMap((other) => [...intersect(pages, pagesOf(other))]);
  const taken = [...foreign.values()].flatMap((ranges) => [...intersect(pages, ranges)]);
  return union([...shared, ...taken]);
}

/** Whether a client asked, in the kernel of this number, for pages that others had handed over to it. */
export function tookFromOthers({ jumps, wrongRestores }: Evidence, kernel: number): boolean {
  const jump = jumps.find(({ to }) => to === kernel);
  return wrongRestores.some(
    (each) => each.kernel === kernel && intersect(jump?.recorded ?? NONE, each.pages).length > 0,
  );
}

/** The blocks that restoring a range looks at: the largest that is aligned and fits, whatever lies in between. */
function* restoreBlocks(start: number, nrPages: number): Generator<{ start: number; order: number }> {
  const end = start + nrPages;
  for (let at = start; at < end; ) {
    const order = Math.min(ctz(at), ilog2(end - at));
    yield { start: at, order };
    at += 2 ** order;
  }
}

/** Whether an object was preserved as a range of pages, not as folios. */
export function isRange({ kind, order }: ExpectedObject): boolean {
  return kind === 'pages' && order === -1;
}

/** The blocks in which a range is preserved, those of some property. */
export function rangeBlocks(
  object: ExpectedObject,
  where: (block: { start: number; order: number }) => boolean,
): Intervals {
  if (!isRange(object)) return NONE;
  const [start] = object.blocks.starts;
  if (start === undefined) return NONE;
  const blocks = [...restoreBlocks(start, object.blocks.nrPagesEach)].filter(where);
  return union(blocks.map((block) => [block.start, block.start + 2 ** block.order] as const));
}

/** Blocks that a jump carried and that have some property. */
export function blocksWhere({ blocks }: Jump, where: (order: number) => boolean): Intervals {
  const chosen = blocks.filter(({ order }) => where(order));
  return union(chosen.map(({ start, order }) => [start, start + 2 ** order] as const));
}

/** The lists of 6.16 to 7.0: how many blocks one bitmap stands for. */
function bitsOf({ map }: Release, pageBytes: number): number | undefined {
  if (map.format !== 'chunk-list') return undefined;
  return 8 * (map.bitmap.sizeBytes === 'PAGE_SIZE' ? pageBytes : Number(map.bitmap.sizeBytes));
}

/** A jump between releases that agree in the string and differ in the size of a bitmap. */
export function bitmapsDiffer(
  jump: Jump,
  pageBytes: number,
): { readonly written: number; readonly read: number } | undefined {
  const written = bitsOf(jump.old, pageBytes);
  const read = bitsOf(jump.next, pageBytes);
  if (written === undefined || read === undefined || written === read || jump.outcome === 'cold-boot') return undefined;
  return { written, read };
}

/** Blocks whose bits lie behind what a reader of small bitmaps reads of a large one. */
export function beyondSmallBitmap({ blocks }: Jump, { written, read }: { written: number; read: number }): Intervals {
  const lost = blocks.filter(({ start, order }) => Math.floor(start / 2 ** order) % written >= read);
  return union(lost.map(({ start, order }) => [start, start + 2 ** order] as const));
}

/** The map of 7.1-rc5 and of the merge window before it. */
const MISSING_LEVEL_MAP = 'radix-v2';

/** Whether a jump had the tree with one level too few on one side of it, and pages of 16K. */
export function missesLevel({ page }: Evidence, { old, next, outcome }: Jump): boolean {
  const missing = old.map.name === MISSING_LEVEL_MAP || next.map.name === MISSING_LEVEL_MAP;
  return page.name === '16K' && missing && outcome !== 'cold-boot';
}

/** Whether memblock said that its array cannot grow. */
function ranOutOfRegions({ log }: Jump): boolean {
  return log.some((line) => line.includes('Failed to double reserved array'));
}

/** What a jump carried and memblock has no region for. */
export function unreserved(jump: Jump): Intervals {
  return ranOutOfRegions(jump) ? subtract(jump.recorded, jump.reserved) : NONE;
}

/** Blocks from this size on do not fit into an int. */
const LARGE_BLOCK_BYTES = 2 ** 31;

/** Blocks of a jump that are too large for an int. */
export function tooLarge(evidence: Evidence, jump: Jump): Intervals {
  if (!jump.next.quirks.retrieveSizeIsInt || jump.outcome === 'cold-boot') return NONE;
  // There the map itself says nonsense.
  if (missesLevel(evidence, jump)) return NONE;
  return blocksWhere(jump, (order) => 2 ** order * evidence.page.sizeBytes >= LARGE_BLOCK_BYTES);
}

/** Whether a finalisation before a jump failed, and forgot what was preserved. */
export function forgotAll({ old, refusals }: Jump): boolean {
  return old.quirks.abortForgetsAll && refusals.length > 0;
}

/** Whether small bitmaps were read as large ones. */
export function readsLarge({ page }: Evidence, jump: Jump): boolean {
  const sizes = bitmapsDiffer(jump, page.sizeBytes);
  return sizes !== undefined && sizes.written < sizes.read;
}

/** Whether the new kernel of a jump initialises struct pages late, and forgets. */
export function losesDeferred({ next, config, outcome }: Jump): boolean {
  return config.DEFERRED_STRUCT_PAGE_INIT === true && !next.quirks.initialisesDeferredPages && outcome !== 'cold-boot';
}

/** Whether a jump took over a handover whose map was never written. */
export function neverFinalised({ old, next, outcome }: Jump): boolean {
  return old.quirks.finalize === 'before-jump' && !next.quirks.populateChecksMap && outcome === 'handover';
}
