import { describe, expect, test } from 'vitest';
import { deducePageSize, fdtCandidate, scratchCandidate, searchHandoff } from '../../../kernel/boot-handoff/search.ts';
import { bytesSource } from '../../../machine/image/byte-source.ts';
import { ImageRam } from '../../../machine/image/image-ram.ts';
import { rawImage } from '../../../machine/image/raw.ts';
import { expectedOf, REAL_IMAGES, realImage } from '../../machine/image/real-images.ts';

describe.each(REAL_IMAGES)('%s with its handoff withheld', (name) => {
  const { handoff, page, ...image } = realImage(name);
  const expected = expectedOf(name);

  test('has one root FDT and one scratch array, which are the real ones, and a page size', () => {
    const ram = new ImageRam(image);
    const found = searchHandoff(ram);
    expect(found.fdts).toMatchObject([
      { phys: handoff?.fdt.phys, compatible: expected.compatible, valid: true, preservesItself: true },
    ]);
    expect(found.scratches.map(({ phys, sizeBytes }) => ({ phys, sizeBytes }))).toEqual([handoff?.scratch]);
    expect(deducePageSize(ram, handoff?.fdt.phys ?? 0)?.page).toBe(page);
  });

  test('loses its root FDT to a patched magic, and nothing else', () => {
    const ram = new ImageRam(image);
    ram.patch(handoff?.fdt.phys ?? 0, Uint8Array.of(0));
    expect(searchHandoff(ram)).toMatchObject({ fdts: [], scratches: [{ phys: handoff?.scratch.phys }] });
  });
});

test('a root FDT left over from an earlier handover ranks behind the one whose map preserves it', () => {
  const image = realImage('linux-7.3.4-arm64-4k');
  const fdt = image.handoff?.fdt.phys ?? 0;
  const root = image.extents.find((extent) => extent.phys === fdt);
  const preserved = new Set(expectedOf('linux-7.3.4-arm64-4k').preserved.walkOrder.map(([phys]) => Number(phys)));
  const holes = new ImageRam(image).missing(0x4000_0000, fdt - 0x4000_0000);
  const free = holes.find((hole) => !preserved.has(hole.phys))?.phys ?? 0;
  if (root === undefined) throw new Error('no root FDT');
  const extents = [{ ...root, phys: free }, ...image.extents].sort((a, b) => a.phys - b.phys);
  expect(free).toBeLessThan(fdt);
  expect(
    searchHandoff(new ImageRam({ ...image, extents })).fdts.map((found) => [found.phys, found.preservesItself]),
  ).toEqual([
    [fdt, true],
    [free, false],
  ]);
});

test('a root FDT in scratch, where none belongs, is found if there is no other', () => {
  const image = realImage('linux-7.3.4-arm64-4k');
  const fdt = image.handoff?.fdt.phys ?? 0;
  const ram = new ImageRam(image);
  ram.patch(0x5c00_0000, ram.readBounded(fdt, 4096)?.bytes ?? new Uint8Array(0));
  ram.patch(fdt, Uint8Array.of(0));
  expect(searchHandoff(ram).fdts.map((found) => found.phys)).toEqual([0x5c00_0000]);
});

test('of two scratch arrays the one with more areas comes first, and neither is forgotten', () => {
  const image = realImage('linux-7.3.4-arm64-4k');
  const array = image.handoff?.scratch.phys ?? 0;
  const ram = new ImageRam(image);
  const entries = ram.readBounded(array, 32)?.bytes ?? new Uint8Array(0);
  // Into a hole below: two of the three areas, the first of which it lies in.
  ram.patch(array - 0x10_0000, entries);
  expect(searchHandoff(ram).scratches.map(({ phys, sizeBytes }) => [phys, sizeBytes])).toEqual([
    [array, 48],
    [array - 0x10_0000, 32],
  ]);
});

test('a scratch array is found where the image carries no more than its first entry', () => {
  const image = realImage('linux-7.3.4-arm64-4k');
  const array = image.handoff?.scratch.phys ?? 0;
  const cut = (extent: (typeof image.extents)[number], at: number) => [
    { ...extent, sizeBytes: at, storedBytes: Math.min(at, extent.storedBytes) },
    {
      phys: extent.phys + at,
      sizeBytes: extent.sizeBytes - at,
      storedBytes: Math.max(0, extent.storedBytes - at),
      offset: extent.offset + at,
    },
  ];
  for (const at of [8, 16, 24]) {
    const extents = image.extents.flatMap((extent) => (extent.phys === array ? cut(extent, at) : [extent]));
    expect(extents.length).toBe(image.extents.length + 1);
    expect(searchHandoff(new ImageRam({ ...image, extents })).scratches.map((found) => found.sizeBytes)).toEqual([48]);
  }
});

test('where all is zero nothing is found', () => {
  const ram = new ImageRam(rawImage(bytesSource(new Uint8Array(0x40_0000)), 0x4000_0000));
  expect(searchHandoff(ram)).toEqual({ fdts: [], scratches: [] });
});

test('a damaged root FDT is still found, and said to be damaged; a client FDT is none', () => {
  const image = realImage('linux-7.3.4-arm64-4k');
  const fdt = image.handoff?.fdt.phys ?? 0;
  const ram = new ImageRam(image);
  ram.patch(fdt + 0x100, Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  expect(fdtCandidate(ram, fdt)).toMatchObject({ valid: false, compatible: 'kho-v4' });
  expect(fdtCandidate(ram, 0x409f8000)).toBeUndefined();
  expect(fdtCandidate(ram, 0)).toBeUndefined();
});

describe('the scratch array', () => {
  const words = (...values: number[]) =>
    Uint8Array.from(new Uint8Array(BigUint64Array.from(values.map(BigInt)).buffer));
  const at = (array: Uint8Array) => {
    const bytes = new Uint8Array(0x40_0000);
    bytes.set(array, 0x2f_0000);
    return scratchCandidate(new ImageRam(rawImage(bytesSource(bytes), 0x4000_0000)), 0x402f_0000);
  };

  test('may have areas of size 0', () => {
    expect(at(words(0x4020_0000, 0x10_0000, 0x4010_0000, 0, 0x4000_0000, 0x10_0000))?.areas).toHaveLength(3);
  });

  test('ends before an entry that overlaps, is not page aligned or lies outside RAM', () => {
    const good = [0x4020_0000, 0x10_0000, 0x4010_0000, 0x1000];
    expect(at(words(...good, 0x4010_0000, 0x1000))?.sizeBytes).toBe(32);
    expect(at(words(...good, 0x4000_0800, 0x1000))?.sizeBytes).toBe(32);
    expect(at(words(...good, 0x5000_0000, 0x1000))?.sizeBytes).toBe(32);
    expect(at(words(...good, 0x4000_0000, 0x1234))?.sizeBytes).toBe(32);
  });

  test('lies inside an area that it lists', () => {
    expect(at(words(0x4010_0000, 0x10_0000, 0x4000_0000, 0x1000))).toBeUndefined();
    expect(at(words(0x4020_0000, 0xf_0000, 0x4000_0000, 0x1000))).toBeUndefined();
  });
});
