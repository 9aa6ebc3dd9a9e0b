import { expect, test } from 'vitest';
import { corruptAndInspect } from './corruption.ts';
import { loadFixture } from './sparse-image.ts';

test.each([
  { name: 'linux-6.17.8-arm64-4k', runs: 60 },
  { name: 'linux-6.19.11-arm64-4k', runs: 80 },
  { name: 'linux-7.3.4-arm64-4k', runs: 150 },
  { name: 'linux-7.3.4-arm64-64k', runs: 60 },
])('$runs random corruptions of $name end with findings or without, never with an exception', ({ name, runs }) => {
  const { withFindings, nonsense } = corruptAndInspect(loadFixture(name), runs, 20260701);
  expect(nonsense).toEqual([]);
  expect(withFindings).toBeGreaterThan(runs / 4);
});
