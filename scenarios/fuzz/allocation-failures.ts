import type { FaultSite } from '../../kernel/fault-injection.ts';
import { FaultInjector } from '../../kernel/fault-injection.ts';
import { ADD_SUBTREE_SITE, DOUBLE_ARRAY_SITE } from '../../kernel/fault-sites.ts';
import type { PageSize } from '../../machine/index.ts';
import type { Scenario } from '../run/load.ts';
import type { RunObserver } from '../run/observer.ts';
import type { RunResult } from '../run/result.ts';
import type { RunState } from '../run/run-state.ts';
import { runScenarioAtLength } from '../run/runner.ts';

/*
 * Every allocation of a run fails once, each in a run of its own. What has to hold then: the step that met the failure
 * returns the kernel's error and leaves the memory map as it was, the run goes on, and whatever was preserved all the same
 * crosses whole.
 */

/** One call of one site in one kernel of a run. */
export interface FailingCall {
  readonly site: FaultSite;
  /** 1 for the first kernel. */
  readonly kernel: number;
  /** 1 for the first call, boot included. */
  readonly nth: number;
}

/** A run with one failing call. */
export interface FailedRun {
  readonly call: FailingCall;
  readonly result: RunResult;
  /** Steps that went otherwise than without the failure: `step: result`. */
  readonly changedSteps: readonly string[];
  /** What must not be. */
  readonly wrong: readonly string[];
}

/** How often a run reaches each site in each of its kernels. */
export function callsOf(scenario: Scenario, page: PageSize, sites: readonly FaultSite[]): FailingCall[] {
  const injectors: FaultInjector[] = [];
  runScenarioAtLength(scenario, { page, faultsOf: (kernel) => (injectors[kernel - 1] = new FaultInjector()) });
  const calls: FailingCall[] = [];
  for (const [i, faults] of injectors.entries()) {
    for (const site of sites) {
      const total = faults.calls().get(site) ?? 0;
      for (let nth = 1; nth <= total; nth++) calls.push({ site, kernel: i + 1, nth });
    }
  }
  return calls;
}

/** Blocks that a kernel would hand over, as text: order and address of each. */
function mapText(run: RunState): string {
  const blocks: string[] = [];
  run.kernel.outgoing?.forEach((lo, hi, order) => {
    blocks.push(`${hi >>> 0}:${lo >>> 0}/${order}`);
  });
  return blocks.join(' ');
}

/** Steps that are one thing to a client: all of it or nothing. A session keeps the files that it has. */
const ONE_CALL_STEPS: ReadonlySet<string> = new Set([
  'preserve folios',
  'preserve pages',
  'preserve vmalloc',
  'preserve',
  'add subtree',
]);

/** Errors that a failed allocation may come to, in any release: -ENOMEM, and what a missing object leads to later. */
const FAULT_RESULTS = ['ENOMEM', 'ENOENT', 'EIO', 'EINVAL', 'EOPNOTSUPP', 'EBUSY', 'EFAULT', 'ENOSPC', 'not run'];

/**
 * Runs a scenario with one call failing, and compares with the run without.
 * @param clean the result without failures.
 */
export function runWithFailure(scenario: Scenario, page: PageSize, call: FailingCall, clean: RunResult): FailedRun {
  const wrong: string[] = [];
  let before = '';
  const observer: RunObserver = {
    booted: (run) => {
      before = mapText(run);
    },
    stepped: (run, { step }) => {
      if (run.kernel.machine.memory.alive && run.kernel.number === call.kernel && !run.dead) {
        const now = mapText(run);
        const failed = step.result === 'ENOMEM' && clean.steps[step.index]?.result === 'ok';
        if (failed && ONE_CALL_STEPS.has(step.text) && now !== before) {
          wrong.push(`step ${step.index + 1} (${step.text}) failed, and changed what is preserved`);
        }
        before = now;
      }
    },
  };
  const { result } = runScenarioAtLength(scenario, {
    page,
    observer,
    faultsOf: (kernel) => {
      const faults = new FaultInjector();
      if (kernel === call.kernel) faults.arm(call.site, call.nth);
      return faults;
    },
  });
  const changedSteps: string[] = [];
  for (const step of result.steps) {
    const expected = clean.steps[step.index]?.result;
    if (step.result === expected) continue;
    changedSteps.push(`${step.text}: ${step.result}`);
    if (step.text === 'kexec') continue;
    // Up to 7.0 kho_add_subtree returns libfdt's own number.
    if (call.site === ADD_SUBTREE_SITE && step.result === '3') continue;
    if (!FAULT_RESULTS.includes(step.result)) wrong.push(`step ${step.index + 1} (${step.text}): ${step.result}`);
  }
  // Early in the boot the walk ignores that the array is full: a bug of the kernel's, and a known one.
  if (call.site === DOUBLE_ARRAY_SITE) return { call, result, changedSteps, wrong };
  if (result.damaged.pages > clean.damaged.pages) wrong.push(`${result.damaged.pages} pages damaged`);
  if (result.verdict === 'corrupt' && clean.verdict !== 'corrupt') wrong.push('damage that no kernel mentions');
  return { call, result, changedSteps, wrong };
}
