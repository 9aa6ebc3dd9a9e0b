import { expect, test } from 'vitest';
import { radixGeometry } from '../../../kernel/kho/geometry.ts';
import { radixStats } from '../../../kernel/kho/radix-stats.ts';
import { RadixTree } from '../../../kernel/kho/radix-tree.ts';
import { hexOfHalves, makePageSize, type Order, type Pfn, PhysicalMemory, physAddr } from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

/** Pages of 32 bytes: tables of 4 slots, leaves of 256 bits, 16 address bits. Three levels, 12-bit keys. */
const TINY = makePageSize(5, 16);
const RAM_BYTES = 2 ** 16;

function makeTiny() {
  const memory = new PhysicalMemory(TINY, [{ base: physAddr(0), sizeBytes: RAM_BYTES, nid: 0 }]);
  const alloc = new BumpAllocator(memory, RAM_BYTES / 2);
  const tree = new RadixTree(memory, radixGeometry(TINY), alloc);
  return { memory, alloc, tree };
}

interface Block {
  readonly pfn: Pfn;
  readonly order: Order;
}

function block(pfn: number, order: number): Block {
  return { pfn: pfn as Pfn, order: order as Order };
}

/** Both sides of every border that this geometry has: bits of a leaf, slots of both tables, orders. */
const BLOCKS: readonly Block[] = [
  block(0, 0),
  block(31, 0),
  block(32, 0),
  block(255, 0),
  block(256, 0),
  block(1023, 0),
  block(1024, 0),
  block(2047, 0),
  block(0, 1),
  block(510, 1),
  block(512, 1),
  block(0, 3),
  block(8, 3),
  block(1024, 10),
];

function* subsets(size: number, from = 0): Generator<Block[]> {
  if (size === 0) {
    yield [];
    return;
  }
  for (let i = from; i < BLOCKS.length; i++) {
    for (const rest of subsets(size - 1, i + 1)) yield [BLOCKS[i] as Block, ...rest];
  }
}

function inWalkOrder(blocks: readonly Block[]): string {
  return [...blocks]
    .sort((a, b) => b.order - a.order || a.pfn - b.pfn)
    .map(({ pfn, order }) => `${hexOfHalves(pfn * TINY.sizeBytes, 0)} ${order}`)
    .join(', ');
}

function walked(tree: RadixTree): string {
  const out: string[] = [];
  tree.forEach((lo, hi, order) => {
    out.push(`${hexOfHalves(lo, hi)} ${order}`);
  });
  return out.join(', ');
}

test('every tree of up to four keys, filled forwards and backwards and emptied, is what a set is', () => {
  const { tree, alloc } = makeTiny();
  let trees = 0;
  for (let size = 0; size <= 4; size++) {
    for (const blocks of subsets(size)) {
      const shapes: string[] = [];
      for (const order of [blocks, [...blocks].reverse()]) {
        tree.init();
        for (const { pfn, order: o } of order) if (tree.preserve(pfn, o) !== 0) throw new Error('no memory');
        if (walked(tree) !== inWalkOrder(blocks)) throw new Error(`${walked(tree)} is not ${inWalkOrder(blocks)}`);
        const { nodesPerLevel } = radixStats(tree);
        shapes.push(nodesPerLevel.join());
        for (const [i, { pfn, order: o }] of blocks.entries()) {
          tree.unpreserve(pfn, o);
          if (walked(tree) !== inWalkOrder(blocks.slice(i + 1))) throw new Error(`wrong after deleting ${pfn} ${o}`);
        }
        if (radixStats(tree).nodesPerLevel.join() !== shapes[0]) throw new Error('a delete freed or made a node');
        tree.destroy();
        if (alloc.live !== 0) throw new Error('destroy left a page');
        trees++;
      }
      if (shapes[0] !== shapes[1]) throw new Error(`the order of insertion shows: ${shapes.join(' / ')}`);
    }
  }
  expect(trees).toBe(2 * (1 + 14 + 91 + 364 + 1001));
});

/** A tree as text: each node by its address, tables with the slots they use, leaves with their bits. */
function picture(tree: RadixTree, memory: PhysicalMemory): string {
  const lines: string[] = [];
  const { depth } = tree.geometry;
  tree.walk({
    node: (phys, level, linkPhys) => {
      const parent = lines.length === 0 ? '' : `slot ${(linkPhys % TINY.sizeBytes) / 8}: `;
      const indent = '  '.repeat(depth - 1 - level);
      let bits = '';
      if (level === 0) {
        const set: number[] = [];
        for (let i = 0; i < 8 * TINY.sizeBytes; i++) {
          if (((memory.readU8(physAddr(phys + (i >>> 3))) >>> (i & 7)) & 1) !== 0) set.push(i);
        }
        bits = ` bits ${set.join(' ')}`;
      }
      lines.push(`${indent}${parent}${level === 0 ? 'leaf' : 'table'} 0x${phys.toString(16)}${bits}`);
      return 0;
    },
  });
  return lines.join('\n');
}

test('a small tree looks like this, and keeps its nodes when its keys are gone', () => {
  const { tree, memory } = makeTiny();
  tree.init();
  for (const { pfn, order } of [block(0, 0), block(31, 0), block(256, 0), block(512, 1), block(8, 3)]) {
    tree.preserve(pfn, order);
  }
  expect(picture(tree, memory)).toMatchInlineSnapshot(`
    "table 0x8000
      slot 0: table 0x80c0
        slot 1: leaf 0x80e0 bits 1
      slot 1: table 0x8080
        slot 1: leaf 0x80a0 bits 0
      slot 2: table 0x8020
        slot 0: leaf 0x8040 bits 0 31
        slot 1: leaf 0x8060 bits 0"
  `);
  tree.unpreserve(256 as Pfn, 0 as Order);
  expect(picture(tree, memory).split('\n').at(-1)).toMatchInlineSnapshot(`"    slot 1: leaf 0x8060 bits "`);
});
