import type { CheckResult } from './check.ts';

/** One line of a test report. */
interface Point {
  readonly name: string;
  readonly ok: boolean;
  readonly details: readonly string[];
  readonly skipped?: string;
}

/** A check as a list of tests: one for each version string, each executed handover, each golden file. */
function pointsOf(result: CheckResult): Point[] {
  const points: Point[] = result.strings.map(({ area, from, to, verdict, why, covers }) => ({
    name: `${area} ${from}${to === from ? '' : ` to ${to ?? 'none'}`}: ${verdict}`,
    ok: verdict !== 'breaking-without-bump',
    details: [
      why,
      `covers ${covers.join(', ')}`,
      ...result.changes
        .filter((change) => change.breaking && change.string === from && !change.bumped)
        .map(
          ({ path, from: old, to: now, why: reason, where }) =>
            `${where ? `${where}: ` : ''}${path}: ${old} -> ${now}: ${reason}`,
        ),
    ],
  }));
  const strings = new Set(result.strings.map(({ from }) => from));
  const loose = result.changes.filter(
    (change) => change.breaking && !change.bumped && !strings.has(change.string ?? ''),
  );
  if (loose.length > 0) {
    points.push({
      name: 'contracts without their version string: breaking-without-bump',
      ok: false,
      details: loose.map(({ path, from, to, why }) => `${path}: ${from} -> ${to}: ${why}`),
    });
  }
  for (const run of result.proof.runs) {
    points.push({
      name: `handover ${run.old} to ${run.new}, ${run.pageSize / 1024}K, ${run.workload}: ${run.outcome}`,
      ok: run.outcome === 'handover' || run.outcome === 'cold-boot',
      details: [run.detail],
    });
  }
  if (result.proof.notRun !== undefined) {
    points.push({ name: 'handovers both ways', ok: true, details: [], skipped: result.proof.notRun });
  }
  for (const { contract, status, differences, file } of result.golden) {
    points.push({
      name: `golden ${contract}`,
      ok: status !== 'moved',
      details: differences,
      ...(status === 'recorded' ? { skipped: `recorded in ${file}` } : {}),
    });
  }
  return points;
}

/** KTAP, as kernel selftests print it. */
export function checkKtap(result: CheckResult): string {
  const points = pointsOf(result);
  const lines = ['KTAP version 1', `1..${points.length}`];
  for (const [index, point] of points.entries()) {
    if (!point.ok) for (const detail of point.details) lines.push(`# ${detail}`);
    const skip = point.skipped === undefined ? '' : ` # SKIP ${point.skipped}`;
    lines.push(`${point.ok ? 'ok' : 'not ok'} ${index + 1} ${point.name.replaceAll('#', '')}${skip}`);
  }
  const failed = points.filter((point) => !point.ok).length;
  const skipped = points.filter((point) => point.skipped !== undefined).length;
  lines.push(`# Totals: pass:${points.length - failed - skipped} fail:${failed} skip:${skipped}`);
  return `${lines.join('\n')}\n`;
}

/** JUnit XML, as build servers read it. */
export function checkJunit(result: CheckResult): string {
  const points = pointsOf(result);
  const failed = points.filter((point) => !point.ok).length;
  const skipped = points.filter((point) => point.skipped !== undefined).length;
  const suite = escapeXml(`abi check ${result.before} ${result.after}`);
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites tests="${points.length}" failures="${failed}" skipped="${skipped}">`,
    `  <testsuite name="${suite}" tests="${points.length}" failures="${failed}" skipped="${skipped}">`,
  ];
  for (const point of points) {
    const head = `    <testcase classname="khosim.abi" name="${escapeXml(point.name)}"`;
    if (point.skipped !== undefined) {
      lines.push(`${head}>`, `      <skipped message="${escapeXml(point.skipped)}"/>`, '    </testcase>');
    } else if (point.ok) lines.push(`${head}/>`);
    else {
      const text = point.details.map(escapeXml).join('\n');
      lines.push(
        `${head}>`,
        `      <failure message="${escapeXml(point.details[0] ?? '')}">${text}</failure>`,
        '    </testcase>',
      );
    }
  }
  lines.push('  </testsuite>', '</testsuites>');
  return `${lines.join('\n')}\n`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
