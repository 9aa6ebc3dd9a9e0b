import type { BootHandoff, Machine } from '../../machine/index.ts';
import type { KernelEntry, RunState, TimelineStep } from './run-state.ts';

/**
 * Looks on while a scenario runs: reports and traces are made of what it sees. It changes nothing, but that it takes a
 * kernel's patches of control state as of its boot (`ControlStore.takePatches`).
 */
export interface RunObserver {
  /** A kernel came up, or fell over while it did; its clients have not restored anything yet. */
  booted?(run: RunState, entry: KernelEntry): void;
  /** The end of a kernel's life, or of the run: the checks had their last look at it. */
  closed?(run: RunState, entry: KernelEntry): void;
  /** The jump: RAM is what the next kernel finds. The old kernel is dead. */
  jumping?(run: RunState, machine: Machine, handoff: BootHandoff | undefined): void;
  /** A step is over. */
  stepped?(run: RunState, step: TimelineStep): void;
}

/** Several that look on, as one. */
export function observers(...all: readonly (RunObserver | undefined)[]): RunObserver {
  const those = all.filter((each) => each !== undefined);
  return {
    booted: (...args) => {
      for (const each of those) each.booted?.(...args);
    },
    closed: (...args) => {
      for (const each of those) each.closed?.(...args);
    },
    jumping: (...args) => {
      for (const each of those) each.jumping?.(...args);
    },
    stepped: (...args) => {
      for (const each of those) each.stepped?.(...args);
    },
  };
}
