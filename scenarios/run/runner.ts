import { createHash } from 'node:crypto';
import { DEFAULT_IMAGE } from '../../kernel/boot/image-layout.ts';
import type { Sabotage } from '../../kernel/boot/sabotage.ts';
import { isKdumpKernel } from '../../kernel/command-line.ts';
import type { KernelConfig } from '../../kernel/config.ts';
import { ENOENT, type Errno, errnoName } from '../../kernel/errno.ts';
import { FaultInjector } from '../../kernel/fault-injection.ts';
import type { LogSink } from '../../kernel/log.ts';
import {
  type BootHandoff,
  Machine,
  type PageSize,
  type PhysAddr,
  pageSizeByName,
  physOf,
} from '../../machine/index.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { InputError } from '../input-error.ts';
import { figuresOf } from './figures.ts';
import { judge, phantomPages, totalsOf, verdictOf } from './judge.ts';
import {
  closeKernel,
  kexecAndReturn,
  kexecStep,
  lookBefore,
  preserveAgain,
  restoreAny,
  unpreserveAny,
} from './kexec-step.ts';
import type { Scenario, ScenarioStep } from './load.ts';
import { planMachine } from './machine-plan.ts';
import type { RunObserver } from './observer.ts';
import { ImpossibleStep } from './placement.ts';
import { noteReserveMem } from './reserve-mem.ts';
import type { KernelResult, RunResult, StepResult } from './result.ts';
import { type KernelEntry, RunState, type TimelineStep } from './run-state.ts';
import type { ConfigSpec, KexecSpec } from './schema.ts';
import { SessionBook } from './session-book.ts';
import { reclaim, writeFile } from './session-files.ts';
import { getFlb, preserveFile, readFile, retrieveFile } from './session-steps.ts';
import { closeSession, createSession, finishSession, renewSession, retrieveSession } from './sessions.ts';
import { type BootRequest, SimulatedKernel } from './simulator.ts';
import { freeObject, preserveFolios, preservePages, write } from './steps.ts';
import { addSubtree, readDebugfs, removeSubtree } from './subtrees.ts';
import { preserveVmallocStep } from './vmalloc-step.ts';

/**
 * The configuration of a scenario's kernels where its file doesn't say otherwise: a production kernel's, without the tests
 * that preserve memory of their own (test_kho takes up to 1 GiB of it at 64K).
 */
const PLAIN_CONFIG = { TEST_KEXEC_HANDOVER: false, LIVEUPDATE_TEST: false } as const;

/** The seed when nobody gives one. */
export const DEFAULT_SEED = 1;

/** How a scenario is to be run. */
export interface RunOptions {
  readonly page: PageSize;
  /** Over the file's own. */
  readonly seed?: number | undefined;
  /** Gets each kernel's log as it is printed. */
  readonly sink?: LogSink | undefined;
  /** Called at each jump, when RAM is what the next kernel finds. */
  readonly atJump?: ((machine: Machine, handoff: BootHandoff | undefined) => void) | undefined;
  /** Called after each boot step of each kernel. */
  readonly onStep?: BootRequest['onStep'];
  /** Called at the jump of the last kexec step, when RAM is what the next kernel finds. */
  readonly atLastJump?: ((machine: Machine, handoff: BootHandoff | undefined) => void) | undefined;
  /** Looks on: for reports and traces. */
  readonly observer?: RunObserver | undefined;
  /** What is to fail in the kernel of this number (1 for the first) from its first allocation on. */
  readonly faultsOf?: ((kernel: number) => FaultInjector) | undefined;
  /** Defects in every kernel of the run: for tests of the checks. */
  readonly sabotage?: Sabotage | undefined;
}

/** A run with what doesn't travel: the timeline, and the state at its end. */
export interface FinishedRun {
  readonly result: RunResult;
  readonly timeline: readonly TimelineStep[];
  readonly state: RunState;
}

/** Runs a scenario at one page size. @throws InputError when a step of it cannot be done there. */
export function runScenario(scenario: Scenario, options: RunOptions): RunResult {
  return runScenarioAtLength(scenario, options).result;
}

