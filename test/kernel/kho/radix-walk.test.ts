import { describe, expect, test } from 'vitest';
import type { RadixContract } from '../../../kernel/abi/contract.ts';
import { RADIX_V4 } from '../../../kernel/abi/radix.ts';
import { decodeKey, encodeKey, type RadixGeometry, radixGeometry } from '../../../kernel/kho/geometry.ts';
import { arm64Pointer, MemoryNodeSource, NodeView } from '../../../kernel/kho/node-source.ts';
import { auditRadixTree, type RadixFinding } from '../../../kernel/kho/radix-audit.ts';
import { radixStats } from '../../../kernel/kho/radix-stats.ts';
import { RadixTree } from '../../../kernel/kho/radix-tree.ts';
import { RadixReader, RadixWalk } from '../../../kernel/kho/radix-walk.ts';
import { bigOf, u64OfBig } from '../../../kernel/kho/u64.ts';
import {
  MachineFault,
  makePageSize,
  type Order,
  PAGE_4K,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  physAddr,
  Random,
  ZERO_FILL,
} from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

/** Leaves of 8, 16 and 1024 words: the code that reads them goes by fours. */
const SIZES: readonly PageSize[] = [makePageSize(5, 16), makePageSize(6, 20), PAGE_4K];

/** A tree with a leaf for one block, and where that leaf and the first key in it are. */
function leafWorld(page: PageSize, pfn: number, order: number) {
  const geometry = radixGeometry(page);
  const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: 64 * page.sizeBytes, nid: 0 }]);
  const tree = new RadixTree(memory, geometry, new BumpAllocator(memory, 8 * page.sizeBytes));
  tree.init();
  tree.preserve(pfn as Pfn, order as Order);
  let leaf = 0;
  let prefixLo = 0;
  let prefixHi = 0;
  tree.walk({
    node: (phys, level) => {
      if (level === 0) leaf = phys;
      return 0;
    },
    leaf: (lo, hi) => {
      prefixLo = (lo & ~(2 ** geometry.bitmapLog2 - 1)) >>> 0;
      prefixHi = hi;
      return 0;
    },
  });
  return { geometry, memory, tree, leaf, prefixLo, prefixHi };
}

function fill(memory: PhysicalMemory, at: number, words: readonly number[]): void {
  const bytes = new Uint8Array(Uint32Array.from(words).buffer);
  memory.writeBytes(physAddr(at), bytes);
}

/** Every bit of the words as key and block, one by one. */
function expectedOf(geometry: RadixGeometry, words: readonly number[], prefixLo: number, prefixHi: number) {
  const keys: string[] = [];
  const blocks: string[] = [];
  for (const [w, word] of words.entries()) {
    for (let bit = 0; bit < 32; bit++) {
      if (((word >>> bit) & 1) === 0) continue;
      const lo = (prefixLo | (32 * w + bit)) >>> 0;
      const block = decodeKey(geometry, lo, prefixHi);
      keys.push(`${prefixHi}:${lo}`);
      blocks.push(`${block.hi}:${block.lo} ${block.order}`);
    }
  }
  return { keys, blocks };
}

function audit(memory: PhysicalMemory, geometry: RadixGeometry, root: number) {
  const blocks: string[] = [];
  const findings: RadixFinding[] = [];
  const { page } = memory;
  const result = auditRadixTree(
    {
      inRam: (phys, sizeBytes) => memory.contains(phys, sizeBytes),
      words: (phys) => memory.pageWords((phys / page.sizeBytes) as Pfn).slice(),
    },
    geometry,
    root,
    0,
    {
      report: (finding) => findings.push(finding),
      visit: (lo, hi, order) => void blocks.push(`${hi}:${lo} ${order}`),
    },
  );
  return { ...result, blocks, findings };
}

