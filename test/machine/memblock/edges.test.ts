import { describe, expect, test } from 'vitest';
import { dumpMemblock } from '../../../machine/memblock/dump.ts';
import {
  MEMBLOCK_NOMAP,
  MEMBLOCK_RSRV_HUGETLB,
  MEMBLOCK_RSRV_KERN,
  PHYS_ADDR_MAX,
} from '../../../machine/memblock/flags.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';
import { MemblockStop } from '../../../machine/memblock/reports.ts';
import {
  cappedEnd,
  exactSizeBetween,
  fromU64,
  hexPa,
  hexU64,
  highestAligned,
  InexactAddress,
  roundDown64,
  roundUp64,
  sizeBetween,
  toU64,
  wrappingAdd,
} from '../../../machine/memblock/u64.ts';
import { zeroPhysicalRange } from '../../../machine/memblock/zero.ts';
import { PAGE_4K } from '../../../machine/page-size.ts';
import { PhysicalMemory } from '../../../machine/physical-memory.ts';
import { physAddr } from '../../../machine/units.ts';

const KIB = 1024;
const MIB = 2 ** 20;
const MASK = 2n ** 64n - 1n;

describe('addresses modulo 2^64, with 2^64 standing for all ones', () => {
  // Both sides of 2^53, and of the end.
  const VALUES = [0, 1, 63, 64, 4095, 4096, 2 ** 53 - 4096, 2 ** 53 - 1, 2 ** 53, 2 ** 53 + 4096, 2 ** 63];
  const TOP = [2 ** 64 - 2 ** 12, PHYS_ADDR_MAX];
  const ALIGNS = [1, 64, 4096, 2 ** 30];

  test('values go to u64 and back', () => {
    for (const value of [...VALUES, ...TOP]) expect(fromU64(toU64(value))).toBe(value);
    expect([toU64(PHYS_ADDR_MAX), toU64(2 ** 65), fromU64(2n ** 64n), fromU64(-1n & MASK)]).toEqual([
      MASK,
      MASK,
      0,
      PHYS_ADDR_MAX,
    ]);
  });

  test('sums wrap, or are cut off at the end', () => {
    for (const a of [...VALUES, ...TOP]) {
      for (const b of [...VALUES, ...TOP]) {
        const sum = toU64(a) + toU64(b);
        expect(wrappingAdd(a, b)).toBe(fromU64(sum));
        expect(cappedEnd(a, b)).toBe(sum >= MASK ? PHYS_ADDR_MAX : Number(sum));
      }
    }
  });

  /** The number of these 64 bits, or where there is none the refusal to give another. */
  function expectExactly(compute: () => number, bits: bigint): void {
    const nearest = fromU64(bits);
    if (toU64(nearest) === bits) expect(compute()).toBe(nearest);
    else expect(compute).toThrow(InexactAddress);
  }

  test('rounding is by masks, also for alignments that are no power of two', () => {
    for (const value of [...VALUES, ...TOP]) {
      for (const align of [...ALIGNS, 3, 48, 4097]) {
        const mask = BigInt(align) - 1n;
        expect(roundUp64(value, align)).toBe(fromU64((BigInt.asUintN(64, toU64(value) - 1n) | mask) + 1n));
        expectExactly(() => roundDown64(value, align), toU64(value) & ~mask);
        for (const size of [0, 1, 4096].filter((bytes) => bytes <= value)) {
          const exact = (toU64(value) - toU64(size)) & ~mask & MASK;
          expectExactly(() => highestAligned(value, size, align), exact);
        }
      }
    }
    expect([roundUp64(5, 0), roundDown64(5, 0)]).toEqual([0, 0]);
  });

  test('sizes are exact to the byte at the end', () => {
    const all = [...VALUES, ...TOP];
    for (const [i, base] of all.entries()) {
      for (const end of all.slice(i)) {
        expect(exactSizeBetween(base, end)).toBe(toU64(end) - toU64(base));
        expect(sizeBetween(base, end)).toBe(fromU64(toU64(end) - toU64(base)));
      }
    }
  });

  test('numbers are printed with all their digits', () => {
    expect([hexPa(0x1000), hexPa(PHYS_ADDR_MAX)]).toEqual(['0x0000000000001000', '0xffffffffffffffff']);
    expect([hexU64(0x1000), hexU64(2 ** 53 - 1), hexU64(2 ** 53), hexU64(PHYS_ADDR_MAX)]).toEqual([
      '0x1000',
      '0x1fffffffffffff',
      '0x20000000000000',
      '0xffffffffffffffff',
    ]);
  });
});

