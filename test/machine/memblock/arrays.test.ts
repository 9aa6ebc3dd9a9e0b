import { describe, expect, test } from 'vitest';
import { MEMBLOCK_HOTPLUG, MEMBLOCK_MIRROR, MEMBLOCK_NOMAP } from '../../../machine/memblock/flags.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';
import type { MemblockOptions } from '../../../machine/memblock/options.ts';
import { PAGE_4K } from '../../../machine/page-size.ts';
import { PhysicalMemory } from '../../../machine/physical-memory.ts';
import { physAddr } from '../../../machine/units.ts';

const KIB = 1024;
const MIB = 2 ** 20;
const PAGE = PAGE_4K.sizeBytes;

/** A memblock that may double its arrays, spoken to in pages. */
function world(options: Partial<MemblockOptions> = {}) {
  const memblock = new Memblock({ page: PAGE_4K, ...options });
  memblock.allowResize();
  return {
    memblock,
    add: (page: number, count = 1, nid = 0) => memblock.addNode(page * PAGE, count * PAGE, nid),
    reserve: (page: number, count = 1) => memblock.reserve(page * PAGE, count * PAGE),
    reserveKern: (page: number, count = 1) => memblock.reserveKern(page * PAGE, count * PAGE),
  };
}

describe('a doubled array', () => {
  test('is in RAM at once, zeroes behind its regions, and before it reserves itself', () => {
    const memory = new PhysicalMemory(PAGE_4K, [{ base: physAddr(0), sizeBytes: MIB, nid: 0 }]);
    memory.writeBytes(physAddr(0), new Uint8Array(MIB).fill(0xee));
    const { memblock, add, reserve } = world({ memory, initReservedRegions: 2 });
    add(0, 256);
    for (const page of [1, 3, 5]) reserve(page);
    const at = memblock.reserved.arrayPhys;
    const words = new DataView(memory.readBytes(physAddr(at), PAGE).buffer);
    expect([0, 24, 48, 72].map((offset) => words.getBigUint64(offset, true))).toEqual([0x1000n, 0x3000n, 0n, 0n]);
    expect([words.getUint8(95), words.getUint8(96), memory.readU8(physAddr(at - 1))]).toEqual([0, 0xee, 0xee]);
  });

  test('is told to the log with memblock=debug only, and to nobody without a log', () => {
    for (const debug of [false, true]) {
      const lines: string[] = [];
      const { add, reserve } = world({ debug, initReservedRegions: 1, log: (_, text) => lines.push(text) });
      add(1, 10);
      for (const page of [1, 3]) reserve(page);
      expect(lines.filter((line) => line.includes('is doubled'))).toHaveLength(debug ? 2 : 0);
    }
    const silent = world({ debug: true, initReservedRegions: 1 });
    silent.add(1, 10);
    for (const page of [1, 3]) silent.reserve(page);
    silent.memblock.physAlloc(PAGE, PAGE);
    new Memblock({ page: PAGE_4K }).capMemoryRange(0, PAGE);
    expect(silent.memblock.reserved.max).toBe(4);
  });

  test('of memory is looked for once, wherever it is added, and mirrored memory is missed once', () => {
    const lines: string[] = [];
    const { memblock, add } = world({ initMemoryRegions: 2, log: (level, text) => lines.push(`${level} ${text}`) });
    add(1000);
    memblock.mirroredKernelcore = true;
    memblock.hasMirror = true;
    memblock.currentLimit = 500 * PAGE;
    add(2000);
    expect(add(3000)).toBe(-12);
    expect(lines).toEqual([
      'warn Could not allocate 0x0000000000001000 bytes of mirrored memory',
      'err memblock: Failed to double memory array from 2 to 4 entries !',
    ]);
  });

  test('of reserved is looked for above the range that waits, then below it, and mirrored memory is missed twice', () => {
    const lines: string[] = [];
    const { memblock, reserve } = world({ initReservedRegions: 1, log: (level) => lines.push(level) });
    memblock.addNode(PAGE, PAGE, 0, MEMBLOCK_MIRROR);
    memblock.hasMirror = true;
    reserve(10);
    memblock.markNomap(PAGE, PAGE);
    expect(reserve(20)).toBe(-12);
    expect(lines).toEqual(['warn', 'warn', 'err']);
  });

  test('whose own place cannot be reserved is a BUG', () => {
    let asked = 0;
    const { add, reserve } = world({
      initMemoryRegions: 1,
      initReservedRegions: 1,
      failsDoubling: () => asked++ > 0,
    });
    add(100, 30);
    reserve(101);
    expect(() => add(200)).toThrow(/^BUG at memblock_double_array: memory array not reserved$/);
  });

  test('is too small, a BUG, when the old one is given back out of the range that waits', () => {
    // 118..120 are the kernel's: the middle one is the old array. Giving it back leaves two regions for one, and makes a third hole of two.
    //
    //      100 102 104     117 118 119 120 121                129
    //       R   R   R      [-- K   arr  K --]     reserved     new array
    const { memblock, add, reserve, reserveKern } = world({ initReservedRegions: 2 });
    add(100, 30);
    memblock.currentLimit = 120 * PAGE;
    for (const page of [100, 102]) reserve(page);
    for (const page of [118, 120]) reserveKern(page);
    reserve(104);
    expect([memblock.reserved.arrayPhys, memblock.reserved.count, memblock.reserved.max]).toEqual([119 * PAGE, 4, 4]);
    memblock.currentLimit = 130 * PAGE;
    expect(() => reserve(117, 5)).toThrow(/^BUG at memblock_insert_region: reserved array is full$/);
  });
});

