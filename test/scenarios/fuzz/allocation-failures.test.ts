import { expect, test } from 'vitest';
import { ALLOC_PAGES_SITE, ALLOC_PRESERVE_SITE, FAULT_SITES, VMALLOC_CHUNK_SITE } from '../../../kernel/fault-sites.ts';
import { PAGE_4K } from '../../../machine/page-size.ts';
import { callsOf, runWithFailure } from '../../../scenarios/fuzz/allocation-failures.ts';
import { libraryScenario } from '../../../scenarios/run/library.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

const CLIENTS = `
name: everything that allocates
machine: { pageSize: 4K, memory: 512M }
kernel: { release: "RELEASE", cmdline: "kho=on kho_scratch=32M,32M,32M" }
steps:
  - preserve folios: { order: 2, count: 3, as: folios }
  - preserve pages: { count: 5, as: pages }
  - add subtree: { name: config, size: 100 }
  - preserve vmalloc: { size: 20K, as: table }
  - kexec
  - kexec
`;

test.each(['7.0', '7.3'])('each allocation of a first kernel of %s fails once, and nothing is half made', (release) => {
  const scenario = parseScenario(CLIENTS.replace('RELEASE', release), 'clients.yaml');
  const clean = runScenario(scenario, { page: PAGE_4K });
  expect(clean.ok).toBe(true);
  const calls = callsOf(
    scenario,
    PAGE_4K,
    FAULT_SITES.map(({ site }) => site),
  ).filter(({ site, kernel }) => kernel < 3 && (site !== ALLOC_PAGES_SITE || kernel === 1));
  expect(calls.length).toBeGreaterThan(20);
  const failed = calls.map((call) => runWithFailure(scenario, PAGE_4K, call, clean));
  expect(failed.filter(({ wrong }) => wrong.length > 0).map(({ call, wrong }) => ({ call, wrong }))).toEqual([]);
  const failing = failed.filter(({ changedSteps }) => changedSteps.some((step) => step.endsWith('ENOMEM')));
  expect(failing.map(({ call }) => call.site)).toEqual(
    expect.arrayContaining([ALLOC_PRESERVE_SITE, VMALLOC_CHUNK_SITE]),
  );
});

test('a kernel that cannot set up KHO after a handover frees scratch a second time', () => {
  const scenario = libraryScenario('allocation-failure');
  const clean = runScenario(scenario, { page: PAGE_4K });
  const { result } = runWithFailure(scenario, PAGE_4K, { site: 'kho.alloc-fdt', kernel: 2, nth: 1 }, clean);
  expect(result).toMatchObject({ outcome: 'panic' });
});