/** Runs a scenario and keeps everything. @throws InputError when a step of it cannot be done. */
export function runScenarioAtLength(scenario: Scenario, options: RunOptions): FinishedRun {
  const seed = options.seed ?? scenario.spec.seed ?? DEFAULT_SEED;
  const machine = Machine.powerOn(planMachine(scenario, options.page, seed));
  const run = new RunState(scenario, machine, options.page, seed, new SessionBook(seed));
  run.observer = options.observer ?? {};
  const config: ConfigSpec = { ...PLAIN_CONFIG, ...scenario.spec.kernel.config };
  let now = { ...scenario.spec.kernel, config, page: options.page };
  // A kexec that is refused leaves the next one with what the kernel is that still runs.
  let wanted = now;
  const request = (spec: KexecSpec): BootRequest => {
    wanted = {
      release: spec.release ?? now.release,
      quirks: spec.quirks ?? (spec.release === undefined ? now.quirks : []),
      cmdline: spec.cmdline ?? now.cmdline,
      config: { ...now.config, ...spec.config },
      page: pageSizeByName(spec.pageSize ?? '') ?? now.page,
    };
    return {
      ...wanted,
      config: wanted.config as Partial<KernelConfig>,
      image: { ...DEFAULT_IMAGE, earlyBytes: scenario.spec.kernel.earlyAllocations ?? 0 },
      sink: options.sink,
      sabotage: options.sabotage,
      faults: options.faultsOf?.(run.kernels.length + 1) ?? nextFaults(run),
      onStep: options.onStep,
    };
  };
  const first = request({});
  run.addKernel(SimulatedKernel.boot(machine, first), first);
  if (options.faultsOf === undefined) checkFirstKernel(run, scenario);
  noteReserveMem(run);
  run.observer.booted?.(run, run.entry);
  for (const step of scenario.steps) {
    run.step = step;
    const kernels = run.kernels.length;
    const result = oneStep(run, step, request, options);
    if (run.kernels.length > kernels) {
      now = wanted;
      run.nextFaults.splice(0);
    }
    noteStep(run, step, result);
    run.lastDone = run.stepName();
  }
  closeKernel(run);
  return { result: resultOf(run), timeline: run.timeline, state: run };
}

/** The failures that the file arms for the kernel that boots next. */
function nextFaults(run: RunState): FaultInjector {
  const faults = new FaultInjector();
  for (const { at, nth } of run.nextFaults) faults.arm(at, nth);
  return faults;
}

/**
 * A first kernel that could not keep KHO on, on a machine that the scenario made too small for it. A node without memory is
 * no mistake, nor is a kernel that captures a dump: what a kernel makes of it is its behaviour.
 */
function checkFirstKernel(run: RunState, scenario: Scenario): void {
  const { context, start } = run.kernel;
  const wanted = context.cmdline.flag('kho', false) && !isKdumpKernel(context.cmdline);
  if (!wanted || context.kho.enabled || start.kind !== 'cold-boot' || context.map.memorylessNodes.length > 0) return;
  const line = scenario.lineOf(['machine', 'memory']) ?? scenario.lineOf(['kernel']) ?? 1;
  const complaints = context.log.lines.filter((each) => each.level === 'warn' || each.level === 'err');
  const why = (complaints.find((each) => each.text.startsWith('KHO: ')) ?? complaints.at(-1))?.text;
  throw new InputError({
    message: `at ${run.page.name} pages the first kernel turns KHO off${why === undefined ? '' : `: ${why}`}`,
    file: scenario.file,
    line,
    hint: 'give the machine more memory, or smaller scratch areas (kho_scratch=)',
  });
}