describe('arrays that lie over each other', () => {
  /** Fills `reserved` and lets `memory` double for the second time, so that giving back its old array doubles `reserved`. */
  function collide(initMemoryRegions: number, initReservedRegions: number): () => unknown {
    const { memblock, add, reserve } = world({ initMemoryRegions, initReservedRegions });
    add(10_000, 1000);
    memblock.currentLimit = 11_000 * PAGE;
    for (let i = 1; memblock.memory.max === initMemoryRegions || memblock.memory.count < memblock.memory.max; i++) {
      add(20_000 + 2 * i);
    }
    for (let i = 0; memblock.reserved.count < initReservedRegions; i++) reserve(10_001 + 2 * i);
    return () => add(90_000);
  }

  test('end the run, the larger one below the smaller, whichever it is', () => {
    expect(collide(4, 128)).toThrow('ARRAY_OVERLAP memarray=0x2af6000 rsvarray=0x2af5000');
    expect(collide(64, 8)).toThrow('ARRAY_OVERLAP memarray=0x2af5000 rsvarray=0x2af6000');
  });

  test('are two that were doubled: one in the kernel image does not count, however long it is', () => {
    for (const full of ['memory', 'reserved'] as const) {
      const { memblock, add, reserve } = world({
        initMemoryRegions: full === 'memory' ? 2 : 200,
        initReservedRegions: full === 'reserved' ? 2 : 200,
      });
      memblock.bottomUp = true;
      add(1, 30);
      for (const page of [10, 12]) reserve(page);
      if (full === 'memory') for (const page of [40, 50]) add(page);
      else reserve(0);
      expect(memblock[full].arrayPhys).toBe(PAGE);
    }
  });

  test('are not two that touch', () => {
    for (const order of [
      ['memory', 'reserved'],
      ['reserved', 'memory'],
    ] as const) {
      // 512 regions of 24 bytes are three pages.
      const { memblock, add, reserve } = world({ initMemoryRegions: 256, initReservedRegions: 256 });
      memblock.bottomUp = true;
      add(1, 2000);
      for (const name of order) {
        if (name === 'memory') for (let i = 0; i < 256; i++) add(3000 + 2 * i);
        for (let i = 0; memblock.reserved.count < 256; i++) reserve(300 + 2 * i);
        if (name === 'reserved') reserve(0);
      }
      expect(order.map((name) => memblock[name].arrayPhys)).toEqual([PAGE, 4 * PAGE]);
    }
  });
});

test('arrays in the kernel image are not written into RAM', () => {
  const memory = new PhysicalMemory(PAGE_4K, [{ base: physAddr(0), sizeBytes: MIB, nid: 0 }]);
  memory.writeBytes(physAddr(0), new Uint8Array(64).fill(0xee));
  const { memblock, add, reserve } = world({ memory });
  add(0, 256);
  reserve(5);
  memblock.writeArrays(memory);
  expect([0, 24, 63].map((at) => memory.readU8(physAddr(at)))).toEqual([0xee, 0xee, 0xee]);
});

