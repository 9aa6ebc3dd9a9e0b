import { describe, expect, test } from 'vitest';
import { pageSizeByName } from '../../../machine/index.ts';
import { NOT_SHOWN, REGRESSIONS, type Regression } from '../../../scenarios/regressions/rows.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

function passes({ what, scenario, pageSize }: Regression, release: string): boolean {
  const page = pageSizeByName(pageSize);
  if (page === undefined) throw new Error(`no page size ${pageSize}`);
  const text = `name: ${JSON.stringify(what)}\n${scenario.replace('RELEASE', release)}\n`;
  return runScenario(parseScenario(text, 'regression.yaml'), { page }).ok;
}

describe('bugs fixed after merge', () => {
  test.each(REGRESSIONS.map((each) => [each.row, each.what, each] as const))('#%i: %s', (_row, _what, regression) => {
    expect(passes(regression, regression.bad), `${regression.bad} has the bug`).toBe(false);
    expect(passes(regression, regression.good), `${regression.good} has the fix`).toBe(true);
  });
});

test('every row of the list is a scenario, or says why not', () => {
  const shown = REGRESSIONS.map(({ row }) => row);
  const rows = [...shown, ...Object.keys(NOT_SHOWN).map(Number)].sort((a, b) => a - b);
  expect(rows).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
});
