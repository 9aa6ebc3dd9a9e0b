import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CHUNK_LIST_V1A, CHUNK_LIST_V1B } from '../../../kernel/abi/chunk-list-v1.ts';
import type { ChunkListContract } from '../../../kernel/abi/contract.ts';
import { ENOMEM } from '../../../kernel/errno.ts';
import { KernelHang } from '../../../kernel/failure.ts';
import { ChunkListMap, ChunkListReader } from '../../../kernel/kho/chunk-list.ts';
import type { IncomingMap, OutgoingMap } from '../../../kernel/kho/memory-map.ts';
import type { AllocOptions, PageAllocator } from '../../../kernel/mm/page-allocator.ts';
import {
  MachineFault,
  type Order,
  PAGE_4K,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  ZERO_FILL,
} from '../../../machine/index.ts';

const RAM_BASE = 0x4000_0000;
const RAM_BYTES = 2 ** 30;

/** Hands out pages from the start of RAM upwards, and counts what is out. */
class BumpAllocator implements PageAllocator {
  readonly #memory: PhysicalMemory;
  #next: number;
  left: number;
  out = 0;

  constructor(memory: PhysicalMemory, left = Number.POSITIVE_INFINITY) {
    this.#memory = memory;
    this.#next = RAM_BASE / memory.page.sizeBytes + 16;
    this.left = left;
  }

