import { describe, expect, test } from 'vitest';
import { KernelHang } from '../../../kernel/failure.ts';
import { type RadixGeometry, radixGeometry } from '../../../kernel/kho/geometry.ts';
import { radixStats } from '../../../kernel/kho/radix-stats.ts';
import { RadixTree, type RadixTreeOptions } from '../../../kernel/kho/radix-tree.ts';
import {
  makePageSize,
  type Order,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  physAddr,
} from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

const TIB = 2 ** 40;
/** A tree notes where leaves are from the sixteenth on that it went down for. */
const NOTES_AFTER = 16;

/** RAM that counts how often somebody asks where a page, or a slab of pages, is. */
class CountingMemory extends PhysicalMemory {
  pages = 0;
  slabs = 0;

  override frameForRead(pfn: Pfn): number {
    this.pages++;
    return super.frameForRead(pfn);
  }

  override get frameSlabs(): readonly Uint32Array[] {
    return new Proxy(super.frameSlabs, {
      get: (target, name) => {
        this.slabs++;
        return Reflect.get(target, name);
      },
    });
  }
}

/** A tree of 1 TiB whose work is counted: pages and slabs that were looked for, keys that were made. */
function setUp(page: PageSize, options: RadixTreeOptions = {}) {
  const memory = new CountingMemory(page, [{ base: physAddr(0), sizeBytes: TIB, nid: 0 }]);
  const plain = radixGeometry(page);
  let keys = 0;
  const geometry: RadixGeometry = {
    ...plain,
    get addressShifts() {
      keys++;
      return plain.addressShifts;
    },
  };
  const tree = new RadixTree(memory, geometry, new BumpAllocator(memory, TIB / 2), options);
  tree.init();
  const costOf = (work: () => void) => {
    memory.pages = 0;
    memory.slabs = 0;
    keys = 0;
    work();
    return { pages: memory.pages, slabs: memory.slabs, keys };
  };
  return { memory, tree, costOf };
}

const FREE = { pages: 0, slabs: 0, keys: 0 };

