import { join } from 'node:path';
import { PAGE_4K } from '../../machine/index.ts';
import { packageRoot } from '../package-root.ts';
import { loadScenario } from '../run/load.ts';
import { runScenario } from '../run/runner.ts';
import type { Clock } from './clock.ts';
import type { BenchTable } from './table.ts';

/** A whole handover of a machine of 1 TiB with a million scattered pages, contents checked; once, since it takes long. */
export function benchTerabyte(clock: Clock): BenchTable {
  const scenario = loadScenario(join(packageRoot(), 'scenarios', 'bench', 'terabyte.yaml'));
  const startCpu = clock.cpuMs();
  const start = clock.wallMs();
  const run = runScenario(scenario, { page: PAGE_4K });
  const seconds = (clock.wallMs() - start) / 1000;
  const cpuSeconds = (clock.cpuMs() - startCpu) / 1000;
  const mebibytes = process.resourceUsage().maxRSS / 1024;
  return {
    title: 'a handover of 1 TiB at 4K with 1e6 scattered pages: boot, preserve, kexec, boot, restore, check',
    columns: ['verdict', 'pages restored', 'processor seconds', '(wall)', 'MiB of process memory'],
    rows: [
      [run.verdict, `${run.restored.pages}`, cpuSeconds.toFixed(1), `(${seconds.toFixed(1)})`, mebibytes.toFixed(0)],
    ],
  };
}
