import { expect, test } from 'vitest';
import { PAGE_16K } from '../../../machine/page-size.ts';
import { Random } from '../../../machine/random.ts';
import {
  attemptAll,
  type CorruptionBench,
  fdtBytePatches,
  mapWordPatches,
  type Patch,
  randomPatches,
} from '../../../scenarios/fuzz/corruption.ts';
import { exportedBench, realBench } from './images.ts';

/** All random runs together, spread over the images; KHOSIM_SHARD=I/N does the I-th of N parts. */
const RUNS = 100_000;

const [part = 1, parts = 1] = (process.env['KHOSIM_SHARD'] ?? '1/1').split('/').map(Number);

const BENCHES: readonly { readonly name: string; readonly make: () => CorruptionBench; readonly share: number }[] = [
  { name: 'linux-7.3.4-arm64-4k', make: () => realBench('linux-7.3.4-arm64-4k'), share: 0.35 },
  { name: 'linux-7.3.4-arm64-64k', make: () => realBench('linux-7.3.4-arm64-64k'), share: 0.2 },
  { name: 'linux-7.1.13-arm64-4k', make: () => realBench('linux-7.1.13-arm64-4k'), share: 0.1 },
  { name: 'linux-6.19.11-arm64-4k', make: () => realBench('linux-6.19.11-arm64-4k'), share: 0.1 },
  { name: 'linux-6.18.15-arm64-4k', make: () => realBench('linux-6.18.15-arm64-4k'), share: 0.05 },
  { name: 'linux-6.17.8-arm64-4k', make: () => realBench('linux-6.17.8-arm64-4k'), share: 0.05 },
  { name: 'sessions, exported at 4K', make: () => exportedBench('sessions'), share: 0.1 },
  { name: 'real-kernel, exported at 16K', make: () => exportedBench('real-kernel', PAGE_16K), share: 0.05 },
];

function expectBounded(bench: CorruptionBench, patches: Iterable<Patch>): void {
  const before = process.memoryUsage().rss;
  const { outcomes, slowest, exceptions } = attemptAll(bench, patches);
  expect(exceptions).toEqual([]);
  expect(Object.keys(outcomes).sort()).toEqual(expect.arrayContaining(['handover']));
  // A second on a quiet machine; ten on any.
  expect(slowest.milliseconds, slowest.patch).toBeLessThan(10_000);
  expect(process.memoryUsage().rss - before).toBeLessThan(768 * 2 ** 20);
}

test.each(BENCHES)('random corruptions of $name end with an outcome, soon, and fill no memory', ({ make, share }) => {
  const bench = make();
  expectBounded(bench, randomPatches(new Random(7000 + part), bench, Math.ceil((RUNS * share) / parts)));
});

test.runIf(part === 1)('each byte of the root FDT changed to three other values', () => {
  const bench = realBench('linux-7.3.4-arm64-4k');
  expectBounded(
    bench,
    fdtBytePatches(bench, (byte) => [byte ^ 0xff, byte ^ 1, (byte + 0x41) & 0xff]),
  );
});

test.runIf(part === parts)('each u64 of the tree replaced by each edge there is', () => {
  const bench = realBench('linux-7.3.4-arm64-4k');
  expectBounded(bench, mapWordPatches(bench));
});
