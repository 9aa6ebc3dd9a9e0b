import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dumpMemblock } from '../../../machine/memblock/dump.ts';
import { PHYS_ADDR_MAX } from '../../../machine/memblock/flags.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';
import { NO_REGION, RegionTable } from '../../../machine/memblock/region-table.ts';
import { MemblockStop } from '../../../machine/memblock/reports.ts';
import { PAGE_4K, PAGE_SIZES } from '../../../machine/page-size.ts';
import { PhysicalMemory } from '../../../machine/physical-memory.ts';
import { type PhysAddr, physAddr } from '../../../machine/units.ts';

const MIB = 0x10_0000;

/** Reserves `n` single pages, every other one from `base` up. */
function reserveScattered(memblock: Memblock, base: number, n: number): void {
  for (let i = 0; i < n; i++) memblock.reserve(base + i * 2 * memblock.pageBytes, memblock.pageBytes);
}

test('dumps look like those of a kernel booted with memblock=debug', () => {
  const memblock = new Memblock({ page: PAGE_4K });
  memblock.addNode(0x4000_0000, 0x4000_0000, 0);
  memblock.add(0x9000_0000, 0x1000_0000);
  memblock.reserve(0x4080_0000, 0x123_4567);
  memblock.alloc(0x1000, 0x1000);
  expect(dumpMemblock(memblock).join('\n')).toMatchInlineSnapshot(`
    "MEMBLOCK configuration:
     memory size = 0x0000000050000000 reserved size = 0x0000000001235567
     memory.cnt  = 0x2
     memory[0x0]	[0x0000000040000000-0x000000007fffffff], 0x0000000040000000 bytes on node 0 flags: 0x0
     memory[0x1]	[0x0000000090000000-0x000000009fffffff], 0x0000000010000000 bytes flags: 0x0
     reserved.cnt  = 0x2
     reserved[0x0]	[0x0000000040800000-0x0000000041a34566], 0x0000000001234567 bytes flags: 0x0
     reserved[0x1]	[0x000000009ffff000-0x000000009fffffff], 0x0000000000001000 bytes flags: 0x20"
  `);
});

describe.each(PAGE_SIZES)('with pages of $name', (page) => {
  test('a full array may not be doubled before resizing is allowed', () => {
    const memblock = new Memblock({ page, initReservedRegions: 4 });
    memblock.add(MIB, 64 * MIB);
    reserveScattered(memblock, 2 * MIB, 4);
    expect(() => memblock.reserve(32 * MIB, page.sizeBytes)).toThrow(
      new MemblockStop('panic', 'memblock: cannot resize reserved array'),
    );
  });

  test('a full array doubles into memory of its own and gives back the one before', () => {
    const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: 128 * MIB, nid: 0 }]);
    const memblock = new Memblock({ page, memory, initReservedRegions: 4 });
    memblock.add(MIB, 64 * MIB);
    memblock.allowResize();
    reserveScattered(memblock, 2 * MIB, 5);
    const first = memblock.reserved.arrayPhys;
    expect(first).toBe(65 * MIB - page.sizeBytes);
    expect(memblock.isRegionReserved(first, page.sizeBytes)).toBe(true);
    const perPage = Math.floor(page.sizeBytes / 24);
    reserveScattered(memblock, 8 * MIB, perPage);
    expect(memblock.reserved.arrayPhys).not.toBe(first);
    memblock.writeArrays(memory);
    const at = memblock.reserved.arrayPhys;
    const bytes = [...memblock.reserved].map((_, i) => ({
      base: memory.readU64((at + i * 24) as PhysAddr),
      end: memory.readU64((at + i * 24) as PhysAddr) + memory.readU64((at + i * 24 + 8) as PhysAddr),
      flags: memory.readU32((at + i * 24 + 16) as PhysAddr),
      nid: memory.readU32((at + i * 24 + 20) as PhysAddr) | 0,
    }));
    expect(bytes).toEqual([...memblock.reserved]);
  });

  test('without memory to double into, reserving fails with -ENOMEM and changes nothing', () => {
    const memblock = new Memblock({ page, initReservedRegions: 4 });
    memblock.add(MIB, 8 * MIB);
    memblock.allowResize();
    reserveScattered(memblock, 2 * MIB, 4);
    memblock.khoScratchOnly = true;
    const before = [...memblock.reserved];
    expect(memblock.reserve(6 * MIB, page.sizeBytes)).toBe(-12);
    expect([...memblock.reserved]).toEqual(before);
  });

  test('a version brings back tables and switches, again and again', () => {
    const memblock = new Memblock({ page });
    memblock.addNode(0, 1024 * MIB, 0);
    reserveScattered(memblock, 2 * MIB, 60);
    const version = memblock.mark();
    const before = [...memblock.reserved];
    for (let round = 0; round < 2; round++) {
      memblock.bottomUp = true;
      memblock.free(0, PHYS_ADDR_MAX);
      memblock.markKhoScratch(MIB, MIB);
      expect(memblock.reserved.count).toBe(0);
      memblock.restore(version);
      expect([...memblock.reserved]).toEqual(before);
      expect(memblock.memory.count).toBe(1);
      expect(memblock.bottomUp).toBe(false);
    }
  });
});

