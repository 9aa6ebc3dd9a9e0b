import { beforeEach, describe, expect, it } from 'vitest';
import { ReserveMem } from '../../../kernel/clients/reserve-mem.ts';
import { EBUSY, EINVAL, ENOMEM, type Errno } from '../../../kernel/errno.ts';
import { RELEASES, releaseByName } from '../../../kernel/release.ts';
import { PAGE_4K, PAGE_SIZES, type PageSize, pfnOf, physOf } from '../../../machine/index.ts';
import { MemblockStop } from '../../../machine/memblock/reports.ts';
import { FakeKernel, type FakeOptions } from '../fake-kernel.ts';

const MIB = 2 ** 20;

/** A kernel whose memblock holds all of its RAM. */
function boot(page: PageSize = PAGE_4K, options: FakeOptions = {}): FakeKernel {
  const kernel = new FakeKernel(page, { nrPages: 32 * 4096, ...options });
  return withMemory(kernel);
}

function withMemory(kernel: FakeKernel): FakeKernel {
  for (const { base, sizeBytes, nid } of kernel.memory.banks) kernel.memblock.addNode(base, sizeBytes, nid);
  return kernel;
}

/** Reserves regions, describes them, and jumps. */
function handedOver(values: readonly string[], options: FakeOptions = {}, page: PageSize = PAGE_4K): FakeKernel {
  const old = boot(page, options);
  const reserveMem = new ReserveMem(old);
  for (const value of values) expect(reserveMem.parse(value)).toBe(1);
  expect(reserveMem.lateInit()).toBe(0);
  expect(reserveMem.finalize()).toBe(0);
  return withMemory(old.kexec(options));
}

describe('reserve_mem=', () => {
  it.each<[string | undefined, 1 | Errno, string | undefined]>([
    ['2M:64K:a', 1, undefined],
    ['0x200000:0x1000:a', 1, undefined],
    ['2M::a', 1, undefined],
    ['2M:0:fifteen-letters', 1, undefined],
    [undefined, EINVAL, 'empty or malformed parameter'],
    ['', EINVAL, 'empty or malformed parameter'],
    ['0:4K:a', EINVAL, 'empty or malformed parameter'],
    ['x:4K:a', EINVAL, 'empty or malformed parameter'],
    ['2M', EINVAL, 'empty or malformed parameter'],
    ['2M:4K', EINVAL, 'empty or malformed parameter'],
    ['2Mx:4K:a', EINVAL, 'empty or malformed parameter'],
    ['2M:4K:', EINVAL, 'empty or malformed parameter'],
    ['2M:4K:  ', EINVAL, 'empty or malformed parameter'],
    ['2M:4K:sixteen-letters-', EINVAL, 'empty or malformed parameter'],
    ['64G:4K:a', ENOMEM, 'memblock allocation failed'],
  ])('%j', (value, expected, why) => {
    const kernel = boot();
    let result: number;
    try {
      result = new ReserveMem(kernel).parse(value);
    } catch (error) {
      if (!(error instanceof MemblockStop)) throw error;
      result = ENOMEM;
      expect(expected).toBe(ENOMEM);
      return;
    }
    expect(result).toBe(expected);
    expect(kernel.lines).toEqual(why === undefined ? [] : [`reserve_mem: ${why}`]);
  });

  it('refuses a ninth region and a name twice', () => {
    const kernel = boot();
    const reserveMem = new ReserveMem(kernel);
    for (let i = 0; i < 7; i++) expect(reserveMem.parse(`4K:4K:r${i}`)).toBe(1);
    expect(reserveMem.parse('4K:4K:r3')).toBe(EBUSY);
    expect(reserveMem.parse('4K:4K:r7')).toBe(1);
    expect(reserveMem.parse('4K:4K:r8')).toBe(EBUSY);
    expect(kernel.lines).toEqual([
      'reserve_mem: name "r3" was already used',
      'reserve_mem: no more room for reserved memory',
    ]);
    expect(reserveMem.find('r7')?.sizeBytes).toBe(4096);
  });

  it('says nothing about a refusal before 7.1', () => {
    const kernel = boot(PAGE_4K, { release: releaseByName('7.0') ?? RELEASES[0] } as FakeOptions);
    expect(new ReserveMem(kernel).parse('')).toBe(EINVAL);
    expect(kernel.lines).toEqual([]);
  });

  it('aligns the region, to 64 bytes at least', () => {
    const kernel = boot();
    const reserveMem = new ReserveMem(kernel);
    reserveMem.parse('100:1:a');
    reserveMem.parse('2M:4M:b');
    expect(reserveMem.regions.map(({ start }, i) => start % (i === 0 ? 64 : 4 * MIB))).toEqual([0, 0]);
    expect(kernel.control.state.reserveMem.map(({ name, revived }) => [name, revived])).toEqual([
      ['a', false],
      ['b', false],
    ]);
  });
});

