import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FAULT_SITES } from '../../../kernel/fault-sites.ts';
import { NAMED_QUIRKS } from '../../../kernel/quirks.ts';
import { RELEASES } from '../../../kernel/release.ts';
import { fuzz } from '../../../scenarios/fuzz/campaign.ts';
import { featuresOf } from '../../../scenarios/fuzz/features.ts';
import { fuzzDocument } from '../../../scenarios/fuzz/fuzz-document.ts';
import { type FuzzPlan, fieldOf, stepOf } from '../../../scenarios/fuzz/plan.ts';
import { fuzzPlan } from '../../../scenarios/fuzz/random-plan.ts';
import { planAt, shrinkSeed } from '../../../scenarios/fuzz/shrink.ts';
import { tryPlan, trySeed } from '../../../scenarios/fuzz/try-plan.ts';
import { packageRoot } from '../../../scenarios/package-root.ts';
import { CORRUPT_TARGETS } from '../../../scenarios/run/schema.ts';
import { STALE_MEMORY } from '../../../scenarios/run/stale.ts';

const CAMPAIGN = { jobs: 1, find: [], seconds: () => 0, isOver: () => false, onProgress: () => {} };

test('random scenarios show nothing but known bugs', async () => {
  const document = await fuzz({ ...CAMPAIGN, firstSeed: 200, runs: 9 });
  expect(document.violation).toBeNull();
  expect(document.runs).toBe(9);
  expect(document.good).toBeGreaterThan(3);
  expect(document.secondPhases).toBeGreaterThan(3);
});

test('the same seed is the same scenario, and ends the same way', () => {
  expect(fuzzPlan(7)).toEqual(fuzzPlan(7));
  expect(trySeed(7)).toEqual(trySeed(7));
  expect(fuzzPlan(7)).not.toEqual(fuzzPlan(8));
});

const BAD: FuzzPlan = {
  name: 'a client preserves scratch, among much else',
  seed: 1,
  machine: { pageSize: '4K', memory: '512M' },
  kernel: { release: '7.3', cmdline: 'kho=on kho_scratch=32M,32M,32M', config: { KEXEC_HANDOVER_DEBUG: false } },
  steps: [
    { 'preserve folios': { order: 2, count: 9, as: 'a' } },
    { 'preserve folios': { order: 1, at: 'scratch', as: 'inside' } },
    { 'add subtree': { name: 'c', size: 10 } },
    { kexec: {} },
    { kexec: {} },
  ],
};

test('a bug explains the pages that it spoilt, and no others', () => {
  expect(tryPlan(BAD)).toMatchObject({ kind: 'known', known: ['inside-scratch'] });
  // What nobody says they wrote: at an address, and to no object.
  const there = { 'preserve folios': { order: 1, at: '0x58000000', as: 'there' } };
  const steps = [there, ...BAD.steps.slice(0, 4), { damage: { at: '0x58000010' } }, { kexec: {} }];
  expect(tryPlan({ ...BAD, steps })).toMatchObject({ kind: 'violation', what: expect.stringContaining('there,') });
});

test('a subtree in pages that were freed while preserved goes with them when they are unpreserved', () => {
  const plan: FuzzPlan = {
    name: 'a blob in the place of freed pages',
    seed: 1,
    machine: { pageSize: '64K', memory: '4G' },
    kernel: { release: '7.3', cmdline: 'kho=on kho_scratch=512M,512M,512M' },
    steps: [
      { 'preserve pages': { count: 201, as: 'range' } },
      { free: 'range' },
      { 'add subtree': { name: 'blob', size: 1 } },
      { unpreserve: 'range' },
      { kexec: {} },
    ],
  };
  expect(tryPlan(plan)).toMatchObject({ kind: 'known', known: ['freed-while-preserved'] });
  const steps = plan.steps.filter((step) => !('free' in step));
  expect(tryPlan({ ...plan, steps })).toMatchObject({ known: [], verdict: 'intact' });
});