  allocPages(order: Order, options?: AllocOptions): Pfn | undefined {
    if (this.left-- <= 0) return undefined;
    const nrPages = 2 ** order;
    const pfn = (Math.ceil(this.#next / nrPages) * nrPages) as Pfn;
    this.#next = pfn + nrPages;
    this.out += nrPages;
    if (options?.zero === true) this.#memory.fillPages(pfn, nrPages, ZERO_FILL);
    return pfn;
  }

  freePages(_pfn: Pfn, order: Order): void {
    this.out -= 2 ** order;
  }
}

function setUp(contract: ChunkListContract, page: PageSize, abortForgetsAll = false) {
  const memory = new PhysicalMemory(page, [{ base: RAM_BASE as PhysAddr, sizeBytes: RAM_BYTES, nid: 0 }]);
  const allocator = new BumpAllocator(memory);
  const quirks = { abortForgetsAll, unpreserveLoops: false, kfreesPages: false };
  const map = new ChunkListMap({ memory, allocator, contract, quirks, seed: 1 });
  return { memory, allocator, map };
}

type Block = [phys: string, order: number];

function blocksOf(walk: (visit: (lo: number, hi: number, order: number) => void) => void): Block[] {
  const blocks: Block[] = [];
  walk((lo, hi, order) => blocks.push([`0x${(BigInt(hi) * 2n ** 32n + BigInt(lo)).toString(16)}`, order]));
  return blocks;
}

function outgoing(map: OutgoingMap): Block[] {
  return blocksOf((visit) => map.forEach(visit));
}

function incoming(reader: IncomingMap, memory: PhysicalMemory, root: number): Block[] {
  return blocksOf((visit) => reader.walk(memory, root as PhysAddr, visit));
}

const CONTRACTS = [CHUNK_LIST_V1A, CHUNK_LIST_V1B];

describe.each(PAGE_SIZES)('chunk list, $name', (page) => {
  test('a chunk is one page: next, order, number of entries, then pairs of start and bitmap', () => {
    const { memory, map } = setUp(CHUNK_LIST_V1B, page);
    const first = RAM_BASE / page.sizeBytes;
    map.preserve((first + 3) as Pfn, 0 as Order);
    map.preserve((first + 8 * page.sizeBytes) as Pfn, 0 as Order);
    map.preserve((first + 64) as Pfn, 4 as Order);
    const root = map.finalize();
    const at = (offset: number) => memory.readU64((root + offset) as PhysAddr);
    const next = at(0);

    expect(at(8)).toBe(2 * 2 ** 32);
    const reach = 8 * page.sizeBytes ** 2;
    expect(at(16)).toBe(Math.floor(RAM_BASE / reach) * reach);
    expect(at(32)).toBe(at(16) + reach);
    const bit = (RAM_BASE % reach) / page.sizeBytes + 3;
    expect(memory.readU8((at(24) + (bit >>> 3)) as PhysAddr)).toBe(1 << (bit & 7));
    expect(at(24) % page.sizeBytes).toBe(0);

    expect(memory.readU64(next as PhysAddr)).toBe(0);
    expect(memory.readU32((next + 8) as PhysAddr)).toBe(4);
    expect(memory.readU32((next + 12) as PhysAddr)).toBe(1);
  });

  test.each(CONTRACTS)('what $name writes it reads, orders and addresses ascending', (contract) => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(fc.nat(0xff_ffff), fc.nat(9)), { maxLength: 40, selector: String }),
        (picks) => {
          const { memory, map } = setUp(contract, page);
          for (const [block, order] of picks) map.preserve((block * 2 ** order) as Pfn, order as Order);
          const root = map.finalize();
          const expected = picks
            .map(
              ([block, order]): Block => [`0x${(BigInt(block * page.sizeBytes) << BigInt(order)).toString(16)}`, order],
            )
            .sort((a, b) => a[1] - b[1] || Number(BigInt(a[0]) - BigInt(b[0])));
          expect(outgoing(map)).toEqual(expected);
          expect(incoming(new ChunkListReader(contract, page), memory, root)).toEqual(expected);
        },
      ),
      { numRuns: 15, seed: 1 },
    );
  });

  test('a bitmap that was emptied stays in the list', () => {
    const { memory, map } = setUp(CHUNK_LIST_V1B, page);
    map.preserve(0x4_0000 as Pfn, 5 as Order);
    map.unpreserve(0x4_0000 as Pfn, 5 as Order);
    const root = map.finalize();
    expect(memory.readU32((root + 8) as PhysAddr)).toBe(5);
    expect(memory.readU32((root + 12) as PhysAddr)).toBe(1);
    expect(incoming(new ChunkListReader(CHUNK_LIST_V1B, page), memory, root)).toEqual([]);
  });

  test('more bitmaps of an order than a chunk holds continue in a second one', () => {
    const { memory, map } = setUp(CHUNK_LIST_V1A, page);
    const capacity = page.sizeBytes / 16 - 1;
    for (let i = 0; i <= capacity; i++) map.preserve((i * 4096) as Pfn, 0 as Order);
    const root = map.finalize();
    expect(memory.readU32((root + 12) as PhysAddr)).toBe(capacity);
    const next = memory.readU64(root as PhysAddr);
    expect(memory.readU32((next + 12) as PhysAddr)).toBe(1);
    expect(incoming(new ChunkListReader(CHUNK_LIST_V1A, page), memory, root)).toHaveLength(capacity + 1);
  });

  test('a reader of 512-byte bitmaps loses, without a word, what lies beyond their reach in a page-sized one', () => {
    const { memory, map } = setUp(CHUNK_LIST_V1B, page);
    const base = Math.ceil(RAM_BASE / (8 * page.sizeBytes ** 2)) * 8 * page.sizeBytes;
    const kept = [0, 1, 4095].map((bit) => (base + bit) as Pfn);
    const lost = [4096, 4097, 8 * page.sizeBytes - 1].map((bit) => (base + bit) as Pfn);
    for (const pfn of [...kept, ...lost]) map.preserve(pfn, 0 as Order);
    const read = incoming(new ChunkListReader(CHUNK_LIST_V1A, page), memory, map.finalize());
    expect(read.map(([phys]) => Number(phys) / page.sizeBytes)).toEqual(kept);
  });

  test('a reader of page-sized bitmaps takes the slab behind a 512-byte one for preserved memory', () => {
    const { memory, map } = setUp(CHUNK_LIST_V1A, page);
    const pfn = (RAM_BASE / page.sizeBytes + 5) as Pfn;
    map.preserve(pfn, 0 as Order);
    const blocks = incoming(new ChunkListReader(CHUNK_LIST_V1B, page), memory, map.finalize());
    const phantoms = blocks.filter(([phys]) => Number(phys) !== pfn * page.sizeBytes);
    expect(blocks.length - phantoms.length).toBe(1);
    expect(phantoms.length).toBeGreaterThan(100);
  });
});

test('finalising again replaces the list, and an abort frees it', () => {
  const { allocator, map } = setUp(CHUNK_LIST_V1B, PAGE_4K);
  map.preserve(0x4_0001 as Pfn, 0 as Order);
  const held = allocator.out;
  const first = map.finalize();
  map.preserve(0x4_0002 as Pfn, 1 as Order);
  const second = map.finalize();
  expect(second).not.toBe(first);
  expect(allocator.out).toBe(held + 3);
  map.abort();
  expect(allocator.out).toBe(held + 1);
  expect(outgoing(map)).toHaveLength(2);
});

test('up to 6.18 an abort forgets what was preserved', () => {
  const { allocator, map } = setUp(CHUNK_LIST_V1B, PAGE_4K, true);
  map.preserve(0x4_0001 as Pfn, 0 as Order);
  map.finalize();
  map.abort();
  expect(allocator.out).toBe(0);
  expect(outgoing(map)).toEqual([]);
});

