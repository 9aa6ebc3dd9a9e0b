import { expect, test } from 'vitest';
import type { FuzzPlan, PlanStep } from '../../../scenarios/fuzz/plan.ts';
import { fuzzPlan } from '../../../scenarios/fuzz/random-plan.ts';
import { tryPlan } from '../../../scenarios/fuzz/try-plan.ts';

/*
 * Lost writes in random scenarios: each explains what it does, and nothing else.
 */

function planOf(release: string, steps: readonly PlanStep[]): FuzzPlan {
  return {
    name: 'a lost write',
    seed: 1,
    machine: { pageSize: '4K', memory: '2G' },
    kernel: { release, cmdline: 'kho=on kho_scratch=32M,32M,32M' },
    steps,
  };
}

const EARLY = { 'preserve folios': { order: 0, count: 3, at: '0x41000000', as: 'early' } };
const LATE = { 'preserve folios': { order: 0, count: 3, at: '0x42000000', as: 'late' } };
const JUMP = { kexec: {} };
const lost = (what: string) => ({ corrupt: { what, stale: true } });
/** A write that nobody knows of: at an address, and to no object. */
const SECRET = { damage: { at: '0x41000010' } };

test.each([
  ['7.3', 'tree-leaf'],
  ['7.0', 'bitmap'],
])('a lost write of %s, %s, is behind what was preserved since, and behind nothing else', (release, what) => {
  const plan = planOf(release, [EARLY, lost(what), LATE, JUMP]);
  expect(tryPlan(plan)).toMatchObject({ kind: 'known', known: [], fields: [`stale: ${what}`] });
  expect(tryPlan(planOf(release, [EARLY, LATE, JUMP]))).toMatchObject({ kind: 'good', verdict: 'intact' });
  // What was preserved before is reserved, so its damage is somebody else's.
  const damaged = planOf(release, [EARLY, lost(what), LATE, SECRET, JUMP]);
  expect(tryPlan(damaged)).toMatchObject({ kind: 'violation', what: expect.stringContaining('early,') });
});

test('a blob that never reached RAM is behind what its client finds, and not behind lost pages', () => {
  const blob = { 'add subtree': { name: 'blob', size: 100 } };
  const stale = { corrupt: { what: 'subtree', name: 'blob', stale: true } };
  expect(tryPlan(planOf('7.3', [EARLY, stale, blob, JUMP]))).toMatchObject({
    kind: 'silent',
    fields: ['stale: subtree'],
  });
  expect(tryPlan(planOf('7.3', [EARLY, stale, blob, SECRET, JUMP])).kind).toBe('violation');
});

test('one seed in ten or so draws one', () => {
  const texts = Array.from({ length: 200 }, (_, i) => JSON.stringify(fuzzPlan(i + 1).steps));
  const nr = texts.filter((text) => text.includes('"stale":true')).length;
  expect(nr).toBeGreaterThan(4);
  expect(nr).toBeLessThan(40);
});
