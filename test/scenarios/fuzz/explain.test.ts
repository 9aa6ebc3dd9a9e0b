import { expect, test } from 'vitest';
import { collectEvidence } from '../../../scenarios/fuzz/collect-evidence.ts';
import { strikesClient, strikesObject } from '../../../scenarios/fuzz/conditions.ts';
import { type Evidence, type PageSymptom, pagesOf } from '../../../scenarios/fuzz/evidence.ts';
import { explain } from '../../../scenarios/fuzz/explain.ts';
import { isBehind, KNOWN_BUGS, type KnownBug, spoiltByBug } from '../../../scenarios/fuzz/known-bugs.ts';
import { type FuzzPlan, type PlanConfig, type PlanStep, planText } from '../../../scenarios/fuzz/plan.ts';
import { tryPlan } from '../../../scenarios/fuzz/try-plan.ts';
import { totalBytes } from '../../../scenarios/handover/intervals.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';

/*
 * What a bug explains is what it struck, and nothing beside: pages that had all protection there is must not be damaged.
 */

interface Setup {
  readonly release?: string;
  readonly machine?: FuzzPlan['machine'];
  readonly config?: PlanConfig;
}

function plan(steps: readonly PlanStep[], { release = '7.3', machine, config = {} }: Setup = {}): FuzzPlan {
  return {
    name: 'a test',
    seed: 1,
    machine: machine ?? { pageSize: '4K', memory: '512M' },
    kernel: { release, cmdline: 'kho=on liveupdate=on kho_scratch=32M,32M,32M', config },
    steps,
  };
}

function evidenceOf(steps: readonly PlanStep[], setup?: Setup): Evidence {
  const scenario = parseScenario(planText(plan(steps, setup)), 'test.yaml');
  const [page] = scenario.pageSizes;
  if (page === undefined) throw new Error('no page size');
  return collectEvidence(scenario, page);
}

function bugOf(name: string): KnownBug {
  const bug = KNOWN_BUGS.find((each) => each.name === name);
  if (bug === undefined) throw new Error(`there is no bug ${name}`);
  return bug;
}

/** That all of an object is wrong in some way, in the last kernel. */
function symptomOf({ state }: Evidence, name: string, what: PageSymptom['what']): PageSymptom {
  const object = state.objects.get(name);
  return { kind: 'pages', kernel: state.kernels.length, what, object, pages: pagesOf(object), text: 'made up' };
}

const scattered = { 'preserve folios': { order: 0, count: 300, scatter: true, as: 'all-over' } };
const few = { 'preserve folios': { order: 3, count: 10, as: 'few' } };
const subtree = { 'add subtree': { name: 'blob', size: 100 } };
const session = { session: { name: 'work', files: [{ token: 1, memfd: 20000 }] } };
const fixed = (as: string) => ({ 'preserve folios': { order: 0, count: 4, at: '0x50000000', as } });
/** A write by nobody. */
const damage = { damage: { at: '0x50000010' } };

test('struct pages that are initialised early are none of what deferred initialisation spoils', () => {
  const steps = [
    { 'preserve folios': { order: 0, count: 20, at: '0x46000000', as: 'early' } },
    { 'preserve folios': { order: 0, count: 20, at: '0x54000000', as: 'late' } },
    { kexec: {} },
  ];
  const evidence = evidenceOf(steps, { release: '7.0', config: { DEFERRED_STRUCT_PAGE_INIT: true } });
  const bug = bugOf('deferred-init');
  expect(explain(evidence)).toMatchObject({ bugs: ['deferred-init'], open: [] });
  expect(spoiltByBug(bug, evidence, symptomOf(evidence, 'late', 'wrongState'))).toEqual([[0x54000, 0x54014]]);
  expect(spoiltByBug(bug, evidence, symptomOf(evidence, 'early', 'wrongState'))).toEqual([]);
  expect(spoiltByBug(bug, evidence, symptomOf(evidence, 'late', 'damaged'))).toEqual([]);
});

