import { describe, expect, test } from 'vitest';
import type { RadixContract } from '../../../kernel/abi/contract.ts';
import { RADIX_V4 } from '../../../kernel/abi/radix.ts';
import { EINVAL, ENOMEM, ERANGE } from '../../../kernel/errno.ts';
import { KernelHang } from '../../../kernel/failure.ts';
import { bitmapIndex, blockBytes, decodeKey, encodeKey, radixGeometry } from '../../../kernel/kho/geometry.ts';
import { arm64Pointer, exactPointer } from '../../../kernel/kho/node-source.ts';
import { radixStats } from '../../../kernel/kho/radix-stats.ts';
import { RadixTree, type RadixTreeOptions } from '../../../kernel/kho/radix-tree.ts';
import { RadixReader, STEPS_PER_KEY } from '../../../kernel/kho/radix-walk.ts';
import {
  MachineFault,
  makePageSize,
  type Order,
  PAGE_4K,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  physAddr,
} from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

/** Pages of 32 bytes: tables of 4 slots, leaves of 256 bits, three levels. */
const TINY = makePageSize(5, 16);
const RAM_BYTES = 2 ** 16;
const ROOT = RAM_BYTES / 2;

function setUp(options: RadixTreeOptions = {}) {
  const memory = new PhysicalMemory(TINY, [{ base: physAddr(0), sizeBytes: RAM_BYTES, nid: 0 }]);
  const alloc = new BumpAllocator(memory, ROOT);
  const warnings: string[] = [];
  const log = {
    warnOn: (name: string) => warnings.push(`always ${name}`),
    warnOnOnce: (name: string) => warnings.push(`once ${name}`),
  };
  const tree = new RadixTree(memory, radixGeometry(TINY), alloc, { log, ...options });
  return { memory, alloc, tree, warnings };
}

const block = (tree: RadixTree, pfn: number, order = 0) => tree.preserve(pfn as Pfn, order as Order);

/** A callback that notes its first operand, and goes on with the result for how many there are. */
function noting(list: number[], result: (length: number) => number = () => 0) {
  return (first: number): number => result(list.push(first));
}

function keysOf(tree: RadixTree): number[] {
  const keys: number[] = [];
  tree.walk({ leaf: noting(keys) });
  return keys;
}

describe('without a root', () => {
  test('each operation is a WARN, and -EINVAL where it has a result', () => {
    const { tree, warnings } = setUp();
    expect([block(tree, 1), tree.addKey(1, 2 ** 31), tree.walk({})]).toEqual([EINVAL, EINVAL, EINVAL]);
    tree.unpreserve(1 as Pfn, 0 as Order);
    expect(warnings).toEqual([
      'once kho_radix_add_key',
      'once kho_radix_add_key',
      'once kho_radix_walk_tree',
      'once kho_radix_del_key',
    ]);
  });

  test('its address is 0, it holds nothing, and there is nothing to destroy', () => {
    const { tree, alloc } = setUp();
    tree.destroy();
    expect([tree.finalize(), tree.root, alloc.live]).toEqual([0, undefined, 0]);
    expect(radixStats(tree)).toEqual({ nodesPerLevel: [0, 0, 0], nodes: 0, keys: 0, bytes: 0 });
  });

  test('WARNs have the names of the functions that the release has', () => {
    const { tree, warnings } = setUp({ functionNames: { add: 'a', del: 'd', walk: 'w' } });
    block(tree, 1);
    tree.delKey(1, 0);
    tree.walk({});
    expect(warnings).toEqual(['once a', 'once d', 'once w']);
  });
});

