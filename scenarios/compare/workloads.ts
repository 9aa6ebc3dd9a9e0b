import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../input-error.ts';
import { packageRoot } from '../package-root.ts';
import { findScenario, libraryNames } from '../run/library.ts';
import { loadScenario, type Scenario } from '../run/load.ts';
import { nearest } from '../run/nearest.ts';
import { BULK_WORKLOADS, type BulkWorkload } from './bulk.ts';

/** The workload that is nothing but the sweep, which all others have beside them. */
const SWEEP = 'sweep';

/** The workload when nobody names one. */
export const DEFAULT_WORKLOAD = 'vm-host';

/** What is compared: a scenario's last handover, a machine full of pages of one size, or the sweep alone. */
export type Workload =
  | { readonly kind: 'scenario'; readonly name: string; readonly scenario: Scenario }
  | { readonly kind: 'bulk'; readonly name: string; readonly bulk: BulkWorkload }
  | { readonly kind: 'sweep'; readonly name: string };

function folder(): string {
  return join(packageRoot(), 'scenarios', 'compare', 'workloads');
}

/** The built-in workloads that are scenario files. */
export function scenarioWorkloads(): string[] {
  return readdirSync(folder())
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
}

/** Every built-in workload. */
function workloadNames(): string[] {
  return [...scenarioWorkloads(), ...BULK_WORKLOADS.map((bulk) => bulk.name), SWEEP];
}

/**
 * A workload by name: built in, a scenario file, or a scenario of the library.
 * @throws InputError when there is none, or the file cannot be used.
 */
export function findWorkload(name: string): Workload {
  if (name === SWEEP) return { kind: 'sweep', name };
  const bulk = BULK_WORKLOADS.find((each) => each.name === name);
  if (bulk !== undefined) return { kind: 'bulk', name, bulk };
  if (scenarioWorkloads().includes(name)) {
    const scenario = { ...loadScenario(join(folder(), `${name}.yaml`)), file: name };
    return { kind: 'scenario', name, scenario };
  }
  const known = [...workloadNames(), ...libraryNames()];
  if (!existsSync(name) && !known.includes(name)) {
    const near = nearest(name, known);
    throw new InputError({
      message: `--workload: there is no workload '${name}', nor a scenario file of this name`,
      hint: near === undefined ? `one of ${workloadNames().join(', ')}, or a file` : `did you mean '${near}'?`,
    });
  }
  return { kind: 'scenario', name, scenario: findScenario(name) };
}
