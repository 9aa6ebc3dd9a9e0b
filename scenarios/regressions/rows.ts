import type { RunOptions } from '../run/runner.ts';

/*
 * Bugs of KHO that were fixed after it was merged. Each is a scenario that fails on the release that had the bug and
 * passes on the one with the fix; what differs is the release's quirk or contract, never the expectation.
 */

/** A bug, and a scenario that shows it. */
export interface Regression {
  /** Row of the list of bugs fixed after merge. */
  readonly row: number;
  readonly what: string;
  /** The release that had it, and the first without. */
  readonly bad: string;
  readonly good: string;
  readonly pageSize: RunOptions['page']['name'];
  /** Scenario text; RELEASE stands for the release. */
  readonly scenario: string;
}

const SMALL =
  'machine: { memory: 1G }\nkernel: { release: "RELEASE", cmdline: "kho=on liveupdate=on kho_scratch=32M,32M,32M" }';
const LARGE = SMALL.replace('1G', '8G');

export const REGRESSIONS: readonly Regression[] = [
  {
    row: 2,
    what: 'bitmaps of another size under the same name: the wrong pages come back',
    bad: '6.17.8',
    good: '6.17.9',
    pageSize: '4K',
    scenario: `${SMALL}
steps:
  - preserve folios: { order: 0, count: 300, scatter: true, as: cache }
  - kexec: { release: "6.17.9" }
expect: { intact: [cache] }`,
  },
  {
    row: 3,
    what: 'the tree lacks a level with pages of 16K',
    bad: '7.1-rc5',
    good: '7.1',
    pageSize: '16K',
    scenario: `${SMALL}
steps:
  - preserve folios: { order: 0, count: 20, as: cache }
  - kexec
expect: { intact: [cache] }`,
  },
  {
    row: 10,
    what: 'a range of several pages comes back as one compound page',
    bad: '6.18',
    good: '6.19',
    pageSize: '4K',
    scenario: `${SMALL}
steps:
  - preserve pages: { count: 16, as: range }
  - kexec
expect: { intact: [range] }`,
  },
  {
    row: 11,
    what: 'restoring twice is not noticed',
    bad: '6.17.9',
    good: '6.18',
    pageSize: '4K',
    scenario: `${SMALL}
steps:
  - preserve folios: { order: 0, as: cache }
  - kexec
  - restore: cache
    expect: ENOENT`,
  },
  {
    row: 12,
    what: 'restoring a page that was never preserved is accepted',
    bad: '6.17.9',
    good: '6.18',
    pageSize: '4K',
    scenario: `${SMALL}
steps:
  - alloc: { order: 0, as: stranger }
  - restore: stranger
    expect: ENOENT`,
  },
  {
    row: 19,
    what: 'a folio of 1 GiB is refused by the kernel that restores it',
    bad: '7.0',
    good: '7.1',
    pageSize: '4K',
    scenario: `${LARGE}
steps:
  - preserve folios: { size: 1G, at: 0x80000000, as: guest }
  - kexec
expect: { intact: [guest] }`,
  },
  {
    row: 24,
    what: 'a subtree for which there is no room leaves half a node, and libfdt’s number as the error',
    bad: '7.0',
    good: '7.1',
    pageSize: '4K',
    scenario: `${SMALL}
steps:
  - fault: { at: kho.add-subtree }
  - add subtree: { name: config, size: 100 }
    expect: ENOMEM
  - add subtree: { name: config, size: 100 }
  - kexec
expect: { intact: [config] }`,
  },
  {
    row: 29,
    what: 'a finalisation that fails forgets what clients preserved',
    bad: '6.18',
    good: '6.19',
    pageSize: '4K',
    scenario: `${SMALL}
steps:
  - preserve folios: { order: 0, count: 20, as: cache }
  - fault: { at: chunk-list.alloc-chunk }
  - kexec: {}
    expect: ENOMEM
  - kexec
expect: { intact: [cache] }`,
  },
  {
    row: 42,
    what: 'a session without a name is accepted',
    bad: '7.0',
    good: '7.1',
    pageSize: '4K',
    scenario: `${SMALL}
steps:
  - session: { name: "" }
    expect: EINVAL`,
  },
];

const NO_TRACE = 'leaves no trace in bytes or page states';
const NO_SCENARIO = 'no scenario shows it yet';
const NO_CALL = 'scenarios have no step for the call that it is about';
const NOT_MODELLED = 'what it is about is not modelled';

/** Rows that no scenario shows, and why. */
export const NOT_SHOWN: Readonly<Record<number, string>> = {
  1: NO_SCENARIO,
  4: NO_SCENARIO,
  5: NO_SCENARIO,
  6: NO_SCENARIO,
  7: NO_SCENARIO,
  8: NOT_MODELLED,
  9: NO_SCENARIO,
  13: NOT_MODELLED,
  14: NO_SCENARIO,
  15: NO_TRACE,
  16: NO_SCENARIO,
  17: NO_SCENARIO,
  18: NO_SCENARIO,
  20: NO_SCENARIO,
  21: NO_SCENARIO,
  22: NO_SCENARIO,
  23: NOT_MODELLED,
  25: NOT_MODELLED,
  26: NO_SCENARIO,
  27: NOT_MODELLED,
  28: NO_SCENARIO,
  30: NO_SCENARIO,
  31: NO_SCENARIO,
  32: NO_SCENARIO,
  33: NO_SCENARIO,
  34: NO_CALL,
  35: NO_SCENARIO,
  36: NO_SCENARIO,
  37: NO_TRACE,
  38: NO_TRACE,
  39: NO_TRACE,
  40: NO_CALL,
  41: NOT_MODELLED,
  43: NOT_MODELLED,
  44: NO_SCENARIO,
  45: NO_SCENARIO,
  46: NO_SCENARIO,
  47: NO_SCENARIO,
  48: NO_SCENARIO,
  49: NO_SCENARIO,
  50: NO_TRACE,
};