describe.each(SIZES.map((page) => ({ page, words: page.sizeBytes / 4 })))(
  'a leaf of $words words',
  ({ page, words }) => {
    const random = new Random(words);
    const word = (bits: number) => {
      let value = 0;
      for (let i = 0; i < bits; i++) value |= 1 << random.below(32);
      return value >>> 0;
    };
    const make = (of: (i: number) => number) => Array.from({ length: words }, (_, i) => of(i));
    const contents: Record<string, number[]> = {
      'no bit': make(() => 0),
      'the first bit': make((i) => (i === 0 ? 1 : 0)),
      'the last bit': make((i) => (i === words - 1 ? 0x8000_0000 : 0)),
      'every bit': make(() => 0xffff_ffff),
      'every other bit': make(() => 0x5555_5555),
      'the highest bit of each word': make(() => 0x8000_0000),
      'one bit a word': make(() => word(1)),
      'two bits a word': make(() => word(2)),
      'three bits a word': make(() => word(3)),
      'four bits a word': make(() => word(4)),
      'five bits a word, few in the first': make((i) => (i === 0 ? 3 : word(5))),
      'many bits behind a word of few': make((i) => (i === 0 ? 1 : 0xffff_0f0f)),
      'few bits behind a full word': make((i) => (i === 0 ? 0xffff_ffff : word(1))),
      'a word in five': make((i) => (i % 5 === 3 ? word(2) : 0)),
      'a word in four': make((i) => (i % 4 === 1 ? word(2) : 0)),
      'a word in two': make((i) => (i % 2 === 1 ? word(3) : 0)),
      'a word in nine, full': make((i) => (i % 9 === 4 ? 0xffff_ffff : 0)),
    };
    const leafKeys = 32 * words;
    const orders = page === PAGE_4K ? [0, 19, 20] : [0];
    const places = [
      ...orders.map((order) => ({ order, pfn: leafKeys * 2 ** order })),
      { order: page.physBits - page.shift - 3, pfn: 0 },
    ];

    test.each(places)('gives each bit in turn, as key and as block of order $order', ({ order, pfn }) => {
      const { geometry, memory, tree, leaf, prefixLo, prefixHi } = leafWorld(page, pfn, order);
      for (const [name, values] of Object.entries(contents)) {
        fill(memory, leaf, values);
        const { keys, blocks } = expectedOf(geometry, values, prefixLo, prefixHi);
        const seenKeys: string[] = [];
        const seenBlocks: string[] = [];
        tree.walk({ leaf: (lo, hi) => seenKeys.push(`${hi}:${lo}`) * 0 });
        tree.forEach((lo, hi, blockOrder) => void seenBlocks.push(`${hi}:${lo} ${blockOrder}`));
        expect(seenKeys.join(), name).toBe(keys.join());
        expect(seenBlocks.join(), name).toBe(blocks.join());
        expect(radixStats(tree).keys, name).toBe(keys.length);
        const audited = audit(memory, geometry, tree.finalize());
        const valid = blocks.filter((text) => Number(text.split(' ')[1]) < geometry.nrOrders);
        expect(audited.blocks.join(), name).toBe(valid.join());
        expect(audited.keys, name).toBe(valid.length);
        expect(audited.findings.length, name).toBe(blocks.length - valid.length);
        expect(audited.nodesPerLevel, name).toEqual(radixStats(tree).nodesPerLevel);
      }
    });

    test('counts each of its blocks as steps', () => {
      const { geometry, memory, tree, leaf } = leafWorld(page, leafKeys, 0);
      const root = tree.finalize();
      for (const values of Object.values(contents)) {
        fill(memory, leaf, values);
        const { keys, nodes } = radixStats(tree);
        const steps = words * nodes + 32 * keys;
        const walk = (maxSteps: number) => () => new RadixReader(geometry, { maxSteps }).walk(memory, root, () => {});
        expect(walk(steps)).not.toThrow();
        expect(walk(steps - 1)).toThrow('the walk over the radix tree');
      }
    });
  },
);

