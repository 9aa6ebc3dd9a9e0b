import { LATEST_RELEASE } from '../../kernel/release.ts';
import type { FuzzPlan, PlanStep } from './generate.ts';
import type { Trial } from './try-plan.ts';

/*
 * From a scenario that goes wrong to the smallest that still does, in the same way. The candidates are those of a plan,
 * not of bytes: whole steps go, then counts come down, then the machine and the kernel become plain.
 */

/** Candidates that may be tried before the shrinker is content with what it has. */
const MAX_TRIES = 400;

/** Numbers of a step's spec that may come down. */
const NUMBERS = ['count', 'order', 'size', 'nth', 'offset'];

function* smallerSteps(plan: FuzzPlan): Generator<FuzzPlan> {
  for (let length = plan.steps.length >> 1; length >= 1; length >>= 1) {
    for (let at = 0; at + length <= plan.steps.length; at += length) {
      yield { ...plan, steps: plan.steps.filter((_, i) => i < at || i >= at + length) };
    }
  }
}

function* smallerNumbers(plan: FuzzPlan): Generator<FuzzPlan> {
  for (const [i, step] of plan.steps.entries()) {
    for (const [verb, spec] of Object.entries(step)) {
      if (typeof spec !== 'object' || spec === null) continue;
      for (const [key, value] of Object.entries(spec as PlanStep)) {
        const replaced = (next: unknown) => ({
          ...plan,
          steps: plan.steps.map((each, k) => (k === i ? { [verb]: { ...spec, [key]: next } } : each)),
        });
        if (typeof value === 'number' && NUMBERS.includes(key)) {
          const least = key === 'order' || key === 'offset' ? 0 : 1;
          for (const next of [least, value >> 1, value - 1]) if (next >= least && next < value) yield replaced(next);
        } else if (value === true) yield replaced(false);
        else if (Array.isArray(value) && value.length > 0) yield replaced(value.slice(0, -1));
      }
    }
  }
}

function* plainer(plan: FuzzPlan): Generator<FuzzPlan> {
  const { nodes, ...machine } = plan.machine;
  const { config, ...kernel } = plan.kernel;
  if (nodes !== undefined) yield { ...plan, machine };
  if (config !== undefined) yield { ...plan, kernel };
  const newest = LATEST_RELEASE.name;
  if (plan.kernel.release !== newest) yield { ...plan, kernel: { ...plan.kernel, release: newest } };
  if (plan.machine.pageSize !== '4K') yield { ...plan, machine: { ...plan.machine, pageSize: '4K' } };
}

/**
 * Shrinks a plan.
 * @param fails tries a candidate, and says whether it goes wrong in the same way.
 */
export function shrink(plan: FuzzPlan, fails: (candidate: FuzzPlan) => boolean): FuzzPlan {
  let best = plan;
  let tries = 0;
  for (let progress = true; progress && tries < MAX_TRIES; ) {
    progress = false;
    for (const candidates of [smallerSteps, plainer, smallerNumbers]) {
      for (const candidate of candidates(best)) {
        if (++tries > MAX_TRIES) return best;
        if (!fails(candidate)) continue;
        best = candidate;
        progress = true;
        break;
      }
      if (progress) break;
    }
  }
  return best;
}

/** What makes two trials the same: the kind, the bugs, and the message without its numbers. */
export function sameAs(trial: Trial): (other: Trial) => boolean {
  const text = (what: string) => what.replace(/(0x[0-9a-f]+|\d+|[a-z]+-\d+)/g, '#');
  return (other) =>
    other.kind === trial.kind && text(other.what) === text(trial.what) && other.known.join() === trial.known.join();
}