describe.each(PAGE_SIZES)('with $name pages', (page) => {
  const { bitmapLog2, depth } = radixGeometry(page);
  const nrTables = depth - 1;

  /** The first frame of the n-th leaf of an order. */
  const leaf = (n: number, order = 0) => n * 2 ** (bitmapLog2 + order);
  const put = (tree: RadixTree, pfn: number, order = 0) => expect(tree.preserve(pfn as Pfn, order as Order)).toBe(0);
  const take = (tree: RadixTree, pfn: number, order = 0) => tree.unpreserve(pfn as Pfn, order as Order);

  /** Leaves 0 and 1 of order 0 are known, and another one is in hand. */
  function known() {
    const world = setUp(page);
    for (let i = 1; i < NOTES_AFTER; i++) put(world.tree, leaf(0, i % 13), i % 13);
    put(world.tree, leaf(0));
    put(world.tree, leaf(1));
    put(world.tree, leaf(0, 13), 13);
    return world;
  }

  test('the first key of a leaf is one look at each table, and so is one that has no leaf to delete it from', () => {
    const { tree, costOf } = setUp(page);
    put(tree, 0);
    expect(costOf(() => put(tree, leaf(1)))).toEqual({ pages: nrTables, slabs: 0, keys: 1 });
    expect(costOf(() => take(tree, leaf(2))).pages).toBe(nrTables);
    expect(costOf(() => put(tree, leaf(0))).pages).toBe(nrTables);
    expect(costOf(() => take(tree, leaf(1))).pages).toBe(nrTables);
    expect(costOf(() => take(tree, leaf(1) + 1)).pages).toBe(0);
  });

  test('neighbours in the leaf in hand cost no look at anything, of orders without numbers only their keys', () => {
    const { tree, costOf } = setUp(page);
    for (const order of [0, 9, 13]) {
      put(tree, leaf(0, order), order);
      const run = () => {
        for (let i = 1; i < 40; i++) put(tree, leaf(0, order) + i * 2 ** order, order);
      };
      expect(costOf(run)).toEqual(FREE);
      expect(costOf(() => take(tree, 2 ** order, order))).toEqual({ pages: 0, slabs: 0, keys: 1 });
    }
    put(tree, 0, 14);
    expect(costOf(() => put(tree, 2 ** 14, 14))).toEqual({ pages: 0, slabs: 0, keys: 1 });
    expect(costOf(() => take(tree, 2 ** 14, 14))).toEqual({ pages: 0, slabs: 0, keys: 1 });
    expect(radixStats(tree).keys).toBe(3 * 39 + 1);
  });

  test('a leaf whose place is known is one look at it: no key, no table', () => {
    const { tree, costOf } = known();
    expect(costOf(() => put(tree, leaf(1) + 5))).toEqual({ pages: 0, slabs: 1, keys: 0 });
    expect(costOf(() => put(tree, leaf(0) + 5))).toEqual({ pages: 0, slabs: 1, keys: 0 });
    expect(costOf(() => take(tree, leaf(1)))).toEqual({ pages: 0, slabs: 1, keys: 1 });
    expect(costOf(() => take(tree, leaf(1) + 5))).toEqual({ pages: 0, slabs: 0, keys: 1 });
    const blocks: number[] = [];
    tree.forEach((lo, hi, order) => {
      if (order === 0) blocks.push((hi * 2 ** 32 + lo) / page.sizeBytes);
    });
    expect(blocks).toEqual([0, 5]);
  });

  test('a leaf is taken in hand when it is met twice running, for keys and blocks alike, and not before', () => {
    const { tree, costOf } = known();
    expect(costOf(() => put(tree, leaf(0) + 1)).slabs).toBe(1);
    expect(costOf(() => put(tree, leaf(0, 13) + 2 ** 13, 13))).toEqual(FREE);
    expect(costOf(() => put(tree, leaf(1) + 1)).slabs).toBe(1);
    expect(costOf(() => put(tree, leaf(0) + 2)).slabs).toBe(1);
    expect(costOf(() => put(tree, leaf(0) + 3)).slabs).toBe(1);
    expect(costOf(() => put(tree, leaf(0) + 4))).toEqual(FREE);
    expect(costOf(() => take(tree, leaf(0) + 4)).slabs).toBe(0);
    expect(costOf(() => put(tree, leaf(0, 13) + 2 ** 14, 13)).slabs).toBe(1);
    const blocks: number[] = [];
    tree.forEach((lo, hi, order) => {
      if (order === 0) blocks.push((hi * 2 ** 32 + lo) / page.sizeBytes);
    });
    expect(blocks).toEqual([0, 1, 2, 3, leaf(1), leaf(1) + 1]);
  });

  test('a run of blocks is one way down for each leaf', () => {
    const { tree, costOf } = setUp(page);
    for (const [n, order] of [
      [0, 9],
      [1, 9],
      [0, 0],
    ] as const)
      put(tree, leaf(n, order), order);
    const run = () => expect(tree.preserveRun(0 as Pfn, 9 as Order, 2 ** bitmapLog2 + 10)).toBe(0);
    expect(costOf(run)).toEqual({ pages: 2 * nrTables, slabs: 0, keys: 4 });
  });

  test('what is known of leaves counts no more when memory was written', () => {
    const { tree, costOf, memory } = known();
    memory.writeU32(physAddr(0), 1);
    const written = memory.generation;
    expect(costOf(() => put(tree, leaf(1) + 5)).pages).toBe(nrTables);
    expect(memory.generation).toBe(written + 1);
    expect(costOf(() => put(tree, leaf(1) + 6))).toEqual(FREE);
    expect(costOf(() => put(tree, leaf(0) + 6)).pages).toBe(nrTables);
  });

  test('a version of memory keeps its leaves, known or not', () => {
    const { tree, memory } = known();
    const { keys } = radixStats(tree);
    const version = memory.mark();
    for (const pfn of [leaf(1) + 1, leaf(0) + 1, leaf(1) + 2]) put(tree, pfn);
    expect(radixStats(tree).keys).toBe(keys + 3);
    memory.restore(version);
    expect(radixStats(tree).keys).toBe(keys);
  });
});

describe.each(PAGE_SIZES)('blocks of $name pages that a short way would take for others', (page) => {
  const { nrOrders, bitmapLog2 } = radixGeometry(page);

  function preserved(...blocks: [pfn: number, order: number][]) {
    const { tree } = setUp(page);
    for (const [pfn, order] of blocks) expect(tree.preserve(pfn as Pfn, order as Order)).toBe(0);
    const seen: string[] = [];
    tree.forEach((lo, hi, order) => void seen.push(`${(hi * 2 ** 32 + lo) / page.sizeBytes} ${order}`));
    return seen.sort();
  }

  test('are kept apart: frames 2^32 apart, orders 32 apart, leaves of orders without numbers', () => {
    expect(preserved([5, 0], [2 ** 32 + 5, 0])).toEqual(['4294967301 0', '5 0']);
    for (const order of [0, 13]) {
      expect(preserved([0, order], [0, order + 32]), `${order}`).toEqual([`0 ${order}`, `0 ${order + 32}`]);
    }
    expect(preserved([0, 14], [0, 15])).toEqual(['0 14', '0 15']);
    const next = 2 ** (bitmapLog2 + 14);
    expect(preserved([0, 14], [next, 14])).toEqual(['0 14', `${next} 14`]);
  });

  test('are no run where addresses wrap', () => {
    const order = nrOrders - 3;
    const { tree } = setUp(page);
    expect(tree.preserveRun(0 as Pfn, order as Order, 6)).toBe(0);
    const keys: number[] = [];
    tree.walk({ leaf: (lo) => keys.push(lo) * 0 });
    expect(keys).toEqual([4, 5, 6, 7]);
  });
});

