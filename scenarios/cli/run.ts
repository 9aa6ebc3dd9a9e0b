import { join } from 'node:path';
import { InputError } from '../input-error.ts';
import { packageVersion } from '../package-root.ts';
import { viewReport } from '../report/html.ts';
import { formatHuman, pageSizeName } from '../report/human.ts';
import { formatJunit } from '../report/junit.ts';
import { formatKtap } from '../report/ktap.ts';
import { writeOutput } from '../report/write.ts';
import { doJob, doJobs, type Job, type JobOutput } from '../run/jobs.ts';
import { findScenario } from '../run/library.ts';
import { chromeTrace } from '../trace/chrome-trace.ts';
import type { CommandContext, CommandRun } from './command.ts';
import { EXIT_FAILED, EXIT_OK, type OptionValues, parseWholeNumber } from './options.ts';
import { progressBar } from './progress.ts';

/** khosim run: scenarios at their page sizes, in this process or in workers. */
export const runCommand: CommandRun = async (args, options, context) => {
  const format = options.text('format') ?? (context.json ? 'json' : 'human');
  const jobs = jobsOf(args.length === 0 ? ['default'] : args, options, context);
  const outputs = await doAll(jobs, options.wholeNumber('jobs', 1, 256) ?? 1, context);
  const runs = outputs.map((output) => output.result);
  writeRecordings(outputs, options);
  print(outputs, format, context);
  return runs.every((run) => run.ok) ? EXIT_OK : EXIT_FAILED;
};

function jobsOf(names: readonly string[], options: OptionValues, context: CommandContext): Job[] {
  const exportRoot = options.text('export');
  const record = options.text('report') !== undefined || options.text('trace') !== undefined;
  const picture = !context.json && !context.quiet && (options.text('format') ?? 'human') === 'human';
  const wanted = names.flatMap((name) => {
    const scenario = findScenario(name);
    const sizes = options.pageSizes() ?? scenario.pageSizes;
    for (const page of sizes) {
      if (scenario.spec.machine.arch === 'x86_64' && page.shift !== 12) {
        throw new InputError({ message: `--page-size: ${name} is for x86_64, which has pages of 4K only` });
      }
    }
    return sizes.map((page) => ({ scenario: name, id: scenario.id, pageSize: page.sizeBytes }));
  });
  const shard = options.text('shard');
  const mine = shard === undefined ? wanted : shardOf(wanted, shard);
  return mine.map(({ scenario, id, pageSize }) => ({
    scenario,
    pageSize,
    seed: context.seed,
    record,
    picture,
    exportFolder:
      exportRoot === undefined || mine.length === 1
        ? exportRoot
        : join(exportRoot, `${id}-${pageSizeName(pageSize).toLowerCase()}`),
  }));
}

/** The runs of part I of N: every N-th, so that parts take about as long. @throws InputError */
function shardOf<T>(list: readonly T[], text: string): T[] {
  const match = /^(\d+)\/(\d+)$/.exec(text);
  if (match === null) throw new InputError({ message: `--shard: '${text}' is not I/N`, hint: 'e.g. --shard 1/4' });
  const total = parseWholeNumber('--shard', match[2] ?? '', 1, 10_000);
  const index = parseWholeNumber('--shard', match[1] ?? '', 1, total);
  return list.filter((_, i) => i % total === index - 1);
}

/** The report and the trace, where they are asked for. */
function writeRecordings(outputs: readonly JobOutput[], options: OptionValues): void {
  const views = outputs.flatMap((output) => output.view ?? []);
  const report = options.text('report');
  if (report !== undefined) {
    writeOutput(report, viewReport({ schema: 1, kind: 'run', version: packageVersion(), views }));
  }
  const trace = options.text('trace');
  if (trace !== undefined) writeOutput(trace, chromeTrace(views));
}

async function doAll(jobs: readonly Job[], nrWorkers: number, context: CommandContext): Promise<JobOutput[]> {
  const progress = progressBar(context, jobs.length);
  try {
    // A log that is printed as it comes needs the kernels in this process.
    if (nrWorkers > 1 && jobs.length > 1 && context.logSink === undefined) {
      return await doJobs(jobs, nrWorkers, (nr) => progress.update(nr));
    }
    return jobs.map((job, i) => {
      const result = doJob(job, context.logSink);
      progress.update(i + 1);
      return result;
    });
  } finally {
    progress.stop();
  }
}

function print(outputs: readonly JobOutput[], format: string, context: CommandContext): void {
  const runs = outputs.map((output) => output.result);
  if (format === 'json') context.printJson({ runs });
  else if (format === 'ktap') context.terminal.stdout(formatKtap(runs));
  else if (format === 'junit') context.terminal.stdout(formatJunit(runs));
  else if (!context.quiet)
    context.terminal.stdout(formatHuman(runs, new Map(outputs.map((output) => [output.result, output.picture]))));
}
