import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../machine/image/byte-source.ts';
import { ImageError } from '../../../machine/image/image-error.ts';
import { ImageRam } from '../../../machine/image/image-ram.ts';
import { loadImage } from '../../../machine/image/load.ts';
import type { MemoryImage } from '../../../machine/image/memory-image.ts';
import { parseSparseManifest, sparseImage } from '../../../machine/image/sparse.ts';
import { buildSparseImage } from '../../../machine/image/sparse-writer.ts';
import { PAGE_4K, PAGE_SIZES } from '../../../machine/page-size.ts';
import { PhysicalMemory } from '../../../machine/physical-memory.ts';
import { physAddr } from '../../../machine/units.ts';
import { expectedOf, REAL_IMAGES, realDocument, realImage } from './real-images.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function written(output: ReturnType<typeof buildSparseImage>): MemoryImage {
  const manifest = parseSparseManifest(JSON.parse(JSON.stringify(output.document)));
  return sparseImage(manifest, bytesSource(Buffer.concat([...output.chunks()])));
}

describe.each(REAL_IMAGES)('%s', (name) => {
  const image = realImage(name);
  const expected = expectedOf(name);

  test('says what it is and holds the root FDT and the scratch array, bounded and as RAM', () => {
    expect([image.format, image.arch, image.page?.sizeBytes]).toEqual(['khosim-sparse-1', 'arm64', expected.pageSize]);
    const fdt = image.handoff?.fdt.phys ?? 0;
    const scratch = image.handoff?.scratch ?? { phys: 0, sizeBytes: 0 };
    const ram = new ImageRam(image);
    expect(hex(ram.readBounded(fdt, expected.fdt.totalsize)?.bytes ?? new Uint8Array(0))).toBe(expected.fdt.hex);
    if (image.page === undefined) throw new Error('no page size');
    const memory = loadImage(image, image.page);
    expect(hex(memory.readBytes(physAddr(fdt), expected.fdt.totalsize))).toBe(expected.fdt.hex);
    const areas = [];
    for (let at = 0; at < scratch.sizeBytes; at += 16) {
      const base = memory.readU64Hex(physAddr(scratch.phys + at));
      areas.push({ base, size: memory.readU64Hex(physAddr(scratch.phys + at + 8)) });
      expect(ram.readU64(scratch.phys + at)).toBe(Number(base));
    }
    expect(areas).toEqual(expected.scratch);
  });

  test('survives being loaded, written and read again', () => {
    if (image.page === undefined || image.arch === undefined) throw new Error('no page size');
    const memory = loadImage(image, image.page);
    const output = buildSparseImage({
      memory,
      arch: image.arch,
      handoff: image.handoff,
      ranges: image.extents,
      data: 'image.bin',
    });
    const again = written(output);
    expect([again.banks, again.handoff, again.arch, again.page]).toEqual([
      image.banks,
      image.handoff,
      image.arch,
      image.page,
    ]);
    const a = new ImageRam(image);
    const b = new ImageRam(again);
    const differing = image.extents.filter((extent) => {
      const sizeBytes = Math.min(extent.sizeBytes, extent.storedBytes + 4096);
      const one = a.readBounded(extent.phys, sizeBytes);
      const two = b.readBounded(extent.phys, sizeBytes);
      if (one === undefined || two === undefined) return true;
      return Buffer.compare(one.bytes, two.bytes) !== 0 || one.missing.length + two.missing.length > 0;
    });
    expect(differing).toEqual([]);
  });
});

