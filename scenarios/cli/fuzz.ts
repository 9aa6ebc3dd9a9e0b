import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type FuzzDocument, fuzz } from '../fuzz/campaign.ts';
import { KNOWN_BUGS } from '../fuzz/known-bugs.ts';
import { planText } from '../fuzz/plan.ts';
import { type FuzzFinding, planAt } from '../fuzz/shrink.ts';
import { tryPlan } from '../fuzz/try-plan.ts';
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
  const path = options.text('path');
  if (path !== undefined) return tryAgain(context, path);
  const find = bugsOf(options.text('find'));
  const milliseconds = time === undefined ? undefined : parseTime(time);
  const bound = milliseconds === undefined && find.length === 0 ? DEFAULT_RUNS : undefined;
  const started = performance.now();
  const elapsed = () => performance.now() - started;
  const total = milliseconds === undefined ? (runs ?? bound ?? DEFAULT_RUNS) : Math.ceil(milliseconds / 1000);
  const progress = progressBar(context, total);
  const document = await fuzz({
    firstSeed: context.seed ?? 1,
    runs: runs ?? bound,
    jobs: options.wholeNumber('jobs', 1, 256) ?? availableParallelism(),
    find,
    seconds: () => Math.round(elapsed() / 1000),
    isOver: () => milliseconds !== undefined && elapsed() >= milliseconds,
    onProgress: (done) => progress.update(milliseconds === undefined ? done : Math.floor(elapsed() / 1000)),
  });
  progress.stop();
  print(document, context);
  return document.violation === null && document.missing.length === 0 ? EXIT_OK : EXIT_FAILED;
};

/** @throws InputError for a bug that is not listed. */
function bugsOf(text: string | undefined): string[] {
  if (text === undefined) return [];
  const listed = KNOWN_BUGS.map(({ name }) => name);
  if (text === 'all') return listed;
  const wanted = text.split(',');
  for (const name of wanted) {
    if (!listed.includes(name)) {
      throw new InputError({
        message: `--find: there is no known bug '${name}'`,
        hint: `all, or ${listed.join(', ')}`,
      });
    }
  }
  return wanted;
}

/** The one scenario that shrinking came to, from seed and path. */
function tryAgain(context: CommandContext, path: string): number {
  if (!/^\d+(:\d+)*$/.test(path)) {
    throw new InputError({ message: `--path: '${path}' is no path`, hint: 'as a shrunk scenario was printed: 0:3:1' });
  }
  const plan = planAt(context.seed ?? 1, path);
  const trial = tryPlan(plan, context.seed ?? 1);
  if (context.json) context.printJson({ ...trial, path, scenario: planText(plan) });
  else if (!context.quiet) context.terminal.stdout(`${planText(plan)}\n${trial.kind}: ${trial.what}\n`);
  return trial.kind === 'violation' ? EXIT_FAILED : EXIT_OK;
}

/** `60s`, `10m`, `1h` in milliseconds. @throws InputError */
function parseTime(text: string): number {
  const match = /^(\d{1,6})([smh]?)$/.exec(text);
  const amount = Number(match?.[1] ?? 0);
  if (amount > 0) return amount * (UNITS[match?.[2] || 's'] ?? 1) * 1000;
  throw new InputError({ message: `--for: '${text}' is not a time`, hint: '60s, 10m or 1h' });
}

function countsText(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, times]) => `${name} ${times}`)
    .join(', ');
}

/** Writes a finding's scenario file. @returns its name. */
function writeFinding(finding: FuzzFinding, name: string): string {
  const file = `fuzz-${name}.yaml`;
  writeFileSync(file, finding.scenario);
  return file;
}

function print(document: FuzzDocument, context: CommandContext): void {
  const { violation, found, missing } = document;
  const file = violation === null ? '' : writeFinding(violation, String(violation.seed));
  const files = found.map((bug) => writeFinding(bug, bug.what));
  if (context.json) {
    context.printJson(document);
    return;
  }
  if (context.quiet) return;
  const lines = [
    `${document.runs} random scenarios from seed ${document.firstSeed}: ${document.good} good, ` +
      `${document.skipped} that cannot be; ${document.secondPhases} ended with a handover without faults`,
    `verdicts: ${countsText(document.verdicts)}`,
  ];
  for (const { name, what } of KNOWN_BUGS) {
    const times = document.knownBugs[name];
    if (times !== undefined) lines.push(`  known bug ${name}, in ${times}`, `    ${what}`);
  }
  if (Object.keys(document.silentDamage).length > 0) {
    lines.push(`silent damage, by what is behind it: ${countsText(document.silentDamage)}`);
  }
  for (const [i, { what, afterRuns, seconds, seed, path, steps }] of found.entries()) {
    lines.push(
      `found ${what} after ${afterRuns} scenarios, shrunk to ${steps} ${steps === 1 ? 'step' : 'steps'} after ${seconds} s: khosim run ${files[i]}`,
      `    khosim fuzz --seed ${seed} --path ${path}`,
    );
  }
  if (missing.length > 0) lines.push(`not found: ${missing.join(', ')}`);
  if (violation === null) lines.push('nothing that is not a known bug of these kernels');
  else {
    lines.push(
      `seed ${violation.seed} shows something new: ${violation.what}`,
      `the smallest scenario that still does, ${violation.steps} ${violation.steps === 1 ? 'step' : 'steps'}:`,
      '',
      ...violation.scenario
        .trimEnd()
        .split('\n')
        .map((line) => `  ${line}`),
      '',
      `again: khosim run ${file}`,
      `       khosim fuzz --seed ${violation.seed} --path ${violation.path}`,
      `       khosim fuzz --seed ${violation.seed} --runs 1`,
    );
  }
  context.terminal.stdout(`${lines.join('\n')}\n`);
}
