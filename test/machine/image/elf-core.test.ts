import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../machine/image/byte-source.ts';
import { elfCoreImage } from '../../../machine/image/elf-core.ts';
import { ImageError } from '../../../machine/image/image-error.ts';
import { ImageRam } from '../../../machine/image/image-ram.ts';
import { loadImage } from '../../../machine/image/load.ts';
import { rawImage } from '../../../machine/image/raw.ts';
import { PAGE_4K, PAGE_64K, PAGE_SIZES } from '../../../machine/page-size.ts';
import { physAddr } from '../../../machine/units.ts';
import { elfHeaders, patchworkSource, type TestSegment } from './elf-builder.ts';

const GIB = 2 ** 30;

function segment(phys: number, memoryBytes: number, fileBytes: number, offset: number, type = 1): TestSegment {
  return {
    phys: BigInt(phys),
    memoryBytes: BigInt(memoryBytes),
    fileBytes: BigInt(fileBytes),
    offset: BigInt(offset),
    type,
  };
}

/** 6 GiB of RAM in two banks, the second at byte 5 GiB of the file and half of it not stored. */
function big() {
  const headers = elfHeaders({
    segments: [
      segment(0, 0, 100, 300, 4),
      segment(8 * GIB, 2 * GIB, GIB, 5 * GIB),
      segment(GIB, 4 * GIB, 4 * GIB, 4096),
    ],
  });
  return patchworkSource(6 * GIB, [
    [0, headers],
    [4096 + 3 * GIB + 8, Uint8Array.of(1, 2, 3, 4)],
    [5 * GIB, Uint8Array.of(5)],
    [6 * GIB - 1, Uint8Array.of(6)],
  ]);
}

describe('an ELF core', () => {
  test('gives RAM by physical address, from any offset of the file, zero where memsz exceeds filesz', () => {
    const image = elfCoreImage(big());
    expect([image.format, image.arch, image.page, image.handoff]).toEqual(['elf-core', 'arm64', undefined, undefined]);
    expect(image.banks).toEqual([
      { base: GIB, sizeBytes: 4 * GIB, nid: 0 },
      { base: 8 * GIB, sizeBytes: 2 * GIB, nid: 0 },
    ]);
    const ram = new ImageRam(image);
    expect(ram.readU32(4 * GIB + 8)).toBe(0x04030201);
    expect(ram.readBounded(8 * GIB, 2)?.bytes).toEqual(Uint8Array.of(5, 0));
    expect(ram.readBounded(9 * GIB - 1, 2)).toEqual({ bytes: Uint8Array.of(6, 0), missing: [] });
    expect(ram.readU32(6 * GIB)).toBeUndefined();
  });

  test.each(PAGE_SIZES)('is RAM to boot on without being copied, with $name pages', (page) => {
    const memory = loadImage(elfCoreImage(big()), page);
    expect(memory.readU32(physAddr(4 * GIB + 8))).toBe(0x04030201);
    expect(memory.readU8(physAddr(9 * GIB - 1))).toBe(6);
    expect(memory.readU8(physAddr(9 * GIB))).toBe(0);
    expect(memory.committedBytes).toBeLessThan(2 ** 20);
    memory.writeU8(physAddr(4 * GIB + 9), 0xee);
    const version = memory.mark();
    memory.writeU8(physAddr(4 * GIB + 10), 0xff);
    expect(memory.readU32(physAddr(4 * GIB + 8))).toBe(0x04ffee01);
    memory.restore(version);
    expect(memory.transfer().readU32(physAddr(4 * GIB + 8))).toBe(0x0403ee01);
  });

  test('with more segments than 16 bits count says so in a section header', () => {
    const segments = [segment(0, 4096, 4096, 4096)];
    const source = patchworkSource(8192, [[0, elfHeaders({ segments, sectionHeaderAt: 1024, machine: 62 })]]);
    const image = elfCoreImage(source);
    expect([image.arch, image.extents.length]).toEqual(['x86_64', 1]);
  });

  test('with segments that describe memory twice: the first in the file counts', () => {
    const headers = elfHeaders({
      segments: [segment(0x2000, 0x1000, 0x1000, 4096), segment(0, 0x4000, 0x3800, 8192), segment(0x2800, 0x800, 0, 0)],
    });
    const image = elfCoreImage(
      patchworkSource(0x8000, [
        [0, headers],
        [4096, new Uint8Array(4096).fill(1)],
        [8192, new Uint8Array(0x3800).fill(2)],
      ]),
    );
    const ram = new ImageRam(image);
    const at = [0, 0x1fff, 0x2000, 0x2fff, 0x3000, 0x37ff, 0x3800, 0x3fff];
    expect(at.map((phys) => ram.readBounded(phys, 1)?.bytes[0])).toEqual([2, 2, 1, 1, 2, 2, 0, 0]);
    expect(image.banks).toEqual([{ base: 0, sizeBytes: 0x4000, nid: 0 }]);
    expect(image.notes).toEqual(['2 segments describe memory again that an earlier one has; the first counts']);
  });

  test('with a bank that is not whole pages is grown to pages for a kernel', () => {
    const headers = elfHeaders({
      segments: [segment(0x400, 0x9f800, 0x9f800, 4096), segment(0x100000, 0x1000, 0x1000, 0)],
    });
    const image = elfCoreImage(patchworkSource(0x100000, [[0, headers]]));
    expect(loadImage(image, PAGE_4K).banks).toEqual([
      { base: 0, sizeBytes: 0xa0000, nid: 0 },
      { base: 0x100000, sizeBytes: 0x1000, nid: 0 },
    ]);
    expect(loadImage(image, PAGE_64K).banks[1]).toEqual({ base: 0x100000, sizeBytes: 0x10000, nid: 0 });
  });
});

