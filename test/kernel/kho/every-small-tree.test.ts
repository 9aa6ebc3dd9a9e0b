import { expect, test } from 'vitest';
import { everyBlock, everySmallTree } from './every-small-tree.ts';

test('the smallest geometry, every tree of up to two keys: the walk is the set', () => {
  expect(everyBlock()).toHaveLength(255);
  expect(everySmallTree(2)).toBe(1 + 255 + (255 * 254) / 2);
});
