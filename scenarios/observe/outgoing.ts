import { isErrno } from '../../kernel/errno.ts';
import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { auditRadixTree } from '../../kernel/kho/radix-audit.ts';
import { u64Of } from '../../kernel/kho/u64.ts';
import { type Pfn, pfnOf } from '../../machine/index.ts';
import type { SimulatedKernel } from '../run/simulator.ts';

/** What a running kernel keeps for the next one, read out of its memory. */
export interface OutgoingView {
  /** Frame of each block's head, and its order. */
  readonly pfns: number[];
  readonly orders: number[];
  /** Pages of the map itself: frame and level (a chunk list has none before it is final). */
  readonly nodes: readonly (readonly [pfn: number, level: number])[];
  readonly nodesPerLevel: readonly number[];
}

/** Reads the outgoing map of a kernel that runs; undefined when KHO is off. */
export function readOutgoing(kernel: SimulatedKernel): OutgoingView | undefined {
  const { outgoing, context } = kernel;
  if (outgoing === undefined) return undefined;
  const { memory, page, release } = context;
  const pfns: number[] = [];
  const orders: number[] = [];
  const visit = (lo: number, hi: number, order: number): void => {
    pfns.push(((hi >>> 0) * 0x1_0000_0000 + (lo >>> 0)) / page.sizeBytes);
    orders.push(order);
  };
  if (outgoing.kind === 'chunk-list' || release.map.format !== 'radix-tree') {
    outgoing.forEach(visit);
    return { pfns, orders, nodes: [], nodesPerLevel: [] };
  }
  const root = outgoing.finalize();
  if (isErrno(root)) return { pfns, orders, nodes: [], nodesPerLevel: [] };
  const { lo, hi } = u64Of(root);
  const audit = auditRadixTree(
    {
      inRam: (phys, sizeBytes) => memory.contains(phys, sizeBytes),
      words: (phys) => memory.pageWords(pfnOf(page, phys) as Pfn).slice(),
    },
    radixGeometry(page, release.map),
    lo,
    hi,
    { report: () => {}, visit },
  );
  const nodes = [...audit.nodes].map(([phys, level]) => [phys / page.sizeBytes, level] as const);
  return { pfns, orders, nodes, nodesPerLevel: audit.nodesPerLevel };
}
