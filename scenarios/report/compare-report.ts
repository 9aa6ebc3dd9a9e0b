import type { ColumnResult, CompareResult, MemoryRange, MetricRow } from '../compare/result.ts';
import { packageVersion } from '../package-root.ts';
import { formatBytes } from '../picture/bytes.ts';
import { crossoverPlot } from './crossover-plot.ts';
import { escapeHtml as esc, htmlPage } from './html.ts';
import { writeOutput } from './write.ts';

/** Writes the report of a comparison. @throws InputError when the file cannot be written. */
export function writeCompareReport(file: string, result: CompareResult): void {
  writeOutput(file, compareReport(result));
}

const SECTIONS = [
  ['about', 'Workload'],
  ['metrics', 'Metrics'],
  ['strips', 'Memory'],
  ['levels', 'Metadata by level'],
  ['crossover', 'Crossover'],
  ['again', 'Reproduce'],
] as const;

/** Page sizes side by side, as one HTML page. */
export function compareReport(result: CompareResult): string {
  const body = [
    section('about', 'Workload', about(result)),
    section('metrics', 'Metrics', metricsTable(result)),
    section('strips', 'Memory at the jump, on one scale', strips(result)),
    section('levels', 'Pages of the memory map by level', levels(result)),
    section('crossover', 'What keeping memory costs', crossover(result)),
    section('again', 'How to reproduce it', `<p><code id="command">${esc(command(result))}</code></p>`),
  ];
  return htmlPage({
    kind: 'compare',
    title: `${result.workload}: ${result.columns.join(', ')} pages`,
    version: packageVersion(),
    sections: SECTIONS,
    body: body.join('\n'),
  });
}

function section(id: string, title: string, content: string): string {
  return `<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${esc(title)}</h2>\n${content}</section>`;
}

function command(result: CompareResult): string {
  const name = result.workload.replace(/^.*[/\\]/, '');
  return `khosim compare --workload ${name} --page-sizes ${result.columns.join(',')} --seed ${result.seed}`;
}

function about(result: CompareResult): string {
  const outcomes = result.details.map((detail) => {
    const ok = detail.outcome === 'handover';
    const text = `${detail.column}: ${detail.outcome}${detail.reason === null ? '' : `, ${detail.reason}`}`;
    return `<li class="${ok ? 'pass' : 'fail'}">${ok ? '✓' : '✗'} ${esc(text)}</li>`;
  });
  const notes = result.notes.map((note) => {
    const where = note.column === null ? '' : `<b>${esc(note.column)}</b> `;
    return `<li>${where}<i>${esc(note.kind)}</i>: ${esc(note.text)}</li>`;
  });
  return [
    `<p>${esc(result.about)}</p>`,
    `<p class="dim">Linux ${esc(result.releases.join(' → '))}, ${esc(result.arch)}, seed ${result.seed}. Every figure is counted in a run.</p>`,
    `<ul class="plain">${outcomes.join('')}</ul>`,
    notes.length === 0 ? '' : `<h3>Limits, and what to do about them</h3><ul>${notes.join('')}</ul>`,
  ].join('\n');
}

// --- metrics ---------------------------------------------------------------------------------------------------------

const GROUPS: Readonly<Record<MetricRow['group'], string>> = {
  tree: 'Memory map',
  preserved: 'What is preserved',
  boot: 'The next kernel’s boot',
  scratch: 'Scratch',
  clients: 'Clients',
  machine: 'Machine',
};

