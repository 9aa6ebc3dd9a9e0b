import { NAMED_QUIRKS } from '../../kernel/quirks.ts';
import type { BuggyKernel } from './regression.ts';
import { NOT_SHOWN, REGRESSIONS } from './rows.ts';

/** The list of bugs fixed after merge, and the quirks that bring them back: docs/regressions.md. */
export function regressionsDocument(): string {
  const shown = REGRESSIONS.map(({ row, what, bad, good, pageSize, shows }) => ({
    row,
    cells: [what, kernelText(bad), kernelText(good), `${shows} (${pageSize})`],
  }));
  const notShown = NOT_SHOWN.map(({ row, what, why }) => ({ row, cells: [what, '', '', `not shown: ${why}`] }));
  const rows = [...shown, ...notShown].sort((a, b) => a.row - b.row);
  return `${[
    '# Bugs fixed after merge',
    '',
    'What was fixed in KHO and LUO since they were merged, row by row. Most rows are scenarios (`scenarios/regressions/`) that fail on',
    'a kernel with the bug and pass on one with the fix. The scenario and what it expects are the same on both; what differs',
    'is a code path of the simulated kernel. `npm run docs` writes this file.',
    '',
    tableRow(['#', 'bug', 'fails on', 'passes on', 'shown by']),
    tableRow(['---', '---', '---', '---', '---']),
    ...rows.map(({ row, cells }) => tableRow([`${row}`, ...cells])),
    '',
    `${REGRESSIONS.length} of ${rows.length} rows are shown.`,
    '',
    '## Quirks by name',
    '',
    'Many bugs lived only in trees between releases, in posted patches, or in kernels of which one wants to see what the fix changed. A',
    'scenario gives a release the old code path back by name, for its first kernel or for the one behind a jump:',
    '',
    '```yaml',
    'kernel: { release: "7.3", quirks: [unpreserve-ignores-nodes] }',
    'steps:',
    '  - kexec: { release: "7.3", quirks: [] }',
    '```',
    '',
    'A kexec step that names no release keeps the quirks of the kernel before.',
    '',
    tableRow(['quirk', 'what a kernel with it does', 'trees that had it', 'row']),
    tableRow(['---', '---', '---', '---']),
    ...NAMED_QUIRKS.map(({ name, what, had, row }) => tableRow([`\`${name}\``, what, had, `${row}`])),
  ].join('\n')}\n`;
}

function kernelText({ release, quirks = [] }: BuggyKernel): string {
  return quirks.length === 0 ? release : `${release} with ${quirks.map((name) => `\`${name}\``).join(', ')}`;
}

function tableRow(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
