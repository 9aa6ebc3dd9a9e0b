import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENOMEM, EOPNOTSUPP, isErrno } from '../../../kernel/errno.ts';
import {
  preservationBytes,
  preservationOf,
  preserveVmalloc,
  readPreservation,
  restoreVmalloc,
  unpreserveVmalloc,
  type VmallocPreservation,
  writePreservation,
} from '../../../kernel/kho/vmalloc.ts';
import { VM_ALLOC, VmallocArea, vfree, vmalloc } from '../../../kernel/mm/vmalloc-area.ts';
import { RELEASES, releaseByName } from '../../../kernel/release.ts';
import { type Order, PAGE_4K, PAGE_SIZES, type PageSize, type PhysAddr } from '../../../machine/index.ts';
import { FakeKernel, type FakeOptions } from '../fake-kernel.ts';

function boot(page: PageSize, options: FakeOptions = {}): FakeKernel {
  return new FakeKernel(page, { nrPages: 4096, ...options });
}

/** An area in which every page (or every `stride`-th, in one so large that it would be 1 GiB) holds its own number. */
function numbered(kernel: FakeKernel, nrPages: number, allowHuge = false, stride = 1): VmallocArea {
  const area = vmalloc(kernel, nrPages * kernel.page.sizeBytes, { allowHuge });
  if (area === undefined) throw new Error('out of memory');
  for (let i = 0; i < area.nrPages; i += stride) area.writeU32(i * kernel.page.sizeBytes, i + 1);
  return area;
}

function numbersIn(area: VmallocArea | undefined, page: PageSize, stride = 1): number[] | undefined {
  if (area === undefined) return undefined;
  return Array.from({ length: area.nrPages / stride }, (_, i) => area.readU32(i * stride * page.sizeBytes));
}

const counting = (nrPages: number, stride = 1) => Array.from({ length: nrPages / stride }, (_, i) => i * stride + 1);

function preserved(kernel: FakeKernel, area: VmallocArea): VmallocPreservation {
  const result = preserveVmalloc(kernel, area);
  if (isErrno(result)) throw new Error(`${result}`);
  return result;
}

function chunksOf(kernel: FakeKernel, { first }: VmallocPreservation): number {
  let chunks = 0;
  for (let chunk = first as number; chunk !== 0; chunk = kernel.memory.readU64(chunk as PhysAddr)) chunks++;
  return chunks;
}

describe.each(PAGE_SIZES)('a vmalloc area with $name pages', (page) => {
  const slots = { '4K': 511, '16K': 2047, '64K': 8191 }[page.name] ?? 0;

  it('survives a jump, whatever its length, with nothing left behind', () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer({ min: 1, max: 1500 }), fc.constantFrom(510, 511, 512)), (nrPages) => {
        const old = boot(page);
        const preservation = preserved(old, numbered(old, nrPages));
        const kernel = old.kexec();
        const area = restoreVmalloc(kernel, preservation);
        expect(numbersIn(area, page)).toEqual(counting(nrPages));
        expect([kernel.kho.incoming.size, kernel.log.warnings]).toEqual([0, 0]);
        if (area !== undefined) vfree(kernel, area);
        expect(kernel.allocator.nrFreePages()).toBe(4096);
      }),
      { numRuns: 6, seed: 3 },
    );
  });

  it('keeps huge blocks, one entry each', () => {
    const order = page.shift - 3;
    const stride = page.shift === 16 ? 64 : 1;
    const old = boot(page, { nrPages: 2 ** (order + 2) });
    const area = numbered(old, 2 ** order + 1, true, stride);
    const preservation = preserved(old, area);
    expect(preservation).toMatchObject({ totalPages: 2 ** (order + 1), flags: 3, order });
    expect(old.memory.readU64((preservation.first + 8) as PhysAddr)).toBe((area.blocks[0] ?? 0) * page.sizeBytes);
    expect([...old.kho.blocks.values()].sort((a, b) => b - a).slice(0, 3)).toEqual([order, order, 0]);
    const kernel = old.kexec();
    expect(numbersIn(restoreVmalloc(kernel, preservation), page, stride)).toEqual(counting(2 ** (order + 1), stride));
  });

  it('has an empty last chunk when the one before is just full', () => {
    if (slots > 4000) return;
    const kernel = boot(page);
    const perChunk = [slots - 1, slots, slots + 1].map((nrPages) => {
      const area = numbered(kernel, nrPages);
      const preservation = preserved(kernel, area);
      const chunks = chunksOf(kernel, preservation);
      unpreserveVmalloc(kernel, preservation);
      vfree(kernel, area);
      return chunks;
    });
    expect(perChunk).toEqual([1, 2, 2]);
  });

  it('is forgotten by unpreserving, chunks and all', () => {
    const kernel = boot(page);
    const free = kernel.allocator.nrFreePages();
    const area = numbered(kernel, 700);
    unpreserveVmalloc(kernel, preserved(kernel, area));
    expect(kernel.kho.blocks.size).toBe(0);
    vfree(kernel, area);
    expect(kernel.allocator.nrFreePages()).toBe(free);
  });
});