describe('a tree of tiny pages', () => {
  const TINY = makePageSize(5, 16);

  function tiny(options: RadixTreeOptions & { root?: PhysAddr } = {}, generation = 0) {
    const memory = new PhysicalMemory(TINY, [{ base: physAddr(0), sizeBytes: 2 ** 16, nid: 0 }]);
    memory.generation = generation;
    const alloc = new BumpAllocator(memory, 2 ** 15);
    return { memory, alloc, tree: new RadixTree(memory, radixGeometry(TINY), alloc, options) };
  }

  function keysOf(tree: RadixTree): number[] {
    const keys: number[] = [];
    tree.walk({ leaf: (lo) => keys.push(lo) * 0 });
    return keys;
  }

  test('knows no leaf at the start, whatever happened to memory before', () => {
    const made = tiny({}, 1).tree;
    made.init();
    expect([made.addKey(5, 0), keysOf(made)]).toEqual([0, [5]]);
    const given = tiny({ root: 0x1000 as PhysAddr }, 1).tree;
    expect([given.addKey(5, 0), keysOf(given)]).toEqual([0, [5]]);
  });

  test('is not destroyed beyond the steps of a walk, a word of a page being one', () => {
    const filled = (maxWalkSteps: number) => {
      const world = tiny({ maxWalkSteps });
      world.tree.init();
      for (const key of [5, 300, 3000]) world.tree.addKey(key, 0);
      return world;
    };
    const { nodes } = radixStats(filled(2 ** 20).tree);
    const enough = filled(8 * nodes);
    enough.tree.destroy();
    expect(enough.alloc.live).toBe(0);
    expect(() => filled(8 * nodes - 1).tree.destroy()).toThrow(KernelHang);
  });

  test('WARNs into nothing when it has no log', () => {
    const { tree } = tiny();
    expect([tree.addKey(5, 0), tree.walk({})]).toEqual([-22, -22]);
    expect(() => tree.delKey(5, 0)).not.toThrow();
    tree.init();
    expect(() => tree.delKey(5, 0)).not.toThrow();
  });

  test('looks for its leaves anew when it gets another root', () => {
    const { tree, alloc } = tiny();
    tree.init();
    tree.addKey(5, 0);
    tree.setRoot(alloc.allocNode());
    tree.addKey(6, 0);
    expect(keysOf(tree)).toEqual([6]);
  });

  test('is counted without a WARN where there is none', () => {
    const warnings: string[] = [];
    const log = { warnOn: (name: string) => warnings.push(name), warnOnOnce: (name: string) => warnings.push(name) };
    expect(radixStats(tiny({ log }).tree).nodes).toBe(0);
    expect(warnings).toEqual([]);
  });

  test('goes on in tables at any address: within a page, and across two', () => {
    for (const table of [0x104, 0x11c, 0x113]) {
      const { tree, memory } = tiny();
      tree.init();
      const root = tree.finalize();
      // The keys of slot 1 of the root: a table at an address within a page, whose slot 0 leads to a leaf.
      memory.writeU64(physAddr(root + 8), table);
      memory.writeU64(physAddr(table), 0x200);
      expect(tree.addKey(0x400 + 40, 0)).toBe(0);
      expect([memory.readU32(physAddr(0x204)), keysOf(tree)]).toEqual([2 ** 8, [0x400 + 40]]);
      // Its slot 1 leads nowhere yet.
      expect(tree.addKey(0x500, 0)).toBe(0);
      const leaf = memory.readU64(physAddr(table + 8));
      expect([memory.readU32(physAddr(leaf)), keysOf(tree)]).toEqual([1, [0x400 + 40, 0x500]]);
      tree.delKey(0x400 + 40, 0);
      expect(keysOf(tree)).toEqual([0x500]);
    }
  });
});