test('6.18 says that an area is preserved whose chunk is not, because it lies in scratch', () => {
  const plan: FuzzPlan = {
    name: 'an area in a kernel whose scratch is not CMA',
    seed: 1,
    machine: { pageSize: '4K', memory: '512M' },
    kernel: {
      release: '7.0',
      cmdline: 'kho=on kho_scratch=32M,32M,32M',
      config: { DEFERRED_STRUCT_PAGE_INIT: true },
    },
    steps: [{ 'preserve vmalloc': { size: 4190209, as: 'area' } }, { kexec: { release: '6.18' } }, { kexec: {} }],
  };
  expect(tryPlan(plan)).toMatchObject({ kind: 'known', known: ['vmalloc-forgets-error'] });
});

test('whoever writes where an object was, two kernels ago, may hit the map: anything may follow', () => {
  const plan: FuzzPlan = {
    name: 'a write into a page of the tree',
    seed: 1,
    machine: { pageSize: '4K', memory: '512M' },
    kernel: { release: '7.3', cmdline: 'kho=on kho_scratch=32M,32M,32M' },
    steps: [
      { alloc: { order: 0, count: 1, as: 'spare' } },
      { 'preserve pages': { count: 42, as: 'range' } },
      { kexec: {} },
      { 'preserve vmalloc': { size: 1, as: 'area' } },
      { kexec: {} },
      { preserve: 'range' },
      { damage: { to: 'spare', offset: 0 } },
      { kexec: {} },
    ],
  };
  expect(tryPlan(plan)).toMatchObject({ kind: 'known', known: [], verdict: 'crashed' });
});

test('an area that is taken back again is read from free memory', () => {
  const plan: FuzzPlan = {
    name: 'twice',
    seed: 1,
    machine: { pageSize: '16K', memory: '1G' },
    kernel: { release: '7.3', cmdline: 'kho=on liveupdate=on kho_scratch=32M,32M,32M test_kho.max_mem=1048576' },
    steps: [
      { kexec: { release: '7.2' } },
      { 'preserve pages': { count: 1, as: 'pages-1' } },
      { 'preserve vmalloc': { size: 1, as: 'area-2' } },
      { 'preserve vmalloc': { size: 1, as: 'area-3' } },
      { kexec: {} },
      { restore: 'area-2' },
    ],
  };
  expect(tryPlan(plan)).toMatchObject({ known: ['blob-outlives-its-memory'], verdict: 'crashed' });
  expect(tryPlan({ ...plan, steps: plan.steps.slice(0, -1) })).toMatchObject({ known: [], verdict: 'intact' });
});

test('bitmaps in scratch that is not CMA are overwritten, and the next kernel takes other pages', () => {
  const plan: FuzzPlan = {
    name: 'bitmaps in scratch',
    seed: 1,
    machine: { pageSize: '4K', memory: '512M' },
    kernel: {
      release: '6.17.9',
      cmdline: 'kho=on liveupdate=on kho_scratch=32M,0,8M test_kho.max_mem=1048576',
      config: { DEFERRED_STRUCT_PAGE_INIT: true },
    },
    steps: [
      { 'preserve folios': { order: 0, count: 20000, every: '8K', as: 'many' } },
      { kexec: { release: '6.17.8' } },
      { kexec: { config: { KEXEC_HANDOVER_DEBUG: false } } },
    ],
  };
  const { kind, known } = tryPlan(plan);
  expect([kind, known.includes('scratch-not-cma')]).toEqual(['known', true]);
});

test('the node of LUO that 6.19 leaves half made is what the next kernel panics over', () => {
  const plan: FuzzPlan = {
    name: 'half a node',
    seed: 1,
    machine: { pageSize: '4K', memory: '512M' },
    kernel: { release: '7.3', cmdline: 'kho=on liveupdate=on kho_scratch=32M,32M,32M' },
    steps: [
      { kexec: { release: '6.19' } },
      { fault: { at: 'kho.add-subtree', nth: 1, next: true } },
      { kexec: {} },
      { kexec: {} },
    ],
  };
  expect(tryPlan(plan)).toMatchObject({ known: ['half-made-node'], verdict: 'crashed' });
});

