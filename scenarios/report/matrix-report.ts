import type { HandoverOutcome } from '../handover/judge.ts';
import type { Cell } from '../matrix/cell.ts';
import type { MatrixDocument } from '../matrix/matrix.ts';
import { packageVersion } from '../package-root.ts';
import { escapeHtml as esc, htmlPage } from './html.ts';
import { pageSizeName } from './human.ts';
import { writeOutput } from './write.ts';

/** Writes the report of a matrix. @throws InputError when the file cannot be written. */
export function writeMatrixReport(file: string, document: MatrixDocument, seed: number): void {
  writeOutput(file, matrixReport(document, seed));
}

/** Letter, and what it says; the colours and hatches are in styles.ts. Best first. */
const OUTCOMES: Readonly<Record<HandoverOutcome, readonly [letter: string, meaning: string]>> = {
  handover: ['H', 'taken over, and everything came back as it was'],
  'cold-boot': ['–', 'refused: the new kernel boots without it, and says so'],
  panic: ['P', 'the new kernel panics'],
  oops: ['O', 'the new kernel falls over an address'],
  corrupt: ['!', 'taken over, and memory or a client came back wrong: nobody says so'],
};

const MEANINGS = Object.entries(OUTCOMES) as [HandoverOutcome, readonly [string, string]][];

/** A heat map old × new for each page size, as one HTML page; each cell with its reason and the command that runs it. */
export function matrixReport(document: MatrixDocument, seed: number): string {
  const groups = groupsOf(document.cells);
  const tables = [...groups].map(([title, cells]) => heatTable(title, cells, document));
  const counts = MEANINGS.map(([outcome, [letter, meaning]]) => {
    const count = document.cells.filter((cell) => cell.outcome === outcome).length;
    return `<tr><td><span class="cell ${outcome} sample">${esc(letter)}</span></td><td>${outcome}</td><td class="number" data-outcome="${outcome}">${count}</td><td>${esc(meaning)}</td></tr>`;
  });
  const summary = `<section id="verdict" aria-labelledby="verdict-title"><h2 id="verdict-title">What became of ${document.cells.length} handovers</h2>
<p>Workload <b>${esc(document.workload)}</b>, seed ${seed}. Every cell is an executed handover: the old kernel (row) preserves, the new one (column) boots on what it left.</p>
<div class="scroll"><table>${counts.join('')}</table></div></section>`;
  const details = `<section id="details" aria-labelledby="details-title"><h2 id="details-title">The chosen cell</h2><div id="cell-details" role="status"><p>Choose a cell: click it, or go to it with Tab and the arrow keys and press Enter.</p></div></section>`;
  const templates = document.cells.map((cell, i) => detailTemplate(cell, i, document, seed));
  return htmlPage({
    kind: 'matrix',
    title: `every release to every release: ${document.workload}`,
    version: packageVersion(),
    sections: [
      ['verdict', 'Outcomes'],
      ...[...groups.keys()].map((title): [string, string] => [idOf(title), title]),
      ['details', 'Chosen cell'],
      ['bad', 'Falls and silent damage'],
    ],
    body: [summary, `<div class="heats">${tables.join('\n')}</div>`, details, badTable(document), ...templates].join(
      '\n',
    ),
  });
}

function groupsOf(cells: readonly Cell[]): Map<string, Cell[]> {
  const groups = new Map<string, Cell[]>();
  for (const cell of cells) {
    const size = pageSizeName(cell.pageSize);
    const other =
      cell.newPageSize === undefined || cell.newPageSize === cell.pageSize
        ? ''
        : ` to ${pageSizeName(cell.newPageSize)}`;
    const title = `${size}${other} pages`;
    const group = groups.get(title) ?? [];
    groups.set(title, group);
    group.push(cell);
  }
  return groups;
}

function idOf(title: string): string {
  return `pages-${title.replaceAll(' ', '-')}`;
}

