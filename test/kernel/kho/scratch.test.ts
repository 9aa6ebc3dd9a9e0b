import { describe, expect, test } from 'vitest';
import {
  overlapsScratch,
  populateScratch,
  readScratchArray,
  reserveScratch,
  type ScratchReservation,
} from '../../../kernel/kho/scratch.ts';
import {
  DEFAULT_SCRATCH_SIZES,
  parseScratchSizes,
  type ScratchSizes,
  scratchAlignBytes,
} from '../../../kernel/kho/scratch-size.ts';
import { abiOf, LATEST_RELEASE, releaseByName } from '../../../kernel/release.ts';
import { PAGE_4K, PAGE_SIZES, type PageSize, PhysicalMemory, physAddr } from '../../../machine/index.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';

const MIB = 0x10_0000;
const GIB = 1024 * MIB;
const NEW = LATEST_RELEASE.quirks;
const OLD = (releaseByName('6.17.8') ?? LATEST_RELEASE).quirks;

function parse(value: string | undefined, quirks = NEW): ScratchSizes | 'malformed' {
  let malformed = false;
  const sizes = parseScratchSizes(value, quirks, DEFAULT_SCRATCH_SIZES, {
    print: (_, text) => void (malformed ||= text.startsWith('Malformed')),
  });
  return malformed ? 'malformed' : sizes;
}

describe('kho_scratch=', () => {
  test.each([
    ['50%', { scale: 50, lowmem: 0, global: 0, pernode: 0 }],
    ['0%', { scale: 0, lowmem: 0, global: 0, pernode: 0 }],
    ['4294967295%', { scale: 4294967295, lowmem: 0, global: 0, pernode: 0 }],
    ['16M,0x20000000,1g', { scale: 0, lowmem: 16 * MIB, global: 512 * MIB, pernode: GIB }],
    ['0,64M,0', { scale: 0, lowmem: 0, global: 64 * MIB, pernode: 0 }],
    // A suffix without a number reads as 0.
    ['K,64M,010M', { scale: 0, lowmem: 0, global: 64 * MIB, pernode: 8 * MIB }],
  ])('%s is understood', (value, sizes) => {
    expect(parse(value)).toEqual(sizes);
  });

  test.each([
    [undefined],
    [''],
    ['%'],
    ['-5%'],
    ['5 %'],
    ['4294967296%'],
    ['00000000005%'],
    ['16M'],
    ['16M,32M'],
    ['16M,32M,64M,1M'],
    ['16M,32M,64Mx'],
    ['0,0,0'],
    [',1M,1M'],
    ['-1M,1M,1M'],
  ])('%s is malformed, and the default stays', (value) => {
    expect(parse(value)).toBe('malformed');
  });

  test('6.16 and 6.17 refuse any 0 and ignore what follows', () => {
    expect(parse('0,64M,64M', OLD)).toBe('malformed');
    expect(parse('1M,2M,3Mx', OLD)).toEqual({ scale: 0, lowmem: MIB, global: 2 * MIB, pernode: 3 * MIB });
  });

  test('the last form wins: a scale after fixed sizes, and the other way round', () => {
    const fixed = parseScratchSizes('1M,1M,1M', NEW);
    expect(parseScratchSizes('10%', NEW, fixed).scale).toBe(10);
    expect(parseScratchSizes('1M,1M,1M', NEW, parseScratchSizes('10%', NEW))).toEqual(fixed);
    expect(parseScratchSizes('nonsense', NEW, fixed)).toEqual(fixed);
  });
});

test('areas are aligned to a pageblock up to 7.1, to the largest buddy block since', () => {
  const aligned = (quirks: typeof NEW) =>
    PAGE_SIZES.map((page) => scratchAlignBytes(page, page.defaultMaxPageOrder, quirks) / MIB);
  expect(aligned(OLD)).toEqual([2, 32, 512]);
  expect(aligned(NEW)).toEqual([4, 32, 512]);
  expect(scratchAlignBytes(PAGE_4K, 8, OLD)).toBe(MIB);
});

