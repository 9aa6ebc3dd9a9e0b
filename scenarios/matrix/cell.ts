import type { Release } from '../../kernel/index.ts';
import type { PageSize } from '../../machine/index.ts';
import type { HandoverVerdict } from '../handover/judge.ts';
import { runNewKernel } from '../handover/new-kernel.ts';
import type { NoJump, OldKernel } from '../handover/old-kernel.ts';

/** One cell of the matrix: what a new kernel made of an old one's memory, executed. */
export interface Cell extends HandoverVerdict {
  readonly old: string;
  readonly new: string;
  /** Of the old kernel, in bytes. */
  readonly pageSize: number;
  /** Of the new kernel, where it differs. */
  readonly newPageSize?: number;
}

/** Executes a cell. @param page of the new kernel. */
export function runCell(old: OldKernel | NoJump, release: Release, page: PageSize = old.plan.page): Cell {
  return {
    old: old.release.name,
    new: release.name,
    pageSize: old.plan.page.sizeBytes,
    ...(page === old.plan.page ? {} : { newPageSize: page.sizeBytes }),
    ...runNewKernel(old, release, page),
  };
}
