import {
  ALLOC_PAGES_SITE,
  FREEZE_SITE,
  MEMFD_ACCOUNT_SITE,
  MEMFD_CHARGE_SITE,
  RADIX_NODE_SITE,
  SESSION_SITE,
} from '../../kernel/fault-sites.ts';
import type { ReleaseQuirks } from '../../kernel/release-quirks.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { type Intervals, union } from '../handover/intervals.ts';
import { crossedIn, isRange, jumpsBefore, NONE, overJumps, rangeBlocks } from './conditions.ts';
import { type Evidence, intersect, type Jump, type PageSymptom, type Symptom } from './evidence.ts';

/*
 * What may follow where a kernel was given an old code path back by name. No release has these bugs, so that nobody looks for
 * them; a campaign draws them now and then, and each accounts for what it struck, as the known bugs do.
 */

/** What may follow of a quirk. */
export interface QuirkEffect {
  /** The quirk, as scenarios write it. */
  readonly quirk: string;
  /** When it strikes, and what is seen of it. */
  readonly follows: string;
  /** The pages of a symptom that are its doing. */
  spoils?(evidence: Evidence, symptom: PageSymptom): Intervals;
  /** Whether it is behind a symptom of another kind. */
  accounts?(evidence: Evidence, symptom: Symptom): boolean;
}

/** The quirks and the failed sites of the kernel in which a symptom was seen. */
function kernelOf({ state }: Evidence, { kernel }: Symptom) {
  const context = state.kernels[kernel - 1]?.kernel.context;
  return { quirks: context?.release.quirks, fired: context?.faults.fired ?? [] };
}

/** Pages of an object that were preserved at the jump into a symptom's kernel, although their client had taken them back. */
function stillPreserved(
  { jumps }: Evidence,
  { kernel, object, what, pages }: PageSymptom,
  had: (quirks: ReleaseQuirks) => boolean,
  missed: (object: ExpectedObject) => Intervals,
): Intervals {
  const jump = jumps.find(({ to }) => to === kernel);
  if (jump === undefined || what !== 'leaked' || crossedIn(jump, object) || !had(jump.old.quirks)) return NONE;
  return intersect(intersect(pages, missed(object)), jump.recorded);
}

/** Entries of a chunk: all of its page but the link to the next. */
const slotsOf = ({ page }: Evidence) => page.sizeBytes / 8 - 1;

/** Whether an area fills a chunk at a jump, so that the next page is read behind it; an area that came back has single pages. */
function fillsChunk(evidence: Evidence, jump: Jump, object: ExpectedObject): boolean {
  if (object.kind !== 'vmalloc') return false;
  const cameBack = evidence.jumps.some((before) => before.to < jump.to && crossedIn(before, object));
  return (cameBack ? object.nrPages : object.blocks.starts.length) >= slotsOf(evidence);
}

/** What an insertion into the tree needs. */
const NODE_NEEDS = [RADIX_NODE_SITE, ALLOC_PAGES_SITE];
/** What retrieving a file needs. */
const RETRIEVAL_NEEDS = [MEMFD_CHARGE_SITE, MEMFD_ACCOUNT_SITE, SESSION_SITE, ALLOC_PAGES_SITE];

const failedIn = (sites: readonly string[], fired: readonly string[]) => sites.some((site) => fired.includes(site));

/** Whether the tree of a kernel, up to the one of a symptom, has an entry that leads to a free page. */
function hasDanglingEntry(evidence: Evidence, symptom: Symptom): boolean {
  const here = kernelOf(evidence, symptom);
  if (here.quirks?.radixLeavesDanglingEntry === true && failedIn(NODE_NEEDS, here.fired)) return true;
  const dangles = ({ old, failedBefore }: Jump) =>
    old.quirks.radixLeavesDanglingEntry && failedIn(NODE_NEEDS, failedBefore);
  return jumpsBefore(evidence, symptom).some(dangles);
}

