import type { FaultSite } from '../../kernel/fault-injection.ts';
import {
  ADD_SUBTREE_SITE,
  ALLOC_PAGES_SITE,
  ALLOC_PRESERVE_SITE,
  BITMAP_SITE,
  BLOCK_SITE,
  CHUNK_SITE,
  CRASH_AFTER_SITE,
  CRASH_BEFORE_SITE,
  CRASH_IN_SITE,
  DOUBLE_ARRAY_SITE,
  FREEZE_SITE,
  MEMFD_ACCOUNT_SITE,
  MEMFD_CHARGE_SITE,
  RADIX_NODE_SITE,
  ROOT_FDT_SITE,
  SESSION_SITE,
  VMALLOC_CHUNK_SITE,
} from '../../kernel/fault-sites.ts';
import { releaseByName } from '../../kernel/release.ts';

/*
 * What a failed allocation comes to, by site, by what asked for it, and by release. Read in the sources of 6.17.8, 6.18,
 * 6.19, 7.1, 7.2 and 7.3.
 */

/** What a kernel boots without, after a failure while it came up. */
const KHO_OFF = 'KHO off';
/** kho_init's error path after a handover: scratch is freed a second time. */
const PANIC = 'panic';
const NO_TEST = 'no kho_test';
const NO_LUO = 'no LUO, live update off';
const NO_RESERVE_MEM = 'no memblock';
/** Up to 6.18 no client has a subtree before the handover is finalised: what failed shows then. */
const OK = 'ok';

/** Which results a failure has, for a site and a step (`boot` is the way up). */
interface FailureRow {
  readonly sites: readonly FaultSite[];
  readonly verbs: readonly string[];
  readonly results: readonly string[];
  /** For some releases only: names of releases, or left out for all. */
  readonly releases?: readonly string[];
  readonly why: string;
}

/** Releases that finalise before they load: clients are asked then. */
const FINALISING = ['6.16', '6.17.8', '6.17.9', '6.18'];
const CHUNK_LIST = [...FINALISING, '6.19', '7.0'];

