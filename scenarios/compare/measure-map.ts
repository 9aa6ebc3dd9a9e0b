import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { MemoryNodeSource, type NodeSource, type NodeView } from '../../kernel/kho/node-source.ts';
import { RadixWalk } from '../../kernel/kho/radix-walk.ts';
import type { Release } from '../../kernel/release.ts';
import type { PageSize, PhysicalMemory } from '../../machine/index.ts';

/** What a radix tree in RAM is made of, and what walking it once reads: all of it counted on the way. */
export interface TreeFigures {
  readonly keyWidth: number;
  readonly tableBits: number;
  readonly leafBits: number;
  readonly depth: number;
  /** Pages by level, leaves first. */
  readonly nodesPerLevel: readonly number[];
  readonly nodes: number;
  readonly bytes: number;
  /** Slots of tables read, 8 bytes each. */
  readonly walkSlots: number;
  /** Words of bitmaps read, 8 bytes each as kernels do. */
  readonly walkWords: number;
  readonly keys: number;
  readonly keysByOrder: Readonly<Record<string, number>>;
  readonly preservedBytes: number;
}

/** Counts the pages that a walk opens, and the words of them that it goes over. */
class CountingSource implements NodeSource {
  readonly nodesPerLevel: number[];
  readonly wordsPerLevel: number[];
  readonly #inner: NodeSource;

  constructor(inner: NodeSource, depth: number) {
    this.#inner = inner;
    this.nodesPerLevel = new Array<number>(depth).fill(0);
    this.wordsPerLevel = new Array<number>(depth).fill(0);
  }

  open(lo: number, hi: number, level: number, linkPhys: number, view: NodeView): boolean {
    if (!this.#inner.open(lo, hi, level, linkPhys, view)) return false;
    this.nodesPerLevel[level] = (this.nodesPerLevel[level] as number) + 1;
    this.wordsPerLevel[level] = (this.wordsPerLevel[level] as number) + (view.nrWords >>> 1);
    return true;
  }

  cutShort(view: NodeView): void {
    this.#inner.cutShort(view);
  }

  get clock(): { generation: number } {
    return this.#inner.clock;
  }

  refresh(view: NodeView): void {
    this.#inner.refresh(view);
  }

  word(view: NodeView, index: number): number {
    return this.#inner.word(view, index);
  }
}

/** No tree of a compared workload ends a walk early. */
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

/**
 * Walks the tree at `root` as the next kernel will, and counts.
 * @param options.keys false: pages only, which is quicker; keys and preserved bytes are 0 then.
 * @returns undefined where the release's map is no tree.
 */
export function measureTree(
  memory: PhysicalMemory,
  page: PageSize,
  release: Release,
  root: number,
  options: { readonly keys?: boolean } = {},
): TreeFigures | undefined {
  if (release.map.format !== 'radix-tree') return undefined;
  const geometry = radixGeometry(page, release.map);
  const source = new CountingSource(new MemoryNodeSource(memory), geometry.depth);
  const byOrder = new Float64Array(64);
  const count = (_lo: number, _hi: number, order: number): void => {
    byOrder[order & 63] = (byOrder[order & 63] as number) + 1;
  };
  const walk = new RadixWalk(source, geometry, options.keys === false ? {} : { block: count }, NO_LIMIT);
  walk.run(root >>> 0, Math.floor(root / 0x1_0000_0000));
  const { nodesPerLevel, wordsPerLevel } = source;
  const nodes = sum(nodesPerLevel);
  const keysByOrder: Record<string, number> = {};
  let preservedBytes = 0;
  for (const [order, keys] of byOrder.entries()) {
    if (keys === 0) continue;
    keysByOrder[order] = keys;
    preservedBytes += keys * page.sizeBytes * 2 ** order;
  }
  return {
    keyWidth: geometry.keyWidth,
    tableBits: geometry.tableLog2,
    leafBits: geometry.bitmapLog2,
    depth: geometry.depth,
    nodesPerLevel,
    nodes,
    bytes: nodes * page.sizeBytes,
    walkSlots: sum(wordsPerLevel.slice(1)),
    walkWords: wordsPerLevel[0] ?? 0,
    keys: sum([...byOrder]),
    keysByOrder,
    preservedBytes,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
