import { describe, expect, test } from 'vitest';
import { PAGE_4K, PAGE_64K } from '../../../machine/index.ts';
import { chromeTrace, type TraceEvent, traceEvents } from '../../../scenarios/trace/chrome-trace.ts';
import { recorded } from '../report/recorded.ts';

const VIEWS = [
  recorded('sessions', PAGE_4K).view,
  recorded('stray-write', PAGE_64K).view,
  recorded('bad-magic', PAGE_4K).view,
];
const EVENTS = traceEvents(VIEWS);

/** What Perfetto asks of a track's slices: every begin has its end, in strict nesting, and time never goes back. */
function nestingErrors(events: readonly TraceEvent[]): string[] {
  const errors: string[] = [];
  const stacks = new Map<string, TraceEvent[]>();
  const last = new Map<string, number>();
  for (const event of events) {
    const track = `${event.pid}/${event.tid}`;
    if (event.ph !== 'B' && event.ph !== 'E') continue;
    if (event.ts < (last.get(track) ?? 0)) errors.push(`${track}: ${event.name} goes back in time`);
    last.set(track, event.ts);
    const stack = stacks.get(track) ?? [];
    stacks.set(track, stack);
    if (event.ph === 'B') stack.push(event);
    else if (stack.pop()?.name !== event.name) errors.push(`${track}: the end of ${event.name} has no begin`);
  }
  for (const [track, stack] of stacks) if (stack.length > 0) errors.push(`${track}: ${stack[0]?.name} never ends`);
  return errors;
}

/** A flow has one start and one finish, the finish later, each inside a slice of its track. */
function flowErrors(events: readonly TraceEvent[]): string[] {
  const errors: string[] = [];
  const starts = new Map<string, TraceEvent>();
  const finished = new Set<string>();
  for (const event of events) {
    if (event.ph !== 's' && event.ph !== 'f') continue;
    const id = event.id ?? '';
    const inside = events.some(
      (each, i) =>
        each.ph === 'B' &&
        each.pid === event.pid &&
        each.tid === event.tid &&
        each.ts <= event.ts &&
        events.some(
          (end, j) => j > i && end.ph === 'E' && end.name === each.name && end.pid === each.pid && end.ts >= event.ts,
        ),
    );
    if (!inside) errors.push(`${id} is in no slice`);
    if (event.ph === 's') {
      if (starts.has(id)) errors.push(`${id} starts twice`);
      starts.set(id, event);
    } else {
      const start = starts.get(id);
      if (start === undefined || start.ts > event.ts) errors.push(`${id} ends before it starts`);
      if (finished.has(id)) errors.push(`${id} ends twice`);
      finished.add(id);
    }
  }
  for (const id of starts.keys()) if (!finished.has(id)) errors.push(`${id} never ends`);
  return errors;
}

describe('a trace', () => {
  test('is JSON with one event a line, and the same each time', () => {
    const parsed: { traceEvents: unknown[] } = JSON.parse(chromeTrace(VIEWS));
    expect(parsed.traceEvents).toEqual(JSON.parse(JSON.stringify(EVENTS)));
    expect(chromeTrace([recorded('stray-write', PAGE_64K).again()])).toBe(chromeTrace(VIEWS.slice(1, 2)));
  });

  test('every begin has its end, strictly nested', () => {
    expect(nestingErrors(EVENTS)).toEqual([]);
    expect(nestingErrors(EVENTS.filter((event) => event.name !== 'late_initcall' || event.ph !== 'E'))).not.toEqual([]);
  });

  test('flows lead from preserving to restoring, and a refused handover has none', () => {
    expect(flowErrors(EVENTS)).toEqual([]);
    expect(flowErrors(EVENTS.filter((event) => event.ph !== 'f'))).not.toEqual([]);
    const flows = traceEvents(VIEWS.slice(1, 2)).filter((event) => event.ph === 's');
    expect(flows.map((event) => event.id)).toEqual(['0.1', '0.3']);
    expect(traceEvents(VIEWS.slice(2)).filter((event) => event.ph === 's' || event.ph === 'f')).toEqual([]);
  });

  test('has a process for each kernel, a track for each subsystem, and the boot step by step', () => {
    const names = EVENTS.filter((event) => event.name === 'process_name');
    expect(names).toHaveLength(VIEWS.reduce((sum, view) => sum + view.kernels.length, 0));
    expect(new Set(names.map((event) => event.pid)).size).toBe(names.length);
    const first = EVENTS.filter((event) => event.pid === 1);
    expect(first.filter((event) => event.name === 'thread_name')).toHaveLength(7);
    const spans = first.filter((event) => event.ph === 'B' && event.cat === 'boot').map((event) => event.name);
    expect(spans).toEqual(['boot', ...(VIEWS[0]?.kernels[0]?.boot ?? []).map((step) => step.name)]);
    expect(spans.length).toBeGreaterThan(10);
  });

  test('counts what each step left preserved', () => {
    const view = VIEWS[1];
    const counted = traceEvents(VIEWS.slice(1, 2)).filter((event) => event.name === 'preserved pages');
    const frames = view?.frames.filter((frame) => frame.phase !== 'jump') ?? [];
    expect(counted.map((event) => event.args?.['pages'])).toEqual(frames.map((frame) => frame.map?.nrPages ?? 0));
    expect(Math.max(...counted.map((event) => Number(event.args?.['pages'])))).toBeGreaterThan(0);
  });
});
