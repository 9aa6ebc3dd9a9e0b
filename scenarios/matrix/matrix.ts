import { RELEASES, type Release } from '../../kernel/index.ts';
import { PAGE_SIZES, type PageSize } from '../../machine/index.ts';
import { runOldKernel } from '../handover/old-kernel.ts';
import type { WorkloadName } from '../handover/workload.ts';
import { type Cell, runCell } from './cell.ts';

/** Which cells are wanted. */
export interface MatrixRequest {
  readonly releases: readonly Release[];
  readonly pageSizes: readonly PageSize[];
  readonly workload: WorkloadName;
  /** Also between different page sizes. */
  readonly crossPageSize: boolean;
  readonly seed: number;
}

/** What `matrix --json` prints. */
export interface MatrixDocument {
  readonly workload: WorkloadName;
  readonly cells: readonly Cell[];
}

/** The releases that `matrix` runs by default: those that were released, and the candidate with a tree of its own. */
export const MATRIX_RELEASES: readonly Release[] = RELEASES.filter((release) => release.status !== 'unreleased');

/** One old kernel with all its readers: the unit of work, since its run is shared between the cells. */
export interface MatrixRow {
  readonly old: Release;
  readonly page: PageSize;
}

/** The rows of a request, in the order of the cells. */
export function matrixRows(request: MatrixRequest): MatrixRow[] {
  return request.pageSizes.flatMap((page) => request.releases.map((old) => ({ old, page })));
}

/** Runs one row. */
export function runRow(row: MatrixRow, request: MatrixRequest): Cell[] {
  const old = runOldKernel(row.old, row.page, request.workload, request.seed);
  const cells = request.releases.map((release) => runCell(old, release));
  if (!request.crossPageSize) return cells;
  const others = PAGE_SIZES.filter((page) => page !== row.page);
  return [...cells, ...others.flatMap((page) => request.releases.map((release) => runCell(old, release, page)))];
}

/** Runs a whole matrix in this thread. */
export function runMatrix(request: MatrixRequest): MatrixDocument {
  return { workload: request.workload, cells: matrixRows(request).flatMap((row) => runRow(row, request)) };
}
