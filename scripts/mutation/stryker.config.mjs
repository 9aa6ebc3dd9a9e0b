import { fileURLToPath } from 'node:url';
import { chosenModule } from './modules.mjs';

const { name, mutate } = chosenModule();

export default {
  mutate,
  testRunner: 'in-process',
  plugins: [fileURLToPath(new URL('./in-process-runner.mjs', import.meta.url))],
  coverageAnalysis: 'perTest',
  ignoreStatic: true,
  // What stands in words of messages is no behaviour of a kernel; names of properties and log lines are pinned by tests.
  mutator: { excludedMutations: ['StringLiteral'] },
  concurrency: Number(process.env.KHOSIM_MUTATION_JOBS ?? 1),
  // Endless loops are found by CPU time, in the runner; this is only the last resort.
  timeoutMS: 3_600_000,
  dryRunTimeoutMinutes: 60,
  incremental: true,
  incrementalFile: `reports/mutation/${name}-incremental.json`,
  ignorePatterns: ['dist', 'docs', 'reports', 'coverage'],
  tempDirName: '.stryker-tmp',
  // Types were checked before; no TypeScript plugin, and nothing to rewrite.
  tsconfigFile: 'none',
  disableTypeChecks: false,
  reporters: ['json', 'progress-append-only'],
  jsonReporter: { fileName: `reports/mutation/${name}.json` },
};
