import { readFileSync } from 'node:fs';

/** The score of a module that was run, and every mutant that no test noticed, as text. */
export function report(name) {
  const { files } = JSON.parse(readFileSync(`reports/mutation/${name}.json`, 'utf8'));
  const counts = { Killed: 0, Timeout: 0, Survived: 0, NoCoverage: 0, Ignored: 0 };
  const missed = [];
  for (const [file, { source, mutants }] of Object.entries(files)) {
    const lines = source.split('\n');
    for (const { status, location, replacement, mutatorName } of mutants) {
      counts[status] = (counts[status] ?? 0) + 1;
      if (status !== 'Survived' && status !== 'NoCoverage') continue;
      const { start, end } = location;
      const line = lines[start.line - 1] ?? '';
      const was =
        start.line === end.line ? line.slice(start.column - 1, end.column - 1) : `${line.slice(start.column - 1)} ...`;
      const becomes = (replacement ?? '').replaceAll(/\s+/g, ' ').slice(0, 80);
      const never = status === 'NoCoverage' ? '(never run) ' : '';
      missed.push(`  ${file}:${start.line}:${start.column} ${never}${mutatorName}: ${was}  =>  ${becomes}\n`);
    }
  }
  const noticed = counts.Killed + counts.Timeout;
  const all = noticed + counts.Survived + counts.NoCoverage;
  return `${name}: ${((100 * noticed) / all).toFixed(1)} % of ${all} mutants ${JSON.stringify(counts)}\n${missed.join('')}`;
}
