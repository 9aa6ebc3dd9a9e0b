import { formatBytes } from '../picture/bytes.ts';
import { wrap } from '../report/human.ts';
import type { CompareResult, MetricGroup, MetricRow, SweepPoint } from './result.ts';

const WIDTH = 80;
const LABEL_WIDTH = 24;

const GROUPS: readonly (readonly [MetricGroup, string])[] = [
  ['tree', 'the memory map'],
  ['preserved', 'what is preserved'],
  ['boot', 'boot of the new kernel'],
  ['scratch', 'scratch'],
  ['clients', 'bookkeeping'],
  ['machine', 'this machine and others'],
];

/** A comparison as a person wants to read it: a table by groups, the crossover, and what to know; 80 columns. */
export function formatCompare(result: CompareResult): string {
  const { columns, rows, notes } = result;
  const lines = [
    `${result.workload} on Linux ${result.releases.join(' -> ')}, ${result.arch}, seed ${result.seed}`,
    ...wrap(result.about, WIDTH),
    'Every figure is counted in a handover that was run.',
  ];
  for (const [group, title] of GROUPS) {
    const own = rows.filter((row) => row.group === group && hasContent(row));
    if (own.length === 0) continue;
    lines.push('', line(title, columns));
    for (const row of own)
      lines.push(
        line(
          `  ${row.metric}`,
          columns.map((column) => cell(row, row.values[column])),
        ),
      );
  }
  lines.push(...crossover(result.sweep, columns));
  if (notes.length > 0) lines.push('');
  for (const note of notes) {
    lines.push(
      ...wrap(`${note.column === null ? '' : `${note.column}: `}${note.text}`, WIDTH - 2).map((text, i) =>
        i === 0 ? `- ${text}` : `  ${text.trimStart()}`,
      ),
    );
  }
  return `${lines.join('\n')}\n`;
}

/** Rows of parts that nobody has are left out of the table. */
function hasContent(row: MetricRow): boolean {
  return !row.metric.startsWith(' ') || Object.values(row.values).some((value) => value !== 0);
}

function line(label: string, cells: readonly string[]): string {
  const width = Math.floor((WIDTH - LABEL_WIDTH) / Math.max(cells.length, 1));
  const text = label.length > LABEL_WIDTH && cells.length > 0 ? label : label.padEnd(LABEL_WIDTH);
  let out = text;
  for (const [i, value] of cells.entries()) {
    const end = LABEL_WIDTH + Math.min(width, 18) * (i + 1);
    out += value.padStart(Math.max(end - out.length, value.length + 1));
  }
  return out.trimEnd();
}

function cell(row: MetricRow, value: number | undefined): string {
  if (value === undefined) return '-';
  if (row.id === 'full-ram-handover') return value === 1 ? 'handed over' : 'lost';
  switch (row.unit) {
    case 'bytes':
    case 'per-gib':
      return formatBytes(value);
    case 'permille':
      return `${Math.round(value) / 10} %`;
    default:
      return grouped(value);
  }
}

/** 6228050277 as `6 228 050 277`: digits in threes, as ISO wants them. */
function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
}

/** The curves as a table: what keeping so much costs at each page size, dense and sparse. */
function crossover(points: readonly SweepPoint[], columns: readonly string[]): string[] {
  if (points.length === 0) return [];
  const lines: string[] = [];
  for (const density of ['dense', 'sparse'] as const) {
    const own = points.filter((point) => point.density === density);
    const sizes = [...new Set(own.map((point) => sizeOf(point)))].filter((size) => size >= 65536).sort((a, b) => a - b);
    const what = density === 'dense' ? 'tree of so many pages,' : 'tree of as many pages,';
    const where = density === 'dense' ? '  side by side' : '  spread over 64 GiB';
    lines.push('', what, line(where, columns));
    for (const size of sizes) {
      const cells = columns.map((column) => {
        const point = own.findLast((each) => each.column === column && sizeOf(each) === size);
        return point === undefined ? '-' : formatBytes(point.metadataBytes);
      });
      if (cells.every((text) => text === '-')) continue;
      const full = size === Number.MAX_SAFE_INTEGER;
      lines.push(line(`  ${full ? 'all of RAM' : formatBytes(size)}`, cells));
    }
  }
  return lines;
}

/** The last point of a curve is all of RAM, which is not the same number of bytes everywhere. */
function sizeOf(point: SweepPoint): number {
  return Number.isInteger(Math.log2(point.preservedBytes)) ? point.preservedBytes : Number.MAX_SAFE_INTEGER;
}
