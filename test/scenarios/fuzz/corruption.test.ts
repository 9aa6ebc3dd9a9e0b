import { describe, expect, test } from 'vitest';
import { Random } from '../../../machine/random.ts';
import {
  attemptAll,
  type CorruptionBench,
  fdtBytePatches,
  type Patch,
  randomPatches,
  u64Bytes,
} from '../../../scenarios/fuzz/corruption.ts';
import { exportedBench, realBench } from './images.ts';

const OUTCOMES = ['cold-boot', 'handover', 'oops', 'panic'];

/** Everything ended, in a way that has a name; some tries went wrong, and others did not. */
function expectClassified(bench: CorruptionBench, patches: Iterable<Patch>): void {
  const { outcomes, withFindings, exceptions } = attemptAll(bench, patches);
  expect(exceptions).toEqual([]);
  expect(Object.keys(outcomes).filter((outcome) => !OUTCOMES.includes(outcome))).toEqual([]);
  expect(withFindings).toBeGreaterThan(0);
  expect(Object.keys(outcomes).length).toBeGreaterThan(1);
}

describe('random corruptions of metadata end in inspection and in a boot with an outcome', () => {
  test.each([
    { name: 'linux-7.3.4-arm64-4k', runs: 200 },
    { name: 'linux-7.3.4-arm64-64k', runs: 60 },
    { name: 'linux-7.1.13-arm64-4k', runs: 60 },
    { name: 'linux-6.19.11-arm64-4k', runs: 60 },
    { name: 'linux-6.17.8-arm64-4k', runs: 60 },
  ])('$runs of $name', ({ name, runs }) => {
    const bench = realBench(name);
    expect(bench.attempt([]).outcome).toBe('handover');
    expectClassified(bench, randomPatches(new Random(20260702), bench, runs));
  });

  test('60 of what the simulator exports', () => {
    const bench = exportedBench('sessions');
    expect(bench.attempt([]).outcome).toBe('handover');
    expectClassified(bench, randomPatches(new Random(20260703), bench, 60));
  });
});

test('every try starts from the same memory', () => {
  const bench = realBench('linux-7.3.4-arm64-4k');
  const clean = { ...bench.attempt([]), milliseconds: 0 };
  const fdt = bench.handoff.fdt.phys;
  expect(bench.attempt([{ phys: fdt, bytes: Uint8Array.of(0) }]).outcome).toBe('cold-boot');
  expect({ ...bench.attempt([]), milliseconds: 0 }).toEqual(clean);
});

test.each(['linux-7.3.4-arm64-4k', 'linux-7.3.4-arm64-64k'])(
  'the size of a memfd is believed as far as there are folios, and %s is not read for TiBs of zeroes',
  (name) => {
    const bench = realBench(name);
    const struct = bench.metadata.find(({ what }) => what.startsWith('memfd struct'));
    const key = struct === undefined ? '' : struct.what.replace(/.*session "(.*)" \/ file (.*)/, '$1/$2');
    const sized = (size: bigint) =>
      bench.attempt([{ phys: (struct?.phys ?? 0) + 8, bytes: u64Bytes(size) }]).files[key];
    expect(sized(2n ** 20n)).toMatchObject({ size: 2 ** 20 });
    for (const size of [2n ** 31n - 1n, 2n ** 32n - 1n, 2n ** 52n]) expect(sized(size)).toEqual({ error: 'EFBIG' });
  },
);

test('changed bytes all over the root FDT end with an outcome', () => {
  const bench = realBench('linux-7.3.4-arm64-4k');
  const patches = [...fdtBytePatches(bench, (byte) => [byte ^ 0xff])];
  expect(patches.length).toBeGreaterThan(300);
  expectClassified(
    bench,
    patches.filter((_, i) => i % 8 === 0),
  );
});
