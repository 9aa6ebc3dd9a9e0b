/*
 * The places where a kernel can be made to fail, by name: what `fault: { at: NAME, nth: N }` in a scenario may say.
 * Calls are counted for each site by itself, and the n-th from then on fails.
 */

/** Any allocation from the page allocator. All sites below that need a page come here afterwards. */
export const ALLOC_PAGES_SITE = 'mm.alloc-pages';
/** A page for a table or a leaf of the radix tree (7.1). */
export const RADIX_NODE_SITE = 'radix.alloc-node';
/** A page for the outgoing root FDT, when KHO comes up. */
export const ROOT_FDT_SITE = 'kho.alloc-fdt';
/** Room for one more subtree in the root FDT. */
export const ADD_SUBTREE_SITE = 'kho.add-subtree';
/** A folio that KHO allocates and preserves for a client: subtree blobs, serialization blocks, LUO's state. */
export const ALLOC_PRESERVE_SITE = 'kho.alloc-preserve';
/** A bitmap of the chunk list (up to 7.0). */
export const BITMAP_SITE = 'chunk-list.alloc-bitmap';
/** A chunk of the chunk list, when it is finalised (up to 7.0). */
export const CHUNK_SITE = 'chunk-list.alloc-chunk';
/** A chunk with the addresses behind a vmalloc area (6.18). */
export const VMALLOC_CHUNK_SITE = 'vmalloc.alloc-chunk';
/** A serialization block (7.2). */
export const BLOCK_SITE = 'kho-block.alloc';
/** Freezing a file right before the jump (6.19). */
export const FREEZE_SITE = 'luo.freeze-file';
/** The kernel's record of a session, when one is made or read from a predecessor (6.19). */
export const SESSION_SITE = 'luo.alloc-session';
/** Charging a folio to a memory cgroup, while a memfd is retrieved (6.19). */
export const MEMFD_CHARGE_SITE = 'memfd.charge-folio';
/** Accounting a folio's blocks to a file, while a memfd is retrieved (6.19). */
export const MEMFD_ACCOUNT_SITE = 'memfd.account-folio';
/** Doubling one of memblock's arrays, early in the boot: it is armed before the kernel starts. */
export const DOUBLE_ARRAY_SITE = 'memblock.double-array';

/** A panic right before the jump, when nothing is serialized yet. */
export const CRASH_BEFORE_SITE = 'kexec.crash-before-serialization';
/** A panic when LUO has written its sessions (7.x), and before a memory map that needs it is finalised. */
export const CRASH_IN_SITE = 'kexec.crash-in-serialization';
/** A panic when everything is serialized, and the next kernel's first byte is not in place yet. */
export const CRASH_AFTER_SITE = 'kexec.crash-after-serialization';

/** A site, for those who choose one. */
export interface FaultSiteSpec {
  readonly site: string;
  /** What fails. */
  readonly what: string;
  /** What a kernel makes of it. */
  readonly follows: string;
}

/** Every site there is. */
export const FAULT_SITES: readonly FaultSiteSpec[] = [
  {
    site: ALLOC_PAGES_SITE,
    what: 'an allocation from the page allocator',
    follows: '-ENOMEM from whatever needed the memory, with what it had done undone',
  },
  {
    site: RADIX_NODE_SITE,
    what: 'a page of the radix tree',
    follows: '-ENOMEM; the pages of the insertion are freed, its first link is cleared',
  },
  {
    site: ROOT_FDT_SITE,
    what: 'the page of the outgoing root FDT',
    follows: 'KHO is off in this kernel; the next jump hands nothing over',
  },
  {
    site: ADD_SUBTREE_SITE,
    what: 'room for a subtree in the root FDT',
    follows: '-ENOMEM and nothing left of the node (7.1); before, libfdt’s number, and the empty node stays',
  },
  {
    site: ALLOC_PRESERVE_SITE,
    what: 'a folio that is allocated and preserved in one',
    follows: '-ENOMEM',
  },
  {
    site: BITMAP_SITE,
    what: 'a bitmap of the chunk list',
    follows: '-ENOMEM from preserving; 6.16 to 7.0',
  },
  {
    site: CHUNK_SITE,
    what: 'a chunk, when the chunk list is written',
    follows: '-ENOMEM from finalising; up to 6.18 all that was preserved is forgotten with it',
  },
  {
    site: VMALLOC_CHUNK_SITE,
    what: 'a chunk of addresses of a vmalloc area',
    follows: '-ENOMEM, nothing of order 0 stays preserved; 6.18 takes it for success',
  },
  {
    site: BLOCK_SITE,
    what: 'a serialization block',
    follows: '-ENOMEM from the session or file that needed it',
  },
  {
    site: FREEZE_SITE,
    what: 'freezing a file before the jump',
    follows: 'the reboot is refused with -EIO, and what was frozen is unfrozen',
  },
  {
    site: SESSION_SITE,
    what: 'the record of a session that is made, or read from the predecessor',
    follows: '-ENOMEM from making it; where the predecessor’s are read, no open of the device works any more',
  },
  {
    site: MEMFD_CHARGE_SITE,
    what: 'charging a folio of a memfd that is retrieved',
    follows: '-ENOMEM from retrieving the file, then and whenever it is tried again; its memory is given back',
  },
  {
    site: MEMFD_ACCOUNT_SITE,
    what: 'accounting a folio of a memfd that is retrieved',
    follows: '-ENOSPC from retrieving the file, then and whenever it is tried again; its memory is given back',
  },
  {
    site: DOUBLE_ARRAY_SITE,
    what: 'memory for a larger memblock array in the kernel that boots next',
    follows: 'the reservations that do not fit any more are lost, without a message of the walk',
  },
  {
    site: CRASH_BEFORE_SITE,
    what: 'the kernel itself, before it serializes',
    follows: 'a panic; nothing is handed over, as of every kernel that does not jump',
  },
  {
    site: CRASH_IN_SITE,
    what: 'the kernel itself, while it serializes',
    follows: 'a panic; what is half written is nobody’s, since no kernel is told of it',
  },
  {
    site: CRASH_AFTER_SITE,
    what: 'the kernel itself, between serialization and the jump',
    follows: 'a panic; all is written, and nothing is handed over',
  },
];
