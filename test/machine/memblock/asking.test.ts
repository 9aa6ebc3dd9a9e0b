import { describe, expect, test } from 'vitest';
import {
  MEMBLOCK_ALLOC_NOLEAKTRACE,
  MEMBLOCK_HOTPLUG,
  MEMBLOCK_NOMAP,
  MEMBLOCK_RSRV_KERN,
  MEMBLOCK_RSRV_NOINIT,
  PHYS_ADDR_MAX,
} from '../../../machine/memblock/flags.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';
import { PAGE_4K } from '../../../machine/page-size.ts';

const KIB = 1024;
const MIB = 2 ** 20;

/** Memory from 1 to 3 MiB on node 0, NOMAP from 2 MiB, and from 4 to 5 MiB on node 1. */
function world() {
  const memblock = new Memblock({ page: PAGE_4K });
  memblock.addNode(MIB, 2 * MIB, 0);
  memblock.markNomap(2 * MIB, MIB);
  memblock.addNode(4 * MIB, MIB, 1);
  return memblock;
}

describe('questions about addresses', () => {
  test('are true from the first byte of a region to its last', () => {
    const memblock = world();
    const at = [MIB - 1, MIB, 2 * MIB - 1, 2 * MIB, 3 * MIB - 1, 3 * MIB, 5 * MIB];
    expect(at.map((addr) => memblock.isMemory(addr))).toEqual([false, true, true, true, true, false, false]);
    expect(at.map((addr) => memblock.isMapMemory(addr))).toEqual([false, true, true, false, false, false, false]);
    memblock.reserve(MIB, 4 * KIB);
    expect([MIB - 1, MIB, MIB + 4 * KIB].map((addr) => memblock.isReserved(addr))).toEqual([false, true, false]);
  });

  test('about ranges take one region of memory, and any byte of reserved', () => {
    const memblock = world();
    expect(memblock.isRegionMemory(MIB, MIB)).toBe(true);
    expect([memblock.isRegionMemory(MIB, MIB + 1), memblock.isRegionMemory(0, MIB)]).toEqual([false, false]);
    memblock.reserve(MIB, 4 * KIB);
    expect([memblock.isRegionReserved(0, MIB), memblock.isRegionReserved(0, MIB + 1)]).toEqual([false, true]);
    expect(memblock.isRegionReserved(MIB + 4 * KIB, MIB)).toBe(false);
  });

  test('about a frame give its region, about the ends of memory the addresses, 0 without any', () => {
    const memblock = world();
    expect(memblock.searchPfnNid(0x401)).toEqual({ nid: 1, startPfn: 0x400, endPfn: 0x500 });
    expect(memblock.searchPfnNid(0x500)).toBeUndefined();
    expect([memblock.startOfDram(), memblock.endOfDram()]).toEqual([MIB, 5 * MIB]);
    const none = new Memblock({ page: PAGE_4K });
    expect([none.startOfDram(), none.endOfDram(), none.isMemory(0)]).toEqual([0, 0, false]);
    none.addNode(2 ** 40, PHYS_ADDR_MAX, 0);
    expect(none.searchPfnNid(2 ** 30)).toEqual({ nid: 0, startPfn: 2 ** 28, endPfn: 2 ** 52 - 1 });
  });

  test('about what is reserved below a limit count up to it', () => {
    const memblock = world();
    memblock.reserveKern(MIB, 8 * KIB);
    memblock.reserve(MIB + 16 * KIB, 8 * KIB);
    const limits = [MIB - 1, MIB, MIB + 4 * KIB, MIB + 8 * KIB, PHYS_ADDR_MAX];
    expect(limits.map((limit) => memblock.reservedKernSize(limit, -1))).toEqual([0, 0, 4 * KIB, 8 * KIB, 8 * KIB]);
  });
});

