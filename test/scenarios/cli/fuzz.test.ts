import { expect, test } from 'vitest';
import { khosim } from './khosim.ts';

test('what fuzz says of a few seeds is what it gives as JSON', async () => {
  const { code, out } = await khosim('fuzz', '--seed', '4', '--runs', '2', '--jobs', '1', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    schema: 1,
    firstSeed: 4,
    runs: 2,
    good: 2,
    verdicts: { intact: 1, refused: 1 },
    knownBugs: {},
    silentDamage: {},
    found: [],
    missing: [],
    violation: null,
  });
  const text = await khosim('fuzz', '--seed', '4', '--runs', '1', '--jobs', '1');
  expect(text.out).toMatch(/^1 random scenarios from seed 4: 1 good, 0 that cannot be/);
});

test('a path leads to one scenario, which is printed as a file', async () => {
  const { code, out } = await khosim('fuzz', '--seed', '4', '--path', '0');
  expect(code).toBe(0);
  expect(out).toMatch(/^name: a random scenario\nseed: 1\nmachine:\n/);
  expect(out).toMatch(/\ngood: refused\n$/);
});

test.each([
  [['--find', 'heisenbug'], /there is no known bug 'heisenbug'[\s\S]*inside-scratch/],
  [['--path', 'home'], /'home' is no path/],
  [['--for', 'ever'], /'ever' is not a time/],
  [['--for', '1s', '--runs', '1'], /exclude each other/],
])('fuzz %s is refused', async (options, message) => {
  const { code, err } = await khosim('fuzz', ...options);
  expect(code).toBe(2);
  expect(err).toMatch(message);
});
