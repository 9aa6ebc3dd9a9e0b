import { appendFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { sweepFailures } from '../../../scenarios/fuzz/allocation-failures.ts';
import { libraryNames, libraryScenario } from '../../../scenarios/run/library.ts';
import type { Scenario } from '../../../scenarios/run/load.ts';
import { libraryScenarioOn } from './allocation-failures.ts';

/** KHOSIM_SHARD=I/N does the I-th of N parts of each scenario's calls. */
const [part = 1, parts = 1] = (process.env['KHOSIM_SHARD'] ?? '1/1').split('/').map(Number);

/** A file that gets a line of JSON for each scenario. */
const LOG = process.env['KHOSIM_LOG'];

/** Scenarios of the library that end with a kernel that is dead, or that refuses what comes. */
const WITHOUT_END = [
  'array-overlap',
  'block-larger-than-ram',
  'kho-off',
  'luo-panic',
  'memoryless-node',
  'node-points-to-itself',
  'order-31-overflow',
  'other-page-size',
  'scratch-too-small',
  'stray-bit',
  'wide-key',
  'wild-pointer',
];

/** What the other releases can run: together they reach every site. */
const ELSEWHERE = ['real-kernel', 'vmalloc', 'from-6.18', 'sessions'];
const OTHER_RELEASES = ['6.17.9', '6.18', '6.19', '7.0', '7.1', '7.2'];

function sweep(name: string, scenario: Scenario) {
  const [page] = scenario.pageSizes;
  if (page === undefined) throw new Error(`${name} has no page size`);
  const result = sweepFailures(scenario, page, (index) => index % parts === part - 1);
  if (LOG !== undefined) appendFileSync(LOG, `${JSON.stringify({ name, page: page.name, ...result })}\n`);
  return result;
}

test.each(libraryNames())('each allocation of %s fails once', (name) => {
  const { wrong, endsWithHandover } = sweep(name, libraryScenario(name));
  expect(wrong).toEqual([]);
  expect(endsWithHandover).toBe(!WITHOUT_END.includes(name));
});

test.each(OTHER_RELEASES.flatMap((release) => ELSEWHERE.map((name) => ({ release, name }))))(
  'each allocation of $name fails once on $release',
  ({ release, name }) => {
    const { wrong } = sweep(`${name} on ${release}`, libraryScenarioOn(name, release));
    expect(wrong).toEqual([]);
  },
);