describe('the root', () => {
  test('is made once', () => {
    const { tree, alloc } = setUp();
    expect([tree.init(), tree.root, tree.init(), tree.root, alloc.live]).toEqual([0, ROOT, 0, ROOT, 1]);
  });

  test('is -ENOMEM without memory', () => {
    const { tree, alloc } = setUp();
    alloc.failAfter = 0;
    expect([tree.init(), tree.root]).toEqual([ENOMEM, undefined]);
  });

  test('of another tree makes this one that tree', () => {
    const { memory, alloc, tree } = setUp();
    tree.init();
    block(tree, 5);
    const other = new RadixTree(memory, radixGeometry(TINY), alloc, { root: ROOT as PhysAddr });
    expect(keysOf(other)).toEqual(keysOf(tree));
    block(other, 6);
    other.setRoot(undefined);
    expect(block(other, 7)).toBe(EINVAL);
    expect(keysOf(tree)).toHaveLength(2);
  });
});

describe('what is not there', () => {
  test('is a WARN to delete when there is no leaf for it, and nothing when its bit is clear', () => {
    const { tree, warnings } = setUp();
    tree.init();
    block(tree, 5);
    tree.unpreserve(6 as Pfn, 0 as Order);
    expect(warnings).toEqual([]);
    tree.unpreserve(1024 as Pfn, 0 as Order);
    tree.unpreserve(1024 as Pfn, 0 as Order);
    expect(warnings).toEqual(['always kho_radix_del_key', 'always kho_radix_del_key']);
    expect(keysOf(tree)).toHaveLength(1);
  });

  test('is ignored when the key is wider than the tree; before 7.3 its high bits were cut off', () => {
    const { tree, warnings } = setUp();
    tree.init();
    tree.addKey(7, 0);
    tree.delKey(0x1007, 0);
    tree.delKey(7, 1);
    expect([keysOf(tree), warnings, tree.addKey(0x1000, 0), tree.addKey(0xfff, 0)]).toEqual([[7], [], ERANGE, 0]);
    const before = setUp({ rejectWideKeys: false }).tree;
    before.init();
    before.addKey(7, 0);
    before.delKey(0x1007, 0);
    expect(keysOf(before)).toEqual([]);
  });
});

test('an insert that runs out of memory leaves the entry that it made, where the patch forgot it', () => {
  const { tree, alloc, memory } = setUp({ leavesDanglingEntry: true });
  tree.init();
  alloc.failAfter = 1;
  expect([block(tree, 5), alloc.live]).toEqual([ENOMEM, 1]);
  const words = [0, 8, 16, 24].map((at) => memory.readU64(physAddr(ROOT + at)));
  expect(words.filter((word) => word !== 0)).toEqual([ROOT + 32]);
});

test('a leaf at an address within a page is written and cleared there', () => {
  const { tree, memory } = setUp();
  tree.init();
  block(tree, 5);
  const table = memory.readU64(
    physAddr(ROOT + 8 * [0, 1, 2, 3].findIndex((i) => memory.readU64(physAddr(ROOT + 8 * i)))),
  );
  const slot = [0, 1, 2, 3].map((i) => table + 8 * i).find((at) => memory.readU64(physAddr(at)) !== 0) ?? 0;
  memory.writeU64(physAddr(slot), 0x104);
  for (const pfn of [1, 40]) expect(block(tree, pfn)).toBe(0);
  expect([memory.readU32(physAddr(0x104)), memory.readU32(physAddr(0x108))]).toEqual([2, 2 ** 8]);
  tree.unpreserve(40 as Pfn, 0 as Order);
  expect([memory.readU32(physAddr(0x104)), memory.readU32(physAddr(0x108))]).toEqual([2, 0]);
  expect(tree.preserveRun(64 as Pfn, 0 as Order, 40)).toBe(0);
  expect([0x10c, 0x110].map((at) => memory.readU32(physAddr(at)))).toEqual([0xffff_ffff, 0xff]);
});

