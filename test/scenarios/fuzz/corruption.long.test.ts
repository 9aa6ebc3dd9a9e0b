import { appendFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { PAGE_4K, PAGE_16K, PAGE_64K } from '../../../machine/page-size.ts';
import { Random } from '../../../machine/random.ts';
import {
  attemptAll,
  type CorruptionBench,
  fdtBytePatches,
  mapWordPatches,
  type Patch,
  randomPatches,
  summedUp,
} from '../../../scenarios/fuzz/corruption.ts';
import { exportedBench, realBench } from './images.ts';

/** All random runs together, spread over the images; KHOSIM_SHARD=I/N does the I-th of N parts. */
const RUNS = 100_000;

const [part = 1, parts = 1] = (process.env['KHOSIM_SHARD'] ?? '1/1').split('/').map(Number);

/** A file that gets a line of JSON for each test: what ended how, the slowest, memory. */
const LOG = process.env['KHOSIM_LOG'];

const MIB = 2 ** 20;

/** CPU milliseconds that no try may take. */
const LIMIT_MS = 1000;

/** Bytes by which memory in use may differ between the start, the middle and the end: caches of compiled contracts and such. */
const GROWTH_BYTES = 16 * MIB;

interface Mix {
  readonly name: string;
  readonly make: () => CorruptionBench;
  readonly share: number;
}

const MIX: readonly Mix[] = [
  { name: 'linux-7.3.4-arm64-4k', make: () => realBench('linux-7.3.4-arm64-4k'), share: 0.25 },
  { name: 'linux-7.3.4-arm64-64k', make: () => realBench('linux-7.3.4-arm64-64k'), share: 0.15 },
  { name: 'linux-7.1.13-arm64-4k', make: () => realBench('linux-7.1.13-arm64-4k'), share: 0.1 },
  { name: 'linux-6.19.11-arm64-4k', make: () => realBench('linux-6.19.11-arm64-4k'), share: 0.1 },
  { name: 'linux-6.18.15-arm64-4k', make: () => realBench('linux-6.18.15-arm64-4k'), share: 0.08 },
  { name: 'linux-6.17.8-arm64-4k', make: () => realBench('linux-6.17.8-arm64-4k'), share: 0.08 },
  { name: 'sessions, exported at 4K', make: () => exportedBench('sessions', PAGE_4K), share: 0.08 },
  { name: 'real-kernel, exported at 16K', make: () => exportedBench('real-kernel', PAGE_16K), share: 0.05 },
  { name: 'ten-hops, exported at 64K', make: () => exportedBench('ten-hops', PAGE_64K), share: 0.05 },
  { name: 'real-kernel-x86_64, exported', make: () => exportedBench('real-kernel-x86_64', PAGE_4K), share: 0.06 },
];

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What is in use, in bytes: live objects and buffers; and what the process has of the system. */
async function memoryOf(bench: CorruptionBench): Promise<{ used: number; rss: number }> {
  bench.reload();
  // Buffers are given back behind a collection, not by it.
  for (let i = 0; i < 4; i++) {
    collectGarbage();
    await new Promise((done) => setTimeout(done, 20));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, rss };
}

async function expectBounded(name: string, bench: CorruptionBench, patches: readonly Patch[]): Promise<void> {
  const warmUp = attemptAll(bench, patches.slice(0, 50));
  const middle = 50 + Math.ceil((patches.length - 50) / 2);
  const start = await memoryOf(bench);
  const first = attemptAll(bench, patches.slice(50, middle));
  const halfway = await memoryOf(bench);
  const second = attemptAll(bench, patches.slice(middle));
  const end = await memoryOf(bench);
  const summary = summedUp([warmUp, first, second]);
  if (LOG !== undefined) {
    const memory = { start, halfway, end };
    appendFileSync(LOG, `${JSON.stringify({ name, part, parts, runs: patches.length, ...summary, memory })}\n`);
  }
  expect(summary.exceptions).toEqual([]);
  expect(Object.values(summary.outcomes).reduce((sum, count) => sum + count, 0)).toBe(patches.length);
  expect(Object.keys(summary.outcomes)).toContain('handover');
  for (const outcome of Object.keys(summary.outcomes))
    expect(['handover', 'cold-boot', 'panic', 'oops']).toContain(outcome);
  expect(summary.slowest.filter(({ milliseconds }) => milliseconds > LIMIT_MS)).toEqual([]);
  expect(halfway.used - start.used).toBeLessThan(GROWTH_BYTES);
  expect(end.used - start.used).toBeLessThan(GROWTH_BYTES);
}

test.each(MIX)(
  'random corruptions of $name end with an outcome, soon, and fill no memory',
  async ({ name, make, share }) => {
    const bench = make();
    const runs = Math.ceil((RUNS * share) / parts);
    await expectBounded(name, bench, [...randomPatches(new Random(7000 + part), bench, runs)]);
  },
);

test.runIf(part === 1)('each byte of the root FDT changed to three other values', async () => {
  const bench = realBench('linux-7.3.4-arm64-4k');
  const values = (byte: number) => [byte ^ 0xff, byte ^ 1, (byte + 0x41) & 0xff];
  await expectBounded('bytes of the root FDT', bench, [...fdtBytePatches(bench, values)]);
});

test.runIf(part === parts)('each u64 of the tree replaced by each edge there is', async () => {
  const bench = realBench('linux-7.3.4-arm64-4k');
  await expectBounded('u64s of the tree', bench, [...mapWordPatches(bench)]);
});
