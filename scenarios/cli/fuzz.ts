import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type FuzzDocument, fuzz } from '../fuzz/campaign.ts';
import { KNOWN_BUGS } from '../fuzz/known-bugs.ts';
import { InputError } from '../input-error.ts';
import type { CommandContext, CommandRun } from './command.ts';
import { EXIT_FAILED, EXIT_OK } from './options.ts';
import { progressBar } from './progress.ts';

/** Scenarios when neither --runs nor --for says. */
const DEFAULT_RUNS = 100;

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** `khosim fuzz`: random scenarios with faults, until one shows what no known bug explains. */
export const fuzzCommand: CommandRun = async (_args, options, context) => {
  const time = options.text('for');
  const runs = options.wholeNumber('runs', 1, 1e9);
  if (time !== undefined && runs !== undefined) {
    throw new InputError({ message: '--runs and --for exclude each other', hint: 'one of them bounds the search' });
  }
  const milliseconds = time === undefined ? undefined : parseTime(time);
  const started = performance.now();
  const elapsed = () => performance.now() - started;
  const total = milliseconds === undefined ? (runs ?? DEFAULT_RUNS) : Math.ceil(milliseconds / 1000);
  const progress = progressBar(context, total);
  const document = await fuzz({
    firstSeed: context.seed ?? 1,
    runs: milliseconds === undefined ? (runs ?? DEFAULT_RUNS) : undefined,
    jobs: options.wholeNumber('jobs', 1, 256) ?? availableParallelism(),
    isOver: () => milliseconds !== undefined && elapsed() >= milliseconds,
    onProgress: (done) => progress.update(milliseconds === undefined ? done : Math.floor(elapsed() / 1000)),
  });
  progress.stop();
  print(document, context);
  return document.violation === null ? EXIT_OK : EXIT_FAILED;
};

/** `60s`, `10m`, `1h` in milliseconds. @throws InputError */
function parseTime(text: string): number {
  const match = /^(\d{1,6})([smh]?)$/.exec(text);
  const amount = Number(match?.[1] ?? 0);
  if (amount > 0) return amount * (UNITS[match?.[2] || 's'] ?? 1) * 1000;
  throw new InputError({ message: `--for: '${text}' is not a time`, hint: '60s, 10m or 1h' });
}

function print(document: FuzzDocument, context: CommandContext): void {
  const { violation } = document;
  const file = violation === null ? undefined : `fuzz-${violation.seed}.yaml`;
  if (violation !== null && file !== undefined) writeFileSync(file, violation.scenario);
  if (context.json) {
    context.printJson(document);
    return;
  }
  if (context.quiet) return;
  const lines = [
    `${document.runs} random scenarios from seed ${document.firstSeed}: ${document.good} good, ` +
      `${document.skipped} that cannot be`,
  ];
  for (const { name, what } of KNOWN_BUGS) {
    const times = document.knownBugs[name];
    if (times !== undefined) lines.push(`  known bug ${name}, in ${times}`, `    ${what}`);
  }
  if (violation === null) lines.push('nothing that is not a known bug of these kernels');
  else {
    lines.push(
      `seed ${violation.seed} shows something new: ${violation.what}`,
      `the smallest scenario that still does, ${violation.steps} steps:`,
      '',
      ...violation.scenario
        .trimEnd()
        .split('\n')
        .map((line) => `  ${line}`),
      '',
      `again: khosim run ${file}`,
      `       khosim fuzz --seed ${violation.seed} --runs 1`,
    );
  }
  context.terminal.stdout(`${lines.join('\n')}\n`);
}