test('an abort after an abort frees nothing', () => {
  const { allocator, map } = setUp(CHUNK_LIST_V1B, PAGE_4K);
  map.preserve(0x4_0001 as Pfn, 0 as Order);
  map.finalize();
  map.abort();
  const held = allocator.out;
  map.abort();
  expect(allocator.out).toBe(held);
});

test('pages that others used before make no difference to the list', () => {
  const { memory, allocator, map } = setUp(CHUNK_LIST_V1B, PAGE_4K);
  map.preserve(0x4_0001 as Pfn, 0 as Order);
  memory.writeBytes((RAM_BASE + 17 * 4096) as PhysAddr, new Uint8Array(64 * 4096).fill(0xa5));
  map.preserve(0x4_0002 as Pfn, 1 as Order);
  const root = map.finalize();
  expect(allocator.out).toBe(4);
  expect(incoming(new ChunkListReader(CHUNK_LIST_V1B, PAGE_4K), memory, root)).toEqual([
    ['0x40001000', 0],
    ['0x40002000', 1],
  ]);
});

test('an order whose first bitmap found no memory has a chunk without entries', () => {
  const { memory, allocator, map } = setUp(CHUNK_LIST_V1B, PAGE_4K);
  allocator.left = 0;
  expect(map.preserve(0x4_0000 as Pfn, 3 as Order)).toBe(ENOMEM);
  expect(map.finalize()).toBe(ENOMEM);
  allocator.left = 1;
  const root = map.finalize();
  expect([0, 8, 12].map((at) => memory.readU32((root + at) as PhysAddr))).toEqual([0, 3, 0]);
});

test('nothing preserved is a map of 0', () => {
  expect(setUp(CHUNK_LIST_V1B, PAGE_4K).map.finalize()).toBe(0);
});

test('without memory for a bitmap or a chunk the answer is -ENOMEM, and nothing is left over', () => {
  const { allocator, map } = setUp(CHUNK_LIST_V1B, PAGE_4K);
  map.preserve(0x4_0001 as Pfn, 0 as Order);
  map.preserve(0x4_0002 as Pfn, 1 as Order);
  allocator.left = 0;
  expect(map.preserve(0x9_0000 as Pfn, 0 as Order)).toBe(ENOMEM);
  allocator.left = 1;
  expect(map.finalize()).toBe(ENOMEM);
  expect(allocator.out).toBe(2);
});

test('a chunk or a bitmap that is told to fail does, and the next try succeeds', () => {
  const memory = new PhysicalMemory(PAGE_4K, [{ base: RAM_BASE as PhysAddr, sizeBytes: RAM_BYTES, nid: 0 }]);
  const allocator = new BumpAllocator(memory);
  let failing = '';
  const map = new ChunkListMap({
    memory,
    allocator,
    contract: CHUNK_LIST_V1B,
    quirks: { abortForgetsAll: false, unpreserveLoops: false, kfreesPages: false },
    seed: 1,
    failsBitmap: () => failing === 'bitmap',
    failsChunk: () => failing === 'chunk',
  });
  failing = 'bitmap';
  expect(map.preserve(0x4_0001 as Pfn, 0 as Order)).toBe(ENOMEM);
  failing = 'chunk';
  expect(map.preserve(0x4_0001 as Pfn, 0 as Order)).toBe(0);
  expect([map.finalize(), allocator.out]).toEqual([ENOMEM, 1]);
  failing = '';
  expect(map.finalize()).toBeGreaterThan(0);
});

test('forgetting what was never preserved is a WARN', () => {
  const memory = new PhysicalMemory(PAGE_4K, [{ base: RAM_BASE as PhysAddr, sizeBytes: RAM_BYTES, nid: 0 }]);
  const warnings: string[] = [];
  const map = new ChunkListMap({
    memory,
    allocator: new BumpAllocator(memory),
    contract: CHUNK_LIST_V1B,
    quirks: { abortForgetsAll: false, unpreserveLoops: false, kfreesPages: false },
    seed: 1,
    warnOnOnce: (name) => warnings.push(name),
  });
  map.unpreserve(7 as Pfn, 0 as Order);
  expect(warnings).toEqual(['__kho_unpreserve_order']);
});

