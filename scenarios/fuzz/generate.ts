import { FAULT_SITES } from '../../kernel/fault-sites.ts';
import { RELEASES } from '../../kernel/release.ts';
import { Random } from '../../machine/random.ts';

/*
 * Random scenarios, as the plain data of a scenario file. Each has two phases: first everything goes, faults and clients'
 * mistakes included; then one object is preserved without either, and that handover has to be good.
 */

/** One step as a scenario file has it. */
export type PlanStep = Readonly<Record<string, unknown>>;

/** A scenario file as data. */
export interface FuzzPlan {
  readonly name: string;
  readonly seed: number;
  readonly machine: {
    readonly pageSize: string;
    readonly memory: string;
    readonly nodes?: number;
  };
  readonly kernel: {
    readonly release: string;
    readonly cmdline: string;
    readonly config?: Readonly<Record<string, boolean>>;
  };
  readonly steps: readonly PlanStep[];
}

/** The object of the second phase. */
export const LAST_OBJECT = 'last';

/** Memory that holds scratch and some, at each page size. */
const MEMORY: Readonly<Record<string, readonly string[]>> = {
  '4K': ['512M', '1G', '2G'],
  '16K': ['1G', '2G'],
  '64K': ['4G', '6G'],
};

/** What a step may name: the objects that earlier steps made. */
interface Names {
  readonly memory: string[];
  readonly subtrees: string[];
  readonly sessions: string[];
  next: number;
}

type StepMaker = (random: Random, names: Names) => PlanStep | undefined;

function fresh(names: Names, kind: string): string {
  return `${kind}-${++names.next}`;
}

function made(names: Names, kind: string): string {
  const name = fresh(names, kind);
  names.memory.push(name);
  return name;
}

const one = <T>(random: Random, list: readonly T[]): T | undefined =>
  list.length === 0 ? undefined : random.pick(list);

function onOld(random: Random, names: Names, verb: string): PlanStep | undefined {
  const name = one(random, names.memory);
  return name === undefined ? undefined : { [verb]: name };
}

/** What clients do that is right. */
const HONEST: readonly StepMaker[] = [
  (random, names) => ({
    'preserve folios': { order: random.below(6), count: 1 + random.below(40), as: made(names, 'folios') },
  }),
  (random, names) => ({
    'preserve folios': { order: 0, count: 1 + random.below(300), scatter: true, as: made(names, 'scattered') },
  }),
  (random, names) => ({ 'preserve pages': { count: 1 + random.below(600), as: made(names, 'pages') } }),
  (random, names) => ({
    'preserve vmalloc': { size: 1 + random.below(2 ** 20), as: made(names, 'area'), huge: random.below(4) === 0 },
  }),
  (random, names) => {
    const name = fresh(names, 'subtree');
    names.subtrees.push(name);
    return { 'add subtree': { name, size: 1 + random.below(3000) } };
  },
  (random, names) => {
    const name = one(random, names.subtrees);
    return name === undefined ? undefined : { 'remove subtree': name };
  },
  (random, names) => {
    const name = fresh(names, 'session');
    names.sessions.push(name);
    const files = Array.from({ length: random.below(3) }, (_, i) => ({ token: i + 1, memfd: random.below(2 ** 18) }));
    return { session: { name, files } };
  },
  (random, names) => onOld(random, names, 'unpreserve'),
  (random, names) => onOld(random, names, 'preserve'),
  (random, names) => {
    const to = one(random, names.memory);
    return to === undefined ? undefined : { write: { to, offset: random.below(512) } };
  },
  (random, names) => ({ alloc: { order: random.below(4), count: 1 + random.below(20), as: made(names, 'spare') } }),
];

/** What goes wrong. */
const WRONG: readonly StepMaker[] = [
  (random) => ({ fault: { at: random.pick(FAULT_SITES).site, nth: 1 + random.below(6), next: random.below(4) === 0 } }),
  (random) => ({ fault: { at: random.pick(FAULT_SITES).site, nth: 1 + random.below(20) } }),
  (random, names) => ({
    'preserve folios': { order: random.below(3), at: 'scratch', as: made(names, 'inside') },
  }),
  (_random, names) => ({
    'preserve pages': { size: '256M', at: 'node-border', as: made(names, 'border') },
  }),
  (random, names) => ({
    'preserve folios': { order: random.below(5), at: '0x58000000', as: made(names, 'fixed') },
  }),
  (random, names) => onOld(random, names, 'free'),
  (random) => ({ corrupt: { what: random.pick(['fdt', 'tree-root', 'scratch-array']), offset: random.below(64) } }),
  (_random, names) => ({
    'preserve folios': { order: 0, count: 15000, every: '128K', as: made(names, 'many') },
  }),
];

function needsNodes(step: PlanStep): boolean {
  return (step['preserve pages'] as { readonly at?: unknown } | undefined)?.at === 'node-border';
}

/** A random scenario. The same seed gives the same, always. */
export function fuzzPlan(seed: number): FuzzPlan {
  const random = new Random(seed);
  const pageSize = random.pick(['4K', '4K', '16K', '64K']);
  const release = random.below(2) === 0 ? '7.3' : random.pick(RELEASES).name;
  const nodes = 1 + random.below(2);
  const scratch = random.pick(['32M,32M,32M', '64M,32M,32M', '24M,4M,4M', '48M,16M,8M']);
  const names: Names = { memory: [], subtrees: [], sessions: [], next: 0 };
  const steps: PlanStep[] = [];
  const hops = 1 + random.below(3);
  for (let hop = 0; hop < hops; hop++) {
    const count = 1 + random.below(5);
    for (let i = 0; i < count; i++) {
      const step = random.pick(random.below(5) === 0 ? WRONG : HONEST)(random, names);
      if (step === undefined) continue;
      if (nodes === 1 && needsNodes(step)) {
        names.memory.pop();
        continue;
      }
      steps.push(step);
    }
    const other = random.below(5) === 0 ? random.pick(RELEASES).name : undefined;
    steps.push({ kexec: other === undefined ? {} : { release: other } });
  }
  steps.push({ 'preserve folios': { order: 1, count: 8, as: LAST_OBJECT } }, { kexec: {} });
  return {
    name: `random scenario of seed ${seed}`,
    seed: 1,
    machine: { pageSize, memory: random.pick(MEMORY[pageSize] ?? ['4G']), ...(nodes > 1 ? { nodes } : {}) },
    kernel: {
      release,
      cmdline: `kho=on liveupdate=on kho_scratch=${scratch}`,
      ...(random.below(2) === 0 ? { config: { KEXEC_HANDOVER_DEBUG: false } } : {}),
    },
    steps,
  };
}