test('what an image does not carry is zero, and known to be missing; outside RAM there is nothing', () => {
  const image = realImage('linux-7.3.4-arm64-4k');
  const ram = new ImageRam(image);
  const first = image.extents[0]?.phys ?? 0;
  const [bank] = image.banks;
  if (bank === undefined) throw new Error('no bank');
  const hole = bank.base + 0x100_0000;
  expect(ram.carries(hole, 4096)).toBe(false);
  const read = ram.readBounded(hole, 4096);
  expect(read?.missing).toEqual([{ phys: hole, sizeBytes: 4096 }]);
  expect(read?.bytes.every((byte) => byte === 0)).toBe(true);
  expect(ram.carries(first, 1)).toBe(true);
  for (const at of [0, bank.base - 1, bank.base + bank.sizeBytes, 2 ** 53, -4096, 0.5]) {
    expect(ram.readBounded(at, 8)).toBeUndefined();
    expect(ram.readU32(at)).toBeUndefined();
  }
  expect(ram.readBounded(bank.base + bank.sizeBytes - 4, 8)).toBeUndefined();
});

test('a range that begins in one extent and ends in a hole names the hole', () => {
  const manifest = parseSparseManifest({
    format: 'khosim-sparse-1',
    ram: [{ base: '0x10000', size: '0x10000' }],
    data: 'd',
    extents: [
      { phys: '0x11000', size: 4096, stored: 2, offset: 0 },
      { phys: '0x13000', size: 16, stored: 0, offset: 0 },
    ],
  });
  const ram = new ImageRam(sparseImage(manifest, bytesSource(Uint8Array.of(7, 8))));
  expect(ram.readBounded(0x11001, 0x2011)?.missing).toEqual([
    { phys: 0x12000, sizeBytes: 0x1000 },
    { phys: 0x13010, sizeBytes: 2 },
  ]);
  expect([ram.readU32(0x11000), ram.readU64(0x11000)]).toEqual([0x0807, 0x0807]);
});

test('an extent may span banks that touch', () => {
  const manifest = parseSparseManifest({
    format: 'khosim-sparse-1',
    ram: [
      { base: '0x20000', size: '0x10000', nid: 1 },
      { base: '0x10000', size: '0x10000' },
    ],
    data: 'd',
    extents: [{ phys: '0x1f000', size: 0x2000, offset: 0 }],
  });
  const image = sparseImage(manifest, bytesSource(new Uint8Array(0x2000).fill(9)));
  expect(image.banks.map((bank) => bank.nid)).toEqual([0, 1]);
  expect(new ImageRam(image).readBounded(0x1fffe, 4)?.bytes).toEqual(Uint8Array.of(9, 9, 9, 9));
  expect(loadImage(image, PAGE_4K).readU32(physAddr(0x20000))).toBe(0x09090909);
});

test('a patch changes what is read, also in a hole, and not the image', () => {
  const image = realImage('linux-7.3.4-arm64-4k');
  const ram = new ImageRam(image);
  const fdt = image.handoff?.fdt.phys ?? 0;
  ram.readU32(fdt);
  expect(ram.patch(fdt + 3, Uint8Array.of(0xee))).toBe(true);
  expect(ram.readU32(fdt)).toBe(0xeefe0dd0);
  expect(new ImageRam(image).readU32(fdt)).toBe(0xedfe0dd0);
  expect(ram.patch(0x1000, Uint8Array.of(1))).toBe(false);
  const seen: number[] = [];
  ram.scan((phys, bytes) => {
    if (fdt >= phys && fdt < phys + bytes.length) seen.push(bytes[fdt + 3 - phys] ?? 0);
  });
  expect(new Set(seen)).toEqual(new Set([0xee]));
});