describe.each(PAGE_SIZES)('a walk over a tree of $name pages', (page) => {
  const geometry = radixGeometry(page);
  const makeTree = () => {
    const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: 2 ** 32, nid: 0 }]);
    const tree = new RadixTree(memory, geometry, new BumpAllocator(memory, 2 ** 31));
    tree.init();
    return { memory, tree };
  };

  test('gives blocks of every order back, wherever they are', () => {
    const { tree } = makeTree();
    const expected: string[] = [];
    for (let order = geometry.nrOrders - 2; order >= 0; order--) {
      const nrBlocks = 2n ** BigInt(64 - page.shift - order);
      const last = BigInt(2 ** geometry.bitmapLog2 - 1);
      const places = [0n, 1n, 31n, 32n, last - 40n, last, last + 1n, nrBlocks / 2n, nrBlocks - 1n];
      const inside = new Set(places.filter((place) => place < nrBlocks).sort((a, b) => (a < b ? -1 : 1)));
      for (const place of inside) {
        const phys = place << BigInt(page.shift + order);
        const halves = u64OfBig(phys);
        const key = encodeKey(geometry, halves.lo, halves.hi, order);
        expect(tree.addKey(key.lo, key.hi)).toBe(0);
        expected.push(`${phys} ${order}`);
      }
    }
    const seen: string[] = [];
    tree.forEach((lo, hi, order) => void seen.push(`${bigOf(lo, hi)} ${order}`));
    expect(seen).toEqual(expected);
  });

  test('gives any keys back, ascending, with an index of any bits at each level', () => {
    const { tree } = makeTree();
    const random = new Random(1);
    const added = new Set<bigint>();
    for (let i = 0; i < 60; i++) {
      const lo = random.below(2 ** 32);
      const hi = random.below(2 ** (geometry.keyWidth - 32));
      expect(tree.addKey(lo, hi)).toBe(0);
      added.add(bigOf(lo, hi));
    }
    const seen: bigint[] = [];
    tree.walk({ leaf: (lo, hi) => seen.push(bigOf(lo, hi)) * 0 });
    expect(seen).toEqual([...added].sort((a, b) => (a < b ? -1 : 1)));
    const runs: bigint[] = [];
    tree.walk({ run: (lo, hi, count) => runs.push(bigOf(lo, hi)) * 0 + count - 1 });
    expect(runs).toEqual(seen);
  });

  test('looks at no slot and no bit beyond those that the contract has', () => {
    const contract: RadixContract = {
      ...RADIX_V4,
      geometry: { ...RADIX_V4.geometry, tableLog2: '8', bitmapLog2: '10', depth: '8' },
    };
    const small = radixGeometry(page, contract);
    const { memory } = makeTree();
    const tree = new RadixTree(memory, small, new BumpAllocator(memory, 2 ** 30));
    tree.init();
    tree.addKey(5, 0);
    const pages: number[] = [];
    tree.walk({ node: (phys) => pages.push(phys) * 0 });
    const [table = 0, leaf = 0] = [pages.at(-2), pages.at(-1)];
    memory.writeU64(physAddr(table + 8 * 256), leaf);
    memory.writeU32(physAddr(leaf + 128), 1);
    memory.writeU32(physAddr(leaf + 124), 0x8000_0000);
    const seen: number[] = [];
    tree.walk({ leaf: (lo) => seen.push(lo) * 0 });
    expect(seen).toEqual([5, 1023]);
  });

  test('gives the blocks of leaves of less than four words', () => {
    const { memory } = makeTree();
    const geometry2 = { ...RADIX_V4.geometry, bitmapLog2: '6', depth: 'divRoundUp(KEY_WIDTH - 6, TABLE_LOG2) + 1' };
    const tree = new RadixTree(memory, radixGeometry(page, { ...RADIX_V4, geometry: geometry2 }), {
      allocNode: () => physAddr(2 ** 30 + nrPages++ * page.sizeBytes),
      freeNode: () => {},
    });
    let nrPages = 0;
    tree.init();
    const pfns = [0, 31, 32, 63, 64, 127, 128 + 40];
    for (const pfn of pfns) tree.preserve(pfn as Pfn, 0 as Order);
    const seen: number[] = [];
    tree.forEach((lo) => void seen.push(lo / page.sizeBytes));
    expect(seen).toEqual(pfns);
  });

  test('gives full words of a leaf in one call, and ends with its result', () => {
    const { tree } = makeTree();
    for (const [first, count] of [
      [32, 64],
      [128, 32],
      [170, 2],
    ] as const) {
      tree.preserveRun(first as Pfn, 0 as Order, count);
    }
    const runs: number[][] = [];
    const walk = (ending: number) => {
      runs.length = 0;
      return tree.walk({ run: (lo, _hi, count) => (runs.push([lo, count]) === ending ? -9 : 0) });
    };
    const all = [
      [32, 64],
      [128, 32],
      [170, 1],
      [171, 1],
    ];
    expect([walk(0), runs]).toEqual([0, all]);
    expect([walk(1), runs]).toEqual([-9, all.slice(0, 1)]);
    expect([walk(3), runs]).toEqual([-9, all.slice(0, 3)]);
  });

  test('counts steps alike whether or not a callback writes', () => {
    const { memory, tree } = makeTree();
    for (let i = 0; i < 40; i++) tree.preserve((3 * i) as Pfn, 0 as Order);
    const { nodes, keys } = radixStats(tree);
    const steps = (nodes * page.sizeBytes) / 4 + 32 * keys;
    for (const at of [-1, 0, 7, 39]) {
      const walk = (maxSteps: number) => () => {
        let n = 0;
        new RadixReader(geometry, { maxSteps }).walk(memory, tree.finalize(), () => {
          if (n++ === at) memory.writeU32(physAddr(0), 1);
        });
      };
      expect(walk(steps)).not.toThrow();
      expect(walk(steps - 1)).toThrow('the walk over the radix tree');
    }
  });

  test('ticks once where nobody writes, and each page is looked for once', () => {
    const { memory, tree } = makeTree();
    for (let i = 0; i < 40; i++) tree.preserve((i * 2 ** geometry.bitmapLog2) as Pfn, 0 as Order);
    const { nodes } = radixStats(tree);
    const before = memory.generation;
    let refreshed = 0;
    const source = new MemoryNodeSource(memory);
    const refresh = source.refresh.bind(source);
    source.refresh = (view) => {
      refreshed++;
      refresh(view);
    };
    new RadixWalk(source, geometry, { block: () => {} }).run(tree.finalize(), 0);
    // One more: the walk looks at the root anew after its tick.
    expect([memory.generation - before, refreshed]).toEqual([1, nodes + 1]);
  });

  test('decodes the prefix of a leaf once, and each key of the lowest leaf', () => {
    const { memory, tree } = makeTree();
    for (const pfn of [0, 1, 2, 3, 400]) tree.preserve(pfn as Pfn, 0 as Order);
    let decoded = 0;
    const counting: RadixGeometry = {
      ...geometry,
      get addressMask() {
        decoded++;
        return geometry.addressMask;
      },
    };
    const walk = () => new RadixReader(counting).walk(memory, tree.finalize(), () => {});
    walk();
    expect(decoded).toBe(1);
    for (const key of [1, 2, 3]) tree.addKey(key, 0);
    walk();
    expect(decoded).toBe(1 + 1 + 3);
  });
});