describe('what releases had otherwise', () => {
  function mapWith(quirks: { unpreserveLoops?: boolean; kfreesPages?: boolean; abortForgetsAll?: boolean }) {
    const memory = new PhysicalMemory(PAGE_4K, [{ base: RAM_BASE as PhysAddr, sizeBytes: RAM_BYTES, nid: 0 }]);
    const allocator = new BumpAllocator(memory);
    const warnings: string[] = [];
    const map = new ChunkListMap({
      memory,
      allocator,
      contract: CHUNK_LIST_V1B,
      quirks: { abortForgetsAll: false, unpreserveLoops: false, kfreesPages: false, ...quirks },
      seed: 1,
      warnOnOnce: (name) => warnings.push(name),
    });
    return { allocator, map, warnings };
  }

  test('taking back what was never preserved goes on for ever', () => {
    const { map, warnings } = mapWith({ unpreserveLoops: true });
    map.preserve(0x4_0001 as Pfn, 0 as Order);
    map.unpreserve(0x4_0001 as Pfn, 0 as Order);
    expect(() => map.unpreserve(7 as Pfn, 1 as Order)).toThrow(KernelHang);
    expect(warnings).toEqual([]);
  });

  test('pages given back by kfree are lost, with a WARN: chunks and bitmaps', () => {
    const { allocator, map, warnings } = mapWith({ kfreesPages: true, abortForgetsAll: true });
    map.preserve(0x4_0001 as Pfn, 0 as Order);
    map.finalize();
    map.abort();
    expect(warnings).toEqual(['free_large_kmalloc', 'free_large_kmalloc']);
    expect([allocator.out, outgoing(map)]).toEqual([2, []]);
  });
});

test('its own pages are the bitmaps, and the chunks once it is finalised', () => {
  const { map } = setUp(CHUNK_LIST_V1B, PAGE_4K);
  map.preserve(0x4_0001 as Pfn, 0 as Order);
  const bitmaps = [...map.metadata()];
  expect(bitmaps).toEqual([{ phys: expect.any(Number), sizeBytes: 4096 }]);
  const root = map.finalize();
  expect([...map.metadata()]).toEqual([...bitmaps, { phys: root, sizeBytes: 4096 }]);
  const small = setUp(CHUNK_LIST_V1A, PAGE_4K).map;
  small.preserve(0x4_0001 as Pfn, 0 as Order);
  expect([...small.metadata()].map(({ sizeBytes }) => sizeBytes)).toEqual([512]);
});

describe('hostile lists', () => {
  function damaged(offset: number, value: bigint) {
    const { memory, map } = setUp(CHUNK_LIST_V1B, PAGE_4K);
    map.preserve(0x4_0001 as Pfn, 0 as Order);
    const root = map.finalize();
    memory.writeU64Big((root + offset) as PhysAddr, value === 1n ? BigInt(root) : value);
    return () => incoming(new ChunkListReader(CHUNK_LIST_V1B, PAGE_4K), memory, root);
  }

  test('a chunk that leads back to itself never ends', () => {
    expect(damaged(0, 1n)).toThrow(KernelHang);
  });

  test.each([0x10n, 0x1_0000_0000_0000n, 0xdead_beef_dead_beefn])('a wild next pointer %s faults', (value) => {
    expect(damaged(0, value)).toThrow(MachineFault);
  });

  test.each([0n, 0x10n, 0xdead_beef_dead_beefn])('a wild bitmap pointer %s faults', (value) => {
    expect(damaged(24, value)).toThrow(MachineFault);
  });

  test('a wild pointer is reported as it is in memory, all 64 bits of it', () => {
    expect(damaged(0, 0xdead_beef_dead_beefn)).toThrow(new MachineFault('read', 0xdead_beef_dead_beefn).message);
  });

  test('a null bitmap faults even where there is RAM at 0', () => {
    const memory = new PhysicalMemory(PAGE_4K, [{ base: 0 as PhysAddr, sizeBytes: 2 ** 20, nid: 0 }]);
    memory.writeU32(0x1_000c as PhysAddr, 1);
    expect(() => incoming(new ChunkListReader(CHUNK_LIST_V1B, PAGE_4K), memory, 0x1_0000)).toThrow(MachineFault);
  });

  test('a start that is odd and just below 2^53 stays exact beyond', () => {
    expect(damaged(16, 2n ** 53n - 9n)()).toEqual([['0x20000000000ff7', 0]]);
  });

  test('a count beyond the page goes on into what lies behind, where the first null pointer faults', () => {
    expect(damaged(8, 0xffff_ffffn << 32n)).toThrow(MachineFault);
  });

  test('a start beyond 2^53 and an absurd order are carried on exactly, as the processor computes them', () => {
    expect(damaged(16, 0xffff_ffff_ffff_f000n)()).toEqual([['0x0', 0]]);
    expect(damaged(8, (1n << 32n) | 60n)()).toEqual([[`0x${(0x4000_0000n + (1n << 8n)).toString(16)}`, 60]]);
  });
});