describe('zeroing', () => {
  const banks = [
    { base: physAddr(64 * KIB), sizeBytes: 64 * KIB, nid: 0 },
    { base: physAddr(128 * KIB), sizeBytes: 64 * KIB, nid: 1 },
  ];

  function dirty() {
    const memory = new PhysicalMemory(PAGE_4K, banks);
    memory.writeBytes(physAddr(64 * KIB), new Uint8Array(128 * KIB).fill(0xee));
    return memory;
  }

  test.each([
    [64 * KIB, 192 * KIB],
    [64 * KIB + 1, 64 * KIB + 2],
    [68 * KIB - 1, 68 * KIB + 1],
    [68 * KIB, 72 * KIB],
    [68 * KIB + 5, 84 * KIB - 7],
    [127 * KIB + 1, 129 * KIB - 1],
    [80 * KIB, 80 * KIB],
  ])('from %s to %s changes just that, across banks too', (start, end) => {
    const memory = dirty();
    zeroPhysicalRange(memory, start, end);
    const bytes = memory.readBytes(physAddr(64 * KIB), 128 * KIB);
    const zeros = bytes.reduce((sum, byte) => sum + (byte === 0 ? 1 : 0), 0);
    expect(zeros).toBe(end - start);
    expect(bytes.subarray(start - 64 * KIB, end - 64 * KIB).every((byte) => byte === 0)).toBe(true);
  });

  test('beyond RAM faults at the first byte that is not there, what is before it zeroed', () => {
    const memory = dirty();
    expect(() => zeroPhysicalRange(memory, 191 * KIB, 193 * KIB)).toThrow(
      expect.objectContaining({ name: 'MachineFault', message: expect.stringContaining((192 * KIB).toString(16)) }),
    );
    expect(memory.readU8(physAddr(192 * KIB - 1))).toBe(0);
    expect(() => zeroPhysicalRange(memory, 60 * KIB + 5, 61 * KIB)).toThrow(
      expect.objectContaining({ name: 'MachineFault', address: '0xf005' }),
    );
  });

  test('is what allocations do that promise it, and no others', () => {
    const memory = dirty();
    const memblock = new Memblock({ page: PAGE_4K, memory });
    memblock.addNode(64 * KIB, 128 * KIB, 0);
    const zeroed = memblock.alloc(4096, 4096);
    const raw = memblock.allocRaw(4096, 4096);
    expect([memory.readU8(physAddr(zeroed)), memory.readU8(physAddr(zeroed + 4095))]).toEqual([0, 0]);
    expect([memory.readU8(physAddr(raw)), memory.readU8(physAddr(zeroed - 1))]).toEqual([0xee, 0xee]);
    expect(memblock.alloc(1024 * MIB, 4096)).toBe(0);
  });
});

describe('the end of memblock', () => {
  function tell(memblock: Memblock): (readonly [number, number, number])[] {
    const told: [number, number, number][] = [];
    memblock.freeAll(
      10,
      () => {},
      (first, end, nid) => told.push([first, end, nid]),
    );
    return told;
  }

  test('tells of NOMAP memory, then of what is reserved and initialised, on the node of the memory below', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(0, MIB, 0);
    memblock.addNode(MIB, MIB, 1);
    memblock.markNomap(0x8_0000, 0x1000);
    memblock.reserve(0x1800, 0x1000);
    memblock.reserve(MIB - 0x1000, 0x2000);
    memblock.reserve(0x18_0000, 0x1000);
    memblock.reservedMarkNoinit(0x18_0000, 0x1000);
    expect(tell(memblock)).toEqual([
      [0x80, 0x81, 0],
      [1, 3, 0],
      [0xff, 0x100, 0],
      [0x100, 0x101, 1],
    ]);
  });

  test('a reserved region that lies in no memory is on its own node, else on that of its first page, else on node 0', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(MIB, MIB + 0x800, 1);
    memblock.add(3 * MIB, 0x800);
    memblock.reserve(2 * MIB + 0x800, 0x100);
    memblock.reserve(3 * MIB + 0x800, 0x100);
    memblock.reserve(8 * MIB, 0x1000);
    memblock.reserveNode(9 * MIB, 0x1000, 2, 0);
    expect(tell(memblock)).toEqual([
      [0x200, 0x201, 1],
      [0x300, 0x301, 0],
      [0x800, 0x801, 0],
      [0x900, 0x901, 2],
    ]);
  });

  test('an array that doubles meanwhile is on a node as well', () => {
    const memblock = new Memblock({ page: PAGE_4K, initReservedRegions: 2 });
    memblock.addNode(0, MIB, 0);
    memblock.addNode(MIB, MIB, 1);
    memblock.allowResize();
    memblock.currentLimit = MIB;
    memblock.reserve(MIB - 0x1000, 0x2000);
    expect(tell(memblock)).toEqual([
      [0xfd, 0xfe, 0],
      [0xff, 0x100, 0],
      [0x100, 0x101, 1],
    ]);
    expect([...memblock.reserved].map(({ nid }) => nid)).toEqual([0, 0, 1]);
  });

  test('without NUMA every region is on node 0', () => {
    const memblock = new Memblock({ page: PAGE_4K, numa: false });
    memblock.addNode(0, MIB, 3, MEMBLOCK_NOMAP);
    memblock.addNode(MIB, MIB, 4);
    memblock.reserveNode(MIB, 0x1000, 5, 0);
    expect(tell(memblock)).toEqual([
      [0, 0x100, 0],
      [0x100, 0x101, 0],
    ]);
  });

  test('counts pages and chunks, in whole pages', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(0x800, 0x9000, 0);
    memblock.reserve(0x4800, 0x100);
    memblock.reserve(0x4a00, 0x100);
    const chunks: [number, number][] = [];
    expect(memblock.freeAll(10, (pfn, order) => chunks.push([pfn, order]))).toEqual({ pages: 7, chunks: 5 });
    expect(chunks).toEqual([
      [1, 0],
      [2, 1],
      [5, 0],
      [6, 1],
      [8, 0],
    ]);
    expect(memblock.khoScratchOnly).toBe(false);
  });

  test('no chunk is larger than the largest order', () => {
    const memblock = new Memblock({ page: PAGE_4K });
    memblock.addNode(0, 0x8000, 0);
    expect(memblock.freeAll(1, () => {})).toEqual({ pages: 8, chunks: 4 });
  });
});

