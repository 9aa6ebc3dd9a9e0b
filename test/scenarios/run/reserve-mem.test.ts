import { expect, test } from 'vitest';
import { PAGE_16K } from '../../../machine/index.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

function threeKernels(release: string, fault: string) {
  const cmdline = 'kho=on reserve_mem=2M:64K:ring kho_scratch=32M,32M,32M';
  const scenario = parseScenario(
    `name: test\nmachine: { memory: 1G }\nkernel: { release: "${release}", cmdline: "${cmdline}" }\nsteps:\n${fault}  - kexec\n  - kexec\n`,
    'test.yaml',
  );
  return runScenario(scenario, { page: PAGE_16K });
}

test.each(['6.16', '6.18', '7.3'])('%s: a region goes from kernel to kernel', (release) => {
  const run = threeKernels(release, '');
  expect(run.verdict).toBe('intact');
  expect(run.kernels.map((kernel) => kernel.revivedReserveMem)).toEqual([[], ['ring'], ['ring']]);
});

test.each(['6.16', '6.17.9', '6.18'])(
  '%s: without memory for the FDT of the regions they are handed on no further, and the kernel says so to nobody',
  (release) => {
    const run = threeKernels(release, '  - fault: { at: mm.alloc-pages, nth: 2, next: true }\n');
    expect(run.kernels.map((kernel) => kernel.revivedReserveMem)).toEqual([[], ['ring'], []]);
    expect([run.kernels[2]?.outcome, run.verdict, run.damaged.pages]).toEqual(['handover', 'intact', 0]);
  },
);
