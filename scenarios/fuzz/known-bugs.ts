import { ADD_SUBTREE_SITE, ALLOC_PAGES_SITE, BITMAP_SITE, VMALLOC_CHUNK_SITE } from '../../kernel/fault-sites.ts';
import { type Intervals, subtract, union } from '../handover/intervals.ts';
import {
  allBut,
  bitmapsRead,
  blocksWhere,
  fallsOverMap,
  followsFreed,
  forgotAll,
  freedBefore,
  freedPages,
  isRange,
  jumpsBefore,
  losesDeferred,
  lostCma,
  missesLevel,
  NONE,
  neverFinalised,
  overJumps,
  overlappingBlocks,
  rangeBlocks,
  sharedPages,
  strikesClient,
  strikesObject,
  takenFromOthers,
  takesWhatWaits,
  tooLarge,
  unreserved,
  wholeBlocks,
} from './conditions.ts';
import { type Evidence, intersect, type Jump, type PageSymptom, pagesOf, type Symptom } from './evidence.ts';
import { LAST_OBJECT } from './plan.ts';
import { lacksFlbNode } from './predict.ts';
import { rangesOf } from './reader.ts';

/*
 * What kernels are known to do wrong, or to let their clients do wrong. Each bug says itself which pages of which object
 * it has spoilt, from what the jumps carried; a page that none of them claims is a violation.
 */

/** A known bug. */
export interface KnownBug {
  readonly name: string;
  /** The releases that have it. */
  readonly releases: string;
  /** When it strikes. */
  readonly condition: string;
  /** What comes of it. */
  readonly what: string;
  /** How the checks see it. */
  readonly seen: string;
  /** The pages that it strikes at a jump: what lies in them, and whoever needs them, comes to harm. */
  strikes?(evidence: Evidence, jump: Jump): Intervals;
  /** What can be seen of the pages that it strikes; all, unless it says so. */
  readonly effects?: readonly PageSymptom['what'][];
  /** The pages of a symptom that are its doing in another way. */
  spoils?(evidence: Evidence, symptom: PageSymptom): Intervals;
  /** Whether it is behind a symptom of another kind. */
  accounts?(evidence: Evidence, symptom: Symptom): boolean;
}

/** What a further chunk of a vmalloc area needs in 6.18, to be had and to be preserved. */
const CHUNK_NEEDS = [VMALLOC_CHUNK_SITE, ALLOC_PAGES_SITE, BITMAP_SITE];

/** Whether a client fell over an area of which a chunk could not be had, and 6.18 told it that it is preserved. */
function forgotChunk({ state, result }: Evidence, symptom: Symptom): boolean {
  if (symptom.kind !== 'crash' || symptom.inBoot) return false;
  const context = state.kernels[symptom.kernel - 1]?.kernel.context;
  if (context?.release.quirks.vmallocForgetsError !== true) return false;
  if (!CHUNK_NEEDS.some((site) => context.faults.fired.includes(site))) return false;
  const fell = result.steps.find((step) => step.kernel === symptom.kernel && step.result === 'oops');
  return fell !== undefined && /^(un)?preserve( vmalloc)?$/.test(fell.text);
}

