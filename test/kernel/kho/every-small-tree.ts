import { radixGeometry } from '../../../kernel/kho/geometry.ts';
import { RadixTree } from '../../../kernel/kho/radix-tree.ts';
import { makePageSize, type Order, type Pfn, PhysicalMemory, physAddr } from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

/*
 * The smallest tree that still has a table: pages of 16 bytes, so tables of two slots and leaves of 128 bits, and 11 bits of
 * physical address. Its keys are 8 bits wide: 255 blocks, of orders 0 to 7.
 *
 *     table [ leaf: orders 1 to 7 | leaf: order 0 ]
 */
export const SMALLEST = makePageSize(4, 11);

interface Block {
  readonly pfn: Pfn;
  readonly order: Order;
  readonly text: string;
}

/** Every block that the geometry has, in walk order: the highest orders first, each ascending. */
export function everyBlock(): Block[] {
  const blocks: Block[] = [];
  for (let order = 7; order >= 0; order--) {
    for (let i = 0; i < 2 ** (7 - order); i++) {
      const pfn = i * 2 ** order;
      blocks.push({ pfn: pfn as Pfn, order: order as Order, text: `${pfn}/${order}` });
    }
  }
  return blocks;
}

/**
 * Makes every set of up to `most` blocks, one block at a time, and compares the walk with the set, on the way there and on
 * the way back.
 * @param first which block a set may begin with, by index.
 * @returns how many sets there were. @throws Error for one whose walk is something else.
 */
export function everySmallTree(most: number, first: (index: number) => boolean = () => true): number {
  const ramBytes = 2 ** 11;
  const memory = new PhysicalMemory(SMALLEST, [{ base: physAddr(0), sizeBytes: ramBytes, nid: 0 }]);
  const tree = new RadixTree(memory, radixGeometry(SMALLEST), new BumpAllocator(memory, ramBytes / 2));
  if (tree.geometry.depth !== 2 || tree.init() !== 0) throw new Error('not the smallest tree');
  const blocks = everyBlock();
  const set: Block[] = [];
  let at = 0;
  let good = true;
  const visit = (lo: number, hi: number, order: number): void => {
    const block = set[at++];
    if (block === undefined || hi !== 0 || lo !== block.pfn * SMALLEST.sizeBytes || order !== block.order) good = false;
  };
  const compare = (): void => {
    at = 0;
    tree.forEach(visit);
    if (!good || at !== set.length) throw new Error(`the walk is not ${set.map(({ text }) => text).join(' ')}`);
  };
  let trees = 0;
  const go = (from: number): void => {
    trees++;
    compare();
    if (set.length === most) return;
    for (let i = from; i < blocks.length; i++) {
      if (set.length === 0 && !first(i)) continue;
      const block = blocks[i] as Block;
      if (tree.preserve(block.pfn, block.order) !== 0) throw new Error('no memory');
      set.push(block);
      go(i + 1);
      set.pop();
      tree.unpreserve(block.pfn, block.order);
      if (set.length < 2) compare();
    }
  };
  go(0);
  return trees;
}
