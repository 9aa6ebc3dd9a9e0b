import type { PhysAddr } from '../../machine/index.ts';
import type { Errno } from '../errno.ts';

/**
 * Goes over the entries of a table, to fill them or to read them. Addresses are of entries in RAM.
 */
export interface EntryCursor {
  /** The next entry to be filled; undefined when the table has no more room. */
  reserve(): PhysAddr | undefined;
  /** The next entry that was filled; undefined at the end. */
  read(): PhysAddr | undefined;
  /** Steps back to the entry before. */
  prev(): PhysAddr | undefined;
}

/**
 * A growing table of entries of one size in preserved memory, whatever holds them: one contiguous piece (6.19 to 7.1)
 * or a chain of one-page blocks (7.2 on).
 */
export interface EntryTable {
  /** What the next kernel finds the table by; 0 for a table without memory. */
  readonly head: PhysAddr;
  readonly isEmpty: boolean;
  /** Makes room for `count` entries. 0, -ENOMEM, or the limit's error. */
  grow(count: number): 0 | Errno;
  /** Gives memory back that `count` entries don't need. */
  shrink(count: number): void;
  /** Takes over what a predecessor left at `head`, `count` entries as it says. 0, or -EINVAL for a broken chain. */
  restore(head: number, count: number): 0 | Errno;
  /** Empties every entry. */
  clear(): void;
  /** Gives all memory back. */
  destroy(): void;
  /** After an error in the entries: gives back what this format gives back then. */
  abandon(): void;
  cursor(): EntryCursor;
}
