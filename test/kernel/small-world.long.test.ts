import { expect, test } from 'vitest';
import { RANGES, searchSmallWorld } from './small-world.ts';

test('with ranges over folios, six operations deep, only the listed bugs make a page both free and preserved', () => {
  const { states, unexplained, explained } = searchSmallWorld(RANGES, 6);
  expect(unexplained).toEqual([]);
  expect(explained['freed while preserved']).toBeGreaterThan(0);
  expect(explained['overlapping orders']).toBeGreaterThan(0);
  expect(states).toBeGreaterThan(3000);
});
