import { expect, test } from 'vitest';
import { everyBlock, everySmallTree } from './every-small-tree.ts';

/** KHOSIM_SHARD=I/N: every N-th of the blocks that a set begins with. */
const [part = 1, parts = 1] = (process.env['KHOSIM_SHARD'] ?? '1/1').split('/').map(Number);

/** Sets of up to `most` of `count` things. */
function sets(count: number, most: number): number {
  return most === 0 || count === 0 ? 1 : sets(count - 1, most) + sets(count - 1, most - 1);
}

test('the smallest geometry, every tree of up to four keys: the walk is the set', () => {
  const mine = everyBlock().flatMap((_, index) => (index % parts === part - 1 ? [index] : []));
  const expected = 1 + mine.reduce((sum, index) => sum + sets(254 - index, 3), 0);
  expect(everySmallTree(4, (index) => index % parts === part - 1)).toBe(expected);
  if (parts === 1) expect(expected).toBe(172_061_505 + 2_731_135 + 32_385 + 255 + 1);
});
