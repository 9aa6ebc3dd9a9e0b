import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { packageRoot } from '../../../scenarios/package-root.ts';
import { libraryNames, libraryScenario } from '../../../scenarios/run/library.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

/** The scenarios that the table of docs/kernel-bugs.md names. */
function namedScenarios(): string[] {
  const text = readFileSync(`${packageRoot()}/docs/kernel-bugs.md`, 'utf8');
  const cells = text.split('\n').flatMap((line) => (line.startsWith('| ') ? (line.split(' | ')[1] ?? '') : []));
  return cells.flatMap((cell) => [...cell.matchAll(/`([a-z0-9-]+)`/g)].map((match) => match[1] ?? ''));
}

test('every bug of the table is a scenario of the library', () => {
  const names = namedScenarios();
  expect(names.length).toBeGreaterThan(18);
  expect(names.filter((name) => !libraryNames().includes(name))).toEqual([]);
});

/** What a run says of its first page size, as a reader sees it. */
function said(name: string): string {
  const scenario = libraryScenario(name);
  const [page] = scenario.pageSizes;
  if (page === undefined) throw new Error('a scenario has a page size');
  const run = runScenario(scenario, { page });
  const objects = run.objects
    .filter((object) => object.state !== 'intact')
    .map((o) => `${o.name}: ${o.state} ${o.detail}`);
  const checks = run.checks.filter((check) => /phantom|contents/.test(check.name) && check.detail !== 'none');
  return [run.reason ?? '', ...objects, ...checks.map((check) => `${check.detail} ${check.firstBadEvent ?? ''}`)].join(
    '\n',
  );
}

test.each([
  ['array-overlap', /both region arrays lie in the same RAM: ARRAY_OVERLAP memarray=0x\w+ rsvarray=0x\w+/],
  ['misaligned-node', /cache: damaged 20 pages .*0x60100000(?:.|\n)*set aside, and preserved by nobody: kernel 2/],
  ['shared-node', /20 pages \(80 KiB\): 0x68000000-0x68000fff/],
  ['fan-out', /768 pages .*0x400000000-0x400000fff/],
  ['node-points-to-itself', /no struct page for pfn 0x/],
  ['wide-key', /no struct page for pfn 0x/],
  ['block-larger-than-ram', /kho_init failed after a handover/],
  ['order-31-from-zero', /vast: damaged 2048 pages \(8 MiB\): 0x80000000000-0x800007fffff/],
  ['reserve-mem-in-scratch', /trace: damaged 512 pages(?:.|\n)*written by the owner of log, kernel 3/],
])('%s says what was lost and why', (name, pattern) => {
  expect(said(name)).toMatch(pattern);
});
