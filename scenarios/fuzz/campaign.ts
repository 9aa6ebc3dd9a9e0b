import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../package-root.ts';
import { fuzzPlan } from './generate.ts';
import { sameAs, shrink } from './shrink.ts';
import { planText, type Trial, tryPlan, trySeeds } from './try-plan.ts';

/** A violation, or the first sight of a known bug, shrunk. */
export interface FuzzFinding {
  readonly seed: number;
  readonly what: string;
  readonly known: readonly string[];
  /** Text of the smallest scenario file that still shows it. */
  readonly scenario: string;
  readonly steps: number;
}

/** What `khosim fuzz --json` prints. */
export interface FuzzDocument {
  readonly firstSeed: number;
  readonly runs: number;
  readonly good: number;
  readonly skipped: number;
  /** Runs that showed each known bug. */
  readonly knownBugs: Readonly<Record<string, number>>;
  readonly violation: FuzzFinding | null;
}

export interface FuzzOptions {
  readonly firstSeed: number;
  /** How many scenarios; undefined for no bound. */
  readonly runs: number | undefined;
  readonly jobs: number;
  /** Asked now and then: whether the time is up. */
  readonly isOver: () => boolean;
  /** Called with the number of scenarios that are done. */
  readonly onProgress: (done: number) => void;
}

/** Scenarios that a worker does in one go. */
const CHUNK = 10;

/** Runs random scenarios until one is a violation, or as many as asked, or as long. */
export async function fuzz(options: FuzzOptions): Promise<FuzzDocument> {
  const { firstSeed, runs = Number.POSITIVE_INFINITY } = options;
  const knownBugs: Record<string, number> = {};
  const trials: Trial[] = [];
  let handedOut = 0;
  let violation: Trial | undefined;
  const lane = async (work: (share: { first: number; count: number }) => Promise<Trial[]>) => {
    while (violation === undefined && handedOut < runs && !options.isOver()) {
      const share = { first: firstSeed + handedOut, count: Math.min(CHUNK, runs - handedOut) };
      handedOut += share.count;
      for (const trial of await work(share)) {
        trials.push(trial);
        for (const name of trial.known) knownBugs[name] = (knownBugs[name] ?? 0) + 1;
        // The lowest seed wins, whichever worker was first.
        if (trial.kind === 'violation' && trial.seed < (violation?.seed ?? Number.POSITIVE_INFINITY)) violation = trial;
      }
      options.onProgress(trials.length);
    }
  };
  if (options.jobs === 1) {
    await lane(async (share) => {
      // Lets a timer or a signal in between two shares.
      await new Promise((resolve) => setImmediate(resolve));
      return trySeeds(share);
    });
  } else await inWorkers(options.jobs, lane);
  return {
    firstSeed,
    runs: trials.length,
    good: trials.filter(({ kind }) => kind === 'good').length,
    skipped: trials.filter(({ kind }) => kind === 'skipped').length,
    knownBugs,
    violation: violation === undefined ? null : shrunk(violation),
  };
}

type Lane = (work: (share: { first: number; count: number }) => Promise<Trial[]>) => Promise<void>;

async function inWorkers(jobs: number, lane: Lane): Promise<void> {
  const { Tinypool } = await import('tinypool');
  const self = fileURLToPath(new URL('./try-plan.js', import.meta.url));
  // From the sources: what was built of them, since a worker has nobody to compile for it.
  const built = extname(fileURLToPath(import.meta.url)) === '.ts';
  const filename = built ? join(packageRoot(), 'dist/scenarios/fuzz/try-plan.js') : self;
  const pool = new Tinypool({ filename, name: 'trySeeds', minThreads: jobs, maxThreads: jobs });
  try {
    await Promise.all(Array.from({ length: jobs }, () => lane((share) => pool.run(share) as Promise<Trial[]>)));
  } finally {
    await pool.destroy();
  }
}

/** The smallest scenario that goes wrong in the same way as the one of a trial. */
export function shrunk(trial: Trial): FuzzFinding {
  const same = sameAs(trial);
  const plan = shrink(fuzzPlan(trial.seed), (candidate) => same(tryPlan(candidate, trial.seed)));
  const { seed, what, known } = trial;
  return { seed, what, known, scenario: planText(plan), steps: plan.steps.length };
}