describe('blocks reserved without struct pages', () => {
  function noinit(prepare: (memblock: Memblock) => void, base: number, blockBytes: number, nrBlocks: number) {
    const [fast, slow] = [0, 1].map(() => {
      const memblock = new Memblock({ page: PAGE_4K, initReservedRegions: 8 });
      memblock.add(MIB, 64 * MIB);
      memblock.allowResize();
      prepare(memblock);
      return memblock;
    }) as [Memblock, Memblock];
    fast.reserveNoinit(base, blockBytes, nrBlocks);
    for (let i = 0; i < nrBlocks; i++) {
      slow.reserve(base + i * blockBytes, blockBytes);
      slow.reservedMarkNoinit(base + i * blockBytes, blockBytes);
    }
    expect([...fast.reserved]).toEqual([...slow.reserved]);
    expect(fast.cost).toEqual(slow.cost);
    expect(fast.reserved.totalSize).toBe(slow.reserved.totalSize);
    return [...fast.reserved].map(({ base: start, end, flags }) => [start / KIB, end / KIB, flags]);
  }

  test('join what is there of their kind, and stop where something else begins', () => {
    const regions = noinit(
      (memblock) => {
        memblock.reserveNoinit(MIB, 4 * KIB);
        memblock.reserve(MIB + 32 * KIB, 4 * KIB);
        memblock.reserveKern(2 * MIB, 4 * KIB);
      },
      MIB + 4 * KIB,
      4 * KIB,
      10,
    );
    expect(regions).toEqual([
      [1024, 1068, MEMBLOCK_RSRV_NOINIT],
      [2048, 2052, MEMBLOCK_RSRV_KERN],
    ]);
  });

  test.each([
    ['nothing reserved', () => {}],
    ['a plain region that they touch', (memblock: Memblock) => memblock.reserve(MIB, 64 * KIB)],
    ['a region of a node', (memblock: Memblock) => memblock.reserveNode(MIB, 64 * KIB, 0, MEMBLOCK_RSRV_NOINIT)],
    ['a nearly full array', (memblock: Memblock) => [0, 2, 4, 6, 8].map((i) => memblock.reserve((2 + i) * MIB, 1))],
    ['a full array', (memblock: Memblock) => [0, 2, 4, 6, 8, 10, 12].map((i) => memblock.reserve((2 + i) * MIB, 1))],
  ])('with %s cost and leave the same as one by one', (_what, prepare) => {
    for (const nrBlocks of [1, 2, 5]) {
      for (const blockBytes of [4 * KIB, 2 * MIB])
        noinit(prepare as (m: Memblock) => void, MIB + 64 * KIB, blockBytes, nrBlocks);
    }
  });

  test('of no size, or beyond 2^53, go the slow way', () => {
    expect(noinit((memblock) => memblock.reserve(MIB, 4 * KIB), 2 * MIB, 0, 3)).toHaveLength(1);
    expect(noinit((memblock) => memblock.reserve(MIB, 4 * KIB), 2 ** 53 - 8192, 8192, 3)).toHaveLength(2);
  });

  test('are lines of the log with memblock=debug', () => {
    const lines: string[] = [];
    const memblock = new Memblock({ page: PAGE_4K, debug: true, log: (_level, text) => lines.push(text) });
    memblock.reserve(MIB, 4 * KIB);
    memblock.reserveNoinit(2 * MIB, 4 * KIB, 2);
    expect(lines.filter((line) => line.startsWith('__memblock_reserve'))).toHaveLength(3);
  });
});

describe('limits', () => {
  test('of memory keep the first bytes, and what is reserved there', () => {
    for (const [limit, end] of [
      [0, 5 * MIB],
      [MIB, 2 * MIB],
      [2 * MIB, 3 * MIB],
      [2 * MIB + 1, 4 * MIB + 1],
      [3 * MIB, 5 * MIB],
      [64 * MIB, 5 * MIB],
    ] as const) {
      const memblock = world();
      memblock.reserve(5 * MIB - 4 * KIB, 8 * KIB);
      memblock.enforceMemoryLimit(limit);
      expect(memblock.endOfDram()).toBe(end);
      const gone = limit !== 0 && limit < 3 * MIB;
      expect(memblock.isReserved(5 * MIB - 1)).toBe(!gone);
    }
  });

  test('of the mapped range keep NOMAP memory outside', () => {
    const memblock = world();
    memblock.reserve(MIB, 4 * KIB);
    memblock.capMemoryRange(4 * MIB, MIB);
    expect([...memblock.memory].map(({ base, flags }) => [base, flags])).toEqual([
      [2 * MIB, MEMBLOCK_NOMAP],
      [4 * MIB, 0],
    ]);
    expect(memblock.reserved.count).toBe(0);
    memblock.capMemoryRange(0, 0);
    memblock.memLimitRemoveMap(0);
    memblock.memLimitRemoveMap(64 * MIB);
    expect(memblock.memory.count).toBe(2);
    memblock.memLimitRemoveMap(MIB);
    expect([...memblock.memory].map(({ base }) => base)).toEqual([2 * MIB]);
  });

  test('without memory are a warning', () => {
    const lines: string[] = [];
    const memblock = new Memblock({ page: PAGE_4K, log: (level, text) => lines.push(`${level} ${text}`) });
    memblock.capMemoryRange(MIB, MIB);
    expect(lines).toEqual(['warn memblock_cap_memory_range: No memory registered yet']);
  });

  test('trimming keeps what is left of a region, and nothing of one that has no whole unit', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(MIB + 1, 4 * KIB, 0);
    memblock.addNode(2 * MIB + 1, MIB, 0);
    memblock.addNode(8 * MIB, 4 * KIB, 0);
    memblock.trim(4 * KIB);
    expect([...memblock.memory].map(({ base, end }) => [base, end])).toEqual([
      [2 * MIB + 4 * KIB, 3 * MIB],
      [8 * MIB, 8 * MIB + 4 * KIB],
    ]);
  });
});

