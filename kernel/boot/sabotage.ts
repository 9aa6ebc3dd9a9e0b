/**
 * Deliberate defects in a kernel, for the tests that prove that the checks can fail. Numbers are indices into the blocks
 * in the order in which the walk meets them. No release has any of these.
 */
export interface Sabotage {
  /** The retrieving kernel does not reserve this block. */
  readonly skipReservation?: number;
  /** The retrieving kernel reserves this block without marking it noinit. */
  readonly skipNoinit?: number;
  /** The retrieving kernel notes one order too many for this block. */
  readonly wrongOrder?: number;
  /** The outgoing kernel loses this block's bit at the jump. */
  readonly clearBit?: number;
  /** The loader of the outgoing kernel puts a page of the image over this block. */
  readonly imageOverlap?: number;
}