/** Every quirk of which something can be seen in a random scenario. */
export const QUIRK_EFFECTS: readonly QuirkEffect[] = [
  {
    quirk: 'vmalloc-chunks-unbounded',
    follows:
      'an area that fills a chunk cannot be restored, or the kernel oopses where it restores it or takes it back: what lies behind the chunk is read as addresses',
    spoils: (evidence, symptom) =>
      overJumps(evidence, symptom, (jump, pages) =>
        jump.next.quirks.vmallocChunksUnbounded && fillsChunk(evidence, jump, symptom.object) ? pages : NONE,
      ),
    accounts: (evidence, symptom) =>
      symptom.kind === 'crash' &&
      !symptom.inBoot &&
      kernelOf(evidence, symptom).quirks?.vmallocChunksUnbounded === true &&
      [...evidence.state.objects.objects.values()].some(
        ({ kind, nrPages }) => kind === 'vmalloc' && nrPages >= slotsOf(evidence),
      ),
  },
  {
    quirk: 'vmalloc-unpreserved-by-page',
    follows: 'an area of large blocks that was taken back stays preserved, all but the first page of each block',
    spoils: (evidence, symptom) =>
      stillPreserved(
        evidence,
        symptom,
        (quirks) => quirks.vmallocUnpreservesByPage,
        ({ kind, blocks }) =>
          kind === 'vmalloc' && blocks.nrPagesEach > 1
            ? union([...blocks.starts].map((start) => [start, start + blocks.nrPagesEach] as const))
            : NONE,
      ),
  },
  {
    quirk: 'empty-map-accepted',
    follows: 'a handover whose map was never written is taken over, and the kernel panics: scratch is freed twice',
    accounts: ({ jumps }, symptom) => {
      const jump = jumps.find(({ to }) => to === symptom.kernel);
      if (jump === undefined || jump.old.quirks.finalize !== 'before-jump' || jump.next.quirks.populateChecksMap)
        return false;
      return (symptom.kind === 'crash' && symptom.inBoot) || symptom.kind === 'start';
    },
  },
  {
    quirk: 'unpreserve-ignores-nodes',
    follows: 'a range that lies across two nodes stays preserved at the border when it is taken back',
    spoils: (evidence, symptom) =>
      stillPreserved(
        evidence,
        symptom,
        ({ splitsAtNodes, unpreserveSplitsAtNodes }) => splitsAtNodes && !unpreserveSplitsAtNodes,
        (object) =>
          isRange(object)
            ? rangeBlocks(
                object,
                ({ start, order }) => evidence.nidOf(start) !== evidence.nidOf(start + 2 ** order - 1),
              )
            : NONE,
      ),
  },
  {
    quirk: 'dangling-entry',
    follows:
      'where a node of the tree could not be had, the tree leads to a free page: anything that is preserved or lies there may suffer',
    spoils: (evidence, symptom) => (hasDanglingEntry(evidence, symptom) ? symptom.pages : NONE),
    accounts: hasDanglingEntry,
  },
  {
    quirk: 'luo-retrieves-again',
    follows: 'a file that could not be retrieved is retrieved again, or finished: a WARN, or an oops',
    accounts: (evidence, symptom) => {
      const { quirks, fired } = kernelOf(evidence, symptom);
      if (quirks?.luoForgetsFailure !== true || !failedIn(RETRIEVAL_NEEDS, fired)) return false;
      return (
        (symptom.kind === 'client' && symptom.client === 'session') || (symptom.kind === 'crash' && !symptom.inBoot)
      );
    },
  },
  {
    quirk: 'luo-unfreeze-drops-handle',
    follows: 'after a freeze that failed, what was frozen until then goes without its data',
    accounts: (evidence, symptom) => {
      if (symptom.kind !== 'crash' && (symptom.kind !== 'client' || symptom.client !== 'session')) return false;
      const here = kernelOf(evidence, symptom);
      if (here.quirks?.luoUnfreezeDropsHandle === true && here.fired.includes(FREEZE_SITE)) return true;
      return jumpsBefore(evidence, symptom).some(
        ({ old, failedBefore }) => old.quirks.luoUnfreezeDropsHandle && failedBefore.includes(FREEZE_SITE),
      );
    },
  },
];
