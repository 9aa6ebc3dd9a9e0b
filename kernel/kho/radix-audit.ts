import { hex, hexOfHalves, type PhysAddr } from '../../machine/index.ts';
import { KernelHang } from '../failure.ts';
import { decodeKey, type RadixGeometry } from './geometry.ts';
import type { BlockVisitor } from './memory-map.ts';
import { exactPointer, type NodeSource, type NodeView } from './node-source.ts';
import { type RadixCallbacks, RadixWalk } from './radix-walk.ts';

/** What can be wrong with the shape of a tree. No kernel looks at any of it. */
export type RadixFindingCode =
  /** A link leads outside RAM: the walk oopses. */
  | 'outside-ram'
  /** A link leads into the middle of a page: the words from there on are walked. */
  | 'alignment'
  /** A page is reached twice: walked each time, under another prefix. From below itself it is a cycle. */
  | 'shared'
  /** A key has no marker bit of an order, or is wider than the tree's keys. */
  | 'key'
  /** More pages or keys than the audit looks at. */
  | 'budget';

/** Something wrong in a tree, and where. */
export interface RadixFinding {
  readonly code: RadixFindingCode;
  /** Address of the slot or of the leaf's byte that is wrong; undefined for the root value. */
  readonly where: PhysAddr | undefined;
  readonly message: string;
}

/** Foreign memory as an audit needs it: what is not there is a value. */
export interface AuditMemory {
  /** Whether a whole range is RAM. */
  inRam(phys: number, sizeBytes: number): boolean;
  /**
   * The words of a page that is in RAM, kept unchanged until the next call for the same level; undefined when no more
   * is to be read.
   * @param linkPhys the slot that leads there, -1 for the root.
   */
  words(phys: PhysAddr, level: number, linkPhys: number): Uint32Array | undefined;
}

/** What an audit knows when it is through. */
export interface RadixAudit {
  /** Every page of the tree and its level, in walk order. */
  readonly nodes: ReadonlyMap<PhysAddr, number>;
  /** Index 0 the leaves. */
  readonly nodesPerLevel: readonly number[];
  /** Keys that stand for blocks. */
  readonly keys: number;
}

/** How far an audit goes. */
export interface RadixAuditOptions {
  /** Each thing that is wrong, as it is met. */
  readonly report: (finding: RadixFinding) => void;
  /** Each key that stands for a block, in walk order. */
  readonly visit?: BlockVisitor;
  readonly maxSteps?: number;
}

/**
 * Goes through a tree in foreign memory with the kernel's walk, but checks every link before it is followed, looks into
 * every page once, and decodes every key. So the work is bounded by the pages of RAM, whatever the memory holds.
 *
 * It looks at the tree alone: whether blocks overlap each other, scratch, or the tree's pages is for whoever knows of
 * those.
 */
export function auditRadixTree(
  memory: AuditMemory,
  geometry: RadixGeometry,
  rootLo: number,
  rootHi: number,
  options: RadixAuditOptions,
): RadixAudit {
  const source = new AuditSource(memory, geometry, options.report);
  let leafPhys = 0;
  let keys = 0;
  const leafMask = 2 ** geometry.bitmapLog2 - 1;
  const callbacks: RadixCallbacks = {
    node: (phys) => {
      // The leaf is the last page before its keys.
      leafPhys = phys;
      return 0;
    },
    leaf: (keyLo, keyHi) => {
      const block = decodeKey(geometry, keyLo, keyHi);
      if (block.order < geometry.nrOrders) {
        keys++;
        options.visit?.(block.lo, block.hi, block.order);
        return 0;
      }
      options.report({
        code: 'key',
        where: (leafPhys + ((keyLo & leafMask) >>> 3)) as PhysAddr,
        message: `key ${hexOfHalves(keyLo, keyHi)} has no valid order`,
      });
      return 0;
    },
  };
  const walk = new RadixWalk(source, geometry, callbacks, options.maxSteps);
  try {
    walk.run(rootLo, rootHi);
  } catch (error) {
    if (!(error instanceof KernelHang)) throw error;
    options.report({ code: 'budget', where: undefined, message: 'the tree holds more than an audit looks at' });
  }
  return { nodes: source.nodes, nodesPerLevel: source.nodesPerLevel, keys };
}

/** Lets the walk into pages that are RAM, aligned, and new. */
class AuditSource implements NodeSource {
  readonly nodes = new Map<PhysAddr, number>();
  readonly nodesPerLevel: number[];
  /** Stands still: an audit writes nothing. */
  readonly clock = { generation: 0 };
  readonly #memory: AuditMemory;
  readonly #geometry: RadixGeometry;
  readonly #report: (finding: RadixFinding) => void;

  constructor(memory: AuditMemory, geometry: RadixGeometry, report: (finding: RadixFinding) => void) {
    this.#memory = memory;
    this.#geometry = geometry;
    this.#report = report;
    this.nodesPerLevel = new Array<number>(geometry.depth).fill(0);
  }

  open(lo: number, hi: number, level: number, linkPhys: number, view: NodeView): boolean {
    const { sizeBytes } = this.#geometry.page;
    const where = linkPhys < 0 ? undefined : (linkPhys as PhysAddr);
    const phys = exactPointer(lo, hi);
    if (phys !== undefined && phys % sizeBytes !== 0) {
      return this.#refuse('alignment', where, `points to ${hex(phys)}, which is not at a page`);
    }
    if (phys === undefined || !this.#memory.inRam(phys, sizeBytes)) {
      return this.#refuse('outside-ram', where, `points to ${hexOfHalves(lo, hi)}, which is not RAM`);
    }
    const seen = this.nodes.get(phys);
    if (seen !== undefined) {
      const text = `points to node ${hex(phys)}, which is already a node of level ${seen}; here it is one of level ${level}`;
      return this.#refuse('shared', where, text);
    }
    const words = this.#memory.words(phys, level, linkPhys);
    if (words === undefined) return this.#refuse('budget', where, 'the tree has more pages than are read');
    this.nodes.set(phys, level);
    this.nodesPerLevel[level] = (this.nodesPerLevel[level] as number) + 1;
    view.words = words;
    view.offset = 0;
    view.nrWords = sizeBytes / 4;
    view.phys = phys;
    return true;
  }

  #refuse(code: RadixFindingCode, where: PhysAddr | undefined, message: string): false {
    this.#report({ code, where, message });
    return false;
  }

  cutShort(): void {}

  refresh(): void {}

  word(view: NodeView, index: number): number {
    return view.words[view.offset + index] as number;
  }
}
