import { stringify } from 'yaml';

/*
 * Random scenarios as the plain data of a scenario file. Each has two phases: first everything goes, faults and clients'
 * mistakes included; then one object is preserved without either, and that handover has to be good.
 */

/** One step as a scenario file has it. */
export type PlanStep = Readonly<Record<string, unknown>>;

/** A range of RAM as a scenario file has it. */
export interface PlanBank {
  readonly base: string;
  readonly size: string;
  readonly nid?: number;
}

/** The build options that a plan may set. */
export type PlanConfig = Readonly<Record<string, boolean | number>>;

/** A scenario file as data. */
export interface FuzzPlan {
  readonly name: string;
  readonly seed: number;
  readonly machine: {
    readonly arch?: string;
    readonly pageSize: string;
    readonly memory: string | readonly PlanBank[];
    readonly nodes?: number;
    readonly memorylessNodes?: readonly number[];
  };
  readonly kernel: {
    readonly release: string;
    readonly cmdline: string;
    readonly config?: PlanConfig;
    readonly quirks?: readonly string[];
  };
  readonly steps: readonly PlanStep[];
}

/** The object of the second phase. */
export const LAST_OBJECT = 'last';

/** A plan as the text of a scenario file. */
export function planText(plan: FuzzPlan): string {
  return stringify(plan, { lineWidth: 120, flowCollectionPadding: true, aliasDuplicateObjects: false });
}

/** What a step does, and with what. */
export function stepOf(step: PlanStep): { readonly verb: string; readonly spec: unknown } {
  const entry = Object.entries(step).find(([key]) => key !== 'expect');
  return { verb: entry?.[0] ?? '', spec: entry?.[1] };
}

/** A field of a step's spec; undefined when it has none of that name. */
export function fieldOf(spec: unknown, name: string): unknown {
  return typeof spec === 'object' && spec !== null ? (spec as Readonly<Record<string, unknown>>)[name] : undefined;
}
