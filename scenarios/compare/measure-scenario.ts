import type { PageSize } from '../../machine/index.ts';
import { InputError } from '../input-error.ts';
import type { Scenario } from '../run/load.ts';
import { type FinishedRun, runScenarioAtLength } from '../run/runner.ts';
import { BootMeter } from './measure-boot.ts';
import { type JumpFigures, measureJump } from './measure-jump.ts';
import type { Measurement } from './measurement.ts';

export interface MeasureOptions {
  readonly seed?: number | undefined;
  /** RAM in place of the scenario's, laid out as on its board. */
  readonly memoryBytes?: number | undefined;
  /** Added to the first kernel's command line, and to the next one's where that is its own. */
  readonly cmdline?: string | undefined;
  readonly maxPageOrder?: number | undefined;
}

/** Runs a scenario at one page size, and measures the handover that it ends with. @throws InputError */
export function measureScenario(scenario: Scenario, page: PageSize, options: MeasureOptions = {}): Measurement {
  const meter = new BootMeter();
  let jump: JumpFigures | undefined;
  const finished = runScenarioAtLength(changed(scenario, options), {
    page,
    seed: options.seed,
    onStep: meter.onStep,
    atJump: (machine, handoff) => {
      jump = measureJump(machine, handoff);
    },
  });
  const { result, state } = finished;
  const { context } = state.kernel;
  const kernels = result.kernels.map((kernel) => kernel.release);
  const failed = result.checks.find((check) => !check.ok);
  return {
    page,
    outcome: result.outcome === 'handover' && failed !== undefined ? result.verdict : result.outcome,
    reason: failed === undefined ? result.reason : `${failed.name}: ${failed.detail}`,
    works: result.outcome === 'handover' && result.ok,
    releases: [...new Set(kernels)],
    arch: result.arch,
    seed: result.seed,
    ramBytes: context.map.banks.reduce((sum, bank) => sum + bank.sizeBytes, 0),
    scratchAlignBytes: page.sizeBytes * 2 ** context.allocator.maxPageOrder,
    askedBytes: askedBytes(finished),
    jump,
    boot: meter.figures,
  };
}

/** Whether a scenario comes out as it should with so much RAM: nothing but a run can tell. */
export function worksWith(scenario: Scenario, page: PageSize, options: MeasureOptions): boolean {
  try {
    const { result } = runScenarioAtLength(changed(scenario, options), { page, seed: options.seed });
    return result.outcome === 'handover' && result.ok;
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

/** The scenario with another amount of memory, command line or build. */
function changed(scenario: Scenario, options: MeasureOptions): Scenario {
  const { memoryBytes, cmdline, maxPageOrder } = options;
  const { spec } = scenario;
  const config =
    maxPageOrder === undefined ? spec.kernel.config : { ...spec.kernel.config, MAX_PAGE_ORDER: maxPageOrder };
  const kernel = {
    ...spec.kernel,
    cmdline: cmdline === undefined ? spec.kernel.cmdline : `${spec.kernel.cmdline} ${cmdline}`,
    ...(config === undefined ? {} : { config }),
  };
  const machine = memoryBytes === undefined ? spec.machine : { ...spec.machine, memory: memoryBytes };
  return { ...scenario, spec: { ...spec, machine, kernel } };
}

/**
 * Bytes that the workload wants kept, of what crossed the last jump: sizes as the file gives them. Where it gives
 * a number of folios or pages, their size is what it asks for.
 */
function askedBytes({ state }: FinishedRun): number {
  const { page, objects, sessions, subtrees } = state;
  const given = new Map<string, number>();
  let unnamed = 0;
  for (const { spec } of state.scenario.steps) {
    const folios = spec['preserve folios'] ?? spec.alloc;
    const pages = spec['preserve pages'];
    const vmalloc = spec['preserve vmalloc'];
    const named = folios ?? pages ?? vmalloc;
    if (named === undefined) continue;
    const kind = folios !== undefined ? 'folios' : pages !== undefined ? 'pages' : 'vmalloc';
    const name = named.as ?? `${kind}-${++unnamed}`;
    const each = folios?.size;
    const bytes =
      folios?.total ?? (each === undefined ? undefined : each * (folios?.count ?? 1)) ?? pages?.size ?? vmalloc?.size;
    if (bytes !== undefined) given.set(name, bytes);
  }
  let sum = 0;
  for (const object of objects.objects.values()) {
    if (object.state !== 'crossed' && object.state !== 'restored' && object.state !== 'preserved') continue;
    sum += given.get(object.name) ?? object.nrPages * page.sizeBytes;
  }
  for (const session of sessions.sessions.values()) {
    if (session.crossings === 0 || session.state === 'lost') continue;
    for (const file of session.files) sum += file.sizeBytes;
  }
  for (const subtree of subtrees.values()) {
    if (subtree.crossings > 0 && subtree.state !== 'lost') sum += subtree.content.length;
  }
  return sum;
}
