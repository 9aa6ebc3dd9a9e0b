import { PAGE_SIZES } from '../../machine/index.ts';
import { formatBytes } from '../run/quantity.ts';
import type { Amount, RunResult } from '../run/result.ts';

const WIDTH = 80;
const LABEL_WIDTH = 20;

/** `4K` for 4096. */
export function pageSizeName(bytes: number): string {
  return PAGE_SIZES.find((page) => page.sizeBytes === bytes)?.name ?? `${bytes}B`;
}

/**
 * Runs as a person wants to read them: each scenario as one table with a column for each page size, then what failed,
 * with the first event that went wrong; at most 80 columns wide.
 */
export function formatHuman(runs: readonly RunResult[], pictures: Pictures = new Map()): string {
  const byScenario = new Map<string, RunResult[]>();
  for (const run of runs) {
    const group = byScenario.get(run.file) ?? [];
    group.push(run);
    byScenario.set(run.file, group);
  }
  const brief = byScenario.size > 3;
  const parts = [...byScenario.values()].map((group) => (brief ? briefly(group) : atLength(group, pictures)));
  const failed = runs.filter((run) => !run.ok).length;
  const seeds = [...new Set(runs.map((run) => run.seed))];
  const seed = seeds.length === 1 ? `seed ${seeds[0]}; ` : '';
  const total = `${runs.length} ${runs.length === 1 ? 'run' : 'runs'}`;
  const summary = failed === 0 ? `${total}: ${seed}all as expected` : `${total}: ${seed}${failed} not as expected`;
  return `${parts.join(brief ? '' : '\n')}${brief || runs.length === 0 ? '' : '\n'}${summary}\n`;
}

function briefly(group: readonly RunResult[]): string {
  const first = group[0];
  if (first === undefined) return '';
  const sizes = group.map((run) => `${run.ok ? '' : '!'}${pageSizeName(run.pageSize)} ${run.verdict}`).join(', ');
  const ok = group.every((run) => run.ok);
  const line = `${ok ? 'ok    ' : 'FAILED'} ${first.scenario.padEnd(28)} ${sizes}`;
  return `${clip(line)}\n${group.map(failures).join('')}`;
}

/** RAM at the last jump of each run, as lines with a legend last. */
export type Pictures = ReadonlyMap<RunResult, readonly string[]>;

/** The pictures of a group's runs one below the other, each line with its page size; the legend only once. */
function pictureLines(group: readonly RunResult[], pictures: Pictures): string[] {
  const lines: string[] = [];
  let legend = '';
  for (const run of group) {
    const picture = pictures.get(run) ?? [];
    const last = picture.at(-1) ?? '';
    // The longer one also says what is wrong.
    if (last.length > legend.length) legend = last;
    const name = pageSizeName(run.pageSize);
    for (const line of picture.slice(0, -1)) {
      lines.push(line.startsWith(' '.repeat(name.length)) ? name + line.slice(name.length) : line);
    }
  }
  return lines.length === 0 ? [] : ['', ...lines, legend];
}

function atLength(group: readonly RunResult[], pictures: Pictures): string {
  const first = group[0];
  if (first === undefined) return '';
  const lines = [
    ...wrap(first.name, WIDTH),
    `${first.scenario}, ${first.arch}: ${releasesOf(first)}`,
    '',
    row('', group, (run) => pageSizeName(run.pageSize)),
    row('outcome', group, (run) => run.outcome),
    row('verdict', group, (run) => run.verdict),
    row('WARNs in the kernels', group, (run) => run.kernels.map((kernel) => kernel.warnings).join(' ')),
    row('preserved', group, (run) => amount(run.preserved)),
    row('restored', group, (run) => amount(run.restored)),
  ];
  for (const key of ['damaged', 'lost', 'leaked', 'phantom', 'untested'] as const) {
    if (key === 'damaged' || key === 'leaked' || group.some((run) => run[key].pages > 0)) {
      lines.push(row(key, group, (run) => amount(run[key])));
    }
  }
  lines.push(row('leaked by kernels', group, (run) => amount(sum(run.kernels.map((kernel) => kernel.leakedByKernel)))));
  for (const [id, label] of FIGURES) {
    const values = group.map((run) => run.kernels.findLast((kernel) => kernel.figures[id] !== undefined)?.figures[id]);
    if (values.some((value) => value !== undefined)) {
      lines.push(row(label, group, (_, i) => figure(id, values[i])));
    }
  }
  const noted = [...new Set(group.flatMap((run) => run.reason ?? []))];
  for (const reason of noted) lines.push(...wrap(`reason: ${reason}`, WIDTH));
  const odd = group.flatMap((run) =>
    run.objects
      .filter((object) => object.state !== 'intact' && object.state !== 'freed')
      .map((object) => `${pageSizeName(run.pageSize)} ${object.name}: ${object.state}, ${object.detail}`),
  );
  for (const line of odd.slice(0, 6)) lines.push(...wrap(line, WIDTH));
  if (odd.length > 6) lines.push(`and ${odd.length - 6} more objects (--json has them all)`);
  // What was expected to go wrong has a first event too; one page size tells it for all.
  const told = group[0]?.checks.filter((check) => check.ok && check.name !== 'no silent damage') ?? [];
  for (const event of new Set(told.flatMap((check) => check.firstBadEvent ?? [])))
    lines.push(...wrap(`first: ${event}`, WIDTH));
  const bad = group.map(failures).join('');
  const count = group.reduce((n, run) => n + run.checks.length, 0);
  const drawn = pictureLines(group, pictures);
  lines.push(...(drawn.length === 0 ? [''] : drawn), bad === '' ? `${count} checks, all as expected` : bad.trimEnd());
  return `${lines.join('\n')}\n`;
}

