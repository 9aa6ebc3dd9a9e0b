import { radixGeometry } from '../../kernel/kho/geometry.ts';
import type { KernelEntry } from './run-state.ts';

/** Figures of one kernel, by id as in the reports: what it took over, and what that cost. */
export function figuresOf(entry: KernelEntry, before: KernelEntry | undefined): Record<string, number> {
  const { context, kernel } = entry.kernel;
  const figures: Record<string, number> = {};
  const { scratch } = context.control.state;
  if (scratch.length > 0) figures['scratch-bytes'] = scratch.reduce((sum, area) => sum + area.sizeBytes, 0);
  figures['memblock-regions'] = kernel.memblock.reserved.count;
  const { cost } = kernel.memblock;
  figures['kernel-retrieval-steps'] = cost.regionsScanned;
  if (before !== undefined && entry.incoming !== undefined) {
    figures['keys'] = entry.incoming.starts.length;
    const { release, page } = before.kernel.context;
    if (release.map.format === 'radix-tree') figures['tree-depth'] = radixGeometry(page, release.map).depth;
  }
  return figures;
}
