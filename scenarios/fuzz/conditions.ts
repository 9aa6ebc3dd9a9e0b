import { ctz, ilog2 } from '../../machine/index.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { type Intervals, subtract, union } from '../handover/intervals.ts';
import { bitmapBytesOf } from '../inspect/chunk-list-map.ts';
import {
  type ClientSymptom,
  type Evidence,
  intersect,
  type Jump,
  type PageSymptom,
  pagesOf,
  type StepSymptom,
  type Symptom,
} from './evidence.ts';
import { rangesOf } from './reader.ts';

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

/** The pages of a client at a jump that it made; what LUO writes about a session is the kernel's, and all sessions need it. */
function belongingsIn({ belongings, kernelPages }: Jump, { client, name }: ClientSymptom): Intervals {
  const own = (client === 'subtree' ? belongings.subtrees : belongings.sessions).get(name);
  if (own === undefined) return NONE;
  return union([...own, ...(client === 'subtree' ? belongings.rootFdt : kernelPages)]);
}

/** Whether a client lacks something because pages of its own, at a jump that it made, are among those that were struck. */
export function strikesClient(evidence: Evidence, symptom: Symptom, struck: (jump: Jump) => Intervals): boolean {
  if (symptom.kind !== 'client') return false;
  return jumpsBefore(evidence, symptom).some((jump) => {
    const own = belongingsIn(jump, symptom);
    return own.length > 0 && intersect(own, struck(jump)).length > 0;
  });
}

/** Pages of an object that came to harm because pages were struck at a jump: whole blocks; all of an area without its description. */
export function strikesObject(evidence: Evidence, symptom: PageSymptom, struck: (jump: Jump) => Intervals): Intervals {
  const { object } = symptom;
  return overJumps(evidence, symptom, (jump, pages) => {
    const hit = struck(jump);
    if (hit.length === 0) return NONE;
    const { areas, rootFdt } = jump.belongings;
    const description = areas.get(object.name);
    if (description !== undefined && [description, rootFdt].some((each) => intersect(each, hit).length > 0)) {
      return pages;
    }
    return wholeBlocks(object, intersect(pages, hit));
  });
}

/** Scratch that the page allocator of the kernel of this number gives out: its deferred initialisation lost the CMA mark. */
export function lostCma({ lostCma: lost }: Evidence, kernel: number): Intervals {
  return lost.get(kernel) ?? NONE;
}

/** The union over the jumps that an object made, of what each spoilt of it. */
export function overJumps(
  evidence: Evidence,
  symptom: PageSymptom,
  spoilt: (jump: Jump, pages: Intervals) => Intervals,
): Intervals {
  const pages = pagesOf(symptom.object);
  const all = jumpsBefore(evidence, symptom).filter((jump) => crossedIn(jump, symptom.object));
  const parts = all.map((jump) => spoilt(jump, pages)).filter((part) => part.length > 0);
  return parts.length > 1 ? union(parts.flat()) : (parts[0] ?? NONE);
}

/** The blocks of an object that touch some pages, as a whole. */
export function wholeBlocks({ blocks }: ExpectedObject, touched: Intervals): Intervals {
  const { nrPagesEach } = blocks;
  if (touched.length === 0 || nrPagesEach === 1) return touched;
  const out: (readonly [number, number])[] = [];
  let at = 0;
  for (const start of blocks.starts.slice().sort()) {
    while (at < touched.length && (touched[at] as readonly [number, number])[1] <= start) at++;
    const range = touched[at];
    if (range === undefined) break;
    if (range[0] < start + nrPagesEach) out.push([start, start + nrPagesEach]);
  }
  return union(out);
}

