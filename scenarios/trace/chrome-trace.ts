import type { Frame, RunView } from '../report/client/model.ts';

/*
 * Runs as Chrome trace events, which Perfetto and chrome://tracing read: a process for each kernel, a track for each
 * subsystem. Times are those of the virtual clock, kernel after kernel. That clock stands still while clients act, so each
 * step is given a fixed time.
 */

/** Virtual microseconds that a step of a scenario, a jump or a look of the checks is shown to take. */
const STEP_MICROSECONDS = 100;

/** The tracks of a process. */
const TRACKS = { kernel: 1, boot: 2, scenario: 3, KHO: 4, LUO: 5, mm: 6, checks: 7 } as const;
type Track = keyof typeof TRACKS;

/** One event in Chrome's trace event format; `ts` in microseconds. */
export interface TraceEvent {
  readonly name: string;
  /** `B`egin, `E`nd, `C`ounter, `i`nstant, `s`tart and `f`inish of a flow, `M`etadata. */
  readonly ph: 'B' | 'E' | 'C' | 'i' | 's' | 'f' | 'M';
  readonly ts: number;
  readonly pid: number;
  readonly tid: number;
  readonly cat?: string;
  readonly id?: string;
  readonly s?: 't';
  readonly bp?: 'e';
  readonly args?: Readonly<Record<string, unknown>>;
}

/** Runs as the text of a trace file. Equal runs give equal bytes. */
export function chromeTrace(views: readonly RunView[]): string {
  const events = traceEvents(views);
  const lines = events.map((event) => JSON.stringify(event)).join(',\n');
  return `{"displayTimeUnit":"ms","traceEvents":[\n${lines}\n]}\n`;
}

/** Runs as events, each track's in the order of time. */
export function traceEvents(views: readonly RunView[]): TraceEvent[] {
  const events: TraceEvent[] = [];
  let pid = 1;
  for (const [i, view] of views.entries()) {
    new RunTrace(events, view, pid, `${i}`).write();
    pid += view.kernels.length;
  }
  return events;
}

class RunTrace {
  readonly #events: TraceEvent[];
  readonly #view: RunView;
  readonly #firstPid: number;
  readonly #prefix: string;

  constructor(events: TraceEvent[], view: RunView, firstPid: number, prefix: string) {
    this.#events = events;
    this.#view = view;
    this.#firstPid = firstPid;
    this.#prefix = prefix;
  }

  write(): void {
    let start = 0;
    for (const index of this.#view.kernels.keys()) start = this.#kernel(index, start);
  }

  /** @returns when the kernel is over. */
  #kernel(index: number, start: number): number {
    const kernel = this.#view.kernels[index];
    if (kernel === undefined) return start;
    const { scenario, pageSize } = this.#view;
    const pid = this.#firstPid + index;
    const name = `${scenario} ${pageSize / 1024}K, kernel ${index + 1}: Linux ${kernel.release}`;
    this.#put({ name: 'process_name', ph: 'M', ts: start, pid, tid: 0, args: { name } });
    this.#put({ name: 'process_sort_index', ph: 'M', ts: start, pid, tid: 0, args: { sort_index: pid } });
    for (const [track, tid] of Object.entries(TRACKS)) {
      this.#put({ name: 'thread_name', ph: 'M', ts: start, pid, tid, args: { name: track } });
    }
    const frames = this.#view.frames.filter((frame) => frame.kernel === index + 1);
    const args = { cmdline: kernel.cmdline, outcome: kernel.outcome, reason: kernel.reason };
    this.#begin('kernel', `Linux ${kernel.release}`, start, pid, args);
    this.#begin('boot', 'boot', start, pid);
    let at = start;
    for (const step of kernel.boot) {
      this.#begin('boot', step.name, start + step.microseconds, pid);
      at = start + step.endMicroseconds;
      this.#end('boot', step.name, at, pid);
    }
    const bootEnd = Math.max(at, start + (frames[0]?.microseconds ?? 0));
    this.#end('boot', 'boot', bootEnd, pid);
    for (const [microseconds, level, text] of kernel.log) {
      if (start + microseconds <= bootEnd) this.#instant(subsystemOf(text), text, start + microseconds, pid, level);
    }
    const end = this.#frames(frames, bootEnd, pid);
    this.#end('kernel', `Linux ${kernel.release}`, end, pid);
    return end;
  }