test('an area needs the pages that describe it, a blob and a session their own, and all the root FDT', () => {
  const evidence = evidenceOf([
    { 'preserve vmalloc': { size: 10000, as: 'area' } },
    subtree,
    session,
    few,
    { kexec: {} },
  ]);
  const [jump] = evidence.jumps;
  const { areas = new Map(), subtrees = new Map(), sessions = new Map(), rootFdt } = jump?.belongings ?? {};
  const area = symptomOf(evidence, 'area', 'leaked');
  const blob = { kind: 'client', kernel: 2, client: 'subtree', name: 'blob', text: 'made up' } as const;
  const work = { ...blob, client: 'session', name: 'work' } as const;
  const struck = (pages = rootFdt) => {
    const strikes = () => pages ?? [];
    return [
      strikesObject(evidence, area, strikes).length > 0,
      strikesClient(evidence, blob, strikes),
      strikesClient(evidence, work, strikes),
    ];
  };
  expect(struck(areas.get('area'))).toEqual([true, false, false]);
  expect(struck(subtrees.get('blob'))).toEqual([false, true, false]);
  expect(struck(sessions.get('work'))).toEqual([false, false, true]);
  expect(struck(rootFdt)).toEqual([true, true, true]);
  expect(struck(pagesOf(evidence.state.objects.get('few')))).toEqual([false, false, false]);
});

test('a tree that lacks a level loses blocks of order 0, and no others', () => {
  const setup = { release: '7.1-rc5', machine: { pageSize: '16K', memory: '1G' } };
  const evidence = evidenceOf([scattered, few, { kexec: {} }], setup);
  const bug = bugOf('missing-level');
  expect(explain(evidence)).toMatchObject({ bugs: ['missing-level'], open: [] });
  const lost = symptomOf(evidence, 'all-over', 'lost');
  expect(spoiltByBug(bug, evidence, lost)).toEqual(lost.pages);
  expect(spoiltByBug(bug, evidence, symptomOf(evidence, 'few', 'lost'))).toEqual([]);
});

test('phantoms are those blocks that the reader of larger bitmaps takes from what lies behind them', () => {
  // Two bitmaps, and of the first the reader takes the second for a part.
  const steps = [
    { 'preserve folios': { order: 4, count: 3, at: '0x50000000', as: 'there' } },
    { 'preserve folios': { order: 2, count: 3, at: '0x52000000', as: 'elsewhere' } },
    { kexec: { release: '6.17.9' } },
  ];
  const evidence = evidenceOf(steps, { release: '6.17.8' });
  const bug = bugOf('bitmap-size-read-large');
  const { misread = [] } = evidence.jumps[0] ?? {};
  expect(misread.length).toBeGreaterThan(0);
  const phantom = (pages: PageSymptom['pages']) => ({ kind: 'phantom', kernel: 2, pages, text: 'made up' }) as const;
  expect(isBehind(bug, evidence, phantom(misread))).toBe(true);
  const [first = [0, 0]] = misread;
  expect(isBehind(bug, evidence, phantom([[first[0] - 1, first[1]]]))).toBe(false);
});

test('who had a page one kernel ago, or freed it as one does, explains no damage', () => {
  const before = { alloc: { order: 0, count: 4, at: '0x50000000', as: 'before' } };
  const gone = plan([before, { kexec: {} }, fixed('after'), damage, { kexec: {} }]);
  expect(tryPlan(gone)).toMatchObject({ kind: 'violation', what: expect.stringContaining('damaged: after') });
  const freed = plan([before, { free: 'before' }, fixed('after'), damage, { kexec: {} }]);
  expect(tryPlan(freed)).toMatchObject({ kind: 'violation', what: expect.stringContaining('damaged: after') });
  // Two at the same time, or freed while preserved: that does.
  expect(tryPlan(plan([before, fixed('after'), damage, { kexec: {} }]))).toMatchObject({ known: ['no-owner-check'] });
  const dangling = plan([fixed('before'), { free: 'before' }, fixed('after'), damage, { kexec: {} }]);
  expect(tryPlan(dangling)).toMatchObject({ kind: 'known', known: ['freed-while-preserved'] });
});

test('an area of large blocks that is preserved in part leaves those preserved', () => {
  const steps = [
    { fault: { at: 'vmalloc.alloc-chunk', nth: 2 } },
    { 'preserve vmalloc': { size: '1024M', as: 'area', huge: true } },
    { kexec: {} },
  ];
  const evidence = evidenceOf(steps, { machine: { pageSize: '4K', memory: '2G' } });
  expect(evidence.result.steps[1]?.result).toBe('ENOMEM');
  expect(explain(evidence)).toMatchObject({ bugs: ['vmalloc-undoes-pages'], open: [] });
  const bug = bugOf('vmalloc-undoes-pages');
  expect(spoiltByBug(bug, evidence, symptomOf(evidence, 'area', 'lost'))).toEqual([]);
  // The last block was never preserved.
  const leaked = totalBytes(spoiltByBug(bug, evidence, symptomOf(evidence, 'area', 'leaked')));
  expect(leaked).toBe(511 * 512);
});

