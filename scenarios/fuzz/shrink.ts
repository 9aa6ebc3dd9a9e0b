import fc from 'fast-check';
import { type FuzzPlan, planText } from './plan.ts';
import { randomPlan } from './random-plan.ts';
import { type Trial, tryPlan } from './try-plan.ts';

/*
 * From a scenario that goes wrong to the smallest that still does, in the same way: fast-check shrinks what it drew.
 */

/** Candidates that may be tried before the smallest so far is good enough. */
const MAX_TRIES = 250;
/** So many steps are as many as one wants to read: until then it goes on, up to so many candidates. */
const MANY_STEPS = 12;
const MAX_TRIES_OF_MANY = 4 * MAX_TRIES;

/** The smallest scenario, and how to get at it again. */
export interface Shrunk {
  readonly seed: number;
  /** fast-check's path from the seed's scenario to this one. */
  readonly path: string;
  readonly plan: FuzzPlan;
  /** Candidates that were tried. */
  readonly tries: number;
}

/**
 * Shrinks the scenario of a seed.
 * @param fails tries a candidate, and says whether it goes wrong in the way that is looked for.
 */
export function shrinkSeed(seed: number, fails: (candidate: FuzzPlan) => boolean): Shrunk {
  let tries = 0;
  let steps = Number.POSITIVE_INFINITY;
  const property = fc.property(randomPlan, (candidate) => {
    if (tries >= (steps > MANY_STEPS ? MAX_TRIES_OF_MANY : MAX_TRIES)) return true;
    tries++;
    if (!fails(candidate)) return true;
    steps = candidate.steps.length;
    return false;
  });
  const { counterexample, counterexamplePath } = fc.check(property, { seed, numRuns: 1 });
  const [plan] = counterexample ?? [];
  if (plan === undefined || counterexamplePath === null) throw new Error(`seed ${seed} does not go wrong again`);
  return { seed, path: counterexamplePath, plan, tries };
}

/** The scenario at the end of a path: what `shrinkSeed` ended with. */
export function planAt(seed: number, path: string): FuzzPlan {
  const [plan] = fc.sample(randomPlan, { seed, path, numRuns: 1 });
  if (plan === undefined) throw new Error(`there is no scenario at ${seed}, ${path}`);
  return plan;
}

/** What makes two trials the same: the kind, and the message without its numbers. */
export function sameAs(trial: Trial): (other: Trial) => boolean {
  const text = (what: string) => what.replace(/(0x[0-9a-f]+|\d+(\.\d+)?|[a-z]+-\d+|(#(, )?)+)/g, '#');
  return (other) => other.kind === trial.kind && text(other.what) === text(trial.what);
}

/** A violation, or a known bug, as the smallest scenario that shows it. */
export interface FuzzFinding {
  readonly seed: number;
  readonly path: string;
  /** The violation in a line, or the name of the bug. */
  readonly what: string;
  /** Text of the scenario file. */
  readonly scenario: string;
  readonly steps: number;
}

function findingOf({ seed, path, plan }: Shrunk, what: string): FuzzFinding {
  return { seed, path, what, scenario: planText({ ...plan, name: what }), steps: plan.steps.length };
}

/** What a worker shrinks: the violation of a seed, or a bug that it shows. */
export interface ShrinkTask {
  readonly seed: number;
  readonly bug: string | undefined;
}

/** Shrinks what a seed shows. */
export function shrinkTask({ seed, bug }: ShrinkTask): FuzzFinding {
  if (bug !== undefined) {
    const shows = (trial: Trial) => trial.kind !== 'violation' && trial.known.includes(bug);
    return findingOf(
      shrinkSeed(seed, (candidate) => shows(tryPlan(candidate))),
      bug,
    );
  }
  let first: Trial | undefined;
  const shrunk = shrinkSeed(seed, (candidate) => {
    const trial = tryPlan(candidate);
    first ??= trial;
    return trial.kind === 'violation' && sameAs(first)(trial);
  });
  return findingOf(shrunk, first?.what ?? '');
}
