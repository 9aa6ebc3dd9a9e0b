import type { PageSize } from '../../machine/index.ts';

/*
 * Bugs of KHO that were fixed after it was merged. Each is a scenario that fails on a kernel that has the bug and passes
 * on one with the fix; what differs is the release's quirk or contract, never the expectation.
 */

/** A kernel that has a bug. */
export interface BuggyKernel {
  readonly release: string;
  /** Named quirks that give the release the bug back, where it is one of a tree that is not modelled. */
  readonly quirks?: readonly string[];
}

/** A bug, and a scenario that shows it. */
export interface Regression {
  /** Row of the list of bugs fixed after merge. */
  readonly row: number;
  readonly what: string;
  readonly bad: BuggyKernel;
  /** The first release without it, or the one that `bad` has it instead of. */
  readonly good: BuggyKernel;
  readonly pageSize: PageSize['name'];
  /** How the scenario shows it: what goes wrong on `bad`. */
  readonly shows: string;
  /** Text of a check that fails on `bad`: the bug’s, so that the scenario does not fail there for another. */
  readonly fails: string;
  /** Scenario text without its name; KERNEL stands for the keys `release` and `quirks`. */
  readonly scenario: string;
}

/** A row that no scenario shows. */
export interface NotShown {
  readonly row: number;
  readonly what: string;
  readonly why: string;
}

/** A machine of 1 GiB, its first kernel with small scratch areas. */
export const SMALL =
  'machine: { memory: 1G }\nkernel: { KERNEL, cmdline: "kho=on liveupdate=on kho_scratch=32M,32M,32M" }';

/** The same with 8 GiB. */
export const LARGE = SMALL.replace('1G', '8G');

/** Two nodes, with a border in the middle of the 32 MiB from 0x60000000. */
export const TWO_NODES = `machine:
  memory:
    - { base: 0x40000000, size: 0x21000000, nid: 0 }
    - { base: 0x61000000, size: 0xf000000, nid: 1 }
    - { base: 0x70000000, size: 0x10000000, nid: 0 }
kernel: { KERNEL, cmdline: "kho=on kho_scratch=32M,32M,32M" }`;

/** The scenario's text for a kernel. */
export function regressionText({ what, scenario }: Regression, kernel: BuggyKernel): string {
  const { release, quirks = [] } = kernel;
  const keys = `release: "${release}"${quirks.length === 0 ? '' : `, quirks: [${quirks.join(', ')}]`}`;
  return `name: ${JSON.stringify(what)}\n${scenario.replaceAll('KERNEL', keys)}\n`;
}
