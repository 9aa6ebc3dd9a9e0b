import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENOMEM } from '../../../kernel/errno.ts';
import { radixGeometry } from '../../../kernel/kho/geometry.ts';
import { radixStats } from '../../../kernel/kho/radix-stats.ts';
import { RadixTree, type RadixTreeOptions } from '../../../kernel/kho/radix-tree.ts';
import {
  type Order,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  PhysicalMemory,
  physAddr,
  physOf,
} from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

const TIB = 2 ** 40;

function makeTree(page: PageSize, failAfter = Number.POSITIVE_INFINITY, options: RadixTreeOptions = {}) {
  const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: 16 * TIB, nid: 0 }]);
  const alloc = new BumpAllocator(memory, 0x4000_0000);
  const tree = new RadixTree(memory, radixGeometry(page), alloc, options);
  expect(tree.init()).toBe(0);
  alloc.failAfter = failAfter;
  return { memory, alloc, tree };
}

/** Every byte that a tree wrote, by address. */
function contents(memory: PhysicalMemory): [number, string][] {
  return [...memory.writtenPages()].map((pfn) => {
    const words = memory.pageWords(pfn);
    return [pfn, `${words.length}:${words.reduce((sum, word, i) => (Math.imul(sum, 31) + word * (i + 1)) | 0, 0)}`];
  });
}

describe.each(PAGE_SIZES)('runs of blocks of $name pages', (page) => {
  const leafKeys = page.sizeBytes * 8;

  test('are preserved to the same bytes and results as block by block, short of memory too', () => {
    const run = fc.record({
      order: fc.oneof(fc.nat(3), fc.integer({ min: 8, max: 13 })),
      // Often close to the end of a leaf, or of a word.
      at: fc.oneof(
        fc.nat(80),
        fc.integer({ min: leafKeys - 70, max: leafKeys + 70 }),
        fc.nat(2 ** 10).map((i) => i * leafKeys - 1),
      ),
      count: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 1, max: 2000 })),
    });
    fc.assert(
      fc.property(fc.array(run, { minLength: 1, maxLength: 5 }), fc.integer({ min: 0, max: 30 }), (runs, nrNodes) => {
        const bulk = makeTree(page, nrNodes);
        const single = makeTree(page, nrNodes);
        for (const { order, at, count } of runs) {
          const pfn = Math.max(at, 0) * 2 ** order;
          let expected = 0;
          for (let i = 0; i < count && expected === 0; i++) {
            expected = single.tree.preserve((pfn + i * 2 ** order) as Pfn, order as Order);
          }
          expect(bulk.tree.preserveRun(pfn as Pfn, order as Order, count)).toBe(expected);
        }
        expect(radixStats(bulk.tree)).toEqual(radixStats(single.tree));
        expect(contents(bulk.memory)).toEqual(contents(single.memory));
      }),
      { numRuns: 20, seed: 7 },
    );
  });

  test('fill two leaves to the last bit, and can be taken back one by one', () => {
    const { tree } = makeTree(page);
    const nrLeaves = 2;
    expect(tree.preserveRun(0 as Pfn, 0 as Order, nrLeaves * leafKeys)).toBe(0);
    expect(radixStats(tree)).toMatchObject({ keys: nrLeaves * leafKeys });
    expect(radixStats(tree).nodesPerLevel[0]).toBe(nrLeaves);
    tree.unpreserve(5 as Pfn, 0 as Order);
    expect(radixStats(tree).keys).toBe(nrLeaves * leafKeys - 1);
  });

  test('go on across keys of 32 bits, and are walked as runs: the keys of a plain walk', () => {
    const { tree } = makeTree(page);
    const starts = [3, 40, leafKeys - 33, 2 ** 32 - 70];
    for (const start of starts) expect(tree.addKeyRun(start, 0, 130)).toBe(0);
    expect(tree.addKeyRun(7, 5, 1)).toBe(0);
    const plain: number[] = [];
    tree.walk({
      leaf: (lo, hi) => {
        plain.push(hi * 2 ** 32 + lo);
        return 0;
      },
    });
    const inRuns: number[] = [];
    let calls = 0;
    tree.walk({
      run: (lo, hi, count) => {
        calls++;
        for (let i = 0; i < count; i++) inRuns.push(hi * 2 ** 32 + lo + i);
        return 0;
      },
    });
    const expected = [...new Set(starts.flatMap((start) => Array.from({ length: 130 }, (_, i) => start + i)))];
    expect(plain).toEqual([...expected.sort((a, b) => a - b), 5 * 2 ** 32 + 7]);
    expect(inRuns).toEqual(plain);
    expect(calls).toBeLessThan(plain.length / 2);
    expect(tree.walk({ run: (lo) => (lo > 64 ? -5 : 0) })).toBe(-5);
  });

  test.each([{ nrNodes: 100 }, { nrNodes: 9 }, { nrNodes: 0 }])(
    'fill leaves without cost where that is wanted: the same keys and errors, $nrNodes pages of memory',
    ({ nrNodes }) => {
      const plain = makeTree(page, nrNodes);
      const cheap = makeTree(page, nrNodes, { fullLeavesAsFill: true });
      for (const [start, count] of [
        [leafKeys - 5, 3 * leafKeys],
        [2 * leafKeys, leafKeys],
        [2 ** 32 - leafKeys, 2 * leafKeys],
        [2 * leafKeys + 9, 1],
      ] as const) {
        expect(cheap.tree.addKeyRun(start, 0, count)).toBe(plain.tree.addKeyRun(start, 0, count));
      }
      expect(radixStats(cheap.tree)).toEqual(radixStats(plain.tree));
      const written = ({ memory }: ReturnType<typeof makeTree>) => [...memory.writtenPages()].length;
      // Four leaves are full; the key that is added last has one of them written after all.
      if (nrNodes === 100) expect(written(cheap)).toBe(written(plain) - 3);
      expect(cheap.tree.addKeyRun(leafKeys, 2 ** 24, leafKeys)).toBe(plain.tree.addKeyRun(leafKeys, 2 ** 24, leafKeys));
    },
  );

  test('stop at the first block that finds no memory for its leaf', () => {
    const { tree } = makeTree(page, radixGeometry(page).depth - 1);
    expect(tree.preserveRun(0 as Pfn, 0 as Order, 2 * leafKeys)).toBe(ENOMEM);
    let last = -1;
    tree.forEach((lo, hi) => {
      last = hi * 2 ** 32 + lo;
    });
    expect(last).toBe(physOf(page, (leafKeys - 1) as Pfn));
  });
});