const entryOf = (page: PageSize) => abiOf(LATEST_RELEASE, page).struct('kho_scratch');

function machine(page = PAGE_4K, bytes = 6 * GIB) {
  const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: bytes, nid: 0 }]);
  const memblock = new Memblock({ page, memory, numa: false });
  memblock.addNode(0, bytes, 0);
  const alignBytes = page.sizeBytes * 2 ** page.defaultMaxPageOrder;
  const request: ScratchReservation = {
    memblock,
    memory,
    entry: entryOf(page),
    sizes: DEFAULT_SCRATCH_SIZES,
    quirks: NEW,
    alignBytes,
    nodes: [0],
  };
  return { memory, memblock, request, alignBytes };
}

test('without NUMA the node area counts lowmem too, and global can be of size 0', () => {
  // A real machine of 6 GiB: about 132 MiB reserved for the kernel, all of it below 4 GiB.
  const { memblock, request } = machine();
  memblock.reserveKern(16 * MIB, 132 * MIB - 0x10000);
  const reserved = reserveScratch(request);
  expect(reserved?.areas.map((area) => area.sizeBytes / MIB)).toEqual([264, 0, 792]);
});

describe.each(PAGE_SIZES)('with pages of $name', (page) => {
  test('the next kernel reads the areas that were reserved, and allocates from them only', () => {
    const { memory, memblock, request, alignBytes } = machine(page, 8 * GIB);
    memblock.reserveKern(16 * MIB, 3 * MIB);
    const sizes = { scale: 0, lowmem: 1, global: alignBytes + 1, pernode: 0 };
    const reserved = reserveScratch({ ...request, sizes });
    if (reserved === undefined) throw new Error('no scratch');
    expect(reserved.areas.map((area) => area.sizeBytes)).toEqual([alignBytes, 2 * alignBytes, 0]);
    for (const area of reserved.areas) expect(area.base % alignBytes).toBe(0);
    const read = readScratchArray(memory, entryOf(page), reserved.arrayPhys, 48);
    expect(read).toEqual(reserved.areas);

    const next = new Memblock({ page, memory });
    next.addNode(0, 8 * GIB, 0);
    expect(populateScratch(next, read, reserved.arrayPhys, 48)).toBe(0);
    const found = next.alloc(page.sizeBytes, page.sizeBytes);
    expect(overlapsScratch(read, found, page.sizeBytes)).toBe(true);
    expect(next.physAlloc(3 * alignBytes, page.sizeBytes)).toBe(0);
  });

  test('if one area cannot be had, everything is freed and KHO is off', () => {
    const { memblock, request } = machine(page, 2 * GIB);
    memblock.reserveKern(16 * MIB, 3 * MIB);
    const before = [...memblock.reserved];
    const log: string[] = [];
    const sizes = { scale: 0, lowmem: 1, global: 4 * GIB, pernode: 1 };
    const result = reserveScratch({ ...request, sizes, log: { print: (_, text) => void log.push(text) } });
    expect(result).toBeUndefined();
    expect([...memblock.reserved]).toEqual(before);
    expect(log).toEqual([
      'KHO: Failed to reserve global scratch buffer',
      'KHO: Failed to reserve scratch area, disabling kexec handover',
    ]);
  });

  test('up to 7.0 lowmem is rounded up before it is taken off, and given sizes are not rounded', () => {
    const { memblock, request, alignBytes } = machine(page, 8 * GIB);
    const quirks = (releaseByName('6.19') ?? LATEST_RELEASE).quirks;
    memblock.reserveKern(16 * MIB, 3 * MIB);
    const scaled = reserveScratch({ ...request, quirks });
    expect(scaled?.areas.slice(0, 2).map((area) => area.sizeBytes)).toEqual([
      Math.ceil((6 * MIB) / alignBytes) * alignBytes,
      0,
    ]);
    const sizes = { scale: 0, lowmem: 12345, global: 54321, pernode: 1 };
    const fixed = reserveScratch({ ...request, quirks, sizes });
    expect(fixed?.areas.map((area) => area.sizeBytes)).toEqual([12345, 54321, alignBytes]);
  });
});
