/**
 * The kernel decided to stop: `panic()`. Thrown wherever kernel code runs, caught (like MachineFault, which is an oops)
 * in the one place where the kernel was entered, and turned there into the outcome `panic`.
 */
export class KernelPanic extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'KernelPanic';
  }
}

/**
 * The task that made the call sleeps for ever, on a lock that nobody will give back. Nothing else is wrong with the kernel: whoever
 * plays the task catches this, and goes on with other tasks.
 */
export class TaskBlocked extends Error {
  constructor(lock: string) {
    super(`blocked on ${lock}`);
    this.name = 'TaskBlocked';
  }
}

/**
 * The kernel would work without end, or for longer than anybody waits (an endless loop, a walk over a fan-out of
 * millions of shared nodes). Thrown when a bound is passed, caught like a panic; the outcome is `oops` with the reason
 * `hangs`, since that is what a watchdog makes of it.
 */
export class KernelHang extends Error {
  constructor(where: string) {
    super(`${where} does not come to an end`);
    this.name = 'KernelHang';
  }
}