describe.each(PAGE_SIZES)('writing an image of RAM with $name pages', (page) => {
  test('carries the asked ranges as whole pages, joins and sorts them, and stores no zeros at their end', () => {
    const size = page.sizeBytes;
    const memory = new PhysicalMemory(page, [
      { base: physAddr(0x10_0000), sizeBytes: 16 * size, nid: 0 },
      { base: physAddr(0x1000_0000), sizeBytes: 4 * size, nid: 1 },
    ]);
    memory.writeU32(physAddr(0x10_0000 + size + 8), 0x01020304);
    memory.writeU32(physAddr(0x1000_0000), 5);
    const output = buildSparseImage({
      memory,
      arch: 'x86_64',
      ranges: [
        { phys: 0x1000_0000, sizeBytes: 1 },
        { phys: 0x10_0000 + 2 * size, sizeBytes: size },
        { phys: 0x10_0000 + size + 100, sizeBytes: 1 },
        { phys: 0x5000_0000, sizeBytes: 100 },
      ],
      data: 'image.bin.gz',
    });
    const image = written(output);
    expect(image.extents).toEqual([
      { phys: 0x10_0000 + size, sizeBytes: 2 * size, storedBytes: 12, offset: 0 },
      { phys: 0x1000_0000, sizeBytes: size, storedBytes: 1, offset: 12 },
    ]);
    expect(image.banks).toEqual(memory.banks);
    expect(image.handoff).toBeUndefined();
    expect(output.sizeBytes).toBe(13);
    expect(loadImage(image, page).readU32(physAddr(0x10_0000 + size + 8))).toBe(0x01020304);
  });
});

describe('a container that cannot be used says all that is wrong with it', () => {
  const problemsOf = (change: (document: ReturnType<typeof realDocument>) => void) => {
    const document = realDocument('linux-6.17.8-arm64-4k');
    change(document);
    try {
      sparseImage(parseSparseManifest(document), bytesSource(new Uint8Array(3_000_000)));
    } catch (error) {
      if (error instanceof ImageError) return error.problems.map((p) => `${p.where ?? ''}: ${p.message}`);
      throw error;
    }
    return [];
  };
  const extent = (document: ReturnType<typeof realDocument>, i: number) => document.extents[i] ?? {};

  test('fields of the wrong type', () => {
    expect(
      problemsOf((document) => {
        document['arch'] = 'riscv';
        document['pageSize'] = 8192;
        document['data'] = '../../etc/passwd';
        extent(document, 0)['phys'] = '0x4zz';
        extent(document, 1)['size'] = -1;
        extent(document, 2)['phys'] = '0xffffffffffffffff';
      }),
    ).toEqual([
      'arch: "riscv" is not one of arm64, x86_64',
      'pageSize: 8192 is not one of 4096, 16384, 65536',
      'data: is not the name of a file beside the document',
      'extents[0].phys: "0x4zz" is not an address or size',
      'extents[1].size: -1 is not an address or size',
      'extents[2].phys: 0xffffffffffffffff is beyond 2^53 - 1, which no RAM reaches',
    ]);
  });

  test('extents that overlap, lie outside RAM, store more than they have or reach beyond the data', () => {
    const messages = problemsOf((document) => {
      extent(document, 0)['phys'] = '0x5f3f1000';
      extent(document, 3)['phys'] = '0x1000';
      extent(document, 4)['stored'] = 5_000_000;
    });
    expect(messages.some((m) => m.includes('is not inside RAM'))).toBe(true);
    expect(messages.some((m) => m.includes('stores 5000000 bytes of'))).toBe(true);
    const overlapping = problemsOf((document) => {
      extent(document, 1)['phys'] = extent(document, 2)['phys'];
    });
    expect(overlapping).toHaveLength(1);
    expect(overlapping[0]).toMatch(/^extents\[\d\]: overlaps extents\[\d\], which ends at 0x/);
    expect(problemsOf((document) => Object.assign(extent(document, 5), { offset: 2_999_999 }))[0]).toMatch(
      /wants bytes 2999999 to \d+ of the data, which has 3000000/,
    );
  });

  test('another format, or no object at all', () => {
    for (const document of [null, 3, [], {}, { format: 'khosim-sparse-2' }]) {
      expect(() => parseSparseManifest(document)).toThrow(ImageError);
    }
    expect(problemsOf((document) => Object.assign(document, { ram: [], extents: 'none' }))).toEqual([
      'ram: has no bank',
      'extents: is not a list',
    ]);
  });

  test('a great many problems are counted, not listed', () => {
    const messages = problemsOf((document) => {
      for (const item of document.extents) item['offset'] = 'x';
    });
    expect(messages).toHaveLength(21);
    expect(messages.at(-1)).toMatch(/^: and \d+ more problems/);
  });
});
