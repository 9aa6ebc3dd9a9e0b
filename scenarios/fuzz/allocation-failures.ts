import type { FaultSite } from '../../kernel/fault-injection.ts';
import { FaultInjector } from '../../kernel/fault-injection.ts';
import { FAULT_SITES } from '../../kernel/fault-sites.ts';
import type { PageSize } from '../../machine/index.ts';
import { subtract } from '../handover/intervals.ts';
import { InputError } from '../input-error.ts';
import type { Scenario, ScenarioStep } from '../run/load.ts';
import type { RunObserver } from '../run/observer.ts';
import type { KernelResult, RunResult } from '../run/result.ts';
import type { RunState } from '../run/run-state.ts';
import { type RunOptions, runScenarioAtLength } from '../run/runner.ts';
import { CONSEQUENCES, DEFECTS, expectedResults } from './failure-table.ts';
import { namePages, type Stock, takeStock, unowned } from './take-stock.ts';

/*
 * Every allocation of a run fails once, each in a run of its own. What has to hold then: the call that met the failure
 * returns the kernel's error and leaves everything as it was, page for page; the run goes on; and whatever was preserved all
 * the same crosses whole.
 */

/** One call of one site in one kernel of a run. */
export interface FailingCall {
  readonly site: FaultSite;
  /** 1 for the first kernel. */
  readonly kernel: number;
  /** 1 for the first call, boot included. */
  readonly nth: number;
  /** The step in which it comes; -1 while its kernel boots. */
  readonly step: number;
}

/** A run without failures, and what it went through. */
export interface CleanRun {
  readonly result: RunResult;
  readonly calls: readonly FailingCall[];
  /** How each kernel was when it had come up. */
  readonly boots: readonly BootState[];
}

interface BootState {
  readonly stock: Stock;
  readonly khoEnabled: boolean;
  readonly luoEnabled: boolean;
  readonly subtrees: readonly string[];
  /** Whether reserve_mem= has regions to hand on. */
  readonly reservesMemory: boolean;
}

/** A run with one failing call. */
export interface FailedRun {
  readonly call: FailingCall;
  /** Undefined when the scenario corrupts a handover, and there is none any more. */
  readonly result: RunResult | undefined;
  /** What the call that failed came to: the result of its step, or what a boot went without. */
  readonly came: string;
  /** Steps that went otherwise than without the failure: `step: result`. */
  readonly changedSteps: readonly string[];
  /** What must not be. */
  readonly wrong: readonly string[];
  /** Names of the kernel's own defects that show. */
  readonly defects: readonly string[];
}

/** What the fault-free handover at the end is made of. */
const LAST = 'after the failures';

/** The scenario with a last handover, of memory that is preserved when all failures are over. */
export function withLastHandover(scenario: Scenario): Scenario {
  const add = (steps: readonly ScenarioStep[], verb: ScenarioStep['verb'], spec: ScenarioStep['spec']) => [
    ...steps,
    { index: steps.length, line: steps.at(-1)?.line ?? 1, path: [], verb, spec },
  ];
  const folios = { 'preserve folios': { order: 0, count: 4, as: LAST } } as const;
  return { ...scenario, steps: add(add(scenario.steps, 'preserve folios', folios), 'kexec', { kexec: {} }) };
}

function bootState(run: RunState): BootState | undefined {
  if (run.dead) return undefined;
  const { control } = run.kernel.context;
  return {
    stock: takeStock(run),
    khoEnabled: control.state.khoEnabled,
    luoEnabled: run.kernel.luo?.enabled === true,
    subtrees: control.state.subtreesOut.map(({ name }) => name),
    reservesMemory: control.state.reserveMem.length > 0,
  };
}