describe('preserving', () => {
  it('refuses flags that cannot cross', () => {
    const kernel = boot(PAGE_4K);
    const area = numbered(kernel, 1);
    expect(preserveVmalloc(kernel, new VmallocArea(kernel, area.blocks, 0 as Order, VM_ALLOC | 0x40))).toBe(EOPNOTSUPP);
  });

  it('takes everything back when it fails, at whatever call', () => {
    const kernel = boot(PAGE_4K);
    const area = numbered(kernel, 520);
    const free = kernel.allocator.nrFreePages();
    for (const nth of [1, 2, 300, 512, 513, 514, 521, 522]) {
      kernel.faults.arm('kho.preserve', nth);
      expect(preserveVmalloc(kernel, area)).toBe(ENOMEM);
      expect([kernel.kho.blocks.size, kernel.allocator.nrFreePages()]).toEqual([0, free]);
    }
  });

  it('takes its own failure for success in 6.18, when a further chunk cannot be had', () => {
    const release = releaseByName('6.18') ?? RELEASES[0];
    const kernel = boot(PAGE_4K, release === undefined ? {} : { release });
    const area = numbered(kernel, 520);
    kernel.faults.arm('kho.preserve', 513);
    expect(preserveVmalloc(kernel, area)).toMatchObject({ totalPages: 0 });
    expect(kernel.kho.blocks.size).toBe(0);
  });
});

describe('restoring what does not hold together', () => {
  function handed(nrPages: number) {
    const old = boot(PAGE_4K);
    const preservation = preserved(old, numbered(old, nrPages));
    return { old, preservation };
  }

  it.each<[string, Partial<VmallocPreservation>]>([
    ['fewer pages than the list has', { totalPages: 2 }],
    ['more pages than the list has', { totalPages: 4 }],
    ['no list', { first: 0 as PhysAddr }],
    ['nothing at all', { first: 0 as PhysAddr, totalPages: 0 }],
    ['blocks of another order', { order: 1 }],
    ['more pages than pointers can be had for', { totalPages: 0xffff_ffff }],
  ])('is no area: %s', (_what, change) => {
    const { old, preservation } = handed(3);
    expect(restoreVmalloc(old.kexec(), { ...preservation, ...change })).toBeUndefined();
  });

  it('drops flags that it does not know', () => {
    const { old, preservation } = handed(3);
    const kernel = old.kexec();
    expect(restoreVmalloc(kernel, { ...preservation, flags: 0xfff1 })?.flags).toBe(VM_ALLOC);
  });

  it('is no area when a page was not preserved, with a warning', () => {
    const { old, preservation } = handed(3);
    old.kho.blocks.delete(old.memory.readU64((preservation.first + 8) as PhysAddr) / 4096);
    const kernel = old.kexec();
    expect(restoreVmalloc(kernel, preservation)).toBeUndefined();
    expect(kernel.lines).toEqual(['WARNING: at kho_restore_page']);
  });

  it('is no area when a chunk was not preserved: it is junk by then', () => {
    const { old, preservation } = handed(3);
    old.kho.blocks.delete(preservation.first / 4096);
    expect(restoreVmalloc(old.kexec(), preservation)).toBeUndefined();
  });

  it('comes to an end with a chunk that leads to itself', () => {
    const { old, preservation } = handed(3);
    old.memory.writeU64(preservation.first, preservation.first);
    expect(restoreVmalloc(old.kexec(), preservation)).toBeUndefined();
  });

  it('faults where a chunk is outside RAM', () => {
    const { old, preservation } = handed(3);
    const first = (2 ** 63) as PhysAddr;
    expect(() => restoreVmalloc(old.kexec(), { ...preservation, first })).toThrow(
      expect.objectContaining({ name: 'MachineFault' }),
    );
  });
});

it('has the same sixteen bytes in RAM and in an FDT', () => {
  const kernel = boot(PAGE_4K);
  const preservation = { first: 0x1_2345_6000 as PhysAddr, totalPages: 0x8765_4321, flags: 3, order: 9 };
  const at = 0x4000_0000 as PhysAddr;
  writePreservation(kernel, at, preservation);
  const bytes = kernel.memory.readBytes(at, 16);
  expect(Buffer.from(bytes).toString('hex')).toBe('00604523010000002143658703000900');
  expect(preservationBytes(kernel.abi, preservation)).toEqual(bytes);
  expect(preservationOf(kernel.abi, bytes)).toEqual(preservation);
  expect(readPreservation(kernel, at)).toEqual(preservation);
});
