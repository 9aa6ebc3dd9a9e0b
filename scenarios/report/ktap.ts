import type { RunResult } from '../run/result.ts';
import { pageSizeName, reproduce } from './human.ts';

/**
 * Runs as KTAP version 1, as kselftest and KUnit print it: a test for each run, with a subtest for each check.
 * `#` cannot be part of a description there.
 */
export function formatKtap(runs: readonly RunResult[]): string {
  const lines = ['KTAP version 1', `1..${runs.length}`];
  for (const [i, run] of runs.entries()) {
    lines.push('    KTAP version 1', `    1..${run.checks.length}`);
    for (const [j, check] of run.checks.entries()) {
      if (!check.ok) {
        lines.push(`    # ${check.detail}`);
        if (check.firstBadEvent !== null) lines.push(`    # first: ${check.firstBadEvent}`);
      }
      lines.push(`    ${check.ok ? 'ok' : 'not ok'} ${j + 1} ${description(check.name)}`);
    }
    if (!run.ok) lines.push(`# again: ${reproduce(run)}`);
    lines.push(`${run.ok ? 'ok' : 'not ok'} ${i + 1} ${description(`${run.scenario} ${pageSizeName(run.pageSize)}`)}`);
  }
  const passed = runs.filter((run) => run.ok).length;
  lines.push(`# Totals: pass:${passed} fail:${runs.length - passed} xfail:0 xpass:0 skip:0 error:0`);
  return `${lines.join('\n')}\n`;
}

function description(text: string): string {
  return text.replaceAll('#', '').replaceAll(/\s+/g, ' ');
}
