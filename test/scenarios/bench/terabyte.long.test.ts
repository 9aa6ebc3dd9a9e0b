import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PAGE_4K } from '../../../machine/index.ts';
import { packageRoot } from '../../../scenarios/package-root.ts';
import { loadScenario } from '../../../scenarios/run/load.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

test('a million pages scattered over 1 TiB come back as they were, within 2 GiB of process memory', () => {
  const scenario = loadScenario(join(packageRoot(), 'scenarios', 'bench', 'terabyte.yaml'));
  const run = runScenario(scenario, { page: PAGE_4K });
  expect(run.checks.filter((check) => !check.ok)).toEqual([]);
  expect(run.restored.pages).toBe(1e6);
  expect(run.digest).not.toBe('');
  // Kilobytes; vitest itself takes some of them.
  expect(process.resourceUsage().maxRSS).toBeLessThan(2 ** 21);
});