export const FAILURE_TABLE: readonly FailureRow[] = [
  {
    sites: [ROOT_FDT_SITE],
    verbs: ['boot'],
    results: [KHO_OFF, PANIC],
    why: 'kho_init gives up; after a handover its error path frees memory that is free',
  },
  {
    sites: [ALLOC_PAGES_SITE, RADIX_NODE_SITE, ALLOC_PRESERVE_SITE, ADD_SUBTREE_SITE, BITMAP_SITE],
    verbs: ['boot'],
    results: [KHO_OFF, PANIC, NO_TEST, NO_LUO, NO_RESERVE_MEM],
    why: 'kho_init gives up; a client that comes later does without, and LUO turns itself off',
  },
  {
    sites: [ALLOC_PAGES_SITE, BITMAP_SITE, VMALLOC_CHUNK_SITE],
    verbs: ['boot'],
    results: [OK],
    releases: FINALISING,
    why: 'test_kho fails at its initcall; nothing of it would be in the FDT before the handover is finalised',
  },
  { sites: [VMALLOC_CHUNK_SITE], verbs: ['boot'], results: [NO_TEST], why: 'the list of test_kho is a vmalloc area' },
  {
    sites: [ALLOC_PAGES_SITE, RADIX_NODE_SITE, BITMAP_SITE],
    verbs: ['preserve folios', 'preserve pages', 'preserve', 'preserve vmalloc', 'add subtree'],
    results: ['ENOMEM'],
    why: 'kho_preserve_folio and its kin pass -ENOMEM on',
  },
  {
    sites: [ALLOC_PRESERVE_SITE, VMALLOC_CHUNK_SITE],
    verbs: ['preserve vmalloc', 'preserve', 'add subtree'],
    results: ['ENOMEM'],
    why: 'kho_alloc_preserve and kho_preserve_vmalloc',
  },
  {
    sites: [ALLOC_PAGES_SITE, BITMAP_SITE, VMALLOC_CHUNK_SITE],
    verbs: ['preserve vmalloc', 'preserve'],
    results: [OK],
    releases: ['6.18'],
    why: 'a chunk after the first that cannot be had is taken for success: err is 0 when the loop is left',
  },
  { sites: [ALLOC_PAGES_SITE], verbs: ['alloc'], results: ['ENOMEM'], why: 'the page allocator itself' },
  {
    sites: [ALLOC_PAGES_SITE],
    verbs: ['preserve vmalloc', 'session', 'renew', 'preserve file'],
    results: [OK],
    why: 'a large page that cannot be had is made up of small ones, in vmalloc as in shmem',
  },
  {
    sites: [ADD_SUBTREE_SITE],
    verbs: ['add subtree', 'preserve vmalloc', 'preserve'],
    results: ['ENOMEM'],
    releases: ['7.1', '7.2', '7.3'],
    why: 'libfdt has no room: one error for all of its own, the node removed',
  },
  {
    sites: [ADD_SUBTREE_SITE],
    verbs: ['add subtree', 'preserve vmalloc', 'preserve'],
    results: ['3'],
    releases: CHUNK_LIST,
    why: 'FDT_ERR_NOSPACE as it comes from libfdt, and half a node',
  },
  {
    sites: [ALLOC_PAGES_SITE, RADIX_NODE_SITE, BITMAP_SITE, ALLOC_PRESERVE_SITE, VMALLOC_CHUNK_SITE, BLOCK_SITE],
    verbs: ['session', 'renew', 'preserve file'],
    results: ['ENOMEM'],
    why: 'creating a session or preserving a file: -ENOMEM, and the session keeps the files that it has',
  },
  {
    sites: [SESSION_SITE],
    verbs: ['session', 'renew'],
    results: ['ENOMEM', 'EIO'],
    why: 'luo_session_alloc: -ENOMEM for a new one; one of the predecessor’s makes every open -EIO',
  },
  {
    sites: [SESSION_SITE],
    verbs: ['retrieve'],
    results: ['EIO'],
    why: 'the first open reads what the predecessor left, and what goes wrong then stays wrong',
  },
  {
    sites: [MEMFD_CHARGE_SITE],
    verbs: ['retrieve', 'retrieve file'],
    results: ['ENOMEM'],
    why: 'mem_cgroup_charge, and the error is remembered',
  },
  {
    sites: [MEMFD_ACCOUNT_SITE],
    verbs: ['retrieve', 'retrieve file'],
    results: ['ENOSPC'],
    why: 'shmem_inode_acct_blocks, and the error is remembered',
  },
  {
    sites: [FREEZE_SITE],
    verbs: ['kexec'],
    results: ['EIO'],
    why: 'the handler’s own error refuses the reboot',
  },
  {
    sites: [CHUNK_SITE, BITMAP_SITE, ALLOC_PAGES_SITE],
    verbs: ['kexec'],
    results: ['ENOMEM'],
    releases: CHUNK_LIST,
    why: 'the handover cannot be finalised',
  },
  {
    sites: [ALLOC_PAGES_SITE, RADIX_NODE_SITE, BITMAP_SITE, ALLOC_PRESERVE_SITE, ADD_SUBTREE_SITE, VMALLOC_CHUNK_SITE],
    verbs: ['kexec'],
    results: [OK],
    why: 'a client that could not preserve its memory again goes without; the jump is none of its business',
  },
  {
    sites: [CRASH_BEFORE_SITE, CRASH_IN_SITE, CRASH_AFTER_SITE],
    verbs: ['kexec'],
    results: [PANIC],
    why: 'no allocation, but a site like the others: the kernel dies on its way out',
  },
  {
    sites: [DOUBLE_ARRAY_SITE],
    verbs: ['boot'],
    results: [OK, PANIC, KHO_OFF],
    why: 'memblock goes on with the array that it has, or panics where it must have memory; the walk ignores both',
  },
];

