import { expect, test } from 'vitest';
import { LATEST_RELEASE } from '../../../kernel/release.ts';
import { setOfRelease } from '../../../scenarios/abi/abi-set.ts';
import { judge } from '../../../scenarios/abi/verdict.ts';
import { bumped, harmlessMutationsOf, mutationsOf } from './mutations.ts';

const base = { set: setOfRelease(LATEST_RELEASE), release: LATEST_RELEASE };
const judged = (set: typeof base.set) => judge(base, { set, release: LATEST_RELEASE });

const mutations = mutationsOf(base.set);

test('there are more than 300 single changes to the contracts of 7.3', () => {
  expect(mutations.length).toBeGreaterThan(300);
  expect(new Set(mutations.map((mutation) => mutation.what)).size).toBe(mutations.length);
});

test('each of them, under the same string, is breaking-without-bump', () => {
  const missed = mutations.filter((mutation) => judged(mutation.set).verdict !== 'breaking-without-bump');
  expect(missed.map((mutation) => mutation.what)).toEqual([]);
});

test('with a bump of the string that covers it, none is', () => {
  const flagged = mutations.filter((mutation) => judged(bumped(mutation.set, mutation.owner)).verdict !== 'breaking');
  expect(flagged.map((mutation) => mutation.what)).toEqual([]);
});

test('a bump of another string does not help', () => {
  const sample = mutations.filter((_, index) => index % 7 === 0);
  const silent = sample.filter((mutation) => {
    const other = mutation.owner === 'root' ? 'memfd' : 'root';
    return judged(bumped(mutation.set, other)).verdict !== 'breaking-without-bump';
  });
  expect(silent.map((mutation) => mutation.what)).toEqual([]);
});

test('changes that reach no byte are compatible', () => {
  const harmless = harmlessMutationsOf(base.set);
  expect(harmless.length).toBeGreaterThan(100);
  const flagged = harmless.filter((mutation) => judged(mutation.set).verdict !== 'compatible');
  expect(flagged.map((mutation) => mutation.what)).toEqual([]);
});
