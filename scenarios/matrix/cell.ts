import type { Release } from '../../kernel/index.ts';
import type { PageSize } from '../../machine/index.ts';
import type { HandoverOutcome, HandoverVerdict } from '../handover/judge.ts';
import { runNewKernel } from '../handover/new-kernel.ts';
import type { NoJump, OldKernel } from '../handover/old-kernel.ts';
import { contractsBehind } from './because.ts';

/** One cell of the matrix: what a new kernel made of an old one's memory, executed. */
export interface Cell extends HandoverVerdict {
  readonly old: string;
  readonly new: string;
  /** Of the old kernel, in bytes. */
  readonly pageSize: number;
  /** Of the new kernel, where it differs. */
  readonly newPageSize?: number;
}

/** Executes a cell, and says of a bad one what in the contracts is behind it. @param page of the new kernel. */
export function runCell(old: OldKernel | NoJump, release: Release, page: PageSize = old.plan.page): Cell {
  const verdict = runNewKernel(old, release, page);
  return {
    old: old.release.name,
    new: release.name,
    pageSize: old.plan.page.sizeBytes,
    ...(page === old.plan.page ? {} : { newPageSize: page.sizeBytes }),
    ...verdict,
    detail: [verdict.detail, ...reason(old, release, page, verdict.outcome)].join('. '),
  };
}

function reason(old: OldKernel | NoJump, release: Release, page: PageSize, outcome: HandoverOutcome): string[] {
  if (outcome === 'handover' || outcome === 'cold-boot') return [];
  const { plan } = old;
  if (page !== plan.page) return [`${plan.page.name} pages read as ${page.name} pages: nothing handed over says which`];
  const behind = contractsBehind(old.release, release, page, plan.workload);
  if (behind !== undefined) return [`Why: ${behind}`];
  return old.release === release ? ['Both sides are the same release: its own format fails it here'] : [];
}
