import { MEMBLOCK_KHO_SCRATCH, MEMBLOCK_RSRV_NOINIT } from '../../../machine/memblock/flags.ts';
import { Memblock, type MemblockVersion } from '../../../machine/memblock/memblock.ts';
import type { RegionTable } from '../../../machine/memblock/region-table.ts';
import { PAGE_4K } from '../../../machine/page-size.ts';
import type { PageMark } from './naive.ts';

/*
 * Every state of a machine of eight pages that a few operations reach, against an array of marks.
 */

const SMALL = 8;

/** All ranges of these lengths among eight pages. */
const SMALL_RANGES = [1, 2, 4, 8].flatMap((count) =>
  Array.from({ length: SMALL - count + 1 }, (_, start) => ({ start, count })),
);

export interface SmallOperation {
  readonly name: string;
  real(memblock: Memblock, base: number, bytes: number): void;
  naive(pages: (PageMark | undefined)[], start: number, count: number): void;
}

function change(
  pages: (PageMark | undefined)[],
  start: number,
  count: number,
  to: (mark: PageMark | undefined) => PageMark | undefined,
): void {
  for (let i = start; i < start + count; i++) pages[i] = to(pages[i]);
}

export const ON_RESERVED: readonly SmallOperation[] = [
  {
    name: 'reserve',
    real: (m, base, bytes) => m.reserve(base, bytes),
    naive: (pages, start, count) => change(pages, start, count, (mark) => mark ?? { flags: 0, nid: -1 }),
  },
  {
    name: 'free',
    real: (m, base, bytes) => m.free(base, bytes),
    naive: (pages, start, count) => change(pages, start, count, () => undefined),
  },
  {
    name: 'noinit',
    real: (m, base, bytes) => m.reservedMarkNoinit(base, bytes),
    naive: (pages, start, count) =>
      change(pages, start, count, (mark) => mark && { ...mark, flags: mark.flags | MEMBLOCK_RSRV_NOINIT }),
  },
];

export const ON_MEMORY: readonly SmallOperation[] = [
  ...[0, 1].map((nid) => ({
    name: `add on node ${nid}`,
    real: (m: Memblock, base: number, bytes: number) => m.addNode(base, bytes, nid),
    naive: (pages: (PageMark | undefined)[], start: number, count: number) =>
      change(pages, start, count, (mark) => mark ?? { flags: 0, nid }),
  })),
  {
    name: 'remove',
    real: (m, base, bytes) => m.remove(base, bytes),
    naive: (pages, start, count) => change(pages, start, count, () => undefined),
  },
  {
    name: 'scratch',
    real: (m, base, bytes) => m.markKhoScratch(base, bytes),
    naive: (pages, start, count) =>
      change(pages, start, count, (mark) => mark && { ...mark, flags: mark.flags | MEMBLOCK_KHO_SCRATCH }),
  },
];

/** The pages of a table as text, and whether its regions are as few as can be. */
function pagesOf(table: RegionTable, unit: number): string {
  const pages: string[] = new Array(SMALL).fill('.');
  let last = '';
  let lastEnd = -1;
  for (const { base, end, flags, nid } of table) {
    const mark = `${flags}:${nid}`;
    if (base === lastEnd && mark === last) return 'not merged';
    if (base < lastEnd) return 'overlapping';
    pages.fill(mark, base / unit, end / unit);
    last = mark;
    lastEnd = end;
  }
  return pages.join(' ');
}

function nameOf(pages: readonly (PageMark | undefined)[]): string {
  return pages.map((mark) => (mark === undefined ? '.' : `${mark.flags}:${mark.nid}`)).join(' ');
}

/**
 * Breadth first from the empty table over distinct states.
 * @returns how many new ones each depth has, the empty one first.
 * @throws Error for a state that differs from the naive one.
 */
export function explore(
  tableName: 'memory' | 'reserved',
  operations: readonly SmallOperation[],
  depth: number,
): readonly number[] {
  const memblock = new Memblock({ page: PAGE_4K });
  const unit = PAGE_4K.sizeBytes;
  const table = memblock[tableName];
  const start: (PageMark | undefined)[] = new Array(SMALL).fill(undefined);
  const seen = new Set([nameOf(start)]);
  let frontier: { version: MemblockVersion; pages: (PageMark | undefined)[] }[] = [
    { version: memblock.mark(), pages: start },
  ];
  const counts = [1];
  for (let level = 0; level < depth; level++) {
    const next: typeof frontier = [];
    for (const state of frontier) {
      for (const operation of operations) {
        for (const range of SMALL_RANGES) {
          const pages = state.pages.slice();
          operation.naive(pages, range.start, range.count);
          memblock.restore(state.version);
          operation.real(memblock, range.start * unit, range.count * unit);
          const name = nameOf(pages);
          const found = pagesOf(table, unit);
          if (found !== name) {
            throw new Error(`${operation.name} ${range.start}+${range.count} on ${nameOf(state.pages)}: ${found}`);
          }
          if (seen.has(name)) continue;
          seen.add(name);
          next.push({ version: memblock.mark(), pages });
        }
      }
    }
    counts.push(next.length);
    frontier = next;
  }
  return counts;
}