function oneStep(
  run: RunState,
  step: ScenarioStep,
  request: (spec: KexecSpec) => BootRequest,
  options: RunOptions,
): string {
  if (run.dead) return 'not run';
  lookBefore(run, step.verb);
  try {
    const result = perform(run, step, request, options);
    if (typeof result === 'string') return result;
    if (result === undefined) return run.dead ? run.entry.outcome : 'not run';
    return result === 0 ? 'ok' : errnoName(result).replace('-', '');
  } catch (error) {
    if (!(error instanceof ImpossibleStep)) throw error;
    throw new InputError({
      message: `at ${run.page.name} pages this step cannot be: ${error.message}`,
      file: run.scenario.file,
      line: step.line,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

type StepOutcome = 0 | Errno | undefined | string;

function perform(
  run: RunState,
  step: ScenarioStep,
  request: (spec: KexecSpec) => BootRequest,
  options: RunOptions,
): StepOutcome {
  const { spec } = step;
  const each = (
    names: string | readonly string[],
    act: (object: ExpectedObject) => 0 | Errno | undefined,
  ): 0 | Errno | undefined => {
    for (const name of [names].flat()) {
      // The step that was to make it had no memory.
      const object = run.objects.objects.get(name);
      const result = object === undefined ? ENOENT : act(object);
      if (result !== 0) return result;
    }
    return 0;
  };
  if (spec['preserve folios'] !== undefined) return preserveFolios(run, spec['preserve folios'], true);
  if (spec['preserve pages'] !== undefined) return preservePages(run, spec['preserve pages']);
  if (spec['preserve vmalloc'] !== undefined) return preserveVmallocStep(run, spec['preserve vmalloc']);
  if (spec.alloc !== undefined) return preserveFolios(run, spec.alloc, false);
  if (spec.preserve !== undefined) return each(spec.preserve, (object) => preserveAgain(run, object));
  if (spec.unpreserve !== undefined) return each(spec.unpreserve, (object) => unpreserveAny(run, object));
  if (spec.free !== undefined) return each(spec.free, (object) => freeObject(run, object));
  if (spec.restore !== undefined) return each(spec.restore, (object) => restoreAny(run, object));
  if (spec['add subtree'] !== undefined) return addSubtree(run, spec['add subtree']);
  if (spec['remove subtree'] !== undefined) return removeSubtree(run, spec['remove subtree']);
  if (spec['read debugfs'] !== undefined) return readDebugfs(run, spec['read debugfs']);
  if (spec.session !== undefined) return createSession(run, spec.session);
  if (spec.retrieve !== undefined) return retrieveSession(run, spec.retrieve);
  if (spec['preserve file'] !== undefined) return preserveFile(run, spec['preserve file']);
  if (spec['retrieve file'] !== undefined) return retrieveFile(run, spec['retrieve file']);
  if (spec['read file'] !== undefined) return readFile(run, spec['read file']);
  if (spec['write file'] !== undefined) return writeFile(run, spec['write file']);
  if (spec.finish !== undefined) {
    const { session, reserved } = typeof spec.finish === 'string' ? { session: spec.finish, reserved: 0 } : spec.finish;
    return finishSession(run, session, reserved);
  }
  if (spec.close !== undefined) return closeSession(run, spec.close);
  if (spec.reclaim !== undefined) return reclaim(run);
  if (spec['get flb'] !== undefined) return getFlb(run, spec['get flb']);
  if (spec.renew !== undefined) return renewSession(run, spec.renew);
  if (spec.write !== undefined) return write(run, spec.write, true);
  if (spec.damage !== undefined) return write(run, spec.damage, false);
  if (spec.corrupt !== undefined) {
    // Applied at the next jump, which is this kernel's: RAM has its pages until then.
    const asOf = { version: run.kernel.context.memory.mark() };
    run.corruptions.push({ spec: spec.corrupt, ...(spec.corrupt.stale === true ? { asOf } : {}) });
    return 0;
  }
  if (spec.fault !== undefined) {
    const { at, nth, next } = spec.fault;
    if (next === true) run.nextFaults.push({ at, nth });
    else run.kernel.context.faults.arm(at, nth);
    return 0;
  }
  if (spec['kexec and return'] !== undefined) return kexecAndReturn(run);
  const isLast = !run.scenario.steps.slice(step.index + 1).some((later) => later.verb === 'kexec');
  return kexecStep(run, spec.kexec ?? {}, request, (...at) => {
    options.atJump?.(...at);
    if (isLast) options.atLastJump?.(...at);
  });
}

/** Compares a step's result with what its line expects, and puts it on the timeline. */
function noteStep(run: RunState, step: ScenarioStep, result: string): void {
  const wanted = (step.spec.expect ?? 'ok').replace('-', '');
  const name = `step ${step.index + 1} (line ${step.line}): ${step.verb}`;
  // What a kexec came to is for the outcome to judge, unless the step itself says so.
  const judged = step.verb !== 'kexec' || step.spec.expect !== undefined || result === 'not run';
  if (judged && result !== wanted)
    run.checks.push({ name, ok: false, detail: `${result}, expected ${wanted}`, firstBadEvent: null });
  else if (step.spec.expect !== undefined) run.checks.push({ name, ok: true, detail: result, firstBadEvent: null });
  const { entry } = run;
  const noted: StepResult = {
    index: step.index,
    line: step.line,
    text: step.verb,
    kernel: entry.number,
    result,
    microseconds: entry.kernel.kernel.clock.microseconds,
  };
  const timelineStep = { step: noted, control: entry.kernel.context.control.takePatches() };
  run.timeline.push(timelineStep);
  run.observer.stepped?.(run, timelineStep);
}

function resultOf(run: RunState): RunResult {
  const { entry, scenario } = run;
  void run.dead;
  for (const each of run.kernels) each.figures = figuresOf(each, run.kernels[each.number - 2]);
  const totals = totalsOf(run);
  const verdict = verdictOf(run, totals);
  const checks = judge(run, entry.outcome, entry.reason, totals, verdict);
  const result: Omit<RunResult, 'digest'> = {
    scenario: scenario.id,
    name: scenario.spec.name,
    file: scenario.file,
    arch: run.machine.arch,
    pageSize: run.page.sizeBytes,
    seed: run.seed,
    ok: checks.every((check) => check.ok),
    outcome: entry.outcome,
    reason: entry.reason,
    verdict,
    kernels: run.kernels.map((each) => kernelResult(run, each)),
    checks,
    steps: run.timeline.map((each) => each.step),
    objects: run.objectResults(),
    preserved: totals.preserved,
    restored: totals.restored,
    damaged: totals.damaged,
    leaked: totals.leaked,
    lost: totals.lost,
    phantom: run.objects.amount(phantomPages(run)),
    untested: totals.untested,
  };
  return { ...result, digest: digestOf(run, result) };
}

function kernelResult(run: RunState, entry: KernelEntry): KernelResult {
  const { ledger, kernel } = entry;
  const { log, control, page } = kernel.context;
  const pageSize = page.sizeBytes;
  const amount = (pages: number) => run.objects.amount(pages);
  const taken = entry.outcome === 'handover';
  return {
    release: entry.release,
    outcome: entry.outcome,
    reason: entry.reason,
    log: log.lines.map((line) => line.text),
    logMicroseconds: log.lines.map((line) => line.microseconds),
    warnings: log.warnings,
    ...(pageSize === run.page.sizeBytes ? {} : { pageSize }),
    cmdline: entry.cmdline,
    kexecCount: taken ? control.state.kexecCount : null,
    liveupdateNumber: control.state.liveupdateNumber,
    khoTest: kernel.khoTest,
    revivedReserveMem: control.state.reserveMem.filter((each) => each.revived).map((each) => each.name),
    preserved: amount(ledger.preservedPages),
    restored: amount(ledger.restoredPages),
    damaged: amount(ledger.damaged.nrPages),
    leaked: amount(ledger.leaked.nrPages),
    lost: amount(ledger.lost.nrPages),
    leakedByKernel: amount(entry.leakedByKernelPages),
    figures: entry.figures,
  };
}

/** Everything that happened, as one number: results, logs with their times, and RAM at the end. */
function digestOf(run: RunState, result: object): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify({ ...result, file: '' }));
  for (const entry of run.kernels) hash.update(JSON.stringify(entry.kernel.context.log.lines));
  const { memory } = run.machine;
  for (const pfn of memory.writtenPages()) {
    hash.update(String(pfn));
    hash.update(memory.readBytes(physOf(memory.page, pfn) as PhysAddr, memory.page.sizeBytes));
  }
  return hash.digest('hex');
}
