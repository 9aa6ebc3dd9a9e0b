import { scaleLog } from 'd3-scale';
import { line } from 'd3-shape';
import type { CompareResult, SweepPoint } from '../compare/result.ts';
import { formatBytes } from '../picture/bytes.ts';
import { escapeHtml as esc } from './html.ts';

const WIDTH = 860;
const HEIGHT = 430;
const MARGIN = { left: 84, right: 120, top: 14, bottom: 44 };

/** Metadata against preserved bytes, both logarithmic: a line for each page size and density, a dot for the workload. */
export function crossoverPlot(result: CompareResult): string {
  const dots = result.details.filter((detail) => detail.askedBytes > 0 && detail.metadataBytes > 0);
  const xs = [...result.sweep.map((point) => point.preservedBytes), ...dots.map((detail) => detail.askedBytes)];
  const ys = [...result.sweep.map((point) => point.metadataBytes), ...dots.map((detail) => detail.metadataBytes)];
  const positive = (values: readonly number[]): number[] => values.filter((value) => value > 0);
  const x = scaleLog()
    .base(2)
    .domain([Math.min(...positive(xs)), Math.max(...positive(xs), 2)])
    .range([MARGIN.left, WIDTH - MARGIN.right]);
  const y = scaleLog()
    .base(2)
    .domain([Math.min(...positive(ys)) / 2, Math.max(...positive(ys), 2) * 2])
    .range([HEIGHT - MARGIN.bottom, MARGIN.top]);
  const parts = [axes(x, y)];
  // Names beside the ends of lines, moved apart where they would lie on one another.
  const names: { y: number; text: string; className: string }[] = [];
  for (const [i, column] of result.columns.entries()) {
    for (const density of ['dense', 'sparse'] as const) {
      const points = result.sweep
        .filter((point) => point.column === column && point.density === density && point.metadataBytes > 0)
        .sort((a, b) => a.preservedBytes - b.preservedBytes);
      const last = points.at(-1);
      if (last === undefined) continue;
      parts.push(curve(points, x, y, `size-${i % 3} ${density}`));
      names.push({ y: y(last.metadataBytes), text: `${column} ${density}`, className: `size-${i % 3}` });
    }
  }
  parts.push(...nameTexts(names));
  for (const detail of dots) {
    const i = result.columns.indexOf(detail.column);
    const title = `${detail.column}: ${formatBytes(detail.askedBytes)} asked for, ${formatBytes(detail.metadataBytes)} of metadata`;
    parts.push(
      `<g class="size-${i % 3}"><circle class="dot" cx="${fixed(x(detail.askedBytes))}" cy="${fixed(y(detail.metadataBytes))}" r="6"><title>${esc(title)}</title></circle>`,
      `<text x="${fixed(x(detail.askedBytes) + 9)}" y="${fixed(y(detail.metadataBytes) + 4)}" class="curve-name">${esc(detail.column)}</text></g>`,
    );
  }
  return `<svg class="plot" id="crossover-plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="bytes of the memory map against preserved bytes">${parts.join('')}</svg>`;
}

type Scale = (value: number) => number;

function curve(points: readonly SweepPoint[], x: Scale, y: Scale, className: string): string {
  const path = line<SweepPoint>()
    .x((point) => Number(fixed(x(point.preservedBytes))))
    .y((point) => Number(fixed(y(point.metadataBytes))))(points as SweepPoint[]);
  const marks = points.map((point) => {
    const title = `${point.column}, ${point.density}: ${formatBytes(point.metadataBytes)} for ${formatBytes(point.preservedBytes)}`;
    return `<circle cx="${fixed(x(point.preservedBytes))}" cy="${fixed(y(point.metadataBytes))}" r="2.5" class="mark-point"><title>${esc(title)}</title></circle>`;
  });
  return `<g class="${className}"><path class="curve ${className}" d="${path ?? ''}"/>${marks.join('')}</g>`;
}

function axes(x: Scale & { domain(): number[] }, y: Scale & { domain(): number[] }): string {
  const parts: string[] = [];
  const right = WIDTH - MARGIN.right;
  const bottom = HEIGHT - MARGIN.bottom;
  for (const value of powers(x.domain())) {
    const at = fixed(x(value));
    parts.push(
      `<line class="grid" x1="${at}" x2="${at}" y1="${MARGIN.top}" y2="${bottom}"/>`,
      `<text x="${at}" y="${bottom + 16}" text-anchor="middle">${formatBytes(value)}</text>`,
    );
  }
  for (const value of powers(y.domain())) {
    const at = fixed(y(value));
    parts.push(
      `<line class="grid" x1="${MARGIN.left}" x2="${right}" y1="${at}" y2="${at}"/>`,
      `<text x="${MARGIN.left - 6}" y="${Number(at) + 4}" text-anchor="end">${formatBytes(value)}</text>`,
    );
  }
  parts.push(
    `<line class="axis-line" x1="${MARGIN.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>`,
    `<line class="axis-line" x1="${MARGIN.left}" x2="${MARGIN.left}" y1="${MARGIN.top}" y2="${bottom}"/>`,
    `<text x="${(MARGIN.left + right) / 2}" y="${HEIGHT - 6}" text-anchor="middle">preserved</text>`,
    `<text transform="translate(14 ${(MARGIN.top + bottom) / 2}) rotate(-90)" text-anchor="middle">metadata</text>`,
  );
  return parts.join('');
}

/** Powers of 2 in a domain, at most nine of them. */
function powers(domain: readonly number[]): number[] {
  const low = Math.ceil(Math.log2(domain[0] ?? 1));
  const high = Math.floor(Math.log2(domain[1] ?? 2));
  const step = Math.max(1, Math.ceil((high - low + 1) / 9));
  const out: number[] = [];
  for (let power = low; power <= high; power += step) out.push(2 ** power);
  return out;
}

const NAME_HEIGHT = 14;

function nameTexts(names: readonly { y: number; text: string; className: string }[]): string[] {
  let free = MARGIN.top;
  return [...names]
    .sort((a, b) => a.y - b.y)
    .map(({ y, text, className }) => {
      const at = Math.max(y + 4, free);
      free = at + NAME_HEIGHT;
      return `<g class="${className}"><text class="curve-name" x="${WIDTH - MARGIN.right + 6}" y="${fixed(at)}">${esc(text)}</text></g>`;
    });
}

function fixed(value: number): string {
  return value.toFixed(1);
}