test('who asks for pages that a session handed over takes them from it', () => {
  const plan: FuzzPlan = {
    name: 'a stranger restores first',
    seed: 1,
    machine: { pageSize: '64K', memory: '4G' },
    kernel: {
      release: '7.3',
      cmdline: 'kho=on liveupdate=on reserve_mem=2M:64K:ring kho_scratch=512M,512M,512M test_kho.max_mem=1048576',
    },
    steps: [
      { 'preserve folios': { order: 1, count: 2, as: 'folios-1' } },
      { unpreserve: 'folios-1' },
      { kexec: { release: '7.2' } },
      { session: { name: 'session-2', files: [{ token: 1, memfd: 2218, folioSize: 262144, fill: 'zero' }] } },
      { kexec: {} },
      { restore: 'folios-1' },
      { retrieve: 'session-2' },
    ],
  };
  expect(tryPlan(plan)).toMatchObject({ known: ['no-owner-check'], verdict: 'damaged' });
  const honest = plan.steps.filter((step) => !('restore' in step));
  expect(tryPlan({ ...plan, steps: honest })).toMatchObject({ known: [], verdict: 'intact' });
});

test('an area that two kernels did not want is not damaged when the third asks for it', () => {
  const plan: FuzzPlan = {
    name: 'too late',
    seed: 1,
    machine: { pageSize: '16K', memory: '1G' },
    kernel: { release: '7.3', cmdline: 'kho=on kho_scratch=32M,32M,32M' },
    steps: [
      { 'preserve vmalloc': { size: 1376260, as: 'area', huge: true } },
      { kexec: { restore: 'none' } },
      { kexec: { restore: 'none' } },
      { restore: 'area' },
    ],
  };
  expect(tryPlan(plan)).toMatchObject({ known: [] });
  expect(tryPlan(plan).kind).not.toBe('violation');
});

/** A handover from one release to another, with pages of order 0 all over memory. */
function between(from: string, to: string, pageSize = '4K'): FuzzPlan {
  return {
    name: `${from} to ${to}`,
    seed: 1,
    machine: { pageSize, memory: '1G' },
    kernel: { release: from, cmdline: 'kho=on liveupdate=on kho_scratch=32M,32M,32M' },
    steps: [
      { 'preserve folios': { order: 0, count: 300, scatter: true, as: 'all-over' } },
      { 'preserve folios': { order: 3, count: 10, as: 'few' } },
      { kexec: { release: to } },
    ],
  };
}

test.each([
  ['6.17.8', '6.17.9', '4K', ['bitmap-size-read-large'], 'crashed'],
  ['6.17.9', '6.17.8', '4K', ['bitmap-size-read-small'], 'corrupt'],
  ['6.17.9', '6.18', '4K', [], 'intact'],
  ['6.19', '7.0', '4K', ['no-flb-node'], 'crashed'],
  ['7.0', '6.19', '4K', [], 'intact'],
  ['7.1-rc5', '7.1', '4K', [], 'intact'],
  ['7.1-rc5', '7.1', '16K', ['missing-level'], 'crashed'],
  ['7.1', '7.2', '4K', [], 'refused'],
  ['7.2', '7.3', '4K', [], 'intact'],
])('from %s to %s with pages of %s it is as the contracts say', (from, to, pageSize, known, verdict) => {
  expect(tryPlan(between(from, to, pageSize))).toMatchObject({ known, verdict });
});

test('a map that was never written is refused from 6.19 on, and taken for an empty one before', () => {
  const never = (to: string) => {
    const plan = between('7.0', to);
    const kernel = { ...plan.kernel, cmdline: 'kho=on kho_scratch=32M,32M,32M' };
    return { ...plan, kernel, steps: [...plan.steps.slice(0, 2), { kexec: { release: to, finalize: false } }] };
  };
  expect(tryPlan(never('6.19'))).toMatchObject({ kind: 'good', verdict: 'refused' });
  expect(tryPlan(never('6.18'))).toMatchObject({ known: ['map-unchecked'] });
});

