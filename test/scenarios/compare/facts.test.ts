import { describe, expect, test } from 'vitest';
import { isErrno } from '../../../kernel/errno.ts';
import {
  type Order,
  PAGE_4K,
  PAGE_16K,
  PAGE_64K,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
} from '../../../machine/index.ts';
import { bootBoard } from '../../../scenarios/compare/board.ts';
import { compareWorkload } from '../../../scenarios/compare/compare.ts';
import { measureTree, type TreeFigures } from '../../../scenarios/compare/measure-map.ts';
import { probeTree } from '../../../scenarios/compare/sweep.ts';
import { findWorkload } from '../../../scenarios/compare/workloads.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';

/*
 * What can be derived by hand from the formats: the runs must come to the same.
 */

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;

/** A kernel with a bank of 1 TiB that it does not use, at 1 TiB, preserved as `count` folios of one size. */
function preserveTib(page: PageSize, order: number): { readonly before: TreeFigures; readonly after: TreeFigures } {
  const banks = [
    [GIB, 2 * GIB],
    [TIB, TIB],
    [2 * TIB, 40 * GIB],
  ] as const;
  const kernel = bootBoard({ page, seed: 1, banks, cmdline: 'kho=on kho_scratch=512M,512M,512M' });
  const { context } = kernel;
  const measure = (): TreeFigures => {
    const root = kernel.outgoing?.finalize();
    if (root === undefined || isErrno(root)) throw new Error('no tree');
    const tree = measureTree(context.memory, page, context.release, root, { keys: false });
    if (tree === undefined) throw new Error('no tree');
    return tree;
  };
  const before = measure();
  const first = { pfn: (TIB / page.sizeBytes) as Pfn, order: order as Order };
  const result = kernel.enter(() => kernel.kernel.kho.preserveFolios(first, TIB / page.sizeBytes / 2 ** order));
  expect(result).toBe(0);
  return { before, after: measure() };
}

describe('one page', () => {
  const lone = compareWorkload(findWorkload('one-page'), PAGE_SIZES, { measureOnly: true });
  const row = (id: string) => lone.columns.map((column) => lone.rows.find((each) => each.id === id)?.values[column]);

  test('takes a whole path of the tree: 24, 80 and 256 KiB', () => {
    expect(row('tree-bytes')).toEqual([24 * KIB, 80 * KIB, 256 * KIB]);
  });

  test('shows the numbers of each tree', () => {
    expect(row('key-width')).toEqual([53, 51, 49]);
    expect(row('bits-per-table')).toEqual([9, 11, 13]);
    expect(row('bits-per-leaf')).toEqual([15, 17, 19]);
    expect(row('tree-depth')).toEqual([6, 5, 4]);
    expect(row('tree-nodes')).toEqual([6, 5, 4]);
  });

  test('is walked by reading every slot of every table, and every word of the leaf', () => {
    expect(row('walk-slots')).toEqual([5 * 512, 4 * 2048, 3 * 8192]);
    expect(row('walk-words')).toEqual([512, 2048, 8192]);
  });

  test('crosses with two pages of KHO itself: the root FDT and the metadata', () => {
    expect(row('keys')).toEqual([3, 3, 3]);
    expect(row('client-pages')).toEqual([2, 2, 2]);
    expect(row('bytes-over-preserved')).toEqual(PAGE_SIZES.map((page) => 2 * page.sizeBytes));
    expect(row('rounding-bytes')).toEqual([0, 0, 0]);
  });

  test('needs scratch that is a multiple of the largest block: 4, 32, 512 MiB', () => {
    expect(row('scratch-alignment')).toEqual([4 * MIB, 32 * MIB, 512 * MIB]);
    for (const [i, bytes] of row('scratch-bytes').entries()) {
      expect((bytes as number) % (row('scratch-alignment')[i] as number)).toBe(0);
      expect(bytes).toBeGreaterThan(0);
    }
  });
});

describe('1 TiB at 4K', () => {
  test('of single pages takes 8192 leaves and the tables above them: 33.6 MB', () => {
    const { before, after } = preserveTib(PAGE_4K, 0);
    // 2^28 keys in leaves of 2^15, in tables of 2^9; two levels above these are shared with what the kernel has preserved.
    expect(after.nodesPerLevel.map((nodes, level) => nodes - (before.nodesPerLevel[level] as number))).toEqual([
      8192, 16, 0, 0, 0, 0,
    ]);
    expect(after.bytes / 1e6).toBeCloseTo(33.6, 1);
  });

  test('of order-9 folios takes 21 pages: 84 KiB', () => {
    const { before, after } = preserveTib(PAGE_4K, 9);
    // The tree of these folios alone has a root too: that is the one page shared with what was there.
    const own = after.nodes - before.nodes;
    expect((own + 1) * 4 * KIB).toBe(84 * KIB);
  });
});

describe('bookkeeping', () => {
  test('of ten sessions with a file of 20 KiB each: rounding, and an array and a chunk for each file', () => {
    const sessions = Array.from(
      { length: 10 },
      (_, i) => `  - session: { name: s${i}, files: [{ token: 1, memfd: 20K }] }`,
    );
    const text = `name: ten\nmachine: { memory: 8G }\nsteps:\n${sessions.join('\n')}\n  - kexec\n`;
    const scenario = parseScenario(text, 'ten.yaml');
    const result = compareWorkload({ kind: 'scenario', name: 'ten', scenario }, PAGE_SIZES, { measureOnly: true });
    const row = (id: string) => PAGE_SIZES.map((page) => result.rows.find((each) => each.id === id)?.values[page.name]);
    expect(row('asked-bytes')).toEqual([200 * KIB, 200 * KIB, 200 * KIB]);
    // 20 KiB are five pages of 4K, two of 16K (32 KiB), one of 64K.
    expect(row('rounding-bytes')).toEqual([0, 120 * KIB, 440 * KIB]);
    expect(row('client-array-pages')).toEqual([10, 10, 10]);
    expect(row('client-chunk-pages')).toEqual([10, 10, 10]);
    // A block of sessions, and one of files for each session.
    expect(row('client-block-pages')).toEqual([11, 11, 11]);
  });
});

test.each([
  [PAGE_4K, 128 * MIB],
  [PAGE_16K, 2 * GIB],
  [PAGE_64K, 32 * GIB],
] as const)('a leaf of $name pages reaches as far as its bits do, asked of the tree itself', (page, reach) => {
  const banks = [[GIB, 4 * GIB]] as const;
  const kernel = bootBoard({ page, seed: 1, banks });
  expect(probeTree(kernel, page).leafCoversBytes).toBe(reach);
});
