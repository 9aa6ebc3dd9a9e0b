import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FolioSerCodec } from '../../../kernel/liveupdate/folio-ser.ts';
import { vmalloc } from '../../../kernel/mm/vmalloc-area.ts';
import { type Order, PAGE_4K, type Pfn } from '../../../machine/index.ts';
import { FakeKernel } from '../fake-kernel.ts';

const kernel = new FakeKernel(PAGE_4K, { nrPages: 64 });
const codec = new FolioSerCodec(kernel.abi);

function areaFor(entries: number) {
  const area = vmalloc(kernel, entries * codec.sizeBytes, { zero: true });
  if (area === undefined) throw new Error('out of memory');
  return area;
}

it('lays an entry out as the compiler does', () => {
  const area = areaFor(1);
  codec.writeAll(area, [{ pfn: 1 as Pfn, index: 7, order: 0 as Order, nrFolios: 1, flags: 0 }], () => 1);
  expect(Buffer.from(area.read(0, 16)).toString('hex')).toBe('01000000000010000700000000000000');
});

it('writes a run as its folios', () => {
  const area = areaFor(300);
  codec.writeAll(area, [{ pfn: 64 as Pfn, index: 32, order: 3 as Order, nrFolios: 300, flags: 0 }], () => 3);
  const all = [...codec.read(area, 300)];
  expect([all[1], all[299]]).toEqual([
    { pfn: 72, flags: 3, index: 40 },
    { pfn: 64 + 299 * 8, flags: 3, index: 32 + 299 * 8 },
  ]);
});

it('reads back what it wrote, to the last bit', () => {
  const entry = fc.record({
    pfn: fc.oneof(
      fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, 2 ** 52 - 1),
      fc.maxSafeNat().map((n) => n % 2 ** 52),
    ),
    index: fc.maxSafeNat(),
  });
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 600 }), fc.nat({ max: 0xfff }), (entries, flags) => {
      const area = areaFor(entries.length);
      codec.writeAll(
        area,
        entries.map(({ pfn, index }) => ({ pfn: pfn as Pfn, index, order: 0 as Order, nrFolios: 1, flags: 0 })),
        () => flags,
      );
      expect([...codec.read(area, entries.length)]).toEqual(entries.map(({ pfn, index }) => ({ pfn, flags, index })));
      for (const pfn of area.blocks) kernel.allocator.freePages(pfn, 0 as Order);
    }),
    { numRuns: 20, seed: 5 },
  );
});

it('faults behind the end of the list, after all that is in it', () => {
  const area = areaFor(256);
  let seen = 0;
  expect(() => {
    for (const _entry of codec.read(area, 1_000_000)) seen++;
  }).toThrow(expect.objectContaining({ name: 'MachineFault' }));
  expect(seen).toBe(256);
});