/** Runs a scenario without failures, and notes how often each of its kernels reaches each site, and when. */
export function cleanRun(scenario: Scenario, page: PageSize, sites: readonly FaultSite[]): CleanRun {
  const injectors: FaultInjector[] = [];
  const calls: FailingCall[] = [];
  const boots: BootState[] = [];
  const reached = new Map<string, number>();
  const note = (kernel: number, step: number): void => {
    const faults = injectors[kernel - 1];
    if (faults === undefined) return;
    for (const site of sites) {
      const key = `${kernel} ${site}`;
      const total = faults.calls().get(site) ?? 0;
      for (let nth = (reached.get(key) ?? 0) + 1; nth <= total; nth++) calls.push({ site, kernel, nth, step });
      reached.set(key, total);
    }
  };
  const { result } = runScenarioAtLength(scenario, {
    page,
    faultsOf: (kernel) => (injectors[kernel - 1] = new FaultInjector()),
    observer: {
      booted: (run, { number }) => {
        const state = bootState(run);
        if (state !== undefined) boots[number - 1] = state;
        note(number, -1);
      },
      stepped: (_run, { step }) => {
        for (let kernel = 1; kernel <= injectors.length; kernel++) note(kernel, step.index);
      },
    },
  });
  return { result, calls, boots };
}

/** Steps that are one thing to a client: all of it or nothing. */
const ONE_CALL_STEPS: ReadonlySet<string> = new Set([
  'preserve folios',
  'preserve pages',
  'preserve vmalloc',
  'preserve',
  'alloc',
  'add subtree',
]);

/** What a step that failed may not have changed. */
function changes(verb: string, before: Stock, after: Stock): string[] {
  const wrong = [...after.wrong];
  const leaked = subtract(unowned(after), unowned(before));
  if (leaked.length > 0) wrong.push(`pages that nobody owns any more: ${namePages(leaked)}`);
  const freed = subtract(before.used, after.used);
  if (freed.length > 0) wrong.push(`pages that were freed: ${namePages(freed)}`);
  const dangling = subtract(after.freePreserved, before.freePreserved);
  if (dangling.length > 0) wrong.push(`free pages in the map: ${namePages(dangling)}`);
  if (!ONE_CALL_STEPS.has(verb)) return wrong;
  if (after.map !== before.map) wrong.push('what is preserved changed');
  if (after.subtrees !== before.subtrees) wrong.push(`subtrees were ${before.subtrees}, are ${after.subtrees}`);
  if (after.sessions !== before.sessions) wrong.push(`sessions were ${before.sessions}, are ${after.sessions}`);
  return wrong;
}

/** How a boot with a failure differs from one without. */
function bootWithout(clean: BootState | undefined, failed: BootState): string {
  // Without the failure it falls over: it could hardly do better.
  if (clean === undefined) return 'ok';
  if (clean.khoEnabled && !failed.khoEnabled) return 'KHO off';
  const without = clean.subtrees.filter((name) => !failed.subtrees.includes(name)).map((name) => `no ${name}`);
  if (clean.luoEnabled && !failed.luoEnabled) without.push('live update off');
  // A region that lies in scratch cannot be preserved, and reserve_mem gives up with or without a failure.
  const listed = clean.subtrees.length > 0;
  if (listed && without.length === 0 && clean.reservesMemory && !clean.subtrees.includes('memblock'))
    return 'no memblock';
  return without.join(', ') || 'ok';
}

/** What failing every allocation of a scenario came to. */
export interface FailureSweep {
  readonly calls: number;
  /** Whether a handover without failures follows: not in scenarios that end with a dead kernel, or with one that refuses. */
  readonly endsWithHandover: boolean;
  /** Runs that showed each defect of the kernels. */
  readonly defects: Readonly<Record<string, number>>;
  /** Runs that came to each result, by release, site and step. */
  readonly results: Readonly<Record<string, number>>;
  /** What must not be, each with its call. */
  readonly wrong: readonly string[];
}

/**
 * Lets every allocation of a scenario fail, each in a run of its own.
 * @param wanted which of the calls, by their position among all.
 */