describe('what memblock is told', () => {
  test('a doubling that is to fail is -ENOMEM', () => {
    let fails = true;
    const lines: string[] = [];
    const memblock = new Memblock({
      page: PAGE_4K,
      initReservedRegions: 2,
      failsDoubling: () => fails,
      log: (level, text) => lines.push(`${level} ${text}`),
    });
    memblock.add(MIB, MIB);
    memblock.allowResize();
    for (const base of [MIB, MIB + 0x2000]) expect(memblock.reserve(base, 0x1000)).toBe(0);
    expect(memblock.reserve(MIB + 0x4000, 0x1000)).toBe(-12);
    expect(memblock.reservedMarkKern(MIB, 0x1000)).toBe(-12);
    expect(memblock.setNode(MIB, 0x1000, 0, memblock.reserved)).toBe(-12);
    expect(memblock.free(MIB, 0x1000)).toBe(-12);
    expect(lines).toEqual(Array(4).fill('err memblock: Failed to double reserved array from 2 to 4 entries !'));
    fails = false;
    expect([memblock.reserve(MIB + 0x4000, 0x1000), memblock.reserved.max, memblock.cost.doublings]).toEqual([0, 4, 1]);
  });

  test('where it stops the kernel, what it is told to throw is thrown', () => {
    const stops: string[] = [];
    const memblock = new Memblock({
      page: PAGE_4K,
      initReservedRegions: 1,
      stop: (stop) => {
        stops.push(`${stop.kind}: ${stop.message}`);
        throw new Error('mine');
      },
    });
    memblock.add(MIB, MIB);
    memblock.reserve(MIB, 0x1000);
    expect(() => memblock.reserve(MIB + 0x2000, 0x1000)).toThrow('mine');
    expect(stops).toEqual(['panic: memblock: cannot resize reserved array']);
    const silent = new Memblock({ page: PAGE_4K, initReservedRegions: 1, stop: () => {} });
    silent.add(MIB, MIB);
    silent.reserve(MIB, 0x1000);
    expect(() => silent.reserve(MIB + 0x2000, 0x1000)).toThrow(MemblockStop);
  });

  test('WARNs are counted and named: memory of another node or of other flags where there is some already', () => {
    const warned: string[] = [];
    const memblock = new Memblock({ page: PAGE_4K, warn: (name) => warned.push(name) });
    memblock.addNode(MIB, MIB, 0);
    memblock.addNode(0, 2 * MIB, 0);
    expect(memblock.warnings).toBe(0);
    memblock.addNode(0, 3 * MIB, 1);
    expect([memblock.warnings, warned]).toEqual([0, []]);
    const other = new Memblock({ page: PAGE_4K, warn: (name) => warned.push(name) });
    other.addNode(MIB, MIB, 0);
    other.addNode(0, 2 * MIB, 1);
    other.addNode(4 * MIB, MIB, 0);
    other.addNode(3 * MIB, 2 * MIB, 0, MEMBLOCK_NOMAP);
    expect([other.warnings, warned]).toEqual([2, ['memblock_add_range', 'memblock_add_range']]);
  });

  test('the low limit is that of the architecture, else the last byte below 4 GiB', () => {
    const low = new Memblock({ page: PAGE_4K, lowAddressLimit: 2 * MIB });
    low.add(0, 8 * MIB);
    expect(low.allocLow(0x1000, 0x1000)).toBe(2 * MIB - 0x1000);
    const usual = new Memblock({ page: PAGE_4K });
    usual.add(0, 8 * 2 ** 30);
    expect(usual.allocLow(0x1000, 0x1000)).toBe(2 ** 32 - 0x2000);
  });

  test('nodes are valid up to MAX_NUMNODES', () => {
    const memblock = new Memblock({ page: PAGE_4K, maxNumnodes: 2 });
    memblock.addNode(0, MIB, 1);
    memblock.reserveNode(0, 0x1000, 1, MEMBLOCK_RSRV_KERN);
    memblock.reserveNode(0x2000, 0x1000, 2, MEMBLOCK_RSRV_HUGETLB);
    expect([memblock.reservedKernSize(MIB, 1), memblock.reservedKernSize(MIB, 0)]).toEqual([0x1000, 0]);
    expect([memblock.reservedKernSize(MIB, 2), memblock.reservedKernSize(MIB, -1)]).toEqual([0x1000, 0x1000]);
    expect([memblock.reservedHugetlbSize(MIB, 1), memblock.reservedHugetlbSize(0x2800, 2)]).toEqual([0, 0x800]);
    expect(dumpMemblock(memblock).filter((line) => line.includes('on node'))).toHaveLength(2);
    const flat = new Memblock({ page: PAGE_4K, numa: false });
    flat.addNode(0, MIB, 1);
    expect(dumpMemblock(flat).some((line) => line.includes('on node'))).toBe(false);
  });

  test('huge pages go around scratch, downwards or upwards', () => {
    for (const [bottomUp, expected] of [
      [false, 4 * MIB],
      [true, 8 * MIB],
    ] as const) {
      const memblock = new Memblock({ page: PAGE_4K });
      memblock.addNode(0, 16 * MIB, 0);
      memblock.bottomUp = bottomUp;
      const [scratch, end] = bottomUp ? [MIB, 7 * MIB] : [7 * MIB, 15 * MIB];
      memblock.scratchOverlap = (base, size) => base < end && base + size > scratch;
      expect(memblock.allocHugetlb(2 * MIB, 0, true)).toBe(expected);
      expect([...memblock.reserved][0]?.flags).toBe(MEMBLOCK_RSRV_KERN | MEMBLOCK_RSRV_HUGETLB);
      memblock.scratchOverlap = () => true;
      expect(memblock.allocHugetlb(2 * MIB, 0, false)).toBe(0);
    }
  });
});

