import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Intervals, nameRanges, subtract, totalBytes, union } from '../../../scenarios/handover/intervals.ts';

const ranges = fc.array(fc.tuple(fc.nat(60), fc.nat(8)).map(([start, size]) => [start, start + size] as const));

function cells(intervals: Intervals): number[] {
  return intervals.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i));
}

test('union and subtract agree with sets of numbers', () => {
  fc.assert(
    fc.property(ranges, ranges, (a, b) => {
      const wanted = new Set(cells(a));
      const taken = new Set(cells(b));
      expect(cells(union(a))).toEqual([...wanted].sort((x, y) => x - y));
      expect(cells(subtract(union(a), union(b)))).toEqual(
        [...wanted].filter((x) => !taken.has(x)).sort((x, y) => x - y),
      );
    }),
    { numRuns: 300, seed: 1 },
  );
});

test('ranges are named with their last byte, and only the first few', () => {
  const some = union([0, 2, 4, 6].map((i) => [i * 0x1000, (i + 1) * 0x1000] as const));
  expect(nameRanges(some)).toBe('0x0-0xfff, 0x2000-0x2fff, 0x4000-0x4fff and 1 more');
  expect(totalBytes(some)).toBe(0x4000);
});