describe('allocations', () => {
  test('end at the current limit, unless they ask for an end of their own', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(0, 16 * MIB, 0);
    memblock.currentLimit = 4 * MIB;
    expect(memblock.physAllocRange(4 * KIB, 4 * KIB, 0, MEMBLOCK_ALLOC_NOLEAKTRACE)).toBe(4 * MIB - 4 * KIB);
    expect(memblock.physAlloc(4 * KIB, 4 * KIB)).toBe(4 * MIB - 8 * KIB);
    expect(memblock.physAllocRange(4 * KIB, 4 * KIB, 0, 8 * MIB)).toBe(8 * MIB - 4 * KIB);
    expect(memblock.allocTryNid(4 * KIB, 4 * KIB, 0, 12 * MIB, -1)).toBe(4 * MIB - 12 * KIB);
    expect(memblock.allocFrom(4 * KIB, 4 * KIB, 8 * MIB)).toBe(4 * MIB - 16 * KIB);
    expect(memblock.allocRangeNid(4 * KIB, 4 * KIB, 8 * MIB, 2 * MIB)).toBe(0);
  });

  test('take the node that is asked for, and another only where that is allowed', () => {
    const memblock = world();
    expect(memblock.allocNode(4 * KIB, 4 * KIB, 0)).toBe(2 * MIB - 4 * KIB);
    expect(memblock.physAllocTryNid(MIB, 4 * KIB, 0)).toBe(4 * MIB);
    expect(memblock.allocExactNidRaw(4 * KIB, 4 * KIB, 0, 0, 1)).toBe(0);
    expect(memblock.allocTryNidRaw(4 * KIB, 4 * KIB, 0, 0, 1)).toBe(2 * MIB - 8 * KIB);
    expect(memblock.allocHugetlb(64 * KIB, 1, true)).toBe(0);
    expect(memblock.allocHugetlb(64 * KIB, 1, false)).toBe(2 * MIB - 128 * KIB);
  });

  test('leave hotpluggable memory alone when a node is to be movable, and the first page always', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(0, 8 * KIB, 0);
    memblock.addNode(MIB, MIB, 0, MEMBLOCK_HOTPLUG);
    memblock.movableNode = true;
    expect(memblock.physAlloc(4 * KIB, 4 * KIB)).toBe(4 * KIB);
    expect(memblock.physAlloc(4 * KIB, 4 * KIB)).toBe(0);
    memblock.movableNode = false;
    expect(memblock.physAlloc(4 * KIB, 4 * KIB)).toBe(2 * MIB - 4 * KIB);
  });

  test('fit to the last byte, upwards as downwards', () => {
    for (const bottomUp of [false, true]) {
      const memblock = new Memblock({ page: PAGE_4K });
      memblock.addNode(MIB, 8 * KIB, 0);
      memblock.bottomUp = bottomUp;
      expect(memblock.physAlloc(8 * KIB + 1, 1)).toBe(0);
      expect(memblock.physAlloc(8 * KIB, 4 * KIB)).toBe(MIB);
      expect(memblock.physAlloc(1, 1)).toBe(0);
    }
  });

  test('cost the more the more regions there are to look at', () => {
    for (const bottomUp of [false, true]) {
      const memblock = new Memblock({ page: PAGE_4K });
      memblock.addNode(MIB, MIB, 0);
      memblock.bottomUp = bottomUp;
      const costOfLooking = () => {
        const before = memblock.cost.regionsScanned;
        memblock.forEachFreeRange(-1, 0, () => {}, bottomUp ? 'up' : 'down');
        return memblock.cost.regionsScanned - before;
      };
      const few = costOfLooking();
      expect(few).toBeGreaterThan(0);
      memblock.reserve(MIB + 64 * KIB, 4 * KIB);
      expect(costOfLooking()).toBeGreaterThan(few);
    }
  });
});
