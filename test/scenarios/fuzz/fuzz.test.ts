import { expect, test } from 'vitest';
import { fuzz } from '../../../scenarios/fuzz/campaign.ts';
import { type FuzzPlan, fuzzPlan } from '../../../scenarios/fuzz/generate.ts';
import { sameAs, shrink } from '../../../scenarios/fuzz/shrink.ts';
import { tryPlan, trySeed } from '../../../scenarios/fuzz/try-plan.ts';

test('random scenarios show nothing but known bugs', async () => {
  const document = await fuzz({ firstSeed: 1, runs: 30, jobs: 1, isOver: () => false, onProgress: () => {} });
  expect(document.violation).toBeNull();
  expect(document.runs).toBe(30);
  expect(document.good).toBeGreaterThan(10);
  expect(Object.keys(document.knownBugs).length).toBeGreaterThan(2);
});

test('the same seed is the same scenario, and ends the same way', () => {
  expect(fuzzPlan(7)).toEqual(fuzzPlan(7));
  expect(trySeed(7)).toEqual(trySeed(7));
  expect(fuzzPlan(7)).not.toEqual(fuzzPlan(8));
});

const BAD: FuzzPlan = {
  name: 'a client preserves scratch, among much else',
  seed: 1,
  machine: { pageSize: '4K', memory: '4G' },
  kernel: { release: '7.3', cmdline: 'kho=on kho_scratch=32M,32M,32M', config: { KEXEC_HANDOVER_DEBUG: false } },
  steps: [
    { 'preserve folios': { order: 2, count: 9, as: 'a' } },
    { 'preserve pages': { count: 100, as: 'b' } },
    { 'preserve folios': { order: 1, at: 'scratch', as: 'inside' } },
    { 'add subtree': { name: 'c', size: 10 } },
    { kexec: {} },
    { kexec: {} },
  ],
};

test('a scenario that goes wrong is shrunk to the steps that matter', () => {
  const trial = tryPlan(BAD);
  expect(trial).toMatchObject({ kind: 'known', known: ['inside-scratch'] });
  const same = sameAs(trial);
  const small = shrink(BAD, (plan) => same(tryPlan(plan)));
  expect(small.steps).toEqual([{ 'preserve folios': { order: 0, at: 'scratch', as: 'inside' } }, { kexec: {} }]);
});

test('what no known bug explains is a violation, and so is an exception', () => {
  const damage = { damage: { to: 'a' } };
  const steps = [...BAD.steps.slice(0, 1), { kexec: {} }, damage, { kexec: {} }];
  expect(tryPlan({ ...BAD, steps }).kind).toBe('violation');
});
