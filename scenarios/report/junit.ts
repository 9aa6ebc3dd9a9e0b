import type { RunResult } from '../run/result.ts';
import { pageSizeName, reproduce } from './human.ts';

/** Runs as JUnit XML: a suite for each run, a case for each check. Times are virtual, so two runs give the same file. */
export function formatJunit(runs: readonly RunResult[]): string {
  const total = runs.reduce((n, run) => n + run.checks.length, 0);
  const failed = runs.reduce((n, run) => n + run.checks.filter((check) => !check.ok).length, 0);
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="khosim" tests="${total}" failures="${failed}">`,
  ];
  for (const run of runs) {
    const suite = `${run.scenario} ${pageSizeName(run.pageSize)}`;
    const bad = run.checks.filter((check) => !check.ok).length;
    lines.push(`  <testsuite name="${xml(suite)}" tests="${run.checks.length}" failures="${bad}" skipped="0">`);
    for (const check of run.checks) {
      const open = `    <testcase classname="${xml(suite)}" name="${xml(check.name)}"`;
      if (check.ok) lines.push(`${open}/>`);
      else {
        const first = check.firstBadEvent === null ? '' : `first: ${check.firstBadEvent}\n`;
        lines.push(
          `${open}>`,
          `      <failure message="${xml(check.detail)}">${xml(`${first}again: ${reproduce(run)}`)}</failure>`,
          '    </testcase>',
        );
      }
    }
    lines.push('  </testsuite>');
  }
  lines.push('</testsuites>');
  return `${lines.join('\n')}\n`;
}

function xml(text: string): string {
  const entity: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&apos;',
  };
  return (
    text
      // Characters that XML 1.0 cannot carry at all.
      .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]/g, '?')
      .replaceAll(/[&<>"']/g, (character) => entity[character] ?? character)
      .replaceAll('\n', '&#10;')
  );
}
