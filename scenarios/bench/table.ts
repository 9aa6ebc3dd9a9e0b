/** A table of measurements, as text cells. */
export interface BenchTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly note?: string;
}

/** The table with its columns aligned: the first to the left, the others to the right. */
export function formatTable({ title, columns, rows, note }: BenchTable): string {
  const widths = columns.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  const body = [title, line(columns), rule, ...rows.map(line)];
  return `${body.join('\n')}\n${note === undefined ? '' : `${note}\n`}`;
}