export function sweepFailures(
  scenario: Scenario,
  page: PageSize,
  wanted: (index: number, total: number) => boolean = () => true,
): FailureSweep {
  const sites = FAULT_SITES.map(({ site }) => site);
  const longer = withLastHandover(scenario);
  let clean = goesWell(longer, page) ? cleanRun(longer, page, sites) : undefined;
  const endsWithHandover = clean !== undefined;
  clean ??= cleanRun(scenario, page, sites);
  const nrKernels = 1 + scenario.steps.filter(({ verb }) => verb === 'kexec').length;
  const all = clean.calls.filter(({ step, kernel }) => step < scenario.steps.length && kernel <= nrKernels);
  const calls = all.filter((_, i) => wanted(i, all.length));
  const defects: Record<string, number> = {};
  const results: Record<string, number> = {};
  const wrong: string[] = [];
  for (const call of calls) {
    const failed = runWithFailure(endsWithHandover ? longer : scenario, page, call, clean);
    const { site, kernel, nth, step } = call;
    for (const name of failed.defects) defects[name] = (defects[name] ?? 0) + 1;
    const verb = step === -1 ? 'boot' : scenario.steps[step]?.verb;
    const key = `${clean.result.kernels[kernel - 1]?.release} ${site}, ${verb}: ${failed.came}`;
    results[key] = (results[key] ?? 0) + 1;
    for (const what of failed.wrong) wrong.push(`kernel ${kernel}, call ${nth} of ${site}: ${what}`);
  }
  return { calls: calls.length, endsWithHandover, defects, results, wrong };
}

