import type { Clock } from './clock.ts';
import type { BenchTable } from './table.ts';

const STEPS = 20_000_000;
const CHASE_WORDS = 2 ** 22;

/** Dependent integer operations: the speed of the core. */
function arithmetic(cpuMs: () => number): number {
  let state = 1;
  const start = cpuMs();
  for (let i = 0; i < STEPS; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
  }
  const ns = ((cpuMs() - start) * 1e6) / STEPS;
  return state === 0 ? Number.NaN : ns;
}

/** Dependent loads all over 16 MiB: the speed of caches and memory. */
function pointerChase(cpuMs: () => number): number {
  const words = new Uint32Array(CHASE_WORDS);
  // A full cycle through all words: a linear congruential generator modulo a power of two.
  for (let i = 0; i < CHASE_WORDS; i++) words[i] = (Math.imul(i, 1_664_525) + 1_013_904_223) & (CHASE_WORDS - 1);
  let at = 0;
  const steps = 2_000_000;
  const start = cpuMs();
  for (let i = 0; i < steps; i++) at = words[at] as number;
  const ns = ((cpuMs() - start) * 1e6) / steps;
  return at < 0 ? Number.NaN : ns;
}

/** Loops that do always the same, so that the figures of two machines can be compared. */
export function calibrate({ cpuMs }: Clock): BenchTable {
  const best = (loop: (cpuMs: () => number) => number) => Math.min(...Array.from({ length: 5 }, () => loop(cpuMs)));
  return {
    title: 'calibration, nanoseconds of processor time per step, minimum of 5',
    columns: ['loop', 'ns'],
    rows: [
      ['xorshift32, three dependent shifts', best(arithmetic).toFixed(2)],
      ['dependent loads over 16 MiB', best(pointerChase).toFixed(2)],
    ],
  };
}