describe('an ELF core that cannot be used', () => {
  const good = { segments: [segment(0, 4096, 4096, 4096)] };
  const messageOf = (bytes: Uint8Array, sizeBytes = 8192) => {
    try {
      elfCoreImage(patchworkSource(sizeBytes, [[0, bytes]]));
    } catch (error) {
      if (error instanceof ImageError) return error.message;
      throw error;
    }
    return 'none';
  };
  const changed = (at: number, ...values: number[]) => {
    const bytes = elfHeaders(good);
    bytes.set(values, at);
    return bytes;
  };

  test.each([
    ['is one', elfHeaders(good), 8192, 'none'],
    ['ends in its header', elfHeaders(good).subarray(0, 40), 40, 'the file ends at byte 40, inside the ELF header'],
    ['ends in its program headers', elfHeaders(good).subarray(0, 100), 100, 'inside the program headers'],
    ['ends in its memory', elfHeaders(good), 8191, 'RAM at 0x0 is in bytes 4096 to 8192 of a file of 8191'],
    ['has no magic', changed(0, 0), 8192, 'no ELF magic'],
    ['is 32-bit', changed(4, 1), 8192, 'not a 64-bit little-endian'],
    ['is big-endian', changed(5, 2), 8192, 'not a 64-bit little-endian'],
    ['is a program', elfHeaders({ ...good, type: 2 }), 8192, 'ELF type 2 is not a core'],
    ['is of RISC-V', elfHeaders({ ...good, machine: 243 }), 8192, 'machine 243'],
    ['has odd program headers', changed(54, 32), 8192, 'program headers of 32 bytes'],
    ['has no segments', elfHeaders({ segments: [] }), 8192, '0 program headers'],
    ['has no PT_LOAD', elfHeaders({ segments: [segment(0, 1, 1, 0, 4)] }), 8192, 'no PT_LOAD segment'],
    ['counts in a section header that is not there', changed(56, 0xff, 0xff), 8192, 'is not there'],
    ['has its program headers past the end', changed(33, 0xff, 0xff), 8192, 'program headers at byte'],
    [
      'has addresses beyond all memory',
      elfHeaders({ segments: [{ phys: 2n ** 60n, memoryBytes: 4096n, fileBytes: 0n, offset: 0n }] }),
      8192,
      'is not a range of physical memory',
    ],
    [
      'has a bank that no machine has',
      elfHeaders({ segments: [{ phys: 0n, memoryBytes: 2n ** 45n, fileBytes: 0n, offset: 0n }] }),
      8192,
      '0x200000000000 bytes of RAM in one piece',
    ],
    [
      'comes from a process',
      elfHeaders({ segments: [segment(0, 10, 10, 0), segment(0, 20, 20, 0)] }),
      8192,
      'say physical address 0',
    ],
  ])('%s', (_, bytes, sizeBytes, expected) => {
    expect(messageOf(bytes, sizeBytes)).toContain(expected);
  });

  test('any byte of its headers may be any value: an image or an ImageError', () => {
    const original = elfHeaders({ segments: [segment(0, 4096, 4096, 4096), segment(0x10000, 4096, 100, 4096)] });
    let refused = 0;
    for (let at = 0; at < original.length; at++) {
      for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
        const bytes = Uint8Array.from(original);
        bytes[at] = value;
        if (messageOf(bytes) !== 'none') refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});

test('raw RAM is one bank from its base on', () => {
  const image = rawImage(bytesSource(Uint8Array.from({ length: 8192 }, (_, i) => i >> 8)), 0x8000_0000);
  expect(image.banks).toEqual([{ base: 0x8000_0000, sizeBytes: 8192, nid: 0 }]);
  expect(new ImageRam(image).readU32(0x8000_1000)).toBe(0x10101010);
  expect(loadImage(image, PAGE_4K).readU8(physAddr(0x8000_1fff))).toBe(0x1f);
  expect(() => rawImage(bytesSource(new Uint8Array(0)), 0)).toThrow(ImageError);
  expect(() => rawImage(bytesSource(new Uint8Array(8)), 0x123)).toThrow('RAM does not begin at 0x123');
});
