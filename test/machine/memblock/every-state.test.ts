import { expect, test } from 'vitest';
import { explore, ON_MEMORY, ON_RESERVED } from './every-state.ts';

test('eight pages, every state of reserved that five operations reach', () => {
  expect(explore('reserved', ON_RESERVED, 5)).toEqual([1, 21, 203, 1146, 2791, 2059]);
});

test('eight pages, every state of memory that three operations reach', () => {
  expect(explore('memory', ON_MEMORY, 3)).toEqual([1, 42, 752, 7984]);
});
