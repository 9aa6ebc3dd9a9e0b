import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { fuzz } from '../../../scenarios/fuzz/campaign.ts';
import { KNOWN_BUGS } from '../../../scenarios/fuzz/known-bugs.ts';

const TEN_MINUTES = 600;

test('each known bug is found from a random start within ten minutes, and shrunk to at most twelve steps', async () => {
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 1000);
  const document = await fuzz({
    firstSeed: 1,
    runs: undefined,
    jobs: availableParallelism(),
    find: KNOWN_BUGS.map(({ name }) => name),
    seconds,
    isOver: () => seconds() >= TEN_MINUTES,
    onProgress: () => {},
  });
  expect(document.violation).toBeNull();
  expect(document.missing).toEqual([]);
  for (const { what, steps } of document.found) expect(steps, what).toBeLessThanOrEqual(12);
});