describe.each(PAGE_SIZES)('regions with $name pages', (page) => {
  it.each(RELEASES.map((release) => [release.name, release] as const))('are found again by %s', (_name, release) => {
    const kernel = handedOver(['2M:64K:one', '4M:2M:two'], { release }, page);
    const reserveMem = new ReserveMem(kernel);
    expect([reserveMem.parse('4M:2M:two'), reserveMem.parse('2M:64K:one')]).toEqual([1, 1]);
    expect(kernel.lines).toEqual([
      "Revived memory reservation 'two' from KHO",
      "Revived memory reservation 'one' from KHO",
    ]);
    expect(reserveMem.regions.every(({ revived }) => revived)).toBe(true);
    expect(reserveMem.lateInit()).toBe(0);
    expect(reserveMem.finalize()).toBe(0);
    for (const { start } of reserveMem.regions) expect(kernel.kho.blocks.has(pfnOf(page, start))).toBe(true);
  });
});

describe('a region that cannot be revived is allocated afresh', () => {
  let kernel: FakeKernel;
  beforeEach(() => {
    kernel = handedOver(['2M:64K:one']);
  });

  it.each([
    ['2M:64K:other', "FDT 'memblock' has no child 'other': -1"],
    ['4M:64K:one', "KHO reserve-mem 'one' has wrong size (0x200000 != 0x400000)"],
    ['2M:1G:one', /^KHO reserve-mem 'one' has wrong alignment \(0x40000000, 0x[0-9a-f]+\)$/],
  ])('%s', (value, line) => {
    const reserveMem = new ReserveMem(kernel);
    expect(reserveMem.parse(value)).toBe(1);
    expect(kernel.lines[0]).toMatch(line);
    expect(reserveMem.regions[0]?.revived ?? false).toBe(false);
  });

  it('with a complaint for each region while the whole FDT is of another version', () => {
    const location = kernel.kho.retrieveSubtree('memblock');
    if (typeof location === 'number') throw new Error('no subtree');
    const blob = Buffer.from(kernel.memory.readBytes(location.phys, 300));
    kernel.memory.writeU8((location.phys + blob.indexOf('memblock-v1') + 10) as never, '2'.charCodeAt(0));
    const reserveMem = new ReserveMem(kernel);
    expect([reserveMem.parse('2M:64K:one'), reserveMem.parse('2M:64K:two')]).toEqual([1, 1]);
    expect(kernel.lines).toEqual([
      "FDT 'memblock' is incompatible with 'memblock-v1': 1",
      "FDT 'memblock' is incompatible with 'memblock-v1': 1",
    ]);
  });
});

describe('describing the regions', () => {
  it('gives everything back when a region cannot be preserved', () => {
    const kernel = boot();
    const reserveMem = new ReserveMem(kernel);
    reserveMem.parse('2M:64K:one');
    reserveMem.parse('2M:64K:two');
    kernel.faults.arm('kho.preserve', 3);
    expect(reserveMem.lateInit()).toBe(ENOMEM);
    expect(kernel.lines).toEqual(['failed to prepare memblock FDT for KHO: -12']);
    expect([kernel.kho.blocks.size, kernel.kho.subtrees.size]).toEqual([0, 0]);
  });

  it('preserves whole pages only', () => {
    const kernel = boot();
    const reserveMem = new ReserveMem(kernel);
    reserveMem.parse('6K:4K:one');
    expect(reserveMem.lateInit()).toBe(0);
    const start = reserveMem.regions[0]?.start ?? 0;
    const fdt = kernel.kho.subtrees.get('memblock')?.phys ?? 0;
    expect([...kernel.kho.blocks.keys()].map((pfn) => physOf(PAGE_4K, pfn as never)).sort()).toEqual(
      [fdt, start].sort(),
    );
  });

  it('does nothing without regions, or with KHO off', () => {
    const kernel = boot(PAGE_4K, { khoEnabled: false });
    const reserveMem = new ReserveMem(kernel);
    expect(reserveMem.lateInit()).toBe(0);
    reserveMem.parse('2M:64K:one');
    expect(reserveMem.lateInit()).toBe(0);
    expect(kernel.kho.subtrees.size).toBe(0);
  });
});