test('what is looked for is shrunk to the steps that matter, and the path leads there again', () => {
  const isInside = (plan: FuzzPlan) => plan.steps.some((step) => fieldOf(stepOf(step).spec, 'at') === 'scratch');
  const seed = Array.from({ length: 400 }, (_, i) => i).find((each) => isInside(fuzzPlan(each)));
  expect(seed).toBeDefined();
  const { path, plan } = shrinkSeed(seed ?? 0, isInside);
  expect(plan.steps).toEqual([{ 'preserve folios': { order: 0, at: 'scratch', as: 'inside-1' } }]);
  expect(planAt(seed ?? 0, path)).toEqual(plan);
});

test('shrinking gives up after so many candidates, but not while more than twelve steps are left', () => {
  const triesFor = (nrSteps: number) => {
    const seed = Array.from({ length: 400 }, (_, i) => 200 + i).find(
      (each) => fuzzPlan(each).steps.length > nrSteps + 3,
    );
    return shrinkSeed(seed ?? 0, ({ steps }) => steps.length >= nrSteps).tries;
  };
  expect(triesFor(11)).toBe(250);
  expect(triesFor(13)).toBeGreaterThan(250);
});

test('the document that lists the known bugs is that of the code (write it with npm run docs)', () => {
  expect(readFileSync(join(packageRoot(), 'docs/fuzz.md'), 'utf8')).toBe(fuzzDocument());
});

/** All that a campaign has to come by. */
const DRAWN = [
  'pages of 4K',
  'pages of 16K',
  'pages of 64K',
  'arch x86_64',
  'banks',
  'several nodes',
  'a node without memory',
  'scratch: three sizes',
  'scratch: a percentage',
  'scratch: an area of size 0',
  'scratch: too small for a kernel',
  'scratch: too small for memblock',
  ...RELEASES.flatMap(({ name }) => [`first: ${name}`, `jump to: ${name}`]),
  ...NAMED_QUIRKS.flatMap(({ name }) => [`first: ${name}`, `jump to: ${name}`]),
  ...['1 jump', '2 jumps', '3 jumps', '4 jumps'],
  'KEXEC_HANDOVER_DEBUG=false',
  'DEFERRED_STRUCT_PAGE_INIT=true',
  'NUMA=false',
  'MAX_PAGE_ORDER=8',
  'TEST_KEXEC_HANDOVER=true',
  'LIVEUPDATE_TEST=true',
  'session with memfds',
  'session without files',
  'serialization blocks',
  'retrieve',
  'finish',
  'renew',
  'reserve_mem',
  'vmalloc',
  'vmalloc of large blocks',
  'add subtree',
  'remove subtree',
  ...FAULT_SITES.map(({ site }) => `fault: ${site}`),
  ...CORRUPT_TARGETS.map((what) => `corrupt: ${what}`),
  ...STALE_MEMORY.map(({ what }) => `stale: ${what}`),
  'corrupt: a write that is lost',
  'damage',
  'preserve twice',
  'unpreserve twice',
  'restore twice',
  'restore what was not handed over',
  'free while preserved',
  'the same page with two orders',
  'inside scratch',
  'across nodes',
  'never finalised',
  'nobody restores',
  'first: kho=off',
  'jump to: kho=off',
  'second phase',
];

/** What bugs need that are seen in no other way: so often that ten minutes show them many times. */
const DRAWN_OFTEN = [
  'a block of 2 GiB',
  'across nodes',
  'more large blocks than a chunk names',
  'more regions than memblock has room for',
];

test('two thousand scenarios draw everything that there is to draw', () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= 2000; seed++) {
    for (const feature of featuresOf(fuzzPlan(seed))) seen.set(feature, (seen.get(feature) ?? 0) + 1);
  }
  expect(DRAWN.filter((feature) => !seen.has(feature))).toEqual([]);
  expect(DRAWN_OFTEN.filter((feature) => (seen.get(feature) ?? 0) < 5)).toEqual([]);
});
