import { availableParallelism } from 'node:os';
import { Tinypool } from 'tinypool';
import type { Cell } from './cell.ts';
import { type MatrixDocument, type MatrixRequest, matrixRows } from './matrix.ts';
import type { RowTask } from './row-worker.ts';

/** Called after each row with how many are done. */
export type MatrixProgress = (done: number, of: number) => void;

/**
 * Runs a matrix in worker threads, a row each. The cells come out in the same order, whatever the number of workers.
 * @param shard `[i, n]`, 1-based: only the i-th of n parts of the rows.
 */
export async function runMatrixInParallel(
  request: MatrixRequest,
  options: {
    readonly jobs?: number;
    readonly shard?: readonly [number, number];
    readonly onProgress?: MatrixProgress;
  } = {},
): Promise<MatrixDocument> {
  const [index, count] = options.shard ?? [1, 1];
  const rows = matrixRows(request).filter((_, i) => i % count === index - 1);
  const pool = new Tinypool({
    filename: new URL('./row-worker.js', import.meta.url).href,
    name: 'runRowTask',
    minThreads: 1,
    maxThreads: Math.max(1, Math.min(options.jobs ?? availableParallelism(), rows.length)),
  });
  try {
    let done = 0;
    const results = await Promise.all(
      rows.map(async ({ old, page }) => {
        const task: RowTask = {
          old: old.name,
          pageSize: page.sizeBytes,
          releases: request.releases.map((release) => release.name),
          workload: request.workload,
          crossPageSize: request.crossPageSize,
          seed: request.seed,
        };
        const cells = (await pool.run(task)) as Cell[];
        options.onProgress?.(++done, rows.length);
        return cells;
      }),
    );
    return { workload: request.workload, cells: results.flat() };
  } finally {
    await pool.destroy();
  }
}