describe('ranges', () => {
  test('that are empty change nothing: no region comes, and a full array stays as it is', () => {
    const memblock = new Memblock({ page: PAGE_4K, initReservedRegions: 1 });
    expect([memblock.reserve(MIB, 0), memblock.reserved.count]).toEqual([0, 0]);
    memblock.reserve(MIB, 64);
    expect([memblock.free(MIB, 0), memblock.reserve(2 * MIB, 0), memblock.reserved.count]).toEqual([0, 0, 1]);
  });

  test('over several holes become one region with what is between, and with what touches', () => {
    const { memblock, reserve } = world();
    for (const page of [1, 3, 5]) reserve(page);
    reserve(0, 6);
    expect([...memblock.reserved]).toEqual([{ base: 0, end: 6 * PAGE, flags: 0, nid: -1 }]);
    for (const page of [11, 15]) reserve(page);
    reserve(10, 4);
    expect([...memblock.reserved].map(({ base, end }) => [base / PAGE, end / PAGE])).toEqual([
      [0, 6],
      [10, 14],
      [15, 16],
    ]);
  });

  test('come into a table emptied by trimming with a WARN, and the total counts anew', () => {
    const warned: string[] = [];
    const memblock = new Memblock({ page: PAGE_4K, warn: (name) => warned.push(name) });
    memblock.addNode(0x1100, 0x1100, 0);
    memblock.addNode(0x8100, 0x100, 0);
    memblock.trim(0x1000);
    expect(memblock.memory.count).toBe(0);
    memblock.addNode(0x1100, 0x1f00, 0);
    memblock.trim(0x1000);
    expect([memblock.memory.totalSize, warned]).toEqual([0x1f00n, []]);
    memblock.remove(0, MIB);
    expect([memblock.memory.count, memblock.memory.totalSize, warned]).toEqual([0, 0xf00n, ['memblock_remove_region']]);
    memblock.addNode(0, 0x2000, 0);
    expect([memblock.memory.totalSize, warned]).toEqual([0x2000n, ['memblock_remove_region', 'memblock_add_range']]);
  });

  test('that are trimmed again and again leave a total beyond 2^53, to the byte', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(2 ** 52, 2 ** 50, 0);
    for (let i = 0; i < 20; i++) {
      memblock.addNode(1, 2 ** 51 - 1, 0);
      memblock.trim(2 ** 50);
      memblock.remove(0, 2 ** 51);
    }
    expect(memblock.memory.totalSize).toBe(2n ** 50n + 20n * (2n ** 50n - 1n));
  });

  test('that come as one and go in parts, on both sides of 2^53, leave nothing in the total', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(2 ** 62, PAGE, 0);
    for (let i = 0; i < 8; i++) {
      memblock.addNode(0, 2 ** 60, 0);
      memblock.remove(0, 2 ** 53 - 1);
      memblock.remove(0, 2 ** 61);
    }
    expect(memblock.memory.totalSize).toBe(4096n);
  });
});

describe('allocations', () => {
  test('of no bytes are placed from the lower end of what is asked for, the first page left out', () => {
    const { memblock, add } = world();
    add(0, 16);
    expect(memblock.allocRangeNid(0, 64, 0, 100)).toBe(PAGE);
    expect(memblock.allocRangeNid(0, 64, 8 * PAGE, 2 * PAGE)).toBe(8 * PAGE);
    memblock.bottomUp = true;
    expect(memblock.allocRangeNid(0, 64, 0, 100)).toBe(0);
    expect(memblock.allocRangeNid(0, 64, 8 * PAGE, 2 * PAGE)).toBe(0);
    expect(memblock.allocRangeNid(0, 64, 8 * PAGE, 9 * PAGE)).toBe(8 * PAGE);
  });

  test('of more than there is below a place above 2^53 find nothing', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(2 ** 54, 2 ** 54, 0);
    expect(memblock.physAlloc(2 ** 56, PAGE)).toBe(0);
    expect(memblock.physAlloc(2 ** 54, PAGE)).toBe(2 ** 54);
  });

  test('take what fits exactly', () => {
    for (const bottomUp of [false, true]) {
      const { memblock, add } = world();
      memblock.bottomUp = bottomUp;
      add(4, 4);
      expect([memblock.physAlloc(5 * PAGE, PAGE), memblock.physAlloc(4 * PAGE, PAGE)]).toEqual([0, 4 * PAGE]);
    }
  });

  test('between two addresses go to another node, unless that is ruled out', () => {
    const { memblock, add } = world();
    add(1, 4, 0);
    add(8, 4, 1);
    expect(memblock.allocRangeNid(8 * PAGE, PAGE, 0, 0, 0, true)).toBe(0);
    expect(memblock.allocRangeNid(4 * PAGE, PAGE, 0, 0, 0, true)).toBe(PAGE);
    expect(memblock.allocRangeNid(PAGE, PAGE, 0, 0, 0, true)).toBe(0);
    expect(memblock.allocRangeNid(PAGE, PAGE, 0, 0, 0)).toBe(11 * PAGE);
    expect(memblock.allocNode(PAGE, PAGE, 0)).toBe(10 * PAGE);
  });

  test('without a minimum are tried once; a line of the log names the node, if there is one', () => {
    const lines: string[] = [];
    const memblock = new Memblock({ page: PAGE_4K, log: (level, text) => lines.push(`${level} ${text}`) });
    memblock.hasMirror = true;
    expect(memblock.alloc(64 * KIB, 64)).toBe(0);
    const missed = 'warn Could not allocate 0x0000000000010000 bytes of mirrored memory';
    expect(lines).toEqual([missed]);
    expect(memblock.allocFrom(64 * KIB, 64, PAGE)).toBe(0);
    expect(lines).toEqual([missed, missed, missed]);
    const debug: string[] = [];
    const talking = new Memblock({ page: PAGE_4K, debug: true, log: (_, text) => debug.push(text) });
    talking.physAllocRange(0x123, 0, 0x10, 0x2000);
    talking.allocExactNidRaw(0x123, 16, 0, 0, 3);
    expect(debug).toEqual([
      'memblock_phys_alloc_range: 291 bytes align=0x0 from=0x0000000000000010 max_addr=0x0000000000002000',
      'memblock_alloc_exact_nid_raw: 291 bytes align=0x10 nid=3 from=0x0000000000000000 max_addr=0x0000000000000000',
    ]);
  });
});