  #frames(frames: readonly Frame[], bootEnd: number, pid: number): number {
    let at = bootEnd;
    for (const frame of frames) {
      const begin = at;
      if (frame.phase !== 'boot') {
        at += STEP_MICROSECONDS;
        const args = { result: frame.result, line: frame.line };
        this.#begin('scenario', frame.title, begin, pid, args);
        this.#flows(frame, begin + STEP_MICROSECONDS / 2, pid);
        this.#end('scenario', frame.title, at, pid);
      }
      for (const bad of frame.bad) this.#instant('checks', bad.text, at, pid, bad.kind);
      if (frame.phase !== 'jump') this.#counters(frame, at, pid);
    }
    return at;
  }

  /** Arrows from what was preserved, and from the jump, to the step in which the next kernel's clients restore. */
  #flows(frame: Frame, ts: number, pid: number): void {
    const { frames } = this.#view;
    const index = frames.indexOf(frame);
    const common = { name: 'preserve to restore', cat: 'handover', pid, tid: TRACKS.scenario, ts } as const;
    for (const [source, target] of flowsOf(frames)) {
      const id = `${this.#prefix}.${source}`;
      if (source === index) this.#put({ ...common, ph: 's', id });
      if (target === index) this.#put({ ...common, ph: 'f', bp: 'e', id });
    }
  }

  #counters(frame: Frame, ts: number, pid: number): void {
    const counter = (name: string, args: Readonly<Record<string, number>>): void =>
      this.#put({ name, ph: 'C', ts, pid, tid: TRACKS.mm, args });
    const nodes = frame.map?.nodesPerLevel.reduce((sum, count) => sum + count, 0) ?? 0;
    counter('preserved pages', { pages: frame.map?.nrPages ?? 0 });
    counter('tree pages', { pages: nodes });
    counter('scratch used', { pages: frame.scratchUsedPages });
  }

  #begin(track: Track, name: string, ts: number, pid: number, args?: Readonly<Record<string, unknown>>): void {
    this.#put({ name, ph: 'B', ts, pid, tid: TRACKS[track], cat: track, ...(args === undefined ? {} : { args }) });
  }

  #end(track: Track, name: string, ts: number, pid: number): void {
    this.#put({ name, ph: 'E', ts, pid, tid: TRACKS[track], cat: track });
  }

  #instant(track: Track, name: string, ts: number, pid: number, level: string): void {
    this.#put({ name, ph: 'i', s: 't', ts, pid, tid: TRACKS[track], cat: track, args: { level } });
  }

  #put(event: TraceEvent): void {
    this.#events.push(event);
  }
}

/** Steps that put something into the next kernel's hands. */
const PRESERVING = /^(preserve|session|add subtree|renew)\b/;

/** Frames at both ends of each arrow. None leads from a kernel whose handover was not taken. */
function flowsOf(frames: readonly Frame[]): (readonly [source: number, target: number])[] {
  const flows: (readonly [number, number])[] = [];
  for (const [jump, frame] of frames.entries()) {
    const boot = frames[jump + 1];
    if (frame.phase !== 'jump' || boot?.phase !== 'boot' || boot.result !== 'handover') continue;
    const target = frames.findIndex((each, i) => i > jump && each.kernel === boot.kernel && each.phase === 'step');
    if (target < 0) continue;
    for (const [i, each] of frames.entries()) {
      const preserves = each.phase === 'step' && each.result === 'ok' && PRESERVING.test(each.title);
      if (i === jump || (each.kernel === frame.kernel && preserves)) flows.push([i, target]);
    }
  }
  return flows;
}

/** Which part of the kernel a log line is from. */
function subsystemOf(text: string): Track {
  if (/^luo|liveupdate/i.test(text)) return 'LUO';
  if (/^KHO|kho/i.test(text)) return 'KHO';
  return 'mm';
}