test('a bitmap at the end of RAM is where the reader of larger ones falls over', () => {
  const setup = { machine: { pageSize: '4K', memory: '1G' }, config: { KEXEC_HANDOVER_DEBUG: false } };
  const steps = [
    { 'preserve pages': { count: 18, as: 'pages-1' } },
    { 'preserve pages': { count: 592, as: 'pages-3' } },
    { kexec: {} },
    { 'preserve pages': { count: 348, as: 'pages-4' } },
    { kexec: { release: '6.17.9', restore: 'none' } },
  ];
  const cmdline = 'kho=on liveupdate=on kho_scratch=32M,0,8M test_kho.max_mem=1048576';
  const { kernel, ...rest } = plan(steps, { ...setup, release: '6.17.8' });
  const { known, verdict } = tryPlan({ ...rest, kernel: { ...kernel, cmdline } });
  expect([known, verdict]).toEqual([['bitmap-size-read-large', 'ranges-as-folios'], 'damaged']);
});

test('6.19 finishes a session that is to go out: it goes without its files', () => {
  const steps = [session, { finish: 'work' }, { kexec: {} }, { retrieve: 'work' }];
  expect(tryPlan(plan(steps, { release: '6.19' }))).toMatchObject({ kind: 'good', verdict: 'intact' });
});

test('a kexec that is refused says nothing of the next', () => {
  const steps = [
    { fault: { at: 'luo.freeze-file', nth: 1 } },
    session,
    { kexec: { release: '7.2' }, expect: 'EIO' },
    { kexec: {} },
  ];
  const { state } = evidenceOf(steps);
  expect(state.kernels.map(({ release }) => release)).toEqual(['7.3', '7.3']);
});

test('LUO’s page in the place of freed pages goes with them when they are unpreserved', () => {
  const steps = [
    { 'preserve pages': { count: 499, as: 'range' } },
    { free: 'range' },
    { session: { name: 'work', files: [] } },
    { unpreserve: 'range' },
    { kexec: {} },
  ];
  expect(tryPlan(plan(steps))).toMatchObject({ known: ['freed-while-preserved'], verdict: 'crashed' });
  expect(tryPlan(plan(steps.filter((step) => !('free' in step))))).toMatchObject({ known: [], verdict: 'intact' });
});

test('6.18 forgets the error of a chunk whose page the page allocator does not have', () => {
  const fault = { fault: { at: 'mm.alloc-pages', nth: 4 } };
  const area = { 'preserve vmalloc': { size: 2750937, as: 'area' } };
  const steps = [fault, area, { kexec: {} }];
  expect(tryPlan(plan(steps, { release: '6.18' }))).toMatchObject({ known: ['vmalloc-forgets-error'] });
});

test('7.0 does not miss the FLB node of 6.19 where KHO is off, and no client runs', () => {
  const off = { kexec: { release: '7.0', cmdline: 'kho=off kho_scratch=32M,32M,32M' } };
  const { known, what, kind } = tryPlan(
    plan([{ 'preserve folios': { order: 1, as: 'folio' } }, off], { release: '6.19' }),
  );
  expect([kind === 'violation' ? what : '', known]).toEqual(['', []]);
});

test.each([
  ['the map', 16, 'crashed'],
  ['the root FDT', 25, 'refused'],
])('who takes the pages of a kernel and writes into %s may do anything', (_, page, verdict) => {
  const steps = [
    { 'preserve folios': { order: 5, at: '0x5ffe0000', as: 'taken' } },
    { write: { to: 'taken', page, offset: 0 } },
    { kexec: {} },
  ];
  const setup = plan(steps);
  const kernel = { ...setup.kernel, cmdline: 'kho=on kho_scratch=32M,32M,32M' };
  expect(tryPlan({ ...setup, kernel })).toMatchObject({ verdict, known: [], fields: ['memory of the kernel'] });
});