test('with movable_node, hotpluggable memory is free for those who ask for it only', () => {
  const { memblock, add } = world();
  add(1, 4);
  memblock.markHotplug(PAGE, PAGE);
  for (const movableNode of [false, true]) {
    memblock.movableNode = movableNode;
    for (const flags of [0, MEMBLOCK_HOTPLUG]) {
      const pages: number[] = [];
      memblock.forEachFreeRange(-1, flags, (start) => pages.push(start / PAGE));
      expect(pages).toEqual(movableNode && flags === 0 ? [2] : [1, 2]);
    }
  }
});

test('without NUMA, nothing is given to a node', () => {
  const memblock = new Memblock({ page: PAGE_4K, numa: false });
  memblock.addNode(0, 4 * PAGE, 3);
  expect(memblock.setNode(PAGE, PAGE, 2)).toBe(0);
  expect([...memblock.memory]).toEqual([{ base: 0, end: 4 * PAGE, flags: 0, nid: 0 }]);
});

describe('limits', () => {
  test('of just what some regions have end behind the last of them, before the hole', () => {
    for (const how of ['enforceMemoryLimit', 'memLimitRemoveMap'] as const) {
      const { memblock, add, reserve } = world();
      add(0, 4);
      add(8, 4);
      reserve(6);
      memblock[how](4 * PAGE);
      expect([memblock.memory.count, memblock.endOfDram(), memblock.reserved.count]).toEqual([1, 4 * PAGE, 0]);
      reserve(5);
      memblock[how](4 * PAGE);
      expect([memblock.endOfDram(), memblock.reserved.count]).toEqual([4 * PAGE, 0]);
    }
  });

  test('above all memory leave a full array alone', () => {
    const memblock = new Memblock({ page: PAGE_4K, initMemoryRegions: 1, initReservedRegions: 1 });
    memblock.addNode(0, MIB, 0);
    memblock.reserve(2 * MIB, PAGE);
    memblock.memLimitRemoveMap(2 * MIB);
    memblock.enforceMemoryLimit(2 * MIB);
    expect([memblock.memory.count, memblock.reserved.count]).toEqual([1, 1]);
  });

  test('for which an array would have to double, and cannot, change nothing', () => {
    const { memblock, add, reserve } = world({ initMemoryRegions: 2, failsDoubling: () => true });
    add(0, 4);
    add(8, 4);
    reserve(6);
    memblock.capMemoryRange(0, 2 * PAGE);
    expect([memblock.memory.count, memblock.endOfDram(), memblock.reserved.count]).toEqual([2, 12 * PAGE, 1]);
  });

  test('to a range without memory keep NOMAP memory only', () => {
    const { memblock, add } = world();
    add(0, 4);
    memblock.addNode(8 * PAGE, PAGE, 0, MEMBLOCK_NOMAP);
    memblock.capMemoryRange(5 * PAGE, PAGE);
    expect([...memblock.memory].map(({ base }) => base)).toEqual([8 * PAGE]);
  });
});