describe('a walk', () => {
  function filled(options: RadixTreeOptions = {}) {
    const world = setUp(options);
    world.tree.init();
    for (const pfn of [0, 31, 32, 1024]) block(world.tree, pfn);
    block(world.tree, 8, 3);
    return world;
  }

  test('ends with the result of a callback that is not 0', () => {
    const { tree } = filled();
    const seen: number[] = [];
    expect(tree.walk({ leaf: noting(seen, (length) => (length === 2 ? -7 : 0)) })).toBe(-7);
    expect(seen).toHaveLength(2);
    const levels: number[] = [];
    expect(tree.walk({ node: (_phys, level) => noting(levels, () => (level === 0 ? 9 : 0))(level) })).toBe(9);
    expect(levels).toEqual([2, 1, 0]);
  });

  test('tells of each page which slot leads there', () => {
    const { tree, memory } = filled();
    let pages = 0;
    tree.walk({
      node: (phys, level, linkPhys) => {
        pages++;
        if (level === 2) expect([phys, linkPhys]).toEqual([ROOT, -1]);
        else expect(memory.readU64(physAddr(linkPhys))).toBe(phys);
        return 0;
      },
    });
    expect(pages).toBe(radixStats(tree).nodes);
    expect(radixStats(tree).bytes).toBe(32 * pages);
  });

  test('hangs when its steps are used up, a word of a page being one and a key 32', () => {
    const { tree } = filled();
    const { nodes, keys } = radixStats(tree);
    const steps = 8 * nodes + STEPS_PER_KEY * keys;
    for (const callbacks of [{ block: () => {} }, { leaf: () => 0 }]) {
      const walk = (maxWalkSteps: number) => () => filled({ maxWalkSteps }).tree.walk(callbacks);
      expect(walk(steps)()).toBe(0);
      expect(walk(8 * nodes - 1)).toThrow(KernelHang);
    }
    expect(() => filled({ maxWalkSteps: steps - 1 }).tree.forEach(() => {})).toThrow(KernelHang);
  });

  test('of a reader gives keys or blocks, and each page with its size', () => {
    const { tree, memory } = filled();
    const reader = new RadixReader(radixGeometry(TINY));
    const keys: number[] = [];
    expect(reader.walkKeys(memory, ROOT as PhysAddr, { leaf: noting(keys) })).toBe(0);
    expect(keys).toEqual(keysOf(tree));
    const sizes = new Set<number>();
    reader.walk(
      memory,
      ROOT as PhysAddr,
      () => {},
      (_phys, sizeBytes) => sizes.add(sizeBytes),
    );
    expect([...sizes]).toEqual([32]);
  });
});

describe('pointers', () => {
  test('count with all 64 bits, and on arm64 without the highest 12', () => {
    expect(exactPointer(0x8000_0000, 1)).toBe(0x1_8000_0000);
    expect([exactPointer(-1, 0x1f_ffff), exactPointer(0, 0x20_0000), exactPointer(0, -1)]).toEqual([
      2 ** 53 - 1,
      undefined,
      undefined,
    ]);
    expect([arm64Pointer(1, 0xfff0_0001), arm64Pointer(0, 0x10_0000)]).toEqual([0x1_0000_0001, 0]);
  });

  test('outside RAM are a fault, in inserting, deleting, walking and destroying', () => {
    const { tree, memory } = setUp();
    tree.init();
    block(tree, 5);
    for (let i = 0; i < 4; i++) memory.writeU64Big(physAddr(ROOT + 8 * i), 0x8000_0000_0000_0020n);
    const fault = new MachineFault('read', '0x8000000000000020');
    expect(() => block(tree, 9)).toThrow(fault);
    expect(() => tree.unpreserve(9 as Pfn, 0 as Order)).toThrow(fault);
    expect(() => tree.forEach(() => {})).toThrow(fault);
    expect(() => tree.destroy()).toThrow(fault);
  });
});

