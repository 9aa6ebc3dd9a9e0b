import type { RunResult } from '../run/result.ts';
import { pageSizeName } from './human.ts';

/** An event of the trace viewers' JSON format: `X` a span, `i` a moment, `M` a name. */
interface TraceEvent {
  readonly name: string;
  readonly ph: 'X' | 'i' | 'M';
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  readonly s?: 't';
  readonly args?: Readonly<Record<string, string | number>>;
}

/**
 * The timelines of runs for a trace viewer (Perfetto, chrome://tracing): a process for each run, a thread for each of its
 * kernels, spans for steps, moments for log lines. Times are virtual microseconds since power on.
 */
export function formatTrace(runs: readonly RunResult[]): string {
  const traceEvents = runs.flatMap((run, i) => eventsOf(run, i + 1));
  return `${JSON.stringify({ displayTimeUnit: 'ms', traceEvents })}\n`;
}

function eventsOf(run: RunResult, pid: number): TraceEvent[] {
  const name = `${run.scenario} ${pageSizeName(run.pageSize)}`;
  const events: TraceEvent[] = [{ name: 'process_name', ph: 'M', pid, tid: 0, ts: 0, args: { name } }];
  let start = 0;
  for (const [i, kernel] of run.kernels.entries()) {
    const tid = i + 1;
    events.push({ name: 'thread_name', ph: 'M', pid, tid, ts: 0, args: { name: `kernel ${tid}: ${kernel.release}` } });
    for (const [k, text] of kernel.log.entries()) {
      events.push({ name: text, ph: 'i', pid, tid, ts: start + (kernel.logMicroseconds[k] ?? 0), s: 't' });
    }
    const steps = run.steps.filter((step) => step.kernel === tid);
    let at = 0;
    for (const step of steps) {
      const dur = Math.max(step.microseconds - at, 0);
      const args = { line: step.line, result: step.result };
      events.push({ name: step.text, ph: 'X', pid, tid, ts: start + at, dur, args });
      at = step.microseconds;
    }
    start += Math.max(at, kernel.logMicroseconds.at(-1) ?? 0);
  }
  return events;
}
