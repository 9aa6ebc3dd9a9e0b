import { pageSizeByBytes } from '../../machine/index.ts';
import type { HandoverOutcome } from '../handover/judge.ts';
import type { Cell } from './cell.ts';
import type { MatrixDocument } from './matrix.ts';

/** One letter for each outcome, as in the picture's legend. */
const LETTERS: Readonly<Record<HandoverOutcome, string>> = {
  handover: 'H',
  'cold-boot': '.',
  panic: 'P',
  oops: 'O',
  corrupt: 'C',
};

const LEGEND = 'H handover   . cold boot   C corrupt   O oops   P panic';
const WIDTH = 80;
const CORNER = 'old\\new';

/** The matrix for a terminal of 80 columns: a picture for each page size, then what is behind every cell that is bad. */
export function formatMatrix(document: MatrixDocument): string {
  const lines: string[] = [`workload ${document.workload}; ${LEGEND}`];
  const groups = new Map<string, Cell[]>();
  for (const cell of document.cells) {
    const key = groupName(cell);
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  for (const [name, cells] of groups) lines.push('', ...picture(name, cells));
  const bad = document.cells.filter((cell) => cell.outcome !== 'handover' && cell.outcome !== 'cold-boot');
  if (bad.length > 0) lines.push('', ...reasons(bad));
  return `${lines.join('\n')}\n`;
}

function groupName(cell: Cell): string {
  const old = pageSizeByBytes(cell.pageSize)?.name ?? `${cell.pageSize}`;
  if (cell.newPageSize === undefined) return old;
  return `${old} to ${pageSizeByBytes(cell.newPageSize)?.name ?? cell.newPageSize}`;
}

/** Rows of old releases, columns of new ones; more columns than the width holds continue below. */
function picture(name: string, cells: readonly Cell[]): string[] {
  const olds = [...new Set(cells.map((cell) => cell.old))];
  const news = [...new Set(cells.map((cell) => cell.new))];
  const left = Math.max(CORNER.length, ...olds.map((old) => old.length));
  const right = Math.max(...news.map((each) => each.length)) > 7 ? undefined : 7;
  const widths = news.map((each) => right ?? Math.max(6, each.length + 1));
  const letter = (old: string, each: string) => {
    const cell = cells.find((one) => one.old === old && one.new === each);
    return cell === undefined ? ' ' : LETTERS[cell.outcome];
  };
  const lines = [`${name} pages`];
  for (let at = 0; at < news.length; ) {
    let end = at;
    for (let used = left; end < news.length && (end === at || used + (widths[end] ?? 0) <= WIDTH); end++) {
      used += widths[end] ?? 0;
    }
    const columns = news.slice(at, end).map((each, i) => ({ each, width: widths[at + i] ?? 0 }));
    if (at > 0) lines.push('');
    lines.push(`${CORNER.padEnd(left)}${columns.map(({ each, width }) => each.padStart(width)).join('')}`);
    for (const old of olds) {
      const row = columns.map(({ each, width }) => letter(old, each).padStart(width)).join('');
      lines.push(`${old.padEnd(left)}${row}`);
    }
    at = end;
  }
  return lines;
}

/** Cells with the same words are one entry. */
function reasons(bad: readonly Cell[]): string[] {
  const entries = new Map<string, { readonly cell: Cell; readonly pairs: string[] }>();
  for (const cell of bad) {
    const key = `${groupName(cell)} ${cell.outcome} ${cell.detail}`;
    const entry = entries.get(key) ?? { cell, pairs: [] };
    entries.set(key, entry);
    entry.pairs.push(`${cell.old} -> ${cell.new}`);
  }
  return [...entries.values()].flatMap(({ cell, pairs }) => [
    ...wrap(`${groupName(cell)} ${cell.outcome}: ${pairs.join(', ')}`, WIDTH),
    ...wrap(cell.detail, WIDTH - 4).map((line) => `    ${line}`),
  ]);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
