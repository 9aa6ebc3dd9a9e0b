import type { KernelContext } from '../../kernel/context.ts';
import { PageFlag } from '../../kernel/mm/page-states.ts';
import {
  alignDown,
  alignUp,
  ctz,
  hex,
  ilog2,
  type Order,
  type Pfn,
  type RamBank,
  type Random,
} from '../../machine/index.ts';
import type { Blocks } from '../check/expected-object.ts';
import { ramParts } from '../check/ranges.ts';
import type { FoliosSpec, PagesSpec } from './schema.ts';

/*
 * Where a scenario's objects lie. A client gets its memory from the running kernel's page allocator, so that nobody else
 * is given it; a scenario that names an address gets the pages there, whoever has them: then it is the client's mistake
 * that it shows.
 */

/** What placing works with. */
export type PlacementContext = Pick<KernelContext, 'page' | 'memory' | 'pages' | 'allocator' | 'map' | 'control'>;

/** A step that cannot be done at this page size or on this machine: the caller adds file and line. */
export class ImpossibleStep extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = 'ImpossibleStep';
    this.hint = hint;
  }
}

/** Blocks with an owner, and which of their pages belonged to somebody else already. */
export interface Placed {
  readonly blocks: Blocks;
  readonly order: Order | -1;
  readonly notOwned: readonly Pfn[];
}

/** The order of a folio in a spec. @throws ImpossibleStep when this page size has none of that size. */
export function folioOrder(ctx: PlacementContext, spec: FoliosSpec): Order {
  const { page, allocator } = ctx;
  if (spec.size !== undefined && spec.size < page.sizeBytes) {
    throw new ImpossibleStep(
      `a folio of ${spec.size} bytes is smaller than a page of ${page.name}`,
      `size: ${page.name} or more`,
    );
  }
  const order = (spec.size === undefined ? (spec.order ?? 0) : ilog2(spec.size / page.sizeBytes)) as Order;
  if (order > allocator.maxPageOrder && spec.at === undefined) {
    throw new ImpossibleStep(
      `order ${order} is above MAX_PAGE_ORDER, ${allocator.maxPageOrder} at ${page.name}: the page allocator has no such folio`,
      'take a smaller one, raise MAX_PAGE_ORDER in config, or say at which address',
    );
  }
  return order;
}

/** Finds memory for folios. @returns undefined when there is not enough (-ENOMEM). @throws ImpossibleStep */
export function placeFolios(ctx: PlacementContext, spec: FoliosSpec, random: Random): Placed | undefined {
  const order = folioOrder(ctx, spec);
  const nrPagesEach = 2 ** order;
  const folioBytes = nrPagesEach * ctx.page.sizeBytes;
  const count = spec.count ?? (spec.total === undefined ? 1 : Math.ceil(spec.total / folioBytes));
  checkFits(ctx, count * nrPagesEach);
  const stride = spec.every === undefined ? nrPagesEach : strideOf(ctx, spec.every, nrPagesEach);
  const starts = new Float64Array(count);
  if (spec.at === undefined && spec.every === undefined) {
    for (let i = 0; i < count; i++) {
      const options = { compound: true, ...(spec.nid === undefined ? {} : { nid: spec.nid, thisNode: true }) };
      const pfn =
        spec.scatter === true
          ? ctx.allocator.allocScattered(random, order, options)
          : ctx.allocator.allocPages(order, options);
      if (pfn === undefined) {
        for (let k = 0; k < i; k++) ctx.allocator.freePages(starts[k] as Pfn, order);
        return undefined;
      }
      starts[i] = pfn;
    }
    return { blocks: { starts, nrPagesEach }, order, notOwned: [] };
  }
  const nrPages = (count - 1) * stride + nrPagesEach;
  const first = placeOf(ctx, spec, nrPages, nrPagesEach);
  if (first === undefined) return undefined;
  const notOwned: Pfn[] = [];
  for (let i = 0; i < count; i++) {
    starts[i] = first + i * stride;
    claim(ctx, first + i * stride, nrPagesEach, notOwned, true);
  }
  return { blocks: { starts, nrPagesEach }, order, notOwned };
}

/** More than all of RAM is no matter for the page allocator. @throws ImpossibleStep */
function checkFits(ctx: PlacementContext, nrPages: number): void {
  const ramPages = ctx.map.banks.reduce((sum, bank) => sum + bank.sizeBytes, 0) / ctx.page.sizeBytes;
  if (nrPages > ramPages) {
    throw new ImpossibleStep(
      `${nrPages} pages are more than the machine has: ${ramPages}`,
      'ask for less, or give it more memory',
    );
  }
}

function strideOf(ctx: PlacementContext, everyBytes: number, nrPagesEach: number): number {
  const stride = everyBytes / ctx.page.sizeBytes;
  if (!Number.isInteger(stride) || stride % nrPagesEach !== 0) {
    throw new ImpossibleStep(
      `a distance of ${hex(everyBytes)} bytes is no multiple of the folio`,
      `at ${ctx.page.name} pages`,
    );
  }
  return stride;
}

