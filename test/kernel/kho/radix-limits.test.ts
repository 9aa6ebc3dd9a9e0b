import { describe, expect, test } from 'vitest';
import { EINVAL } from '../../../kernel/errno.ts';
import { radixGeometry } from '../../../kernel/kho/geometry.ts';
import { radixStats } from '../../../kernel/kho/radix-stats.ts';
import { RadixTree, type RadixTreeOptions } from '../../../kernel/kho/radix-tree.ts';
import { bigOf } from '../../../kernel/kho/u64.ts';
import { type Order, PAGE_SIZES, type Pfn, PhysicalMemory, pfnOf, physAddr } from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

const GIB = 2 ** 30;

// Small trees: what goes wrong here is seen at once, also where each step is slow.
describe.each(PAGE_SIZES)('a tree of one or two leaves of $name pages', (page) => {
  const geometry = radixGeometry(page);
  const leafKeys = 2 ** geometry.bitmapLog2;

  function setUp(options: RadixTreeOptions = {}) {
    const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: 4 * GIB, nid: 0 }]);
    const tree = new RadixTree(memory, geometry, new BumpAllocator(memory, GIB), options);
    return { memory, tree };
  }

  test('gives back a key with the highest index at one level and none at the others', () => {
    for (let level = 1; level < geometry.depth; level++) {
      const { tree } = setUp();
      tree.init();
      const bits = geometry.keyWidth - (geometry.levelShifts[level] ?? 0);
      const index = 2n ** BigInt(Math.min(bits, geometry.tableLog2)) - 1n;
      const key = index << BigInt(geometry.levelShifts[level] ?? 0);
      tree.addKey(Number(key & 0xffff_ffffn), Number(key >> 32n));
      const seen: bigint[] = [];
      tree.walk({ leaf: (lo, hi) => seen.push(bigOf(lo, hi)) * 0 });
      expect(seen).toEqual([key]);
    }
  });

  test('is walked with one tick, and with one for the leaf behind a write', () => {
    const { memory, tree } = setUp();
    tree.init();
    for (const pfn of [7, leafKeys]) tree.preserve(pfn as Pfn, 0 as Order);
    const before = memory.generation;
    tree.forEach(() => {});
    expect(memory.generation).toBe(before + 1);
    tree.forEach((lo) => {
      if (lo === 7 * page.sizeBytes) memory.writeU32(physAddr(0), 1);
    });
    // One of the walk, the write, one for the rest of this leaf, none for the next.
    expect(memory.generation).toBe(before + 4);
  });

  test('keeps a frame 2^32 further on apart', () => {
    const { tree } = setUp();
    tree.init();
    for (const pfn of [5, 2 ** 32 + 5]) expect(tree.preserve(pfn as Pfn, 0 as Order)).toBe(0);
    expect(radixStats(tree).keys).toBe(2);
  });

  test('is walked on where it lies now when a full word was given as a run', () => {
    const { memory, tree } = setUp();
    tree.init();
    tree.preserveRun(32 as Pfn, 0 as Order, 32);
    const runs: number[][] = [];
    tree.walk({
      run: (lo, _hi, count) => {
        if (runs.push([lo, count]) > 1) return 0;
        memory.mark();
        tree.preserve(90 as Pfn, 0 as Order);
        return 0;
      },
    });
    expect(runs).toEqual([
      [32, 32],
      [90, 1],
    ]);
  });

  test('has full leaves that are fills only where that was asked for', () => {
    for (const [options, kind] of [
      [{}, 'frame'],
      [{ fullLeavesAsFill: true }, 'fill'],
    ] as const) {
      const { memory, tree } = setUp(options);
      expect(tree.addKeyRun(0, 0, leafKeys)).toBe(EINVAL);
      tree.init();
      expect(tree.addKeyRun(0, 0, leafKeys)).toBe(0);
      let leaf = 0;
      tree.walk({
        node: (phys) => {
          leaf = phys;
          return 0;
        },
      });
      expect(memory.backing(pfnOf(page, physAddr(leaf))).kind).toBe(kind);
    }
  });

  test('goes on in a table within a page, and in one that no frame backs', () => {
    const { memory, tree } = setUp();
    tree.init();
    tree.addKey(5, 0);
    const root = tree.finalize();
    const table = memory.readU64(root);
    // The table again at an address within a page, across the border of the next.
    const moved = 2 * GIB + page.sizeBytes - 4;
    memory.writeBytes(physAddr(moved), memory.readBytes(physAddr(table), page.sizeBytes));
    memory.writeU64(root, moved);
    tree.addKey(6, 0);
    expect(radixStats(tree).keys).toBe(2);
    // Junk leads anywhere: outside RAM it is a fault, as in the kernel.
    memory.writeU64(root, 3 * GIB);
    memory.fillPages(pfnOf(page, physAddr(3 * GIB)), 1, { kind: 'junk', seed: 5 });
    expect(() => tree.addKey(7, 0)).toThrow();
  });
});
