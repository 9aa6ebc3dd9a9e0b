import type { PageSize } from '../../machine/index.ts';
import { InputError } from '../input-error.ts';
import { DEFAULT_SEED } from '../run/runner.ts';
import { ARCH, RELEASE } from './board.ts';
import { measureBulk } from './bulk.ts';
import { measureScenario } from './measure-scenario.ts';
import type { Measurement } from './measurement.ts';
import { metadataBytes, metricRows } from './metrics.ts';
import { notesOf } from './notes.ts';
import type { ColumnResult, CompareNote, CompareResult, MetricRow } from './result.ts';
import { smallestMachine } from './smallest.ts';
import { type SweepResult, sweep } from './sweep.ts';
import type { Workload } from './workloads.ts';

/** How a comparison is run. */
export interface CompareOptions {
  readonly seed?: number | undefined;
  /** Called before each part of the work, with how many are done and how many there are. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Left out: the runs that find `smallest-machine`, and those of the sweep. For tests. */
  readonly measureOnly?: boolean;
}

/** Runs a workload at each page size, and puts side by side what it cost. @throws InputError */
export function compareWorkload(
  workload: Workload,
  pages: readonly PageSize[],
  options: CompareOptions = {},
): CompareResult {
  const seed = options.seed ?? (workload.kind === 'scenario' ? workload.scenario.spec.seed : undefined) ?? DEFAULT_SEED;
  const parts = options.measureOnly === true ? 1 : 3;
  let done = 0;
  const step = () => options.onProgress?.(done++, parts * pages.length);
  const measurements: Measurement[] = [];
  const refusals: CompareNote[] = [];
  for (const page of pages) {
    step();
    const measured = measure(workload, page, seed, refusals);
    if (measured !== undefined) measurements.push(measured);
  }
  if (measurements.length === 0 && workload.kind !== 'sweep') {
    throw new InputError({ message: refusals.map((note) => `${note.column}: ${note.text}`).join('\n') });
  }
  const scenario = workload.kind === 'scenario' ? workload.scenario : undefined;
  const sweeps = new Map<PageSize, SweepResult>();
  const smallest: Record<string, number> = {};
  for (const page of parts > 1 ? pages : []) {
    step();
    const measured = measurements.find((of) => of.page === page);
    if (scenario !== undefined && measured?.works === true && scenarioScales(workload)) {
      smallest[page.name] = smallestMachine(scenario, page, measured.ramBytes, { seed });
    }
    step();
    sweeps.set(page, sweep(page, seed));
  }
  return {
    workload: workload.name,
    about: aboutOf(workload),
    releases: [...new Set(measurements.flatMap((of) => of.releases))].concat(
      measurements.length === 0 ? [RELEASE] : [],
    ),
    arch: measurements[0]?.arch ?? ARCH,
    seed,
    columns: pages.map((page) => page.name),
    rows: [...metricRows(measurements), ...sweepRows(sweeps), ...machineRows(measurements, smallest)],
    details: measurements.map(detailOf),
    sweep: [...sweeps.values()].flatMap((each) => each.points),
    notes: [...refusals, ...notesOf(measurements, scenario, seed)],
  };
}

/** A machine given as banks has no size to be changed. */
function scenarioScales(workload: Workload): boolean {
  return workload.kind === 'scenario' && !Array.isArray(workload.scenario.spec.machine.memory);
}

function measure(workload: Workload, page: PageSize, seed: number, refusals: CompareNote[]): Measurement | undefined {
  if (workload.kind === 'sweep') return undefined;
  if (workload.kind === 'bulk') return measureBulk(workload.bulk, page, seed);
  try {
    return measureScenario(workload.scenario, page, { seed });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    // A step that one page size cannot do is a result: the others are compared.
    const text = error.messages.map((each) => `${each.message}${each.hint === undefined ? '' : `; ${each.hint}`}`);
    refusals.push({ column: page.name, kind: 'limit', text: text.join(' ') });
    return undefined;
  }
}

function aboutOf(workload: Workload): string {
  if (workload.kind === 'bulk') return workload.bulk.about;
  if (workload.kind === 'sweep') return 'Single pages, from one to all of RAM, side by side and spread out.';
  return workload.scenario.spec.about?.trim() ?? workload.scenario.spec.name;
}

function sweepRows(sweeps: ReadonlyMap<PageSize, SweepResult>): MetricRow[] {
  if (sweeps.size === 0) return [];
  const values = (value: (of: SweepResult) => number) =>
    Object.fromEntries([...sweeps].map(([page, of]) => [page.name, value(of)]));
  return [
    {
      id: 'lone-page-tree-bytes',
      metric: 'tree of a lone page',
      group: 'machine',
      unit: 'bytes',
      values: values((of) => of.probe.lonePageBytes),
    },
    {
      id: 'leaf-covers',
      metric: 'a leaf covers',
      group: 'machine',
      unit: 'bytes',
      values: values((of) => of.probe.leafCoversBytes),
    },
    {
      id: 'full-ram-handover',
      metric: '64 GiB full of pages',
      group: 'machine',
      unit: 'count',
      values: values((of) => (of.handover ? 1 : 0)),
    },
  ];
}

function machineRows(measurements: readonly Measurement[], smallest: Readonly<Record<string, number>>): MetricRow[] {
  const ram = Object.fromEntries(measurements.map((of) => [of.page.name, of.ramBytes]));
  const rows: MetricRow[] = [];
  if (measurements.length > 0)
    rows.push({ id: 'ram-bytes', metric: 'RAM in this run', group: 'machine', unit: 'bytes', values: ram });
  if (Object.keys(smallest).length > 0) {
    rows.push({
      id: 'smallest-machine',
      metric: 'smallest machine',
      group: 'machine',
      unit: 'bytes',
      values: smallest,
    });
  }
  return rows;
}

function detailOf(of: Measurement): ColumnResult {
  return {
    column: of.page.name,
    pageSize: of.page.sizeBytes,
    outcome: of.outcome,
    reason: of.reason,
    ramBytes: of.ramBytes,
    askedBytes: of.askedBytes,
    metadataBytes: metadataBytes(of) ?? 0,
    nodesPerLevel: of.jump?.tree?.nodesPerLevel ?? [],
    keysByOrder: of.jump?.keysByOrder ?? {},
    memory: of.jump?.memory ?? [],
  };
}
