import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PageSet } from '../../../scenarios/abi/page-set.ts';

const rangesOf = fc.array(fc.tuple(fc.nat(60), fc.nat(8)), { maxLength: 12 });

function both(ranges: readonly (readonly [number, number])[]) {
  const pages = new PageSet();
  const naive = new Set<number>();
  for (const [start, length] of ranges) {
    pages.add(start, start + length);
    for (let page = start; page < start + length; page++) naive.add(page);
  }
  return { pages, naive };
}

test('a set of ranges answers as a set of pages does', () => {
  fc.assert(
    fc.property(rangesOf, rangesOf, (a, b) => {
      const [left, right] = [both(a), both(b)];
      const rest = left.pages.without(right.pages);
      for (let page = 0; page < 70; page++) {
        expect(left.pages.has(page)).toBe(left.naive.has(page));
        expect(rest.has(page)).toBe(left.naive.has(page) && !right.naive.has(page));
      }
      expect(left.pages.nrPages).toBe(left.naive.size);
      expect(left.pages.first).toBe(left.naive.size === 0 ? undefined : Math.min(...left.naive));
    }),
    { numRuns: 200, seed: 1 },
  );
});