function metricsTable(result: CompareResult): string {
  const head = result.columns.map((column) => `<th scope="col" class="number">${esc(column)}</th>`).join('');
  const rows: string[] = [];
  for (const [group, title] of Object.entries(GROUPS)) {
    const own = result.rows.filter((row) => row.group === group);
    if (own.length === 0) continue;
    rows.push(`<tr><th scope="rowgroup" colspan="${result.columns.length + 1}">${esc(title)}</th></tr>`);
    for (const row of own) rows.push(metricRow(row, result.columns));
  }
  return `<div class="scroll" tabindex="0" role="region" aria-label="metrics"><table id="metrics-table"><thead><tr><th scope="col">metric</th>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

function metricRow(row: MetricRow, columns: readonly string[]): string {
  const values = columns.map((column) => {
    const value = row.values[column];
    const text = value === undefined ? '–' : valueText(value, row.unit);
    const exact = value === undefined ? '' : ` title="${value}" data-value="${value}"`;
    return `<td class="number"${exact}>${esc(text)}</td>`;
  });
  return `<tr data-id="${esc(row.id)}"><td>${esc(row.metric)} <code class="dim">${esc(row.id)}</code></td>${values.join('')}</tr>`;
}

function valueText(value: number, unit: MetricRow['unit']): string {
  if (unit === 'bytes') return formatBytes(value);
  if (unit === 'per-gib') return `${formatBytes(value)}/GiB`;
  if (unit === 'permille') return `${value / 10} %`;
  const text = String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f');
  return unit === 'pages' ? `${text} pages` : unit === 'bits' ? `${text} bits` : text;
}

// --- memory ----------------------------------------------------------------------------------------------------------

const STRIP_WIDTH = 1000;
const STRIP_HEIGHT = 34;

/** A column of a strip shows the worst that is in it: the order of these. */
const STRIP_KINDS: readonly (readonly [MemoryRange['kind'], string, string, string])[] = [
  ['ram', 'other RAM', '·', '#c9d1d9'],
  ['scratch', 'scratch', 's', '#f0e442'],
  ['preserved', 'preserved', 'P', '#0072b2'],
  ['client', 'clients’ bookkeeping', 'C', '#cc79a7'],
  ['map', 'memory map', 'T', '#009e73'],
];

function strips(result: CompareResult): string {
  const ends = result.details.map((detail) => spanOf(detail));
  const low = Math.min(...ends.map((span) => span.low));
  const high = Math.max(...ends.map((span) => span.high));
  if (!(high > low)) return '<p>No handover was executed.</p>';
  const parts = result.details.map((detail, i) => {
    const shapes = STRIP_KINDS.map(([kind, , , colour]) => stripShapes(detail, kind, colour, low, high));
    const label = `RAM of ${detail.column} at the jump`;
    return `<div class="strip-row"><span class="strip-name size-${i % 3}">${esc(detail.column)}: ${formatBytes(detail.ramBytes)} of RAM</span>
<svg class="plot strip-plot" viewBox="0 0 ${STRIP_WIDTH} ${STRIP_HEIGHT}" width="100%" height="${STRIP_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${esc(label)}">${shapes.join('')}</svg></div>`;
  });
  const legend = STRIP_KINDS.map(
    ([kind, name, letter, colour]) =>
      `<span class="legend-entry"><svg width="20" height="20" aria-hidden="true">${square(kind, colour)}<text x="10" y="14" text-anchor="middle" font-size="11" font-weight="700" fill="#111" stroke="#fff" stroke-width="3" paint-order="stroke">${letter}</text></svg> ${esc(name)}</span>`,
  );
  return `${HATCHES}${parts.join('\n')}
<div class="ends mono"><span>0x${low.toString(16)}</span><span>0x${high.toString(16)}</span></div>
<div class="legend">${legend.join('')}</div>`;
}

function square(kind: MemoryRange['kind'], colour: string): string {
  return `<rect width="20" height="20" fill="${colour}"/><rect width="20" height="20" fill="url(#hatch-${kind})"/>`;
}

/** Lines over the colours, so that strips can be read without them. */
const HATCHES = `<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs>
<pattern id="hatch-scratch" width="6" height="6" patternUnits="userSpaceOnUse"><circle cx="3" cy="3" r="1" fill="#000" fill-opacity=".5"/></pattern>
<pattern id="hatch-preserved" width="7" height="7" patternUnits="userSpaceOnUse"><path d="M0 7L7 0" stroke="#fff" stroke-opacity=".5"/></pattern>
<pattern id="hatch-client" width="6" height="6" patternUnits="userSpaceOnUse"><path d="M0 3H6" stroke="#000" stroke-opacity=".5"/></pattern>
<pattern id="hatch-map" width="6" height="6" patternUnits="userSpaceOnUse"><path d="M0 0L6 6M6 0L0 6" stroke="#fff" stroke-opacity=".5"/></pattern>
</defs></svg>`;

function spanOf(detail: ColumnResult): { low: number; high: number } {
  const ram = detail.memory.filter((range) => range.kind === 'ram');
  return {
    low: Math.min(...ram.map((range) => range.base)),
    high: Math.max(...ram.map((range) => range.base + range.sizeBytes)),
  };
}

/** One path for all ranges of a kind; what is narrower than a column still gets a whole one. */
function stripShapes(
  detail: ColumnResult,
  kind: MemoryRange['kind'],
  colour: string,
  low: number,
  high: number,
): string {
  const scale = STRIP_WIDTH / (high - low);
  const columns: [number, number][] = [];
  for (const range of detail.memory) {
    if (range.kind !== kind) continue;
    const start = Math.floor((range.base - low) * scale);
    const end = Math.max(Math.ceil((range.base + range.sizeBytes - low) * scale), start + 1);
    const last = columns.at(-1);
    if (last !== undefined && start <= last[1] && start >= last[0]) last[1] = Math.max(last[1], end);
    else columns.push([start, end]);
  }
  if (columns.length === 0) return '';
  const path = columns.map(([start, end]) => `M${start} 0h${end - start}v${STRIP_HEIGHT}h${start - end}z`).join('');
  return `<path d="${path}" fill="${colour}" data-kind="${kind}"/><path d="${path}" fill="url(#hatch-${kind})"/>`;
}

// --- the map ---------------------------------------------------------------------------------------------------------

function levels(result: CompareResult): string {
  const deepest = Math.max(0, ...result.details.map((detail) => detail.nodesPerLevel.length));
  if (deepest === 0) return '<p>The memory map of this release is a list of chunks; it has no levels.</p>';
  const most = Math.max(
    ...result.details.flatMap((detail) => detail.nodesPerLevel.map((nodes) => nodes * detail.pageSize)),
  );
  const rows: string[] = [];
  for (let level = deepest - 1; level >= 0; level--) {
    for (const [i, detail] of result.details.entries()) {
      const nodes = detail.nodesPerLevel[level];
      if (nodes === undefined) continue;
      const bytes = nodes * detail.pageSize;
      const width = Math.max((Math.log2(bytes + 1) / Math.log2(most + 1)) * 320, bytes > 0 ? 2 : 0);
      const name = level === 0 ? 'leaves' : `level ${level}`;
      rows.push(
        `<tr class="size-${i % 3}"><td>${name}</td><td>${esc(detail.column)}</td><td class="number">${nodes}</td><td class="number">${formatBytes(bytes)}</td><td><svg class="bars" width="330" height="12" aria-hidden="true"><rect class="bar" width="${width.toFixed(1)}" height="12"/></svg></td></tr>`,
      );
    }
  }
  return `<div class="scroll" tabindex="0" role="region" aria-label="pages by level"><table id="levels-table"><thead><tr><th scope="col">level</th><th scope="col">pages of</th><th scope="col" class="number">tree pages</th><th scope="col" class="number">bytes</th><th scope="col">bytes, logarithmic</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

function crossover(result: CompareResult): string {
  if (result.sweep.length === 0) return '<p>No sweep was run.</p>';
  const rows = result.sweep.map(
    (point) =>
      `<tr><td>${esc(point.column)}</td><td>${point.density}</td><td class="number" title="${point.preservedBytes}">${formatBytes(point.preservedBytes)}</td><td class="number" title="${point.metadataBytes}">${formatBytes(point.metadataBytes)}</td><td class="number">${point.keys}</td></tr>`,
  );
  return `<p>Bytes of the memory map against bytes preserved as single pages: neighbours (solid lines), and as many spread evenly over all of RAM (dashed). Dots: this workload with all its metadata, its clients’ pages included.</p>
${crossoverPlot(result)}
<details><summary>the figures</summary><div class="scroll" tabindex="0" role="region" aria-label="sweep"><table><thead><tr><th scope="col">pages</th><th scope="col">density</th><th scope="col" class="number">preserved</th><th scope="col" class="number">memory map</th><th scope="col" class="number">keys</th></tr></thead><tbody>${rows.join('')}</tbody></table></div></details>`;
}
