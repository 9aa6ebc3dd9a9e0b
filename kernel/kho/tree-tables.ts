import type { PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import { KernelHang } from '../failure.ts';
import type { RadixGeometry } from './geometry.ts';
import type { PointerTranslation } from './node-source.ts';
import { TableLinks } from './table-links.ts';

/**
 * Where a tree gets its pages. Neither call may change any page but the one it is about: the tree keeps what it knows
 * of its leaves over them.
 */
export interface NodeAllocator {
  /** A zeroed page, undefined when there is none. */
  allocNode(): PhysAddr | undefined;
  /** Takes a page back. A tree that was tampered with may give back what was never handed out. */
  freeNode(phys: PhysAddr): void;
}

/** The pages of a tree from the root down to the leaves: made, found and given back, literally as the kernel does. */
export class TreeTables {
  readonly #memory: PhysicalMemory;
  readonly #geometry: RadixGeometry;
  readonly #alloc: NodeAllocator;
  readonly #links: TableLinks;
  readonly #leavesDanglingEntry: boolean;
  #destroyedWords = 0;

  /** @param leavesDanglingEntry see RadixTreeOptions. */
  constructor(
    memory: PhysicalMemory,
    geometry: RadixGeometry,
    alloc: NodeAllocator,
    translate: PointerTranslation,
    leavesDanglingEntry: boolean,
  ) {
    this.#memory = memory;
    this.#geometry = geometry;
    this.#alloc = alloc;
    this.#links = new TableLinks(memory, geometry, translate);
    this.#leavesDanglingEntry = leavesDanglingEntry;
  }

  /** The leaf of a key, made with all tables above it; undefined when memory runs out, and then nothing was made. */
  makeLeaf(root: PhysAddr, lo: number, hi: number): PhysAddr | undefined {
    const made: PhysAddr[] = [];
    let anchor: PhysAddr | undefined;
    let node = root;
    for (let level = this.#geometry.depth - 1; level > 0; level--) {
      const slot = this.#links.slotOf(node, lo, hi, level);
      const child = this.#links.read(slot);
      if (child !== undefined) {
        node = child;
        continue;
      }
      const fresh = this.#alloc.allocNode();
      if (fresh === undefined) {
        for (const phys of made) this.#alloc.freeNode(phys);
        if (anchor !== undefined && !this.#leavesDanglingEntry) this.#memory.writeU64(anchor, 0);
        return undefined;
      }
      this.#links.write(slot, fresh);
      anchor ??= slot;
      made.push(fresh);
      node = fresh;
    }
    return node;
  }

  /** The leaf of a key; undefined when it was never made. */
  findLeaf(root: PhysAddr, lo: number, hi: number): PhysAddr | undefined {
    let node: PhysAddr | undefined = root;
    for (let level = this.#geometry.depth - 1; level > 0 && node !== undefined; level--) {
      node = this.#links.read(this.#links.slotOf(node, lo, hi, level));
    }
    return node;
  }

  /**
   * Gives back every page below a root and the root, children before their table. A page that is reached twice is given
   * back twice.
   * @throws MachineFault for a wild pointer, KernelHang when there are more words in the pages than `maxWords`.
   */
  destroy(root: PhysAddr, maxWords: number): void {
    this.#destroyedWords = 0;
    this.#destroyNode(root, this.#geometry.depth - 1, maxWords);
  }

  #destroyNode(node: PhysAddr, level: number, maxWords: number): void {
    this.#destroyedWords += this.#geometry.page.sizeBytes / 4;
    if (this.#destroyedWords > maxWords) throw new KernelHang('the destruction of the radix tree');
    if (level > 0) {
      for (let i = 0; i < this.#geometry.slots; i++) {
        const child = this.#links.read(this.#links.slotAt(node, i));
        if (child !== undefined) this.#destroyNode(child, level - 1, maxWords);
      }
    }
    this.#alloc.freeNode(node);
  }
}
