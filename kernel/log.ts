import type { VirtualClock } from '../machine/index.ts';

/** The levels that khosim's kernels use, as in `dmesg -x`. */
export type LogLevel = 'emerg' | 'err' | 'warn' | 'notice' | 'info' | 'debug';

/** One line of the kernel's log. */
export interface LogLine {
  /** Virtual time of this kernel, microseconds since its start. */
  readonly microseconds: number;
  readonly level: LogLevel;
  readonly text: string;
}

/** Where lines go as they are printed (pino on stderr, a trace, nothing); handed in from above. */
export type LogSink = (line: LogLine) => void;

/**
 * The kernel's log buffer. Lines are kept, so that results can hold them, and go to the sink as they come.
 */
export class KernelLog {
  readonly lines: LogLine[] = [];
  /** WARNs hit so far: WARN_ON and WARN_ON_ONCE alike. */
  warnings = 0;
  readonly #clock: VirtualClock;
  readonly #sink: LogSink | undefined;
  readonly #once = new Set<string>();

  constructor(clock: VirtualClock, sink?: LogSink) {
    this.#clock = clock;
    this.#sink = sink;
  }

  print(level: LogLevel, text: string): void {
    const line = { microseconds: this.#clock.microseconds, level, text };
    this.lines.push(line);
    this.#sink?.(line);
  }

  info(text: string): void {
    this.print('info', text);
  }

  warn(text: string): void {
    this.print('warn', text);
  }

  err(text: string): void {
    this.print('err', text);
  }

  /** A WARN: counted, and printed with the function that hit it, as `WARNING: at kho_restore_page`. */
  warnOn(functionName: string): void {
    this.warnings++;
    this.print('warn', `WARNING: at ${functionName}`);
  }

  /** A WARN_ON_ONCE: only the first in this kernel's life is printed and counted. `site` tells apart several in one function. */
  warnOnOnce(functionName: string, site = functionName): void {
    if (this.#once.has(site)) return;
    this.#once.add(site);
    this.warnOn(functionName);
  }
}
