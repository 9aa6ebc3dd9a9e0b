/**
 * What the kernel's own algorithm would have cost so far: it scans its flat arrays from the start and moves everything
 * behind an insertion. khosim reaches the same tables without; the numbers are here so that a report can show them.
 */
export interface MemblockCost {
  /** Regions that loops over the arrays looked at, one by one. */
  regionsScanned: number;
  /** Bytes moved inside an array by insertions, removals and merges, and copied by doublings. */
  bytesMoved: number;
  /** How often an array was doubled. */
  doublings: number;
}

/**
 * memblock stops the kernel: `panic` (an array is full and may not be resized yet), `bug` (a BUG_ON), or
 * `array-overlap`: both arrays lie in the same RAM, and whatever a real kernel did next it did with garbage.
 */
export class MemblockStop extends Error {
  readonly kind: 'panic' | 'bug' | 'array-overlap';

  constructor(kind: 'panic' | 'bug' | 'array-overlap', text: string) {
    super(text);
    this.name = 'MemblockStop';
    this.kind = kind;
  }
}