/**
 * Finds memory for a contiguous range; one at an address may span holes, which nobody owns. @returns undefined when there is no such range free.
 * @throws ImpossibleStep
 */
export function placePages(ctx: PlacementContext, spec: PagesSpec): Placed | undefined {
  const pageBytes = ctx.page.sizeBytes;
  const nrPages = spec.count ?? Math.ceil((spec.size ?? 0) / pageBytes);
  if (typeof spec.at !== 'number') checkFits(ctx, nrPages);
  const first = placeOf(ctx, spec, nrPages, 1);
  if (first === undefined) return undefined;
  const notOwned: Pfn[] = [];
  const parts = ramParts(ctx.memory.banks, first, nrPages, pageBytes);
  if (parts.reduce((sum, [, count]) => sum + count, 0) <= MAX_OWNED_PAGES) {
    for (const [at, count] of parts) claim(ctx, at, count, notOwned, false);
  }
  return { blocks: { starts: Float64Array.of(first), nrPagesEach: nrPages }, order: -1, notOwned };
}

/** Ranges with more RAM than this (4 TiB at 4K) are preserved without being allocated and filled: no memory is left for others anyway. */
export const MAX_OWNED_PAGES = 2 ** 30;

interface Place {
  readonly at?: number | 'scratch' | 'node-border' | undefined;
  readonly nid?: number | undefined;
}

function placeOf(ctx: PlacementContext, spec: Place, nrPages: number, alignPages: number): number | undefined {
  const { page, map } = ctx;
  if (spec.at === 'scratch') {
    const area = ctx.control.state.scratch.find((each) => each.sizeBytes >= nrPages * page.sizeBytes);
    if (area === undefined) throw new ImpossibleStep('no scratch area is that large');
    // Its lower end is where the next kernel's image goes.
    return alignUp(area.base / page.sizeBytes, alignPages);
  }
  if (spec.at === 'node-border') {
    const border = map.banks.find(
      (bank, i) => i > 0 && bank.nid !== map.banks[i - 1]?.nid && touches(map.banks[i - 1], bank),
    );
    if (border === undefined) throw new ImpossibleStep('no two nodes of this machine touch');
    return alignDown(border.base / page.sizeBytes - Math.floor(nrPages / 2), alignPages);
  }
  if (spec.at === undefined) return findFree(ctx, nrPages, alignPages, spec.nid);
  if (spec.at % page.sizeBytes !== 0) {
    throw new ImpossibleStep(`${hex(spec.at)} is not the start of a page`, `pages have ${page.name}`);
  }
  return spec.at / page.sizeBytes;
}

function touches(a: RamBank | undefined, b: RamBank): boolean {
  return a !== undefined && a.base + a.sizeBytes === b.base;
}

/** The lowest free range outside scratch, on one node if asked. */
function findFree(
  ctx: PlacementContext,
  nrPages: number,
  alignPages: number,
  nid: number | undefined,
): number | undefined {
  let start = -1;
  let end = -1;
  for (const span of ctx.pages.spans()) {
    for (const run of ctx.pages.runs(span.start, (span.start + span.nrPages) as Pfn)) {
      const { flags } = run.state;
      const usable =
        (flags & (PageFlag.free | PageFlag.cma)) === PageFlag.free && (nid === undefined || run.state.nid === nid);
      if (!usable) continue;
      if (run.start !== end) start = run.start;
      end = run.start + run.nrPages;
      const aligned = alignUp(start, alignPages);
      if (aligned + nrPages <= end) return aligned;
    }
  }
  return undefined;
}

/** Takes pages from the allocator, as few and large blocks as there are; names those that it did not have. */
function claim(ctx: PlacementContext, first: number, nrPages: number, notOwned: Pfn[], compound: boolean): void {
  const { allocator } = ctx;
  const end = first + nrPages;
  const options = { migratetype: 'movable', compound } as const;
  let at = first;
  while (at < end) {
    let order = Math.min(ctz(at), ilog2(end - at), allocator.maxPageOrder);
    while (order >= 0 && !allocator.allocSpecific(at as Pfn, order as Order, options)) order--;
    if (order < 0) {
      notOwned.push(at as Pfn);
      at++;
    } else at += 2 ** order;
  }
  if (compound && notOwned.length === 0 && nrPages > 2 ** allocator.maxPageOrder) {
    // A folio above MAX_PAGE_ORDER, as gigantic pages are: one compound page, put together of several blocks.
    ctx.pages.setCompound(first as Pfn, ilog2(nrPages) as Order);
  }
}

/** Gives an object's memory back, block by block. */
export function freeBlocks(ctx: PlacementContext, blocks: Blocks, order: Order | -1): void {
  for (let i = 0; i < blocks.starts.length; i++) {
    const start = blocks.starts[i] as number;
    if (order >= 0) {
      ctx.allocator.freePages(start as Pfn, order as Order);
      continue;
    }
    for (let at = start; at < start + blocks.nrPagesEach; ) {
      const part = Math.min(ctz(at), ilog2(start + blocks.nrPagesEach - at));
      ctx.allocator.freePages(at as Pfn, part as Order);
      at += 2 ** part;
    }
  }
}
