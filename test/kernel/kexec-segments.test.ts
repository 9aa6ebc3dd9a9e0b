import { describe, expect, test } from 'vitest';
import { EADDRNOTAVAIL } from '../../kernel/errno.ts';
import { placeSegments } from '../../kernel/kexec/segments.ts';

const MIB = 2 ** 20;
const ARRAY = { name: 'scratch-array', sizeBytes: 48, alignBytes: 0x10000, topDown: true };
const KERNEL = { name: 'kernel', sizeBytes: 12 * MIB, alignBytes: 2 * MIB, topDown: false };
const INITRD = { name: 'initrd', sizeBytes: 3 * MIB + 5, alignBytes: 4096, topDown: false };

describe('segments of a kexec image', () => {
  test('the array ends up at the top of scratch[0], 64 KiB aligned, as in the real 7.3.4 image', () => {
    const areas = [
      { base: 0x5d000000, sizeBytes: 0x2000000 },
      { base: 0x5c000000, sizeBytes: 0x1000000 },
    ];
    expect(placeSegments(areas, [ARRAY, KERNEL, INITRD], 4096)).toEqual([
      { name: 'scratch-array', base: 0x5eff0000, sizeBytes: 4096 },
      { name: 'kernel', base: 0x5d000000, sizeBytes: 12 * MIB },
      { name: 'initrd', base: 0x5d000000 + 12 * MIB, sizeBytes: 3 * MIB + 4096 },
    ]);
  });

  test('what does not fit one area goes to the next, areas of size 0 are passed over', () => {
    const areas = [
      { base: 0x1000000, sizeBytes: 0 },
      { base: 0x4000000, sizeBytes: 4 * MIB },
      { base: 0x8000000, sizeBytes: 32 * MIB },
    ];
    const placed = placeSegments(areas, [ARRAY, KERNEL, INITRD], 4096);
    expect(placed).toMatchObject([{ base: 0x43f0000 }, { base: 0x8000000 }, { base: 0x4000000 }]);
  });

  test('nothing fits: -EADDRNOTAVAIL', () => {
    expect(placeSegments([{ base: 0, sizeBytes: 8 * MIB }], [ARRAY, KERNEL], 4096)).toBe(EADDRNOTAVAIL);
    expect(placeSegments([], [ARRAY], 4096)).toBe(EADDRNOTAVAIL);
  });

  test('respects the limits of a request', () => {
    const areas = [{ base: 0, sizeBytes: 64 * MIB }];
    const placed = placeSegments(
      areas,
      [
        { ...KERNEL, minAddr: 16 * MIB },
        { ...INITRD, maxAddr: 4 * MIB },
      ],
      4096,
    );
    expect(placed).toMatchObject([{ base: 16 * MIB }, { base: 0 }]);
  });
});
