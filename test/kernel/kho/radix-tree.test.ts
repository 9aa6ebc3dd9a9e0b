import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENOMEM, ERANGE } from '../../../kernel/errno.ts';
import { radixGeometry } from '../../../kernel/kho/geometry.ts';
import { radixStats } from '../../../kernel/kho/radix-stats.ts';
import { RadixTree, type RadixTreeOptions } from '../../../kernel/kho/radix-tree.ts';
import { RadixReader } from '../../../kernel/kho/radix-walk.ts';
import {
  hexOfHalves,
  type Order,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  PhysicalMemory,
  physAddr,
  Random,
} from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

const TIB = 2 ** 40;
const NODE_BASE = 0x4000_0000;

function makeTree(page: PageSize, options: RadixTreeOptions = {}) {
  const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: 16 * TIB, nid: 0 }]);
  const alloc = new BumpAllocator(memory, NODE_BASE);
  const tree = new RadixTree(memory, radixGeometry(page), alloc, options);
  expect(tree.init()).toBe(0);
  return { memory, alloc, tree };
}

function blocksOf(tree: RadixTree): string[] {
  const out: string[] = [];
  tree.forEach((lo, hi, order) => {
    out.push(`${hexOfHalves(lo, hi)} ${order}`);
  });
  return out;
}

/** A block of a page size: small pfns and orders often, so that blocks meet. */
function blockArbitrary(page: PageSize) {
  const frames = (16 * TIB) / page.sizeBytes;
  return fc
    .record({
      order: fc.oneof(fc.nat(3), fc.nat(12), fc.integer({ min: 25, max: 40 })),
      at: fc.oneof(fc.nat(300), fc.nat(frames - 1)),
    })
    .map(({ order, at }) => ({ order: order as Order, pfn: (at - (at % 2 ** order)) as Pfn }));
}

describe.each(PAGE_SIZES)('the radix tree with $name pages', (page) => {
  test('keeps what a set keeps, and walks highest order first, addresses ascending', () => {
    const step = fc.record({ insert: fc.boolean(), block: blockArbitrary(page), again: fc.nat(30), mark: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { tree, memory } = makeTree(page);
        const model = new Map<string, { pfn: number; order: number }>();
        const seen: { pfn: Pfn; order: Order }[] = [];
        for (const { insert, block, again, mark } of steps) {
          if (mark === 0) memory.mark();
          const { pfn, order } = seen[again] ?? block;
          seen.push({ pfn, order });
          if (insert) {
            expect(tree.preserve(pfn, order)).toBe(0);
            model.set(`${pfn} ${order}`, { pfn, order });
          } else {
            tree.unpreserve(pfn, order);
            model.delete(`${pfn} ${order}`);
          }
        }
        const expected = [...model.values()]
          .sort((a, b) => b.order - a.order || a.pfn - b.pfn)
          .map(({ pfn, order }) => `0x${(pfn * page.sizeBytes).toString(16)} ${order}`);
        expect(blocksOf(tree)).toEqual(expected);
        expect(radixStats(tree).keys).toBe(model.size);
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  test('scattered blocks go to the right leaf, however often memory changed under the tree', () => {
    const { tree, memory } = makeTree(page);
    const random = new Random(1);
    const model = new Set<string>();
    let marked = { version: memory.mark(), blocks: new Set<string>() };
    // 60 leaves, each met over and over, so that the tree knows where they are.
    const blocks = Array.from({ length: 60 }, (_, i) => {
      const order = i % 13;
      return { order: order as Order, first: i * 2 ** (tree.geometry.bitmapLog2 + 1) };
    });
    for (let i = 0; i < 3000; i++) {
      const { order, first } = blocks[random.below(blocks.length)] as (typeof blocks)[number];
      const pfn = (first + random.below(64) * 2 ** order) as Pfn;
      const phys = pfn * page.sizeBytes;
      const name = `${hexOfHalves(phys >>> 0, Math.floor(phys / 2 ** 32))} ${order}`;
      if (random.below(3) > 0) {
        expect(tree.preserve(pfn, order)).toBe(0);
        model.add(name);
      } else if (model.delete(name)) {
        tree.unpreserve(pfn, order);
      }
      if (i % 500 === 400) memory.writeU64(physAddr(0), i);
      if (i === 1500) marked = { version: memory.mark(), blocks: new Set(model) };
    }
    expect(new Set(blocksOf(tree))).toEqual(model);
    memory.restore(marked.version);
    expect(new Set(blocksOf(tree))).toEqual(marked.blocks);
    expect(tree.preserve(0 as Pfn, 0 as Order)).toBe(0);
    expect(blocksOf(tree)).toHaveLength(marked.blocks.add(`${hexOfHalves(0, 0)} 0`).size);
  });

  test('another reader, who has only the bytes, sees the same blocks and every page of the tree', () => {
    const { tree, memory, alloc } = makeTree(page);
    for (let i = 0; i < 500; i++) tree.preserve((i * 37 * 2 ** (i % 5)) as Pfn, (i % 5) as Order);
    const next = memory.transfer();
    const blocks: string[] = [];
    const nodes = new Set<number>();
    new RadixReader(radixGeometry(page)).walk(
      next,
      tree.finalize(),
      (lo, hi, order) => blocks.push(`${hexOfHalves(lo, hi)} ${order}`),
      (phys) => nodes.add(phys),
    );
    expect(blocks).toHaveLength(500);
    expect(nodes.size).toBe(alloc.live);
  });

  test('an allocation that fails, whichever it is, leaves the tree as it was', () => {
    for (let nth = 0; nth < radixGeometry(page).depth - 1; nth++) {
      const { tree, alloc, memory } = makeTree(page);
      const before = memory.readBytes(tree.finalize(), page.sizeBytes);
      alloc.failAfter = nth;
      expect(tree.preserve(5 as Pfn, 0 as Order)).toBe(ENOMEM);
      expect(alloc.live).toBe(1);
      expect(Buffer.compare(memory.readBytes(tree.finalize(), page.sizeBytes), before)).toBe(0);
      alloc.failAfter = Number.POSITIVE_INFINITY;
      expect(tree.preserve(5 as Pfn, 0 as Order)).toBe(0);
      expect(alloc.live).toBe(radixGeometry(page).depth);
    }
  });

  test('destroy gives every page back', () => {
    const { tree, alloc } = makeTree(page);
    for (let i = 0; i < 100; i++) tree.preserve((i * 2 ** 22) as Pfn, 0 as Order);
    tree.destroy();
    expect(alloc.live).toBe(0);
    expect(tree.root).toBeUndefined();
  });

  test('a key wider than the tree is -ERANGE in 7.3; before, its high bits were cut off', () => {
    const { keyWidth } = radixGeometry(page);
    const hi = 2 ** (keyWidth - 32);
    expect(makeTree(page).tree.addKey(7, hi)).toBe(ERANGE);
    const { tree } = makeTree(page, { rejectWideKeys: false });
    expect(tree.addKey(7, 2 ** 31)).toBe(0);
    const keys: string[] = [];
    tree.walk({
      leaf: (keyLo, keyHi) => {
        keys.push(hexOfHalves(keyLo, keyHi));
        return 0;
      },
    });
    expect(keys).toEqual(['0x7']);
  });
});
