import { hex, hexOfHalves, type PhysAddr } from '../../machine/index.ts';
import { KernelHang } from '../failure.ts';
import { decodeKey, type RadixGeometry } from './geometry.ts';
import type { BlockVisitor } from './memory-map.ts';
import { exactPointer, type NodeSource, type NodeView, RadixWalk } from './radix-walk.ts';

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
  const leaves = new LeafReader(geometry, options);
  const walk = new RadixWalk(
    source,
    geometry,
    {
      node: (phys, level) => {
        if (level === 0) leaves.leafPhys = phys;
        return 0;
      },
      leaf: (keyLo, keyHi) => leaves.key(keyLo, keyHi),
    },
    options.maxSteps,
  );
  try {
    walk.run(rootLo, rootHi);
  } catch (error) {
    if (!(error instanceof KernelHang)) throw error;
    options.report({ code: 'budget', where: undefined, message: 'the tree holds more than an audit looks at' });
  }
  return { nodes: source.nodes, nodesPerLevel: source.nodesPerLevel, keys: leaves.keys };
}

/** Lets the walk into pages that are RAM, aligned, and new. */
class AuditSource implements NodeSource {
  readonly nodes = new Map<PhysAddr, number>();
  readonly nodesPerLevel: number[];
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
}

/** Decodes keys, those of one leaf without looking at the prefix again. */
class LeafReader {
  leafPhys = 0 as PhysAddr;
  keys = 0;
  readonly #geometry: RadixGeometry;
  readonly #options: RadixAuditOptions;
  readonly #mask: number;
  #prefixLo = 0;
  #prefixHi = 0;
  #baseLo = 0;
  #baseHi = 0;
  /** -1 where the leaf's prefix decides nothing. */
  #order = -1;
  #shift = 0;

  constructor(geometry: RadixGeometry, options: RadixAuditOptions) {
    this.#geometry = geometry;
    this.#options = options;
    this.#mask = 2 ** geometry.bitmapLog2 - 1;
  }

  key(keyLo: number, keyHi: number): number {
    const prefixLo = (keyLo & ~this.#mask) >>> 0;
    if (prefixLo !== this.#prefixLo || keyHi !== this.#prefixHi) this.#enter(prefixLo, keyHi);
    if (this.#order < 0) return this.#decode(keyLo, keyHi);
    const index = keyLo & this.#mask;
    const left = this.#shift & 31;
    this.keys++;
    if (this.#shift >= 32) {
      this.#options.visit?.(this.#baseLo, (this.#baseHi | (index << left)) >>> 0, this.#order);
    } else {
      const carry = (index >>> 1) >>> (31 - left);
      this.#options.visit?.((this.#baseLo | (index << left)) >>> 0, (this.#baseHi | carry) >>> 0, this.#order);
    }
    return 0;
  }

  #enter(prefixLo: number, prefixHi: number): void {
    this.#prefixLo = prefixLo;
    this.#prefixHi = prefixHi;
    this.#order = -1;
    if ((prefixLo | prefixHi) === 0 || !this.#geometry.plainKeys) return;
    const base = decodeKey(this.#geometry, prefixLo, prefixHi);
    if (base.order >= this.#geometry.nrOrders) return;
    this.#baseLo = base.lo;
    this.#baseHi = base.hi;
    this.#order = base.order;
    this.#shift = (this.#geometry.page.shift + base.order) & 63;
  }

  #decode(keyLo: number, keyHi: number): number {
    const block = decodeKey(this.#geometry, keyLo, keyHi);
    if (block.order < this.#geometry.nrOrders) {
      this.keys++;
      this.#options.visit?.(block.lo, block.hi, block.order);
      return 0;
    }
    this.#options.report({
      code: 'key',
      where: (this.leafPhys + ((keyLo & this.#mask) >>> 3)) as PhysAddr,
      message: `key ${hexOfHalves(keyLo, keyHi)} has no valid order`,
    });
    return 0;
  }
}