describe('geometries', () => {
  const withGeometry = (geometry: Partial<RadixContract['geometry']>): RadixContract => ({
    ...RADIX_V4,
    geometry: { ...RADIX_V4.geometry, ...geometry },
  });

  test.each([
    [{ depth: '1' }, 'a depth of 1 leaves no table'],
    [{ tableLog2: '0', depth: '6' }, '2^0 slots are not a page of u64'],
    [{ tableLog2: '10' }, '2^10 slots are not a page of u64'],
    [{ bitmapLog2: '4' }, '2^4 bits are not a page of bits'],
    [{ bitmapLog2: '16' }, '2^16 bits are not a page of bits'],
    [{ depth: '8' }, 'at a depth of 8 keys are above 64 bits'],
  ])('%s make no tree: %s', (geometry, why) => {
    const contract = withGeometry(geometry as Partial<RadixContract['geometry']>);
    expect(() => radixGeometry(PAGE_4K, contract)).toThrow(`makes no tree of 4K pages: ${why}`);
  });

  test('at the limits are trees', () => {
    for (const geometry of [
      { depth: '2' },
      { tableLog2: '1', depth: '7' },
      { tableLog2: '8', depth: '8' },
      { bitmapLog2: '5' },
      { depth: '7' },
    ]) {
      const contract = withGeometry(geometry as Partial<RadixContract['geometry']>);
      expect(radixGeometry(PAGE_4K, contract).slots).toBeGreaterThan(1);
    }
  });

  test('two orders with one marker bit, or none with one, are refused', () => {
    const encoding = { ...RADIX_V4.encoding, orderBit: '50' };
    expect(() => radixGeometry(PAGE_4K, { ...RADIX_V4, encoding })).toThrow('orders 0 and 1 have one marker bit');
    const none = { ...RADIX_V4.encoding, orderBit: '64 - ORDER * 0' };
    expect(() => radixGeometry(PAGE_4K, { ...RADIX_V4, encoding: none })).toThrow('order 0 has no marker bit');
  });

  test('numbers of the orders', () => {
    const { nrOrders, markerBits, addressShifts, orderOfBit, levelShifts, bitmapWords, plainKeys } =
      radixGeometry(PAGE_4K);
    expect([nrOrders, markerBits[0], markerBits[52], markerBits[53], addressShifts[52]]).toEqual([53, 52, 0, -1, 64]);
    expect([orderOfBit[52], orderOfBit[0], orderOfBit[53]]).toEqual([0, 52, -1]);
    expect([levelShifts, bitmapWords, plainKeys]).toEqual([[0, 15, 24, 33, 42, 51], 1024, true]);
  });

  test('orders end where their marker bit or their shift is none of 64 bits', () => {
    const ordersOf = (encoding: Partial<RadixContract['encoding']>) =>
      radixGeometry(PAGE_4K, { ...RADIX_V4, encoding: { ...RADIX_V4.encoding, ...encoding } });
    expect(ordersOf({ orderBit: '3 - ORDER' }).nrOrders).toBe(4);
    expect(ordersOf({ orderBit: '61 + ORDER' }).nrOrders).toBe(3);
    expect(ordersOf({ orderBit: '63 - ORDER' }).markerBits[0]).toBe(63);
    expect(ordersOf({ addressShift: 'ORDER' }).nrOrders).toBe(53);
    expect(ordersOf({ addressShift: '8 - 3 * ORDER' }).nrOrders).toBe(3);
    expect(ordersOf({ addressShift: '4 + 20 * ORDER' }).nrOrders).toBe(4);
    expect(() => ordersOf({ addressShift: 'ORDER - 1' })).toThrow('order 0 has no marker bit');
  });

  test('keys are plain when both marker and shift are those of the kernels so far', () => {
    const plain = (encoding: Partial<RadixContract['encoding']>) =>
      radixGeometry(PAGE_4K, { ...RADIX_V4, encoding: { ...RADIX_V4.encoding, ...encoding } }).plainKeys;
    expect([plain({}), plain({ orderBit: '53 - ORDER' }), plain({ addressShift: 'PAGE_SHIFT + 2 * ORDER' })]).toEqual([
      true,
      false,
      false,
    ]);
  });

  test('a marker in the lowest bit is one in another layout too', () => {
    const encoding = { orderBit: 'ORDER', addressShift: 'PAGE_SHIFT' };
    const geometry = radixGeometry(PAGE_4K, { ...RADIX_V4, encoding });
    expect(decodeKey(geometry, 1, 0)).toEqual({ lo: 0, hi: 0, order: 0 });
    expect(decodeKey(geometry, 9, 0)).toEqual({ lo: 0x1000, hi: 0, order: 3 });
  });

  test('the size of a block and the bit in its leaf are what shifts and masks give', () => {
    const geometry = radixGeometry(PAGE_4K);
    expect([blockBytes(geometry, 0), blockBytes(geometry, 20), blockBytes(geometry, 52)]).toEqual([
      { lo: 4096, hi: 0 },
      { lo: 0, hi: 1 },
      { lo: 1, hi: 0 },
    ]);
    expect([bitmapIndex(geometry, 0x8000), bitmapIndex(geometry, 0x7fff), bitmapIndex(geometry, -1)]).toEqual([
      0, 0x7fff, 0x7fff,
    ]);
  });

  test('an order without a marker bit gives the key that wrapped shifts give', () => {
    const geometry = radixGeometry(PAGE_4K);
    expect(encodeKey(geometry, 0x1000, 0, 52)).toEqual({ lo: 0x1001, hi: 0 });
    expect(encodeKey(geometry, 0x1000, 0, 53)).toEqual({ lo: 0x800, hi: 0x8000_0000 });
    expect(encodeKey(geometry, 0, 0x100, 60)).toEqual({ lo: 0, hi: 0x0100_0001 });
  });

  test('keys in another layout are an order and an address, or no key of any order', () => {
    const encoding = { ...RADIX_V4.encoding, orderBit: '57 - ORDER', addressShift: 'PAGE_SHIFT + ORDER' };
    const geometry = radixGeometry(PAGE_4K, {
      ...RADIX_V4,
      encoding,
      geometry: { ...RADIX_V4.geometry, keyWidth: '58', depth: '6' },
    });
    expect([geometry.plainKeys, geometry.nrOrders, geometry.markerBits[0]]).toEqual([false, 53, 57]);
    const key = encodeKey(geometry, 0x5000, 0x8000_0001, 0);
    expect(decodeKey(geometry, key.lo, key.hi)).toEqual({ lo: 0x5000, hi: 0x8000_0001, order: 0 });
    const wide = encodeKey(geometry, 0, 0x8000_0000, 30);
    expect(decodeKey(geometry, wide.lo, wide.hi)).toEqual({ lo: 0, hi: 0x8000_0000, order: 30 });
    for (const [lo, hi] of [
      [0, 0],
      [1, 0],
      [0, 2 ** 31],
    ] as const) {
      expect(decodeKey(geometry, lo, hi)).toEqual({ lo: 0, hi: 0, order: 0xffff_ffff });
    }
  });

  test('addresses of exactly 32 bits, or fewer, are cut off there', () => {
    for (const physBits of [20, 31, 32, 33]) {
      const page = makePageSize(6, physBits);
      const geometry = radixGeometry(page);
      const high = 2 ** physBits - 64;
      const { lo, hi } = encodeKey(geometry, high >>> 0, Math.floor(high / 2 ** 32), 0);
      expect(decodeKey(geometry, lo, hi)).toEqual({ lo: high >>> 0, hi: Math.floor(high / 2 ** 32), order: 0 });
      const beyond = 2 ** (physBits - 6) * 2;
      const { hi: over } = decodeKey(geometry, beyond >>> 0, Math.floor(beyond / 2 ** 32));
      expect(over).toBeLessThan(2 ** Math.max(physBits - 32, 0));
    }
  });

  test('keys of a narrower machine lose what is above its addresses', () => {
    const narrow = radixGeometry(makePageSize(12, 40));
    const { lo, hi } = encodeKey(narrow, 0x1000, 0xff, 0);
    expect(decodeKey(narrow, lo, hi)).toEqual({ lo: 0x1000, hi: 0xff, order: 0 });
    expect(decodeKey(radixGeometry(TINY), 0x802, 0)).toEqual({ lo: 64, hi: 0, order: 0 });
    expect(decodeKey(radixGeometry(TINY), 0x8fff, 0)).toMatchObject({ hi: 0, order: 0xffff_fffc });
  });
});
