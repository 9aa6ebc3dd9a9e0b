import { expect, test } from 'vitest';
import {
  generatePage,
  junk,
  makePageSize,
  PAGE_SIZES,
  pattern,
  ramp,
  sumOfFill,
  ZERO_FILL,
} from '../../machine/index.ts';

const TINY = makePageSize(6, 16);
const FRAMES = [0, 1, 0x40000, 0xffff_ffff, 2 ** 40 + 5];

/** What the words of junk and patterns are, one after the other: xorshift from the word before. */
function followsFrom(words: Uint32Array): boolean {
  for (let i = 1; i < words.length; i++) {
    let x = words[i - 1] as number;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    if (x >>> 0 !== words[i]) return false;
  }
  return true;
}

test.each([TINY, ...PAGE_SIZES])('content is one sequence from a page to its end, at $name', (page) => {
  const words = new Uint32Array(page.sizeBytes / 4);
  for (const fill of [junk(3), pattern(3), pattern(0xffff_ffff)]) {
    for (const pfn of FRAMES) {
      generatePage(fill, pfn, words);
      expect(words.includes(0)).toBe(false);
      expect(followsFrom(words)).toBe(true);
    }
  }
});

test.each([TINY, ...PAGE_SIZES])('the sum of a ramp is that of its words, at $name', (page) => {
  const words = new Uint32Array(page.sizeBytes / 4);
  const seen = new Set<string>();
  for (const fill of [ramp(0), ramp(1), ramp(0xffff_ffff), ZERO_FILL]) {
    for (const pfn of FRAMES) {
      generatePage(fill, pfn, words);
      expect(sumOfFill(fill, pfn, words.length)).toBe(words.reduce((sum, word) => sum + word, 0));
      if (fill.kind === 'ramp') seen.add(words.slice(0, 2).join());
    }
  }
  expect(seen.size).toBe(3 * FRAMES.length);
  expect(sumOfFill(junk(1), 5, words.length)).toBeUndefined();
});