function heatTable(title: string, cells: readonly Cell[], document: MatrixDocument): string {
  const olds = [...new Set(cells.map((cell) => cell.old))];
  const news = [...new Set(cells.map((cell) => cell.new))];
  const numbers = new Map(document.cells.map((cell, i) => [cell, i]));
  const rows = olds.map((old) => {
    const row = news.map((name) => {
      const cell = cells.find((each) => each.old === old && each.new === name);
      if (cell === undefined) return '<td></td>';
      const [letter] = OUTCOMES[cell.outcome];
      const label = `${old} to ${name}: ${cell.outcome}${cell.detail === '' ? '' : `, ${cell.detail}`}`;
      return `<td><button type="button" class="cell ${cell.outcome}" aria-pressed="false" data-cell="${numbers.get(cell)}" title="${esc(label)}" aria-label="${esc(label)}">${esc(letter)}</button></td>`;
    });
    return `<tr><th scope="row">${esc(old)}</th>${row.join('')}</tr>`;
  });
  const head = news.map((name) => `<th scope="col">${esc(name)}</th>`).join('');
  return `<section id="${idOf(title)}" aria-label="${esc(title)}"><h2>${esc(title)}</h2>
<div class="scroll" tabindex="0" role="region" aria-label="${esc(title)}"><table class="heat"><thead><tr><th scope="col">old ↓ new →</th>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div></section>`;
}

/** The command that executes one cell by itself. */
function cellCommand(cell: Cell, document: MatrixDocument, seed: number): string {
  const releases = cell.old === cell.new ? cell.old : `${cell.old},${cell.new}`;
  const cross = cell.newPageSize === undefined || cell.newPageSize === cell.pageSize ? '' : ' --cross-page-size';
  return `khosim matrix --releases ${releases} --page-sizes ${pageSizeName(cell.pageSize)} --workload ${document.workload}${cross} --seed ${seed}`;
}

function detailTemplate(cell: Cell, index: number, document: MatrixDocument, seed: number): string {
  const [letter, meaning] = OUTCOMES[cell.outcome];
  const sizes =
    cell.newPageSize === undefined
      ? pageSizeName(cell.pageSize)
      : `${pageSizeName(cell.pageSize)} to ${pageSizeName(cell.newPageSize)}`;
  return `<template id="details-${index}"><p><span class="cell ${cell.outcome} sample">${esc(letter)}</span> <b class="cell-title">Linux ${esc(cell.old)} → Linux ${esc(cell.new)}</b>, ${esc(sizes)} pages: <b class="cell-outcome">${cell.outcome}</b></p>
<p>${esc(meaning)}.</p>${cell.detail === '' ? '' : `<p class="cell-detail">${esc(cell.detail)}</p>`}
<p>${cell.pagesLost} pages lost, ${cell.pagesPhantom} reserved that nobody preserved.</p>
<p>Run this cell: <code>${esc(cellCommand(cell, document, seed))}</code></p></template>`;
}

function badTable(document: MatrixDocument): string {
  const bad = document.cells.filter((cell) => cell.outcome !== 'handover' && cell.outcome !== 'cold-boot');
  const rows = bad.map(
    (cell) =>
      `<tr><td><span class="cell ${cell.outcome} sample">${esc(OUTCOMES[cell.outcome][0])}</span></td><td>${pageSizeName(cell.pageSize)}</td><td>${esc(cell.old)}</td><td>${esc(cell.new)}</td><td>${esc(cell.detail)}</td></tr>`,
  );
  const content =
    rows.length === 0
      ? '<p>None: every handover was taken over, or refused with a message.</p>'
      : `<div class="scroll" tabindex="0" role="region" aria-label="bad cells"><table><thead><tr><th></th><th scope="col">pages</th><th scope="col">old</th><th scope="col">new</th><th scope="col">what happened</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
  return `<section id="bad" aria-labelledby="bad-title"><h2 id="bad-title">Falls and silent damage</h2>${content}</section>`;
}
