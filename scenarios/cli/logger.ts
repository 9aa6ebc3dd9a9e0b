import { type DestinationStream, type Level, pino } from 'pino';
import type { LogLevel, LogSink } from '../../kernel/index.ts';

const PINO_LEVEL: Readonly<Record<LogLevel, Level>> = {
  emerg: 'fatal',
  err: 'error',
  warn: 'warn',
  notice: 'info',
  info: 'info',
  debug: 'debug',
};

/** `[    1.234567]`, as dmesg shows a time. @param microseconds since the kernel started. */
function dmesgTime(microseconds: number): string {
  const whole = Math.floor(microseconds);
  const seconds = String(Math.floor(whole / 1e6)).padStart(5);
  return `[${seconds}.${String(whole % 1e6).padStart(6, '0')}]`;
}

/**
 * A sink for kernels' logs: pino, stamped by the virtual clock, without process id and host name, so that two runs
 * print the same bytes.
 * @param form `dmesg` lines for people, `json` lines for programs.
 * @param write gets whole lines, newline included.
 */
export function makeLogSink(level: string, form: 'dmesg' | 'json', write: (text: string) => void): LogSink {
  let microseconds = 0;
  const destination: DestinationStream = {
    write: (line) =>
      write(form === 'json' ? line : `${dmesgTime(microseconds)} ${(JSON.parse(line) as { msg: string }).msg}\n`),
  };
  const logger = pino(
    {
      base: null,
      level,
      timestamp: () => `,"microseconds":${microseconds}`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return (line) => {
    microseconds = line.microseconds;
    logger[PINO_LEVEL[line.level]](line.text);
  };
}