/** Whether the memory of the last handover comes back when nothing fails. */
function goesWell(scenario: Scenario, page: PageSize): boolean {
  try {
    const { objects } = runScenarioAtLength(scenario, { page }).result;
    return objects.find(({ name }) => name === LAST)?.state === 'intact';
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

/** Runs a scenario with one call failing, and compares with the run without. */
export function runWithFailure(scenario: Scenario, page: PageSize, call: FailingCall, clean: CleanRun): FailedRun {
  const wrong: string[] = [];
  const pagesWrong: string[] = [];
  let came: string = 'not reached';
  let before: Stock | undefined;
  const { release } = clean.result.kernels[call.kernel - 1] ?? { release: '' };
  const observer: RunObserver = {
    booted: (run, { number }) => {
      if (number === call.kernel && call.step === -1) {
        const state = bootState(run);
        const cleanBoot = clean.boots[number - 1];
        came = state === undefined ? run.entry.outcome : bootWithout(cleanBoot, state);
        wrong.push(...(state?.stock.wrong ?? []));
        const [more, few] = [state, cleanBoot].map((each) => (each === undefined ? 0 : countOf(unowned(each.stock))));
        if (state !== undefined && (more as number) > (few as number)) {
          pagesWrong.push(`${(more as number) - (few as number)} pages that nobody owns when it has come up`);
        }
      }
      if (call.step === 0 && number === 1 && call.kernel === 1) before = takeStock(run);
    },
    stepped: (run, { step }) => {
      if (step.index === call.step) {
        came = step.result;
        const sameKernel = run.kernel.number === call.kernel && !run.dead && run.kernel.machine.memory.alive;
        const failed = step.result !== clean.result.steps[step.index]?.result;
        if (sameKernel && failed && before !== undefined)
          pagesWrong.push(...changes(step.text, before, takeStock(run)));
      }
      if (step.index + 1 === call.step && !run.dead) before = takeStock(run);
    },
  };
  const result = runOn(scenario, {
    page,
    observer,
    faultsOf: (kernel) => {
      const faults = new FaultInjector();
      if (kernel === call.kernel) faults.arm(call.site, call.nth);
      return faults;
    },
  });
  const verb = call.step === -1 ? 'boot' : (scenario.steps[call.step]?.verb ?? '');
  // A step that comes to nothing without a failure does so with one too.
  const cleanBoot = clean.result.kernels[call.kernel - 1]?.outcome;
  const asBefore = call.step === -1 ? cleanBoot : clean.result.steps[call.step]?.result;
  const expected = [...expectedResults(call.site, verb, release)];
  if (asBefore !== undefined && asBefore !== 'ok' && asBefore !== 'handover') expected.push(asBefore);
  if (!expected.includes(came)) wrong.push(`${verb}: ${came}, where ${release} gives ${expected.join(' or ') || '?'}`);
  const defects = new Set<string>();
  const explained = (kind: 'pages' | 'damage', what: string): void => {
    const refused = result?.outcome === 'refused';
    const failure = { site: call.site, verb, release, came, otherwise: asBefore, wrong: kind, refused };
    const known = DEFECTS.find((each) => each.explains(failure));
    if (known === undefined) wrong.push(what);
    else defects.add(known.name);
  };
  for (const what of pagesWrong) explained('pages', what);
  const changedSteps: string[] = [];
  if (result === undefined) {
    if (came !== 'KHO off' && !came.startsWith('no ')) wrong.push(`nothing left to corrupt, and it came to ${came}`);
    return { call, result, came, changedSteps, wrong, defects: [...defects] };
  }
  for (const step of result.steps) {
    if (step.result === clean.result.steps[step.index]?.result) continue;
    changedSteps.push(`${step.text}: ${step.result}`);
    if (step.index === call.step || step.text === 'kexec') continue;
    // What a refused jump leaves in place is found where it would have been gone.
    const stayed = step.result === 'ok' && verb === 'kexec' && came !== 'ok';
    if (!stayed && !CONSEQUENCES.includes(step.result))
      wrong.push(`step ${step.index + 1} (${step.text}): ${step.result}`);
  }
  if (result.damaged.pages > clean.result.damaged.pages) explained('damage', `${result.damaged.pages} pages damaged`);
  if (result.verdict === 'corrupt' && clean.result.verdict !== 'corrupt' && isWorse(result, clean.result)) {
    explained('damage', 'damage that no kernel mentions');
  }
  const [last, cleanLast] = [result, clean.result].map((each) => each.objects.find(({ name }) => name === LAST)?.state);
  // A kernel that died, or could not bring KHO up, hands nothing over; its successor does.
  const over = came === 'panic' || result.outcome === 'panic' || result.outcome === 'oops' || lastKernelIsOff(result);
  if (cleanLast === 'intact' && last !== 'intact' && !over) explained('damage', `the last handover: ${last}`);
  return { call, result, came, changedSteps, wrong, defects: [...defects] };
}

/**
 * Whether what is wrong is not all wrong without the failure too. That nobody speaks of it any more is no harm of its own:
 * what a kernel had to say may have come with the step that failed.
 */
function isWorse({ kernels, objects }: RunResult, clean: RunResult): boolean {
  const wrongPages = (kernel: KernelResult | undefined) =>
    kernel === undefined ? 0 : kernel.damaged.pages + kernel.lost.pages;
  const wrongObjects = (of: RunResult['objects']) => of.filter(({ state }) => state === 'damaged').length;
  return (
    kernels.some((kernel, i) => wrongPages(kernel) > wrongPages(clean.kernels[i])) ||
    wrongObjects(objects) > wrongObjects(clean.objects) ||
    clean.kernels.every((kernel) => wrongPages(kernel) === 0)
  );
}

/** The kernel before the last jump said that it has no KHO: then the last kernel boots cold. */
function lastKernelIsOff({ outcome, kernels }: RunResult): boolean {
  return outcome === 'cold-boot' && (kernels.at(-1)?.reason ?? null) === null;
}

/** @returns undefined when there is no handover that the scenario could corrupt. */
function runOn(scenario: Scenario, options: RunOptions): RunResult | undefined {
  try {
    return runScenarioAtLength(scenario, options).result;
  } catch (error) {
    if (error instanceof InputError && scenario.steps.some((step) => step.verb === 'corrupt')) return undefined;
    throw error;
  }
}

function countOf(ranges: readonly (readonly [number, number])[]): number {
  return ranges.reduce((sum, [start, end]) => sum + end - start, 0);
}
