import { InputError } from '../input-error.ts';
import { parseScenario } from '../run/load.ts';
import type { Verdict } from '../run/result.ts';
import { collectEvidence } from './collect-evidence.ts';
import type { Evidence } from './evidence.ts';
import { explain } from './explain.ts';
import { type FuzzPlan, planText } from './plan.ts';
import { fuzzPlan } from './random-plan.ts';

/** What a random scenario came to. */
export interface Trial {
  readonly seed: number;
  /**
   * `skipped`: a step of it cannot be. `known`: listed bugs are behind all that went wrong. `silent`: memory came back
   * wrong without a word, and a changed field that nothing checks is behind it.
   */
  readonly kind: 'good' | 'known' | 'silent' | 'skipped' | 'violation';
  /** The oracle's word; undefined for what was not run to its end. */
  readonly verdict: Verdict | undefined;
  /** Names of the known bugs behind what went wrong. */
  readonly known: readonly string[];
  /** Changed fields behind what went wrong. */
  readonly fields: readonly string[];
  /** Whether the handover without faults took place. */
  readonly secondPhase: boolean;
  /** What went wrong, in a line. */
  readonly what: string;
}

const NOTHING = { verdict: undefined, known: [], fields: [], secondPhase: false };

/** Runs a plan. An exception of khosim's own is a violation too. */
export function tryPlan(plan: FuzzPlan, seed = 0): Trial {
  let evidence: Evidence;
  try {
    const scenario = parseScenario(planText(plan), 'fuzz.yaml');
    const [page] = scenario.pageSizes;
    if (page === undefined) return { seed, kind: 'skipped', ...NOTHING, what: 'no page size' };
    evidence = collectEvidence(scenario, page);
  } catch (error) {
    if (error instanceof InputError) return { seed, kind: 'skipped', ...NOTHING, what: error.message };
    const what = error instanceof Error ? `khosim: ${error.name}: ${error.message}` : String(error);
    return { seed, kind: 'violation', ...NOTHING, what };
  }
  return judge(evidence, seed);
}

function judge(evidence: Evidence, seed: number): Trial {
  const { verdict } = evidence.result;
  const { bugs, fields, open } = explain(evidence);
  const base = { seed, verdict, known: bugs, fields, secondPhase: evidence.secondPhase };
  const [first] = open;
  if (first !== undefined) return { ...base, kind: 'violation', what: first.text };
  if (verdict === 'corrupt' && fields.length > 0 && bugs.length === 0)
    return { ...base, kind: 'silent', what: fields.join(', ') };
  if (bugs.length > 0 || fields.length > 0) return { ...base, kind: 'known', what: [...bugs, ...fields].join(', ') };
  if (verdict === 'corrupt')
    return { ...base, kind: 'violation', what: 'memory came back wrong, and no kernel said a word' };
  return { ...base, kind: 'good', what: verdict };
}

/** Tries the scenario of a seed. */
export function trySeed(seed: number): Trial {
  return tryPlan(fuzzPlan(seed), seed);
}

/** A worker's share: seeds from `first`, `count` of them. */
export function trySeeds({ first, count }: { readonly first: number; readonly count: number }): Trial[] {
  const trials: Trial[] = [];
  for (let i = 0; i < count; i++) {
    const trial = trySeed(first + i);
    trials.push(trial);
    if (trial.kind === 'violation') break;
  }
  return trials;
}