/** Every known bug. */
export const KNOWN_BUGS: readonly KnownBug[] = [
  {
    name: 'inside-scratch',
    releases: '6.16, 6.17; since 6.18 without KEXEC_HANDOVER_DEBUG',
    condition: 'a client preserves pages of a scratch area',
    what: 'the next kernel’s image and its early allocations overwrite them',
    seen: 'pages inside scratch are damaged or with the page allocator; their folios come back otherwise',
    spoils: (evidence, symptom) =>
      overJumps(evidence, symptom, (jump, pages) => wholeBlocks(symptom.object, intersect(pages, jump.scratch))),
  },
  {
    name: 'numa-restore',
    releases: '7.1 to 7.3',
    condition: 'a range of pages lies across two NUMA nodes, in a block that would be aligned',
    what: 'preserving lowers the order at the border, restoring does not: it finds the first piece and steps over the rest',
    seen: 'the rest of the block is never restored, and the call succeeds',
    spoils: (evidence, symptom) =>
      overJumps(evidence, symptom, (jump) => {
        if (!jump.old.quirks.splitsAtNodes || jump.oldConfig.NUMA === false) return NONE;
        return rangeBlocks(
          symptom.object,
          ({ start, order }) => evidence.nidOf(start) !== evidence.nidOf(start + 2 ** order - 1),
        );
      }),
  },
  {
    name: 'lost-reservations',
    releases: '6.16 to 7.3',
    condition: 'scratch has no room for memblock to double its array while preserved blocks are reserved',
    what: 'the walk ignores what memblock returns; the rest is with the page allocator, and restoring it succeeds',
    seen: 'preserved pages without a region, then damaged, or somebody else’s',
    strikes: (_, jump) => unreserved(jump),
    // Memory with two owners: what the kernel keeps there goes with it.
    accounts: (evidence, symptom) =>
      symptom.kind !== 'client' && jumpsBefore(evidence, symptom).some((jump) => unreserved(jump).length > 0),
  },
  {
    name: 'freed-while-preserved',
    releases: '6.16 to 7.3',
    condition: 'a client frees pages and leaves them preserved',
    what: 'preserving takes no reference: the page allocator gives them to others, and both hand them over',
    seen: 'the freed pages hold what their next owner put there, or have two owners in the next kernel',
    spoils: (evidence, symptom) => wholeBlocks(symptom.object, freedPages(evidence, symptom)),
    accounts: (evidence, symptom) => {
      if (strikesClient(evidence, symptom, (jump) => freedBefore(evidence, jump))) return true;
      // Unpreserving what was freed takes the new owner's preservation away, LUO's too.
      const isBlob = symptom.kind === 'client' && symptom.client === 'subtree';
      return symptom.kind !== 'start' && !isBlob && followsFreed(evidence, symptom);
    },
  },
  {
    name: 'init-frees-scratch',
    releases: '6.16 to 7.3',
    condition: 'an allocation of kho_init fails in a kernel that took a handover over',
    what: 'its error path frees the scratch areas, which are free memory already',
    seen: 'a panic',
    accounts: (evidence, symptom) => {
      const jump = evidence.jumps.find(({ to }) => to === symptom.kernel);
      return (
        symptom.kind === 'crash' &&
        symptom.inBoot &&
        symptom.text.includes('frees scratch a second time') &&
        jump !== undefined &&
        jump.failedInBoot.length > 0
      );
    },
  },
  {
    name: 'order-31',
    releases: '6.16 to 7.3',
    condition: 'a range has a block of 2^31 pages',
    what: 'the loop over its blocks advances by an int, which is negative then',
    seen: 'preserving never ends, or oopses where it asks for the node of frame 0',
    accounts: ({ state }, symptom) =>
      symptom.kind === 'crash' &&
      !symptom.inBoot &&
      /2\^31 pages|no struct page/.test(symptom.text) &&
      [...state.objects.objects.values()].some((object) => object.blocks.nrPagesEach >= 2 ** 31),
  },
  {
    name: 'block-size-int',
    releases: '6.16 to 7.1',
    condition: 'a block of 2 GiB or more is handed over',
    what: 'the walk computes its size as an int: 2 GiB become nearly 2^64 bytes, more becomes a few',
    seen: 'its pages are with the page allocator, or nothing is left for it',
    strikes: (evidence, jump) => tooLarge(evidence, jump),
    accounts: (evidence, symptom) => jumpsBefore(evidence, symptom).some((jump) => tooLarge(evidence, jump).length > 0),
  },
  {
    name: 'large-block-refused',
    releases: '6.16 to 7.0',
    condition: 'a block above MAX_PAGE_ORDER is handed over',
    what: 'preserving takes it, restoring refuses it',
    seen: 'it stays set aside, and nobody can have it',
    spoils: (evidence, symptom) =>
      overJumps(evidence, symptom, (jump, pages) => {
        if (!jump.next.quirks.restoreChecksMaxOrder) return NONE;
        const refused = blocksWhere(jump, (order) => order > jump.maxPageOrder);
        // Restoring a range gives up at the first block that is refused.
        const first = intersect(pages, refused)[0]?.[0];
        return first === undefined
          ? NONE
          : isRange(symptom.object)
            ? intersect(pages, [[first, 2 ** 53]])
            : wholeBlocks(symptom.object, refused);
      }),
  },
  {
    name: 'ranges-as-folios',
    releases: '6.16 to 6.18',
    condition: 'a range has a block of several pages',
    what: 'restoring it makes a compound page of the block',
    seen: 'single pages come back with an order, and with counts of a folio',
    spoils: (evidence, symptom) =>
      symptom.what !== 'wrongState'
        ? NONE
        : overJumps(evidence, symptom, (jump) =>
            jump.next.quirks.restoresRangesAsFolios ? rangeBlocks(symptom.object, ({ order }) => order > 0) : NONE,
          ),
  },
  {
    name: 'vmalloc-repeats-pages',
    releases: '6.18',
    condition: 'a vmalloc area of blocks of several pages is handed over',
    what: 'restoring maps the first page of each block over and over',
    seen: 'the area has other pages than it was left with',
    spoils: (evidence, symptom) =>
      overJumps(evidence, symptom, (jump, pages) =>
        jump.next.quirks.vmallocRepeatsPages &&
        symptom.object.kind === 'vmalloc' &&
        symptom.object.blocks.nrPagesEach > 1
          ? pages
          : NONE,
      ),
  },
  {
    name: 'vmalloc-forgets-error',
    releases: '6.18',
    condition: 'a further chunk of addresses cannot be had, or not preserved, while an area is preserved',
    what: 'everything is undone, and the call returns 0',
    seen: 'the area is lost, though its client was told that it is preserved; an oops where it takes the area back',
    spoils: (evidence, symptom) =>
      overJumps(evidence, symptom, (jump, pages) =>
        jump.old.quirks.vmallocForgetsError &&
        symptom.object.kind === 'vmalloc' &&
        (CHUNK_NEEDS.some((site) => jump.failedBefore.includes(site)) || lostCma(evidence, jump.to - 1).length > 0)
          ? symptom.what === 'leaked'
            ? pages
            : subtract(pages, jump.recorded)
          : NONE,
      ),
    // Who takes such an area back follows a chunk that was freed already.
    accounts: (evidence, symptom) => forgotChunk(evidence, symptom),
  },
  {
    name: 'vmalloc-undoes-pages',
    releases: '6.18 to 7.3',
    condition: 'preserving a vmalloc area of large blocks fails halfway',
    what: 'the order is noted at the end, so that what was done is undone as if each block were a page',
    seen: 'the blocks stay preserved, and the next kernel sets them aside for nobody',
    spoils: ({ jumps }, { what, kernel, object, pages }) => {
      const jump = jumps.find(({ to }) => to === kernel);
      const isHalf = jump?.failedAreas.has(object) === true && object.blocks.nrPagesEach > 1;
      return isHalf && what === 'leaked' ? intersect(pages, jump.recorded) : NONE;
    },
  },
  {
    name: 'abort-forgets-all',
    releases: '6.16 to 6.18',
    condition: 'finalising fails, and is tried again',
    what: 'taking it back drops all that clients preserved',
    seen: 'what was preserved before the failure is lost at the next jump',
    strikes: (_, jump) => (forgotAll(jump) ? allBut(jump.recorded) : NONE),
  },
  {
    name: 'missing-level',
    releases: '7.1-rc5 (16K pages)',
    condition: 'a block of order 0 is handed over by, or to, a tree with one level too few',
    what: 'the bit that says order 0 falls off the top; the key means another block, of a nonsense order',
    seen: 'pages of order 0 are lost, or the walk oopses',
    // What the old kernel records is nonsense already, when it is that which lacks the level.
    strikes: (evidence, jump) =>
      missesLevel(evidence, jump) ? union([...allBut(rangesOf(jump.read)), ...jump.misread]) : NONE,
    accounts: (evidence, symptom) => {
      const jump = evidence.jumps.find(({ to }) => to === symptom.kernel);
      if (jump === undefined || !missesLevel(evidence, jump)) return false;
      if (symptom.kind === 'phantom') return subtract(symptom.pages, jump.misread).length === 0;
      return symptom.kind === 'crash' && symptom.inBoot && fallsOverMap(evidence, jump);
    },
  },
  {
    name: 'bitmap-size-read-small',
    releases: '6.17.9 to 7.0, read by 6.16 to 6.17.8',
    condition: 'a bit lies behind the first 512 bytes of a bitmap',
    what: 'the string is the same, the bitmap is a page on one side and 512 bytes on the other',
    seen: 'the blocks of those bits are lost, without a message',
    strikes: (evidence, jump) => (bitmapsRead(evidence, jump) === 'too-small' ? jump.unread : NONE),
    // LUO panics where its blob is not set aside.
    accounts: (evidence, symptom) => {
      const jump = evidence.jumps.find(({ to }) => to === symptom.kernel);
      if (symptom.kind !== 'crash' || jump === undefined || bitmapsRead(evidence, jump) !== 'too-small') return false;
      return intersect(jump.kernelPages, jump.unread).length > 0;
    },
  },
  {
    name: 'bitmap-size-read-large',
    releases: '6.16 to 6.17.8, read by 6.17.9 to 7.0',
    condition: 'what lies behind a bitmap of 512 bytes is not zero',
    what: 'the reader takes a page: other bitmaps and other slab objects become blocks',
    seen: 'an oops in the walk, or phantom blocks, and with them other orders',
    strikes: (evidence, jump) => (bitmapsRead(evidence, jump) === 'too-large' ? jump.misread : NONE),
    effects: ['leaked', 'wrongState'],
    accounts: (evidence, symptom) => {
      const jump = evidence.jumps.find(({ to }) => to === symptom.kernel);
      if (jump === undefined || bitmapsRead(evidence, jump) !== 'too-large') return false;
      if (symptom.kind === 'phantom') return subtract(symptom.pages, jump.misread).length === 0;
      return symptom.kind === 'crash' && (jump.readerFalls || jump.misread.length > 0);
    },
  },
  {
    name: 'no-flb-node',
    releases: '6.19, read by 7.0',
    condition: 'LUO of 6.19 hands over',
    what: '7.0 cannot do without a node that 6.19 does not write, under the same string',
    seen: 'a panic',
    accounts: (evidence, symptom) => {
      const jump = evidence.jumps.find(({ to }) => to === symptom.kernel);
      return symptom.kind === 'crash' && symptom.inBoot && jump !== undefined && lacksFlbNode(jump);
    },
  },
  {
    name: 'half-made-node',
    releases: '6.16 to 7.0',
    condition: 'there is no room for the node of a subtree in the root FDT',
    what: 'the node stays, without what leads to the blob',
    seen: 'LUO of the next kernel panics over its own, other clients are refused',
    accounts: (evidence, symptom) => {
      const jump = evidence.jumps.find(({ to }) => to === symptom.kernel);
      const isSeen = symptom.kind === 'client' || (symptom.kind === 'crash' && symptom.inBoot);
      return isSeen && jump?.old.quirks.addSubtreeCleansUp === false && jump.failedBefore.includes(ADD_SUBTREE_SITE);
    },
  },
  {
    name: 'deferred-init',
    releases: '6.16 to 7.1, with DEFERRED_STRUCT_PAGE_INIT',
    condition: 'a preserved block has struct pages that are initialised late',
    what: 'their initialisation erases what the walk noted, or they are not initialised at all',
    seen: 'blocks cannot be restored, or come back with another order',
    strikes: (_, jump) => losesDeferred(jump),
    effects: ['lost', 'leaked', 'wrongState'],
  },
  {
    name: 'scratch-not-cma',
    releases: '6.16 to 7.1, with DEFERRED_STRUCT_PAGE_INIT',
    condition: 'a kernel with deferred struct pages took a handover over',
    what: 'their initialisation forgets that scratch is CMA: whoever asks the page allocator may be given scratch',
    seen: 'preserving fresh memory is refused where overlap is checked (KHO itself panics of it), and overwritten where not; so are bitmaps of a chunk list, and the next kernel reads others',
    strikes: (evidence, jump) => intersect(lostCma(evidence, jump.to - 1), jump.recorded),
    spoils: (evidence, symptom) =>
      overJumps(evidence, symptom, (jump, pages) => (jump.mapInScratch.length > 0 ? pages : NONE)),
    accounts: (evidence, symptom) => {
      const jump = evidence.jumps.find(({ to }) => to === symptom.kernel);
      const inMap = jump !== undefined && jump.mapInScratch.length > 0;
      if (inMap && (symptom.kind === 'phantom' || (symptom.kind === 'crash' && symptom.inBoot))) return true;
      const lost = lostCma(evidence, symptom.kernel);
      if (symptom.kind === 'crash') return lost.length > 0 && symptom.text.includes('frees scratch a second time');
      const last = evidence.state.objects.objects.get(LAST_OBJECT);
      return symptom.kind === 'second-phase' && last !== undefined && intersect(pagesOf(last), lost).length > 0;
    },
  },
  {
    name: 'double-restore',
    releases: '6.16, 6.17',
    condition: 'a block is restored twice, or was never handed over',
    what: 'page->private has the order alone, and keeps it; any small number looks like one',
    seen: 'restoring succeeds: two owners',
    accounts: (evidence, symptom) =>
      symptom.kind === 'step' &&
      evidence.state.kernels[symptom.kernel - 1]?.kernel.context.release.quirks.pagePrivate === 'order',
  },
  {
    name: 'blob-outlives-its-memory',
    releases: '6.18 to 7.3',
    condition: 'a client asks for a vmalloc area again that it took back already',
    what: 'the root FDT still names the blob with the descriptor, whose page is free: whatever lies there is read',
    seen: 'an error, or an oops where that is followed as a pointer',
    accounts: ({ readAfterFree }, symptom) =>
      symptom.kind === 'crash' && !symptom.inBoot && readAfterFree.has(symptom.kernel),
  },
  {
    name: 'unpreserve-hangs',
    releases: '6.16 to 6.17.8',
    condition: 'a client unpreserves a block that no bitmap covers',
    what: 'the loop goes to the next block only when it has dealt with this one',
    seen: 'unpreserving never ends',
    accounts: ({ state }, symptom) =>
      symptom.kind === 'crash' &&
      symptom.text.includes('unpreserving a block that is not preserved') &&
      state.kernels[symptom.kernel - 1]?.kernel.context.release.quirks.unpreserveLoops === true,
  },
  {
    name: 'map-unchecked',
    releases: '6.16 to 6.18',
    condition: 'the predecessor never wrote its memory map',
    what: 'a map of 0 is taken for nothing preserved, and the handover for good',
    seen: 'everything is lost',
    strikes: (_, jump) => (neverFinalised(jump) ? allBut(jump.reserved) : NONE),
  },
  // Last, since memory that a kernel lost or gave away has two owners as well, and other blocks over it.
  {
    name: 'overlapping-orders',
    releases: '6.16 to 7.3',
    condition: 'a page is preserved in two blocks of different orders',
    what: 'nothing counts references; the lowest order is walked last and wins the head page',
    seen: 'folios come back with another order, and their rest not at all',
    strikes: (_, jump) => overlappingBlocks(jump),
    effects: ['lost', 'leaked', 'wrongState'],
  },
  {
    name: 'no-owner-check',
    releases: '6.16 to 7.3',
    condition:
      'a client preserves pages that somebody else has, or has preserved, or asks back what another handed over',
    what: 'one bit for all owners: who unpreserves takes it from the others, who writes writes into theirs, who restores first has it',
    seen: 'shared pages are lost, damaged, or restored by the other',
    spoils: (evidence, symptom) => wholeBlocks(symptom.object, sharedPages(evidence, symptom)),
    accounts: (evidence, symptom) =>
      symptom.kind === 'step'
        ? takesWhatWaits(symptom)
        : strikesClient(evidence, symptom, (jump) => takenFromOthers(evidence, jump)),
  },
];