test('a reader follows pointers as its architecture does', () => {
  const { geometry, memory, tree } = leafWorld(PAGE_4K, 9, 0);
  const root = tree.finalize();
  const slot = [...Array(512).keys()].map((i) => root + 8 * i).find((at) => memory.readU64(physAddr(at)) !== 0) ?? 0;
  memory.writeU32(physAddr(slot + 4), 0xfff0_0000);
  let keys = 0;
  new RadixReader(geometry, { translate: arm64Pointer }).walk(memory, root, () => void keys++);
  expect(keys).toBe(1);
  expect(() => new RadixReader(geometry).walk(memory, root, () => {})).toThrow(MachineFault);
});

describe('where pages of a tree are found', () => {
  const page = makePageSize(6, 20);
  const memory = () => new PhysicalMemory(page, [{ base: physAddr(0x400), sizeBytes: 0x400, nid: 0 }]);

  function opened(ram: PhysicalMemory, phys: number) {
    const view = new NodeView();
    expect(new MemoryNodeSource(ram).open(phys, 0, 0, -1, view)).toBe(true);
    return { view, words: [...view.words.subarray(view.offset, view.offset + view.nrWords)] };
  }

  test('a page that was written, one of zeros, and one of junk give their words', () => {
    const ram = memory();
    ram.writeU32(physAddr(0x440), 7);
    expect(opened(ram, 0x440).words).toEqual([7, ...Array(15).fill(0)]);
    // Where it lies, not a copy.
    expect(opened(ram, 0x440).view.words).toBe(ram.frameWords(ram.frameForRead((0x440 / 64) as Pfn)));
    ram.fillPages((0x480 / 64) as Pfn, 1, ZERO_FILL);
    expect(opened(ram, 0x480).words).toEqual(Array(16).fill(0));
    ram.fillPages((0x4c0 / 64) as Pfn, 1, { kind: 'junk', seed: 5 });
    expect(opened(ram, 0x4c0).words).toEqual([...ram.pageWords((0x4c0 / 64) as Pfn)]);
    expect(opened(ram, 0x4c0).view.phys).toBe(0x4c0);
  });

  test('an address within a page gives words across its border, and fewer at the end of RAM', () => {
    const ram = memory();
    for (let at = 0x400; at < 0x800; at += 4) ram.writeU32(physAddr(at), at);
    expect(opened(ram, 0x444).words).toEqual(Array.from({ length: 16 }, (_, i) => 0x444 + 4 * i));
    expect(opened(ram, 0x7b4).words).toEqual(Array.from({ length: 16 }, (_, i) => 0x7b4 + 4 * i));
    const { view, words } = opened(ram, 0x7f0);
    expect(words).toEqual([0x7f0, 0x7f4, 0x7f8, 0x7fc]);
    expect(() => new MemoryNodeSource(ram).cutShort(view)).toThrow(new MachineFault('read', 0x800));
    expect(() => opened(ram, 0x800)).toThrow(MachineFault);
    expect(() => opened(ram, 0x3fc)).toThrow(MachineFault);
  });

  test('a page that RAM ends within is walked to there, unless a callback ends the walk before', () => {
    const geometry = radixGeometry(page);
    const ram = memory();
    const root = 0x7e0;
    ram.writeU64(physAddr(root), 0x440);
    ram.writeU64(physAddr(0x440), 0x480);
    ram.writeU32(physAddr(0x480), 5);
    const source = new MemoryNodeSource(ram);
    const seen: number[] = [];
    const walk = (result: number) => () =>
      new RadixWalk(source, geometry, { leaf: (lo) => seen.push(lo) * 0 + result }).run(root, 0);
    expect(walk(0)).toThrow(new MachineFault('read', 0x800));
    expect(seen).toEqual([0, 2]);
    expect(walk(-3)()).toBe(-3);
  });

  test('a root above 4 GiB is found', () => {
    const high = 2 ** 33 + 0x1000;
    const ram = new PhysicalMemory(PAGE_4K, [{ base: physAddr(high), sizeBytes: 2 ** 20, nid: 0 }]);
    const tree = new RadixTree(ram, radixGeometry(PAGE_4K), new BumpAllocator(ram, high));
    tree.init();
    tree.preserve(9 as Pfn, 0 as Order);
    const blocks: number[] = [];
    new RadixReader(radixGeometry(PAGE_4K)).walk(ram, tree.finalize() as PhysAddr, (lo) => void blocks.push(lo));
    expect(blocks).toEqual([0x9000]);
    tree.unpreserve(9 as Pfn, 0 as Order);
    expect(radixStats(tree)).toMatchObject({ keys: 0, nodes: 6 });
  });
});
