import type { Order } from '../../machine/index.ts';
import type { Blocks, ExpectedObject } from '../check/expected-object.ts';
import type { RunState } from './run-state.ts';

/** An object's blocks as the present kernel sees them: in its own frames. */
export interface KernelBlocks extends Blocks {
  /** The order of its folios; -1 for single pages. */
  readonly order: Order | -1;
}

/**
 * The blocks of an object in frames of the present kernel. What is smaller than a page of its is the page that it lies in, as a
 * client finds it that asks for the page of an address; several such may be one and the same.
 */
export function kernelBlocks(run: RunState, object: ExpectedObject): KernelBlocks {
  const { blocks, order } = object;
  const units = run.pageUnits;
  if (units === 1) return { ...blocks, order };
  const { nrPagesEach } = blocks;
  const starts = new Set<number>();
  let longest = 1;
  for (const start of blocks.starts) {
    const first = Math.floor(start / units);
    starts.add(first);
    longest = Math.max(longest, Math.ceil((start + nrPagesEach) / units) - first);
  }
  const own = order === -1 ? -1 : (Math.max(order - Math.log2(units), 0) as Order);
  return { starts: Float64Array.from(starts), nrPagesEach: own === -1 ? longest : 2 ** own, order: own };
}
