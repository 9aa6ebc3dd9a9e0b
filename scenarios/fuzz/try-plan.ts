import { stringify } from 'yaml';
import { InputError } from '../input-error.ts';
import { parseScenario } from '../run/load.ts';
import type { RunResult } from '../run/result.ts';
import { runScenario } from '../run/runner.ts';
import { type FuzzPlan, fuzzPlan, LAST_OBJECT } from './generate.ts';
import { knownBugsIn } from './known-bugs.ts';

/** What a random scenario came to. */
export interface Trial {
  readonly seed: number;
  /** `skipped`: a step of it cannot be. `known`: what went wrong is a listed bug. */
  readonly kind: 'good' | 'known' | 'skipped' | 'violation';
  /** Names of the known bugs that a run with something wrong in it shows. */
  readonly known: readonly string[];
  /** What went wrong, in a line. */
  readonly what: string;
}

/** A plan as the text of a scenario file. */
export function planText(plan: FuzzPlan): string {
  return stringify(plan, { lineWidth: 120, flowCollectionPadding: true });
}

/** Runs a plan. An exception of khosim's own is a violation too. */
export function tryPlan(plan: FuzzPlan, seed = 0): Trial {
  let result: RunResult;
  try {
    const scenario = parseScenario(planText(plan), 'fuzz.yaml');
    const [page] = scenario.pageSizes;
    if (page === undefined) return { seed, kind: 'skipped', known: [], what: 'no page size' };
    result = runScenario(scenario, { page });
  } catch (error) {
    if (error instanceof InputError) return { seed, kind: 'skipped', known: [], what: error.message };
    const what = error instanceof Error ? `khosim: ${error.name}: ${error.message}` : String(error);
    return { seed, kind: 'violation', known: [], what };
  }
  const what = wrongIn(plan, result);
  if (what === undefined) return { seed, kind: 'good', known: [], what: result.verdict };
  const known = knownBugsIn(plan, result).map((bug) => bug.name);
  return { seed, kind: known.length > 0 ? 'known' : 'violation', known, what };
}

/** What no good run has; undefined when there is nothing. Refusing and booting cold are good, when a kernel says so. */
function wrongIn(plan: FuzzPlan, result: RunResult): string | undefined {
  const bad = result.objects.filter((object) => object.state === 'damaged');
  if (result.verdict === 'corrupt') return 'memory came back wrong, and no kernel said a word';
  if (result.verdict === 'damaged') return `damaged: ${bad.map((object) => object.name).join(', ') || result.reason}`;
  if (result.verdict === 'crashed') return `a kernel fell over: ${result.reason}`;
  if (result.leaked.pages > 0 && plan.steps.every((step) => step['fault'] === undefined)) {
    return `${result.leaked.pages} pages leaked`;
  }
  const last = result.objects.find((object) => object.name === LAST_OBJECT);
  const lastJump = result.steps.at(-1)?.result;
  if (last !== undefined && result.outcome === 'handover' && lastJump === 'ok' && last.state !== 'intact') {
    return `the handover without faults: '${LAST_OBJECT}' is ${last.state}`;
  }
  return undefined;
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