/** Figures of the last kernel that a kernel developer looks for first. */
const FIGURES: readonly (readonly [string, string])[] = [
  ['keys', 'keys in the map'],
  ['tree-nodes', 'tree pages'],
  ['tree-bytes', 'tree size'],
  ['scratch-bytes', 'scratch'],
  ['memblock-regions', 'reserved regions'],
  ['kernel-retrieval-steps', 'regions scanned'],
];

function figure(id: string, value: number | undefined): string {
  if (value === undefined) return '-';
  return id.endsWith('-bytes') ? formatBytes(value) : String(value);
}

function row(label: string, group: readonly RunResult[], cell: (run: RunResult, index: number) => string): string {
  const width = Math.max(Math.floor((WIDTH - LABEL_WIDTH - 1) / Math.max(group.length, 3)), 8);
  return `${label.padEnd(LABEL_WIDTH)} ${group.map((run, i) => cell(run, i).padEnd(width)).join('')}`.trimEnd();
}

function amount(value: Amount): string {
  return value.pages === 0 ? '0' : `${value.pages} (${formatBytes(value.bytes)})`;
}

function sum(amounts: readonly Amount[]): Amount {
  return {
    pages: amounts.reduce((n, each) => n + each.pages, 0),
    bytes: amounts.reduce((n, each) => n + each.bytes, 0),
  };
}

function releasesOf(run: RunResult): string {
  const names = run.kernels.map((kernel) => kernel.release);
  if (names.length > 6 && new Set(names).size === 1) return `${names[0]}, ${names.length} kernels`;
  return names.join(' -> ');
}

/** What failed in a run, and the command that shows it again; nothing for a run that went as expected. */
export function failures(run: RunResult): string {
  const bad = run.checks.filter((check) => !check.ok);
  if (bad.length === 0) return '';
  const lines: string[] = [];
  for (const check of bad) {
    lines.push(...wrap(`NOT OK at ${pageSizeName(run.pageSize)}: ${check.name}: ${check.detail}`, WIDTH));
    if (check.firstBadEvent !== null) lines.push(...wrap(`  first: ${check.firstBadEvent}`, WIDTH));
  }
  lines.push(`again: ${reproduce(run)}`);
  return `${lines.join('\n')}\n`;
}

/** The command that runs a run again. */
export function reproduce(run: RunResult): string {
  return `khosim run ${run.file} --page-size ${pageSizeName(run.pageSize)} --seed ${run.seed}`;
}

function clip(line: string): string {
  return line.length <= WIDTH ? line.trimEnd() : `${line.slice(0, WIDTH - 3)}...`;
}

/** Breaks a text at spaces into lines of at most `width`; words that are longer stay whole. */
export function wrap(text: string, width: number): string[] {
  const indent = /^ */.exec(text)?.[0] ?? '';
  const lines: string[] = [];
  let line = '';
  for (const word of text.trim().split(/\s+/)) {
    const candidate = line === '' ? `${indent}${word}` : `${line} ${word}`;
    if (candidate.length > width && line !== '') {
      lines.push(line);
      line = `${indent}  ${word}`;
    } else line = candidate;
  }
  if (line !== '') lines.push(line);
  return lines;
}