test('an array that lies above 2^53 is written with all 64 bits', () => {
  const memory = new PhysicalMemory(PAGE_4K, [{ base: physAddr(0), sizeBytes: MIB, nid: 0 }]);
  const memblock = new Memblock({ page: PAGE_4K, memory, initMemoryRegions: 2 });
  memblock.addNode(0, MIB, 0);
  memblock.allowResize();
  memblock.currentLimit = MIB;
  memblock.addNode(0x1_2345_6000, 0x2_0000_1000, 1);
  memblock.addNode(0x10_0000_0000, 0x2_0000_0000, 1);
  memblock.addNode(2 ** 60, PHYS_ADDR_MAX, 2, MEMBLOCK_NOMAP);
  memblock.writeArrays(memory);
  const at = memblock.memory.arrayPhys;
  const view = new DataView(memory.readBytes(physAddr(at), 5 * 24).buffer);
  const rows = [0, 24, 48, 72, 96].map((offset) => [
    view.getBigUint64(offset, true),
    view.getBigUint64(offset + 8, true),
    view.getUint32(offset + 16, true),
    view.getInt32(offset + 20, true),
  ]);
  expect(rows).toEqual([
    [0n, BigInt(MIB), 0, 0],
    [0x1_2345_6000n, 0x2_0000_1000n, 0, 1],
    [0x10_0000_0000n, 0x2_0000_0000n, 0, 1],
    [2n ** 60n, MASK - 2n ** 60n, MEMBLOCK_NOMAP, 2],
    [0n, 0n, 0, 0],
  ]);
});
