/**
 * Virtual time. It moves only when simulated work says how long it took, so two runs of one scenario have the same
 * times. Microseconds since the power button, the resolution of dmesg.
 */
export class VirtualClock {
  #microseconds = 0;

  get microseconds(): number {
    return this.#microseconds;
  }

  /** Lets `microseconds` (0 or more, fractions allowed) pass. */
  advance(microseconds: number): void {
    if (!(microseconds >= 0)) throw new RangeError(`time does not run backwards: ${microseconds}`);
    this.#microseconds += microseconds;
  }
}