const struckBy = new WeakMap<Jump, Map<KnownBug, Intervals>>();

/** The pages that a bug strikes at a jump: asked for by every symptom, so they are kept. */
function strikesOf(bug: KnownBug, evidence: Evidence): (jump: Jump) => Intervals {
  return (jump) => {
    let known = struckBy.get(jump);
    if (known === undefined) struckBy.set(jump, (known = new Map()));
    let pages = known.get(bug);
    if (pages === undefined) known.set(bug, (pages = bug.strikes?.(evidence, jump) ?? NONE));
    return pages;
  };
}

/** The pages of a symptom that are a bug's doing. */
export function spoiltByBug(bug: KnownBug, evidence: Evidence, symptom: PageSymptom): Intervals {
  const isSeen = bug.effects?.includes(symptom.what) !== false;
  const struck =
    bug.strikes === undefined || !isSeen ? NONE : strikesObject(evidence, symptom, strikesOf(bug, evidence));
  const spoilt = bug.spoils?.(evidence, symptom) ?? NONE;
  if (struck.length === 0) return spoilt;
  return spoilt.length === 0 ? struck : union([...struck, ...spoilt]);
}

/** Whether a bug is behind a symptom that is not about pages. */
export function isBehind(bug: KnownBug, evidence: Evidence, symptom: Symptom): boolean {
  if (bug.accounts?.(evidence, symptom) === true) return true;
  return bug.strikes !== undefined && strikesClient(evidence, symptom, strikesOf(bug, evidence));
}
