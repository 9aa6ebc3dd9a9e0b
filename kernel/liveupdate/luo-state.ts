import type { PhysAddr } from '../../machine/index.ts';
import type { Errno } from '../errno.ts';
import type { EntryCursor, EntryTable } from './entry-table.ts';

/** The sessions that a predecessor left. */
export interface IncomingSessions {
  cursor(): EntryCursor;
  /** All sessions were read: gives the table back. */
  release(): void;
  /** Reading failed: gives back what this format gives back then. */
  abandon(): void;
}

/** Room for the sessions of this kernel. */
export interface OutgoingSessions {
  /** Makes room for `count` sessions. 0, or the limit's or the allocator's error. */
  grow(count: number): 0 | Errno;
  shrink(count: number): void;
  /** Before sessions are written: nothing is announced yet. */
  begin(): void;
  cursor(): EntryCursor;
  /** Announces `count` sessions to the next kernel. */
  commit(count: number): void;
}

/** What LUO found in a handover. */
export interface IncomingLuo {
  /** Undefined when the predecessor had no session. */
  readonly sessions: IncomingSessions | undefined;
  /** The FLB header, 0 for none. */
  readonly flbs: PhysAddr;
}

/**
 * How a release lays LUO's state out: an FDT with contiguous arrays (6.19 to 7.1), or one raw struct with chains of
 * blocks (7.2 on). Sessions, files and FLBs themselves are written alike by all.
 */
export interface LuoFormat {
  /**
   * Reads the predecessor's state at early_initcall.
   * @param found told the live update number as soon as it is known.
   * @returns 0 when there is none; an errno, which makes the kernel panic, for one that it can't read.
   */
  readIncoming(found: (liveupdateNumber: bigint) => void): IncomingLuo | 0 | Errno;
  /**
   * Makes the outgoing state and hangs it into the root FDT.
   * @param setupFlbs makes the FLB table.
   */
  setupOutgoing(liveupdateNumber: bigint, setupFlbs: () => PhysAddr | Errno): OutgoingSessions | Errno;
  /** A table for the files of one session. */
  newFileTable(): EntryTable;
}
