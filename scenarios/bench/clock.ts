/** What a measurement reads; milliseconds since some moment. */
export interface Clock {
  /** The clock on the wall: what somebody waits for, with what other programs of the machine took meanwhile. */
  wallMs(): number;
  /** Processor time of this process, all its threads, system calls and page faults included: steadier on a busy machine. */
  cpuMs(): number;
}

/** The clocks of this process. */
export const processClock: Clock = {
  wallMs: () => performance.now(),
  cpuMs: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
};
