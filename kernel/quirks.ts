import type { Release } from './release.ts';
import type { ReleaseQuirks } from './release-quirks.ts';

/*
 * Bugs that no release modelled here has, because they were fixed before it came out, or that should be looked at in a
 * kernel which doesn't have them: with one of these names a release gets the old code path back.
 */

/** A code path that a release can be given back by name. */
export interface NamedQuirk {
  /** As scenarios write it. */
  readonly name: string;
  /** What a kernel with it does. */
  readonly what: string;
  /** The trees that had it. */
  readonly had: string;
  /** Its row in the list of bugs fixed after merge. */
  readonly row: number;
  /** The switches that it sets. */
  readonly sets: Partial<ReleaseQuirks>;
}

/** All of them, by row. */
export const NAMED_QUIRKS: readonly NamedQuirk[] = [
  {
    name: 'vmalloc-chunks-unbounded',
    what: 'a vmalloc chunk is read until an entry is 0; behind one that is full that is whatever lies there',
    had: '6.18 before its release',
    row: 5,
    sets: { vmallocChunksUnbounded: true },
  },
  {
    name: 'vmalloc-unpreserved-by-page',
    what: 'unpreserving a vmalloc area takes one page of each block for all of it',
    had: '6.18 before its release',
    row: 6,
    sets: { vmallocUnpreservesByPage: true },
  },
  {
    name: 'empty-map-accepted',
    what: 'a handover with no map is taken over, found to be empty, and taken for a cold boot; scratch is freed twice',
    had: '6.19 before 6.19.11',
    row: 16,
    sets: { populateChecksMap: false },
  },
  {
    name: 'preserve-ignores-nodes',
    what: 'a range is preserved in blocks that may lie on two nodes, and what initialises deferred struct pages takes one for all',
    had: 'up to 7.0 (each struct page has its own node there), and trees before 7.2 with deferred struct pages',
    row: 17,
    sets: { splitsAtNodes: false },
  },
  {
    name: 'unpreserve-ignores-nodes',
    what: 'unpreserving a range does not lower orders at node borders, and misses blocks that preserving lowered',
    had: '7.1 before its release, since preserving splits at nodes',
    row: 18,
    sets: { unpreserveSplitsAtNodes: false },
  },
  {
    name: 'dangling-entry',
    what: 'a key that cannot be added for want of memory leaves an entry that leads to a page given back',
    had: 'the radix tree as posted, up to v6',
    row: 28,
    sets: { radixLeavesDanglingEntry: true },
  },
  {
    name: 'luo-retrieves-again',
    what: 'LUO does not remember that a file could not be retrieved: asked again, or finishing, it takes back what is free already',
    had: '6.19 at first; 6.19.11 has the fix',
    row: 32,
    sets: { luoForgetsFailure: true },
  },
  {
    name: 'luo-unfreeze-drops-handle',
    what: 'unfreezing a file loses the handle of what was preserved of it',
    had: '6.19 at first; 6.19.11 has the fix',
    row: 33,
    sets: { luoUnfreezeDropsHandle: true },
  },
  {
    name: 'memfd-saves-folio-flags',
    what: 'dirty and uptodate cross as they were when a memfd was preserved, whatever is written afterwards',
    had: '6.19 at first; 6.19.11 has the fix',
    row: 48,
    sets: { memfdSavesFolioFlags: true },
  },
];

/** The named quirk, undefined when there is none of that name. */
export function quirkByName(name: string): NamedQuirk | undefined {
  return NAMED_QUIRKS.find((quirk) => quirk.name === name);
}

const derived = new WeakMap<Release, Map<string, Release>>();

/**
 * The release with the code paths of these quirks. Made once for each choice and kept, so that its contracts are compiled
 * once too; without any it is the release itself.
 * @throws RangeError for a name that `quirkByName` does not know.
 */
export function withQuirks(release: Release, names: readonly string[]): Release {
  if (names.length === 0) return release;
  let byNames = derived.get(release);
  if (byNames === undefined) derived.set(release, (byNames = new Map()));
  const key = [...new Set(names)].sort().join();
  let made = byNames.get(key);
  if (made === undefined) byNames.set(key, (made = derive(release, names)));
  return made;
}

function derive(release: Release, names: readonly string[]): Release {
  let { quirks } = release;
  for (const name of names) {
    const quirk = quirkByName(name);
    if (quirk === undefined) throw new RangeError(`there is no quirk '${name}'`);
    quirks = { ...quirks, ...quirk.sets };
  }
  return { ...release, quirks };
}
