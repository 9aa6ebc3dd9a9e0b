import { expect, test } from 'vitest';
import { explore, ON_MEMORY, ON_RESERVED } from './every-state.ts';

test('eight pages, every state of memory that five operations reach', () => {
  expect(explore('memory', ON_MEMORY, 5)).toEqual([1, 42, 752, 7984, 47702, 134518]);
});

test('eight pages, every state of reserved there is', () => {
  const counts = explore('reserved', ON_RESERVED, 9);
  expect(counts).toEqual([1, 21, 203, 1146, 2791, 2059, 330, 10, 0, 0]);
  // Each page is free, reserved, or reserved and not to be initialised.
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(3 ** 8);
});
