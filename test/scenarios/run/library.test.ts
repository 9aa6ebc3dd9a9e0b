import { describe, expect, test } from 'vitest';
import { libraryNames, libraryScenario } from '../../../scenarios/run/library.ts';
import type { RunResult } from '../../../scenarios/run/result.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

/** What a run came to, in one line: pinned, so that a change of any kernel's behaviour shows here. */
function summary(run: RunResult): string {
  const bad = (['damaged', 'lost', 'leaked', 'phantom'] as const).flatMap((key) =>
    run[key].pages === 0 ? [] : [`${key} ${run[key].pages}`],
  );
  return [run.outcome, run.verdict, ...bad].join(', ');
}

describe.each(libraryNames())('library scenario %s', (name) => {
  const scenario = libraryScenario(name);

  test('comes out as its file expects at every page size, and the same way twice', () => {
    const lines: string[] = [];
    for (const [i, page] of scenario.pageSizes.entries()) {
      const run = runScenario(scenario, { page });
      expect(run.checks.filter((check) => !check.ok)).toEqual([]);
      expect(run.ok).toBe(true);
      lines.push(`${page.name}: ${summary(run)}`);
      if (i === 0) expect(JSON.stringify(runScenario(scenario, { page }))).toBe(JSON.stringify(run));
    }
    expect(lines.join('\n')).toMatchSnapshot();
  });
});

test('another seed gives another digest', () => {
  const scenario = libraryScenario('stray-write');
  const [page] = scenario.pageSizes;
  if (page === undefined) throw new Error('a scenario has a page size');
  expect(runScenario(scenario, { page, seed: 2 }).digest).not.toBe(runScenario(scenario, { page, seed: 3 }).digest);
});
