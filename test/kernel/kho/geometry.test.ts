import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RadixContract } from '../../../kernel/abi/contract.ts';
import { RADIX_RFC_V1, RADIX_V2, RADIX_V3, RADIX_V4 } from '../../../kernel/abi/radix.ts';
import { decodeKey, encodeKey, radixGeometry, tableIndex } from '../../../kernel/kho/geometry.ts';
import { bigOf, u64OfBig } from '../../../kernel/kho/u64.ts';
import { makePageSize, PAGE_4K, PAGE_16K, PAGE_64K, PAGE_SIZES } from '../../../machine/index.ts';

test.each([
  [PAGE_4K, 53, 9, 15, 6],
  [PAGE_16K, 51, 11, 17, 5],
  [PAGE_64K, 49, 13, 19, 4],
])('the numbers of a tree of $name pages are those of the ABI', (page, keyWidth, tableLog2, bitmapLog2, depth) => {
  expect(radixGeometry(page)).toMatchObject({ keyWidth, tableLog2, bitmapLog2, depth, slots: 2 ** tableLog2 });
});

function withDepth(depth: string): RadixContract {
  return { ...RADIX_V4, geometry: { ...RADIX_V4.geometry, depth } };
}

test('the depth is a formula of the contract: the one that forgot the marker bit differs at 16K alone', () => {
  const depths = (contract: RadixContract) => PAGE_SIZES.map((page) => radixGeometry(page, contract).depth);
  expect(depths(RADIX_V2)).toEqual([6, 4, 4]);
  expect(depths(RADIX_V3)).toEqual([6, 5, 4]);
  expect(depths(RADIX_V4)).toEqual([6, 5, 4]);
  expect(depths(RADIX_RFC_V1)).toEqual([6, 5, 4]);
});

test('formulas that make no tree are refused with the reason', () => {
  expect(() => radixGeometry(PAGE_4K, withDepth('1'))).toThrow('a depth of 1 leaves no table');
  expect(() => radixGeometry(PAGE_4K, withDepth('8'))).toThrow('keys are above 64 bits');
  const wide: RadixContract = { ...RADIX_V4, geometry: { ...RADIX_V4.geometry, tableLog2: 10 } };
  expect(() => radixGeometry(PAGE_4K, wide)).toThrow('not a page of u64');
});

test('a geometry of tiny pages follows from the same formulas', () => {
  expect(radixGeometry(makePageSize(6, 20))).toMatchObject({ keyWidth: 15, tableLog2: 3, bitmapLog2: 9, depth: 3 });
  expect(() => radixGeometry(makePageSize(6, 14))).toThrow(RangeError);
});

const EXAMPLES: [phys: bigint, order: number, key: bigint, path: number[]][] = [
  [0x1000n, 0, 0x10000000000001n, [2, 0, 0, 0, 0, 1]],
  [0x2000n, 1, 0x8000000000001n, [1, 0, 0, 0, 0, 1]],
  [0x200000n, 9, 0x80000000001n, [0, 2, 0, 0, 0, 1]],
  [0x400000n, 10, 0x40000000001n, [0, 1, 0, 0, 0, 1]],
  [0x8000000n, 0, 0x10000000008000n, [2, 0, 0, 0, 1, 0]],
  [0x40000000n, 18, 0x400000001n, [0, 0, 2, 0, 0, 1]],
  [0x100001000n, 0, 0x10000000100001n, [2, 0, 0, 0, 32, 1]],
];

test.each(EXAMPLES)('the key of 0x%x order %i is the one of the ABI document', (phys, order, key, path) => {
  const geometry = radixGeometry(PAGE_4K);
  const halves = u64OfBig(phys);
  const encoded = encodeKey(geometry, halves.lo, halves.hi, order);
  expect(bigOf(encoded.lo, encoded.hi)).toBe(key);
  const indices = [5, 4, 3, 2, 1].map((level) => tableIndex(geometry, encoded.lo, encoded.hi, level));
  expect([...indices, encoded.lo & 0x7fff]).toEqual(path);
  const decoded = decodeKey(geometry, encoded.lo, encoded.hi);
  expect([bigOf(decoded.lo, decoded.hi), decoded.order]).toEqual([phys, order]);
});

test('nonsense keys decode to what the kernel computes: shifts wrap, orders are unsigned', () => {
  const geometry = radixGeometry(PAGE_4K);
  expect(decodeKey(geometry, 0, 0)).toEqual({ lo: 0, hi: 0, order: 53 });
  expect(decodeKey(geometry, 0x100, 0x20_0000)).toEqual({ lo: 0x80000, hi: 0, order: 0xffff_ffff });
});

describe.each(PAGE_SIZES)('keys with $name pages', (page) => {
  const geometry = radixGeometry(page);

  test('any block decodes to itself, and no two blocks share a key', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: geometry.nrOrders - 2 }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (order, raw) => {
          const shift = BigInt(page.shift + order);
          const phys = ((raw >> shift) << shift) & (2n ** 64n - 1n);
          const halves = u64OfBig(phys);
          const key = encodeKey(geometry, halves.lo, halves.hi, order);
          const back = decodeKey(geometry, key.lo, key.hi);
          const width = bigOf(key.lo, key.hi).toString(2).length;
          return bigOf(back.lo, back.hi) === phys && back.order === order && width === geometry.keyWidth - order;
        },
      ),
      { seed: 1 },
    );
  });

  test('the indices of all levels put together give the key back', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** BigInt(geometry.keyWidth) - 1n }), (key) => {
        const { lo, hi } = u64OfBig(key);
        let sum = BigInt(lo) & (2n ** BigInt(geometry.bitmapLog2) - 1n);
        for (let level = 1; level < geometry.depth; level++) {
          sum += BigInt(tableIndex(geometry, lo, hi, level)) << BigInt(geometry.levelShifts[level] ?? 0);
        }
        return sum === key;
      }),
      { seed: 1 },
    );
  });
});
