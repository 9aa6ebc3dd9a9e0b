import { releaseByName } from '../../kernel/index.ts';
import { pageSizeByBytes } from '../../machine/index.ts';
import type { WorkloadName } from '../handover/workload.ts';
import type { Cell } from './cell.ts';
import { runRow } from './matrix.ts';

/** A row as it crosses to a worker: names and numbers only. */
export interface RowTask {
  readonly old: string;
  readonly pageSize: number;
  readonly releases: readonly string[];
  readonly workload: WorkloadName;
  readonly crossPageSize: boolean;
  readonly seed: number;
}

/** Runs one row; what a worker thread is started with. */
export function runRowTask(task: RowTask): Cell[] {
  const old = releaseByName(task.old);
  const page = pageSizeByBytes(task.pageSize);
  const releases = task.releases.map((name) => releaseByName(name)).filter((release) => release !== undefined);
  if (old === undefined || page === undefined) throw new RangeError(`no row ${task.old} ${task.pageSize}`);
  return runRow({ old, page }, { ...task, releases, pageSizes: [page] });
}