/** Blocks that overlap others of another order, each with all that hangs together. */
export function overlappingBlocks({ read }: Jump): Intervals {
  const sorted = [...read].sort((a, b) => a.start - b.start || b.order - a.order);
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

/** Pages that an object had together with another, up to a kernel, and neither of them was freed; or took from somebody. */
export function sharedPages({ foreign, shared, freed }: Evidence, { object, kernel }: PageSymptom): Intervals {
  const pages = shared.filter(
    (each) => each.object === object && each.kernel <= kernel && !freed.has(each.other) && !freed.has(object),
  );
  return union([...pages.flatMap((each) => [...each.pages]), ...(foreign.get(object) ?? NONE)]);
}

/** Pages of an object that was freed while it was preserved, or that it has together with one that was. */
export function freedPages({ shared, freed }: Evidence, { object, kernel }: PageSymptom): Intervals {
  if ((freed.get(object) ?? Number.POSITIVE_INFINITY) <= kernel) return pagesOf(object);
  const pages = shared.filter((each) => each.object === object && each.kernel <= kernel && freed.has(each.other));
  return union(pages.flatMap((each) => [...each.pages]));
}

/** Pages that were freed before a jump, and are preserved all the same. */
export function freedBefore({ freed }: Evidence, jump: Jump): Intervals {
  return union([...freed].flatMap(([object, kernel]) => (kernel < jump.to ? [...pagesOf(object)] : [])));
}

/** Whether pages that were freed while they were preserved had two owners in the kernel of a symptom, or in the one before it. */
export function followsFreed({ freed, jumps }: Evidence, { kernel }: Symptom): boolean {
  return [...freed].some(
    ([object, by]) =>
      (by <= kernel && kernel <= by + 1) || jumps.some((jump) => jump.to <= kernel && crossedIn(jump, object)),
  );
}

/** Pages that clients took from others in the kernel before a jump, or asked back in the one behind it. */
export function takenFromOthers({ foreign, wrongRestores }: Evidence, jump: Jump): Intervals {
  return union([
    ...[...foreign.values()].flatMap((pages) => [...pages]),
    ...wrongRestores.filter(({ kernel }) => kernel === jump.to).flatMap(({ pages }) => [...pages]),
  ]);
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

/**
 * Whether every block of a restored object begins where another's waited to be asked back: struct page says that a block
 * came with the handover, and of what order, but not whose it is.
 */
export function takesWhatWaits({ object, waiting }: StepSymptom): boolean {
  const [first = 0] = object.blocks.starts;
  const starts = isRange(object)
    ? [...restoreBlocks(first, object.blocks.nrPagesEach)].map(({ start }) => start)
    : [...object.blocks.starts];
  return subtract(union(starts.map((pfn) => [pfn, pfn + 1] as const)), waiting).length === 0;
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

/** A jump between releases that agree in the string and differ in the size of a bitmap: how the reader takes it. */
export function bitmapsRead({ page }: Evidence, { old, next, outcome }: Jump): 'alike' | 'too-small' | 'too-large' {
  if (old.map.format !== 'chunk-list' || next.map.format !== 'chunk-list' || outcome === 'cold-boot') return 'alike';
  const written = bitmapBytesOf(old.map, page);
  const read = bitmapBytesOf(next.map, page);
  if (written === read) return 'alike';
  return written > read ? 'too-small' : 'too-large';
}

/** Whether the new kernel falls over what it reads: where the walk itself does, or where there is no memory. */
export function fallsOverMap({ state, page }: Evidence, { read, readerFalls }: Jump): boolean {
  if (readerFalls) return true;
  const { sizeBytes } = page;
  const ram = state.machine.map.banks.map((bank) => {
    return [bank.base / sizeBytes, (bank.base + bank.sizeBytes) / sizeBytes] as const;
  });
  return subtract(rangesOf(read), union(ram)).length > 0;
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

/** All frames but some. */
export function allBut(ranges: Intervals): Intervals {
  return subtract([[0, 2 ** 53]], ranges);
}

/** Whether a finalisation before a jump failed, and forgot what was preserved. */
export function forgotAll({ old, refusals }: Jump): boolean {
  return old.quirks.abortForgetsAll && refusals.length > 0;
}

/** Frames whose struct pages the new kernel of a jump initialises late, so that what the walk noted there is nothing. */
export function losesDeferred({ next, late, outcome }: Jump): Intervals {
  return next.quirks.initialisesDeferredPages || outcome === 'cold-boot' ? NONE : late;
}

/** Whether a jump took over a handover whose map was never written. */
export function neverFinalised({ old, next, outcome }: Jump): boolean {
  return old.quirks.finalize === 'before-jump' && !next.quirks.populateChecksMap && outcome === 'handover';
}