test('blocks reserved as a run leave what reserving and marking one by one leaves, at the same cost', () => {
  const page = PAGE_4K.sizeBytes;
  const block = fc.record({
    pfn: fc.integer({ min: 1, max: 60 }),
    nrPages: fc.constantFrom(1, 2),
    nrBlocks: fc.integer({ min: 1, max: 6 }),
    how: fc.constantFrom('noinit', 'noinit', 'noinit', 'reserve', 'reserveKern', 'node', 'free'),
  });
  fc.assert(
    fc.property(fc.array(block, { maxLength: 25 }), fc.boolean(), fc.constantFrom(2, 5, 128), (blocks, numa, max) => {
      const [run, single] = [0, 1].map(() => {
        const memblock = new Memblock({ page: PAGE_4K, numa, initReservedRegions: max });
        memblock.addNode(0, 256 * page, 0);
        memblock.allowResize();
        return memblock;
      }) as [Memblock, Memblock];
      for (const { pfn, nrPages, nrBlocks, how } of blocks) {
        const [base, size] = [pfn * page, nrPages * page];
        if (how === 'noinit') {
          run.reserveNoinit(base, size, nrBlocks);
          for (let i = 0; i < nrBlocks; i++) {
            single.reserve(base + i * size, size);
            single.reservedMarkNoinit(base + i * size, size);
          }
          continue;
        }
        for (const memblock of [run, single]) {
          if (how === 'node') memblock.reserveNode(base, size, 1, 0x10);
          else memblock[how](base, size);
        }
      }
      expect([...run.reserved]).toEqual([...single.reserved]);
      expect(run.reserved.totalSize).toBe(single.reserved.totalSize);
      expect(run.cost).toEqual(single.cost);
      expect(run.reserved.max).toBe(single.reserved.max);
    }),
    { numRuns: 300, seed: 7 },
  );
});

test('a table of many chunks keeps order, index and place', () => {
  const table = new RegionTable('reserved', 1);
  const expected: number[] = [];
  let state = 1;
  for (let i = 0; i < 6000; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const base = (state % 100_000) * 16;
    const pos = table.firstEndingAbove(base);
    if (pos !== NO_REGION && table.base(pos) === base) {
      table.remove(pos);
      expected.splice(expected.indexOf(base), 1);
      continue;
    }
    const at = table.insert(pos, base, base + 8, i % 3, 0);
    expect(table.base(at)).toBe(base);
    const index = expected.findIndex((other) => other > base);
    expected.splice(index < 0 ? expected.length : index, 0, base);
  }
  expect([...table].map((region) => region.base)).toEqual(expected);
  for (const index of [0, 1, 511, 512, 2000, expected.length - 1]) {
    expect(table.base(table.at(index))).toBe(expected[index]);
    expect(table.indexOf(table.at(index))).toBe(index);
  }
  expect(table.at(expected.length)).toBe(NO_REGION);
  const backwards: number[] = [];
  for (let pos = table.last(); pos !== NO_REGION; pos = table.previous(pos)) backwards.push(table.base(pos));
  expect(backwards.reverse()).toEqual(expected);
  expect(table.totalSize).toBe(BigInt(8 * expected.length));
  while (table.count > 0) table.remove(table.at(table.count >> 1));
  expect(table.first()).toBe(NO_REGION);
});

test('with memblock=debug, every call is a line of the log', () => {
  const lines: string[] = [];
  const log = (level: string, text: string) => lines.push(`${level} ${text}`);
  const memblock = new Memblock({ page: PAGE_4K, debug: true, log, initReservedRegions: 2 });
  memblock.addNode(MIB, MIB, 1, 1);
  memblock.allowResize();
  memblock.mirroredKernelcore = true;
  memblock.markMirror(MIB, 0x1000);
  memblock.alloc(0x2000, 64);
  memblock.reserve(0x123, 0x10);
  memblock.reserve(0x200, 0x10);
  memblock.khoScratchOnly = true;
  memblock.free(0x123, 0x10);
  expect(lines.join('\n')).toMatchInlineSnapshot(`
    "info memblock_add_node: [0x0000000000100000-0x00000000001fffff] nid=1 flags=1
    info memblock_alloc_try_nid: 8192 bytes align=0x40 nid=-1 from=0x0000000000000000 max_addr=0x0000000000000000
    warn Could not allocate 0x0000000000002000 bytes of mirrored memory
    info __memblock_reserve: [0x00000000001fe000-0x00000000001fffff] nid=-1 flags=20
    info __memblock_reserve: [0x0000000000000123-0x0000000000000132] nid=-1 flags=0
    info __memblock_reserve: [0x0000000000000200-0x000000000000020f] nid=-1 flags=0
    info memblock: reserved is doubled to 4 at [0x0000000000100000-0x000000000010005f]
    info __memblock_reserve: [0x0000000000100000-0x0000000000100fff] nid=-1 flags=20
    info memblock_phys_free: [0x0000000000000123-0x0000000000000132]
    err memblock: Failed to double reserved array from 4 to 8 entries !"
  `);
});
