import { SingleBar } from 'cli-progress';
import type { CommandContext } from './command.ts';

/** How far a command is. */
export interface Progress {
  update(nr: number): void;
  stop(): void;
}

/** A bar on stderr when that is a terminal and nobody asked for quiet; nothing else. */
export function progressBar(context: CommandContext, total: number): Progress {
  if (!context.terminal.interactive || context.quiet || total < 2) return { update: () => {}, stop: () => {} };
  const bar = new SingleBar({ format: '{bar} {value}/{total}', clearOnComplete: true, stream: process.stderr });
  bar.start(total, 0);
  return { update: (nr) => bar.update(nr), stop: () => bar.stop() };
}