/** What the step that met a failure may come to. */
export function expectedResults(site: FaultSite, verb: string, release: string): readonly string[] {
  return FAILURE_TABLE.filter(
    (row) => row.sites.includes(site) && row.verbs.includes(verb) && (row.releases?.includes(release) ?? true),
  ).flatMap((row) => row.results);
}

/** Results of later steps that follow from a failure: they name what is not there. */
export const CONSEQUENCES: readonly string[] = [
  'ENOMEM',
  'ENOENT',
  'ENOSPC',
  'EIO',
  'EINVAL',
  'EBUSY',
  'EBADF',
  'EFAULT',
  'not run',
];

/** What a kernel leaves behind after a failure by a bug of its own. */
export interface KernelDefect {
  readonly name: string;
  readonly what: string;
  /** Whether it explains a leak, or damage, after this failure. */
  explains(failure: {
    readonly site: FaultSite;
    readonly verb: string;
    readonly release: string;
    readonly came: string;
    /** What the step comes to without the failure. */
    readonly otherwise: string | undefined;
    /** What was wrong: pages that nobody owns or that are free, or memory that came back wrong. */
    readonly wrong: 'pages' | 'damage';
    /** Whether the last kernel refused to hand over. */
    readonly refused: boolean;
  }): boolean;
}

function quirksOf(release: string) {
  return releaseByName(release)?.quirks;
}

/** Every defect that a failed allocation brings out in the library, by name. */
export const DEFECTS: readonly KernelDefect[] = [
  {
    name: 'test-kho-leaks',
    what: 'test_kho that cannot hand over its folios forgets them: only the array of pointers is freed (6.17 to 7.3)',
    explains: ({ verb, came, wrong, release }) =>
      wrong === 'pages' && verb === 'boot' && (came === NO_TEST || (came === OK && FINALISING.includes(release))),
  },
  {
    name: 'failed-init-leaks',
    what: 'kho_init that fails frees the root of the tree and no other page of it (7.1, 7.2), or no bitmap (6.19, 7.0)',
    explains: ({ verb, came, wrong, release }) =>
      wrong === 'pages' && verb === 'boot' && came === KHO_OFF && quirksOf(release)?.failedInitFreesTree === false,
  },
  {
    name: 'abort-forgets-all',
    what: 'a finalisation that fails drops all bitmaps, and with them what clients had preserved (up to 6.18)',
    explains: ({ verb, came, release }) =>
      verb === 'kexec' && came === 'ENOMEM' && quirksOf(release)?.abortForgetsAll === true,
  },
  {
    name: 'vmalloc-forgets-error',
    what: 'kho_preserve_vmalloc returns success when a later chunk cannot be had, and has freed the chunks (6.18)',
    explains: ({ site, verb, came, release }) =>
      [ALLOC_PAGES_SITE, BITMAP_SITE, VMALLOC_CHUNK_SITE].includes(site) &&
      ['preserve vmalloc', 'preserve', 'kexec'].includes(verb) &&
      came === OK &&
      quirksOf(release)?.vmallocForgetsError === true,
  },
  {
    name: 'region-in-scratch',
    what: 'a reserve_mem region that was not handed over is looked for in scratch by the next kernel, and what lies there makes its finalisation fail (6.18)',
    explains: ({ verb, came, release, wrong, refused }) =>
      wrong === 'damage' && refused && verb === 'boot' && came === OK && FINALISING.includes(release),
  },
  {
    name: 'order-31',
    what: 'the loop over a range that has a block of 2^31 pages goes backwards; what failed lies before the start, and nothing is taken back (all)',
    explains: ({ verb, came, otherwise, wrong }) =>
      wrong === 'pages' && verb === 'preserve pages' && came === 'ENOMEM' && otherwise === 'oops',
  },
  {
    name: 'lost-reservations',
    what: 'the walk ignores that memblock has no room for a reservation; the pages go to the page allocator (all)',
    explains: ({ site }) => site === DOUBLE_ARRAY_SITE,
  },
];