test('who asks first has what another handed over, if it begins where a block of that does', () => {
  const at = (page: string, order: number, as: string) => ({ 'preserve folios': { order, at: page, as } });
  const steps = (second: PlanStep): PlanStep[] => [
    at('0x50000000', 4, 'first'),
    { kexec: { restore: 'none' } },
    second,
    { restore: 'second' },
  ];
  const taken = evidenceOf(steps(at('0x50000000', 1, 'second')));
  const symptom = taken.symptoms.find(({ kind }) => kind === 'step');
  expect(symptom).toMatchObject({ kernel: 2, text: expect.stringContaining("restoring 'second' succeeds") });
  expect(explain(taken)).toMatchObject({ bugs: ['no-owner-check'], open: [] });
  // A page in the middle of a block has nothing of it.
  const inside = evidenceOf(steps(at('0x50001000', 0, 'second')));
  expect(inside.result.steps.at(-1)?.result).not.toBe('ok');
  // Had it been restored before, that it can be again would be another bug.
  const bug = bugOf('no-owner-check');
  if (symptom?.kind !== 'step') throw new Error('no symptom');
  expect(isBehind(bug, taken, symptom)).toBe(true);
  expect(isBehind(bug, taken, { ...symptom, waiting: [] })).toBe(false);
  const ranges = [
    { 'preserve pages': { at: '0x50000000', count: 12, as: 'second' } },
    { kexec: { restore: 'none' } },
    { restore: 'second' },
    { kexec: {} },
  ];
  const { jumps, state } = evidenceOf(ranges);
  const object = state.objects.get('second');
  const heads = jumps[0]?.read.map(({ start }) => [start, start + 1] as const).filter(([pfn]) => pfn >= 0x50000) ?? [];
  expect(isBehind(bug, taken, { ...symptom, object, waiting: heads })).toBe(true);
  expect(isBehind(bug, taken, { ...symptom, object, waiting: heads.slice(0, 1) })).toBe(false);
});

test('6.18 forgets the error of a chunk, and who takes the area back reads what was freed', () => {
  // On a node without memory 6.18 has no KHO: pages can be preserved, and nobody can add a subtree.
  const machine = {
    pageSize: '4K',
    memory: [
      { base: '0x40000000', size: '512M', nid: 0 },
      { base: '0x60000000', size: '512M', nid: 2 },
    ],
    memorylessNodes: [1],
  };
  const area = { 'preserve vmalloc': { size: 5349732, as: 'area' } };
  const steps = [scattered, { fault: { at: 'mm.alloc-pages', nth: 3 } }, area];
  const evidence = evidenceOf(steps, { release: '6.18', machine });
  expect(evidence.result.verdict).toBe('crashed');
  expect(explain(evidence)).toMatchObject({ bugs: ['vmalloc-forgets-error'], open: [] });
  const bug = bugOf('vmalloc-forgets-error');
  const [crash] = evidence.symptoms;
  if (crash?.kind !== 'crash') throw new Error('no crash');
  expect(isBehind(bug, evidence, { ...crash, inBoot: true })).toBe(false);
  // Without the failure it would be another bug.
  const whole = evidenceOf([scattered, area], { release: '6.18', machine });
  expect([whole.result.verdict, isBehind(bug, whole, crash)]).toEqual(['intact', false]);
});

test('memory that a kernel forgot, and gave to the next who asked, is not called that one’s mistake', () => {
  const steps = [
    { 'preserve folios': { order: 1, count: 3, as: 'forgotten' } },
    { fault: { at: 'chunk-list.alloc-chunk', nth: 1 } },
    { kexec: {}, expect: 'ENOMEM' },
    { kexec: {} },
    { 'preserve folios': { order: 1, count: 8, as: 'next' } },
    { kexec: {} },
  ];
  const { known } = tryPlan(plan(steps, { release: '6.18' }));
  expect(known).toContain('abort-forgets-all');
});

test('a page in blocks of two orders is named as that, though it has two owners', () => {
  const at = (order: number, as: string) => ({ 'preserve folios': { order, at: '0x50000000', as } });
  const mixed = tryPlan(plan([at(2, 'large'), at(0, 'small'), { kexec: {} }]));
  expect(mixed.known).toContain('overlapping-orders');
  const alike = tryPlan(plan([at(2, 'one'), at(2, 'other'), { write: { to: 'one' } }, { kexec: {} }]));
  expect(alike.known).toEqual(['no-owner-check']);
});
