import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { NAMED_QUIRKS, withQuirks } from '../../../kernel/quirks.ts';
import { knownRelease, releaseByName } from '../../../kernel/release.ts';
import { PAGE_4K, pageSizeByName } from '../../../machine/index.ts';
import { regressionsDocument } from '../../../scenarios/regressions/document.ts';
import { type BuggyKernel, type Regression, regressionText } from '../../../scenarios/regressions/regression.ts';
import { NOT_SHOWN, REGRESSIONS } from '../../../scenarios/regressions/rows.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

const FILE = new URL('../../../docs/regressions.md', import.meta.url);

/** What failed when the scenario ran on a kernel. */
function failures(regression: Regression, kernel: BuggyKernel): string[] {
  const page = pageSizeByName(regression.pageSize);
  if (page === undefined) throw new Error(`no page size ${regression.pageSize}`);
  const { checks } = runScenario(parseScenario(regressionText(regression, kernel), 'regression.yaml'), { page });
  return checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
}

describe('bugs fixed after merge', () => {
  test.each(REGRESSIONS.map((each) => [each.row, each.what, each] as const))('#%i: %s', (_row, _what, regression) => {
    const { bad, good, fails } = regression;
    expect(failures(regression, bad).join('\n'), `${bad.release} has the bug`).toContain(fails);
    expect(failures(regression, good), `${good.release} has the fix`).toEqual([]);
  });
});

test('every row of the list is a scenario, or says why not', () => {
  const rows = [...REGRESSIONS, ...NOT_SHOWN].map(({ row }) => row).sort((a, b) => a - b);
  expect(rows).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
});

test('the document is what the rows say today', () => {
  expect(readFileSync(FILE, 'utf8'), 'run `npm run docs` and look at what changed').toBe(regressionsDocument());
});

test('every named quirk changes some release, and a row needs it', () => {
  for (const { name, row, sets } of NAMED_QUIRKS) {
    const users = REGRESSIONS.filter(({ bad }) => bad.quirks?.includes(name));
    expect(
      users.map((user) => user.row),
      name,
    ).toContain(row);
    for (const { good } of users) expect(releaseByName(good.release)?.quirks, name).not.toMatchObject(sets);
  }
});

describe('quirks of a scenario', () => {
  const releases = (steps: string) => {
    const text = `name: x
machine: { memory: 512M }
kernel: { release: "7.1", quirks: [unpreserve-ignores-nodes], cmdline: "kho=on kho_scratch=32M,32M,32M" }
steps: [${steps}]`;
    return runScenario(parseScenario(text, 'x'), { page: PAGE_4K }).kernels.map((kernel) => kernel.release);
  };

  test('the next kernel keeps them when it is the same, and results name them', () => {
    const old = '7.1 with unpreserve-ignores-nodes';
    expect(releases('kexec, kexec: { release: "7.2" }, kexec')).toEqual([old, old, '7.2', '7.2']);
    expect(releases('kexec: { quirks: [] }')).toEqual([old, '7.1']);
  });

  test('a derived release is made once, and is the release itself without quirks', () => {
    const release = knownRelease('7.1');
    expect(withQuirks(release, [])).toBe(release);
    expect(withQuirks(release, ['unpreserve-ignores-nodes'])).toBe(withQuirks(release, ['unpreserve-ignores-nodes']));
    expect(releaseByName('7.1 with unpreserve-ignores-nodes')).toBe(release);
    expect(() => withQuirks(release, ['nothing'])).toThrow(RangeError);
  });
});
