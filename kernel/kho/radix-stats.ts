import type { RadixTree } from './radix-tree.ts';

/** What a tree is made of. */
export interface RadixStats {
  /** Pages at each level, index 0 the leaves. A page that is reached twice counts twice. */
  readonly nodesPerLevel: readonly number[];
  readonly nodes: number;
  readonly keys: number;
  readonly bytes: number;
}

/** Counts pages and keys of a tree by walking it; one without a root has none. */
export function radixStats(tree: RadixTree): RadixStats {
  const { depth, page } = tree.geometry;
  const nodesPerLevel = new Array<number>(depth).fill(0);
  let keys = 0;
  if (tree.root !== undefined) {
    tree.walk({
      node: (_phys, level) => {
        nodesPerLevel[level] = (nodesPerLevel[level] as number) + 1;
        return 0;
      },
      leaf: () => {
        keys++;
        return 0;
      },
    });
  }
  const nodes = nodesPerLevel.reduce((sum, count) => sum + count, 0);
  return { nodesPerLevel, nodes, keys, bytes: nodes * page.sizeBytes };
}
