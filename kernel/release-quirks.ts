/** What a release does that another does not, beyond its bytes. Code asks for the quirk, never for the release. */
export interface ReleaseQuirks {
  /** What the retrieving walk leaves in the head page's `private`: the bare order before 6.18. */
  readonly pagePrivate: 'order' | 'order-and-magic';
  /** The walk keeps a block's size in a 32-bit int: blocks of 2 GiB and more get a wrong size (up to 7.1). */
  readonly retrieveSizeIsInt: boolean;
  /** Restoring refuses orders above MAX_PAGE_ORDER (up to 7.0). */
  readonly restoreChecksMaxOrder: boolean;
  /** Restoring a range makes each block of it a compound page (6.18); there are no ranges to restore before that. */
  readonly restoresRangesAsFolios: boolean;
  /** The retrieving kernel restores the page of the root FDT at once (up to 6.18). */
  readonly restoresRootFdt: boolean;
  /** preserve_pages lowers orders until a block lies on one NUMA node (7.1). */
  readonly splitsAtNodes: boolean;
  /** Unpreserving splits as preserving does (every release; not so for a while in the tree of 7.1). */
  readonly unpreserveSplitsAtNodes: boolean;
  /** Adding a key wider than the tree is -ERANGE (7.3); before, it is an alias of another key. */
  readonly refusesWideKeys: boolean;
  /** A key that cannot be added for want of memory leaves an entry that leads to a page given back (no release). */
  readonly radixLeavesDanglingEntry: boolean;
  /** Unpreserving what no bitmap covers tries again for ever (up to 6.17.8); later it is a WARN. */
  readonly unpreserveLoops: boolean;
  /** Chunks and bitmaps are pages, and given back with kfree(): a WARN, and they stay taken (6.17.9, 6.18). */
  readonly kfreesPages: boolean;
  /** kho_init that fails frees all of its tree (7.3); before, the root page alone, and the rest is lost. */
  readonly failedInitFreesTree: boolean;
  /** With KEXEC_HANDOVER_DEBUG, preserving what overlaps scratch is a WARN and -EINVAL (6.18). */
  readonly checksScratchOverlap: boolean;
  /**
   * `before-load`: kexec load passes nothing on until the handover is finalised, and preserving is then -EBUSY (up to
   * 6.18); `before-jump`: loading is possible any time, finalising again replaces the map (6.19, 7.0); `none`: no such
   * step.
   */
  readonly finalize: 'before-load' | 'before-jump' | 'none';
  /** Taking a finalisation back drops everything that was preserved (up to 6.18). */
  readonly abortForgetsAll: boolean;
  /** When KHO comes up: `late` beside its users, who wait for finalize to be called, or `fs` before them. */
  readonly initcall: 'late' | 'fs';
  /** libfdt refuses a reserve map that is not 8-byte aligned, or a structure block that is not 4-byte aligned (7.1). */
  readonly fdtChecksBlockAlignment: boolean;
  /** populate refuses a root FDT without map property or with a map of 0 (6.19). */
  readonly populateChecksMap: boolean;
  /** Running out of room in the root FDT: -ENOMEM with the half-made node removed (7.1), or libfdt's number and the node stays. */
  readonly addSubtreeCleansUp: boolean;
  /** debugfs shows as much of a subtree's blob as its second word would say if it were an FDT (up to 7.0). */
  readonly debugfsTrustsTotalsize: boolean;
  /** Which NUMA nodes get a scratch area: those online, or those with memory (6.19). */
  readonly scratchNodes: 'online' | 'with-memory';
  /** What scratch areas are aligned to: a pageblock, or the largest buddy order (7.2). */
  readonly scratchAlignment: 'pageblock' | 'max-order';
  /** Lowmem and global sizes from the command line are rounded up to the alignment (7.1). */
  readonly scratchRoundsGivenSizes: boolean;
  /** `kho_scratch=` accepts a size of 0 as long as not all are, and refuses trailing text (6.18). */
  readonly scratchSizeMayBeZero: boolean;
  /** Boot-time huge pages do not count for the default scratch size (7.3). */
  readonly scratchIgnoresHugetlb: boolean;
  /** The walk initialises struct pages that are deferred (7.2); before, their later initialisation erased what it noted. */
  readonly initialisesDeferredPages: boolean;
  /** Late initialisation makes pageblocks of scratch movable ones (before 7.2), so that anything may be allocated there. */
  readonly deferredInitForgetsCma: boolean;
  /** Gigabytes without preserved memory become scratch early in the boot (7.3). */
  readonly extendsScratch: boolean;
  /** A kdump kernel turns KHO off (7.3). */
  readonly disabledInKdump: boolean;
  /** Restoring a vmalloc area of order > 0 maps the first page of each block over and over (6.18). */
  readonly vmallocRepeatsPages: boolean;
  /** Unpreserving a vmalloc area takes one page of each block for all of it (no release). */
  readonly vmallocUnpreservesByPage: boolean;
  /** A vmalloc chunk is read until an entry is 0, not until it ends (no release). */
  readonly vmallocChunksUnbounded: boolean;
  /** Failing to get a further chunk while preserving a vmalloc area undoes everything and returns 0 (6.18). */
  readonly vmallocForgetsError: boolean;
  /** test_kho looks for its data with `kho=off` too (6.17). */
  readonly testIgnoresKhoOff: boolean;
  /** test_kho says so when its data is damaged (6.19). */
  readonly testReportsFailure: boolean;
  /** reserve_mem= says why a value is refused (7.1). */
  readonly reserveMemExplains: boolean;
  /** Retrieving a memfd calls it success when a folio behind the first cannot be restored (6.19, 7.0). */
  readonly memfdForgetsErrors: boolean;
  /** LUO's session calls look at the direction: -EINVAL on the wrong one (7.1). */
  readonly luoChecksDirection: boolean;
  /** LUO refuses empty names and unterminated ones (7.1). */
  readonly luoChecksNames: boolean;
  /** LUO preserves a file once at a time: -EBUSY (7.1). */
  readonly luoOwnsFiles: boolean;
  /** An error in one session's files fails all of LUO's sessions (7.1); before, the session is short of them. */
  readonly luoFileErrorsFail: boolean;
  /** A memfd's folios are counted in a 32-bit unsigned int before they are preserved: what is behind them is lost (6.19, 7.0). */
  readonly memfdCountsInInt: boolean;
  /** When retrieving a memfd fails, a frame number is taken for an address to give back what was not reached (6.19, 7.0). */
  readonly memfdPutsWrongFolios: boolean;
  /** A folio's dirty and uptodate flags cross as they were when it was preserved; no release is known here that did so. */
  readonly memfdSavesFolioFlags: boolean;
  /** A file that could not be retrieved is tried again, on what the first attempt gave back; fixed within 6.19. */
  readonly luoForgetsFailure: boolean;
  /** Unfreezing a file drops the handle of what was preserved of it; fixed within 6.19. */
  readonly luoUnfreezeDropsHandle: boolean;
  /** An open of the device that had no memory for a session is a success the next time, without that session (6.19, 7.0). */
  readonly luoForgetsAllocFailure: boolean;
  /** Once sessions are written, calls on sessions wait for the jump (7.1). */
  readonly luoLocksSessions: boolean;
  /** A kexec that comes back (preserve_context) freezes and writes sessions too (6.19, 7.0). */
  readonly luoSerializesForReturn: boolean;
  /** A reserved field of FINISH must be 0: else -EINVAL (7.2). */
  readonly luoChecksReserved: boolean;
  /** Whoever fetches an incoming FLB holds it until it gives it back (7.1); before, it goes with the last file. */
  readonly flbCountsUsers: boolean;
  /** An FLB that could not be retrieved is not tried again (7.2). */
  readonly flbRemembersFailure: boolean;
}
