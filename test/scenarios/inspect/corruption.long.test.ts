import { expect, test } from 'vitest';
import { corruptAndInspect } from './corruption.ts';
import { loadFixture } from './sparse-image.ts';

/** All runs together, spread over the images; KHOSIM_SHARD=I/N does the I-th of N parts. */
const RUNS = 100_000;

const IMAGES = [
  'linux-6.17.8-arm64-4k',
  'linux-6.18.15-arm64-4k',
  'linux-6.19.11-arm64-4k',
  'linux-7.1.13-arm64-4k',
  'linux-7.3.4-arm64-4k',
  'linux-7.3.4-arm64-64k',
];

const [part = 1, parts = 1] = (process.env['KHOSIM_SHARD'] ?? '1/1').split('/').map(Number);

test.each(IMAGES)('random corruptions of %s never end with an exception, nor fill memory', (name) => {
  const runs = Math.ceil(RUNS / IMAGES.length / parts);
  const image = loadFixture(name);
  corruptAndInspect(image, 100, 1);
  const before = process.memoryUsage().rss;
  const { withFindings, nonsense } = corruptAndInspect(image, runs, 1000 + part);
  expect(nonsense).toEqual([]);
  expect(withFindings).toBeGreaterThan(runs / 4);
  expect(process.memoryUsage().rss - before).toBeLessThan(512 * 2 ** 20);
});
