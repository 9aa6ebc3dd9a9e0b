import type { ContractArea } from '../../kernel/abi/contract.ts';
import { RELEASES, type Release, UNRELEASED } from '../../kernel/release.ts';
import { PAGE_SIZES, type PageSize } from '../../machine/index.ts';
import { probeHandover } from '../handover/new-kernel.ts';
import type { WorkloadName } from '../handover/workload.ts';
import type { Change } from './change.ts';
import type { HandoverProver, ProofRun } from './prover.ts';

/** Parts that the core workload uses; everything else is a client. */
export const CORE_AREAS: ReadonlySet<ContractArea> = new Set<ContractArea>(['scratch', 'root', 'map']);

/**
 * Proves by simulated handovers, old to new and new to old, at the page sizes at which something changed, with the
 * workloads that touch what changed.
 * @param pages the page sizes to choose from.
 */
export function simulatorProver(pages: readonly PageSize[] = PAGE_SIZES): HandoverProver {
  return {
    prove: async (before, after, changes) => {
      const runs: ProofRun[] = [];
      const notExercised: string[] = [];
      const touching = changes.filter((change) => change.breaking || change.kind === 'added');
      for (const page of pagesFor(touching, pages)) {
        for (const workload of workloadsFor(touching)) {
          for (const [old, next] of [
            [before, after],
            [after, before],
          ] as const) {
            const run = attempt(old, next, page, workload);
            if (typeof run === 'string') notExercised.push(run);
            else runs.push(run);
          }
        }
      }
      return { runs, notExercised: [...new Set(notExercised)] };
    },
  };
}

function pagesFor(changes: readonly Change[], pages: readonly PageSize[]): readonly PageSize[] {
  const named = changes.map((change) => change.pageSizes);
  if (named.length === 0 || named.some((names) => names === undefined)) return pages;
  const wanted = new Set(named.flatMap((names) => names ?? []));
  return pages.filter((page) => wanted.has(page.name));
}

function workloadsFor(changes: readonly Change[]): WorkloadName[] {
  const clients = changes.some((change) => !CORE_AREAS.has(change.area));
  const core = changes.some((change) => CORE_AREAS.has(change.area));
  return clients ? (core ? ['core', 'clients'] : ['clients']) : ['core'];
}

/** One run, or why the codecs cannot exercise the proposal: a field or constant that they need is gone. */
function attempt(old: Release, next: Release, page: PageSize, workload: WorkloadName): ProofRun | string {
  try {
    return {
      old: old.name,
      new: next.name,
      pageSize: page.sizeBytes,
      workload,
      ...probeHandover(old, next, page, workload),
    };
  } catch (error) {
    const known = [...RELEASES, ...UNRELEASED];
    if (!(error instanceof Error) || (known.includes(old) && known.includes(next))) throw error;
    return `${old.name} to ${next.name}: ${error.message}`;
  }
}
