import type { Release } from '../../kernel/release.ts';
import type { Change } from './change.ts';

/** One executed handover of a proof. */
export interface ProofRun {
  readonly old: string;
  readonly new: string;
  /** Bytes. */
  readonly pageSize: number;
  readonly workload: string;
  readonly outcome: 'handover' | 'cold-boot' | 'panic' | 'oops' | 'corrupt';
  readonly detail: string;
  readonly pagesLost: number;
  readonly pagesPhantom: number;
  /** Clients whose data did not come back, by name. */
  readonly clientsBroken: readonly string[];
}

/** What the handovers of a proof showed. */
export interface Proof {
  readonly runs: readonly ProofRun[];
  /** What could not be run because no codec can: a proposal took away what it needs. */
  readonly notExercised?: readonly string[];
  /** Why no handover was run, when none was. */
  readonly notRun?: string;
}

/**
 * Shows by handovers, old to new and new to old, what a change does. It is handed in, so that the contracts can be
 * judged without a machine.
 */
export interface HandoverProver {
  /** @param changes what the contracts say changed: it chooses workloads that touch that. */
  prove(before: Release, after: Release, changes: readonly Change[]): Promise<Proof>;
}

/** Runs nothing, and says so. */
export const NO_PROVER: HandoverProver = {
  prove: () => Promise.resolve({ runs: [], notRun: 'no handover was run: the verdict is from the contracts alone' }),
};

/** What would be lost without anybody having been warned, over all runs: pages, and those pages in bytes. */
export function atStake(proof: Proof): { pages: number; bytes: number } {
  let pages = 0;
  let bytes = 0;
  for (const run of proof.runs) {
    if (run.outcome === 'cold-boot') continue;
    pages += run.pagesLost + run.pagesPhantom;
    bytes += (run.pagesLost + run.pagesPhantom) * run.pageSize;
  }
  return { pages, bytes };
}
