import { expect, test } from 'vitest';
import { collectEvidence } from '../../../scenarios/fuzz/collect-evidence.ts';
import { pagesOf } from '../../../scenarios/fuzz/evidence.ts';
import {
  type FuzzPlan,
  fieldOf,
  type PlanConfig,
  type PlanStep,
  planText,
  stepOf,
} from '../../../scenarios/fuzz/plan.ts';
import { QUIRK_EFFECTS } from '../../../scenarios/fuzz/quirk-effects.ts';
import { fuzzPlan } from '../../../scenarios/fuzz/random-plan.ts';
import { tryPlan } from '../../../scenarios/fuzz/try-plan.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';

/*
 * Random kernels with an old code path: what follows of it is explained, and nothing else is.
 */

interface Setup {
  readonly release?: string;
  readonly machine?: FuzzPlan['machine'];
  readonly config?: PlanConfig;
  readonly luo?: boolean;
}

function plan(quirk: string | undefined, steps: readonly PlanStep[], setup: Setup = {}): FuzzPlan {
  const { release = '7.3', machine = { pageSize: '4K', memory: '512M' }, config = {}, luo = true } = setup;
  const cmdline = `kho=on ${luo ? 'liveupdate=on ' : ''}kho_scratch=32M,32M,32M`;
  const quirks = quirk === undefined ? {} : { quirks: [quirk] };
  return { name: 'a test', seed: 1, machine, kernel: { release, cmdline, config, ...quirks }, steps };
}

const last = { 'preserve folios': { order: 1, count: 8, as: 'last' } };
const area = (size: number, huge = false) => ({ 'preserve vmalloc': { size, as: 'area', ...(huge ? { huge } : {}) } });

interface Case {
  readonly quirk: string;
  readonly verdict: string;
  readonly steps: readonly PlanStep[];
  readonly setup?: Setup;
}

const CASES: readonly Case[] = [
  { quirk: 'vmalloc-chunks-unbounded', verdict: 'leaked', steps: [area(1100 * 4096), { kexec: {} }] },
  // Restored, an area of large blocks has single pages, and fills chunks from then on.
  {
    quirk: 'vmalloc-chunks-unbounded',
    verdict: 'leaked',
    steps: [area(8 * 2 ** 20, true), { kexec: {} }, last, { kexec: {} }],
  },
  {
    quirk: 'vmalloc-unpreserved-by-page',
    verdict: 'leaked',
    steps: [area(8 * 2 ** 20, true), { unpreserve: 'area' }, { kexec: {} }],
  },
  {
    quirk: 'empty-map-accepted',
    verdict: 'crashed',
    steps: [last, { kexec: { finalize: false } }],
    setup: { release: '7.0', luo: false },
  },
  {
    quirk: 'unpreserve-ignores-nodes',
    verdict: 'leaked',
    steps: [
      { 'preserve pages': { size: '256M', at: 'node-border', as: 'range' } },
      { unpreserve: 'range' },
      { kexec: {} },
    ],
    setup: { machine: { pageSize: '4K', memory: '768M', nodes: 2 }, config: { KEXEC_HANDOVER_DEBUG: false } },
  },
  {
    quirk: 'dangling-entry',
    verdict: 'crashed',
    steps: [
      { fault: { at: 'radix.alloc-node', nth: 2 } },
      { 'preserve folios': { order: 5, count: 20, as: 'first' } },
      { 'preserve folios': { order: 5, count: 20, as: 'second' } },
    ],
    setup: { luo: false },
  },
];

test.each(CASES)('of $quirk follows what the list says: $verdict', ({ quirk, verdict, steps, setup }) => {
  const field = `quirk: ${quirk}`;
  expect(tryPlan(plan(quirk, steps, setup))).toMatchObject({ kind: 'known', verdict, known: [], fields: [field] });
  expect(tryPlan(plan(undefined, steps, setup)).fields).not.toContain(field);
});

test('a quirk accounts for what it struck, and for nothing beside', () => {
  const steps = [area(1100 * 4096), last, { kexec: {} }];
  const scenario = parseScenario(planText(plan('vmalloc-chunks-unbounded', steps)), 'test.yaml');
  const [page] = scenario.pageSizes;
  if (page === undefined) throw new Error('no page size');
  const evidence = collectEvidence(scenario, page);
  const claimed = (quirk: string, name: string) => {
    const object = evidence.state.objects.get(name);
    const symptom = { kind: 'pages', kernel: 2, what: 'leaked', object, pages: pagesOf(object), text: '' } as const;
    return QUIRK_EFFECTS.find((each) => each.quirk === quirk)?.spoils?.(evidence, symptom);
  };
  expect(claimed('vmalloc-chunks-unbounded', 'area')).toEqual(pagesOf(evidence.state.objects.get('area')));
  expect(claimed('vmalloc-chunks-unbounded', 'last')).toEqual([]);
  for (const quirk of ['vmalloc-unpreserved-by-page', 'unpreserve-ignores-nodes', 'dangling-entry']) {
    expect(claimed(quirk, 'area'), quirk).toEqual([]);
  }
});

test('all kernels of a scenario have the quirk that was drawn, whatever their release', () => {
  const drawn = Array.from({ length: 300 }, (_, seed) => fuzzPlan(seed)).filter(({ kernel }) => kernel.quirks);
  expect(drawn.length).toBeGreaterThan(10);
  for (const { kernel, steps } of drawn) {
    for (const { verb, spec } of steps.map(stepOf)) {
      if (verb === 'kexec' && fieldOf(spec, 'release') !== undefined)
        expect(fieldOf(spec, 'quirks')).toEqual(kernel.quirks);
    }
  }
});
