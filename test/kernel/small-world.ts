import { expect } from 'vitest';
import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { preserveFolio, preservePages, unpreserveFolio, unpreservePages } from '../../kernel/kho/preserve.ts';
import { RadixTree } from '../../kernel/kho/radix-tree.ts';
import { RadixReader } from '../../kernel/kho/radix-walk.ts';
import { PreservedPages } from '../../kernel/kho/restore.ts';
import { retrievePreserved } from '../../kernel/kho/retrieve.ts';
import { BuddyAllocator } from '../../kernel/mm/buddy.ts';
import { PageFlag, PageStates } from '../../kernel/mm/page-states.ts';
import { LATEST_RELEASE } from '../../kernel/release.ts';
import { makePageSize, type Order, type Pfn, type PhysAddr, PhysicalMemory, physAddr } from '../../machine/index.ts';
import { Memblock } from '../../machine/memblock/memblock.ts';

/*
 * A machine of eight pages of 64 bytes, and beside them a bank for tree nodes: the kernel's own tree, walk, memblock,
 * page states and buddies. Preserving goes through the kernel's own calls for folios and for ranges, and only what the client
 * did itself explains a page that is free and preserved.
 *
 *     pfn   8 9 10 11 12 13 14 15        64 ... 255
 *          |-------- data --------|     |--- nodes ---|
 */
const PAGE = makePageSize(6, 16);
const FIRST = 8;
const NR_PAGES = 8;
const MAX_ORDER = 2;
const BANKS = [{ base: physAddr(FIRST * 64), sizeBytes: NR_PAGES * 64, nid: 0 }];
const ALL_BANKS = [...BANKS, { base: physAddr(64 * 64), sizeBytes: 192 * 64, nid: 0 }];

interface Block {
  readonly pfn: number;
  readonly order: number;
}

function overlap(a: Block, b: Block): boolean {
  return a.pfn < b.pfn + 2 ** b.order && b.pfn < a.pfn + 2 ** a.order;
}

/** The running kernel of the small world, and what its one client holds. */
export class SmallWorld {
  readonly memory = new PhysicalMemory(PAGE, ALL_BANKS);
  pages = new PageStates(PAGE, BANKS);
  buddy: BuddyAllocator;
  tree: RadixTree;
  owned: Block[] = [];
  /** What its client preserved and did not unpreserve since, by first frame and end, as it called the kernel for it. */
  believed = new Map<string, readonly [number, number]>();
  incoming: Block[] = [];
  /** The client freed what it had preserved: its own mistake, which KHO does not see (no reference count). */
  clientFreedPreserved = false;
  /** The map that was handed over has blocks that overlap: accepted, since nothing counts. */
  overlapping = false;
  #nextNode = 64;

  constructor() {
    this.buddy = this.#bringUp([]);
    this.tree = this.#treeAt(undefined);
  }

  #treeAt(root: PhysAddr | undefined): RadixTree {
    const alloc = {
      allocNode: () => {
        const phys = (this.#nextNode++ * 64) as PhysAddr;
        this.memory.writeBytes(phys, new Uint8Array(64));
        return phys;
      },
      freeNode: () => {},
    };
    const tree = new RadixTree(this.memory, radixGeometry(PAGE), alloc);
    if (root === undefined) expect(tree.init()).toBe(0);
    else tree.setRoot(root);
    return tree;
  }

  /** The end of early boot, after the walk over what a predecessor preserved. */
  #bringUp(root: readonly PhysAddr[]): BuddyAllocator {
    this.pages = new PageStates(PAGE, BANKS);
    this.pages.initRange(FIRST as Pfn, NR_PAGES, 0);
    const memblock = new Memblock({ page: PAGE, memory: this.memory });
    for (const bank of BANKS) memblock.add(bank.base, bank.sizeBytes);
    for (const at of root) {
      retrievePreserved({ memblock, pages: this.pages, page: PAGE, quirks: LATEST_RELEASE.quirks }, (visit) =>
        new RadixReader(radixGeometry(PAGE)).walk(this.memory, at, visit),
      );
    }
    const { memory, pages } = this;
    const buddy = new BuddyAllocator({ page: PAGE, banks: BANKS, memory, pages, maxPageOrder: MAX_ORDER, junkSeed: 1 });
    memblock.freeAll(MAX_ORDER, (pfn, order) => buddy.addFreeRange(pfn as Pfn, 2 ** order));
    return buddy;
  }

  /** Remembers everything, and gives what goes back to it. */
  snapshot(): () => void {
    const { memory, pages, buddy, clientFreedPreserved, overlapping } = this;
    const memoryVersion = memory.mark();
    const pagesVersion = pages.mark();
    const buddyVersion = buddy.mark();
    const { root } = this.tree;
    const nextNode = this.#nextNode;
    const owned = [...this.owned];
    const believed = [...this.believed];
    const incoming = [...this.incoming];
    return () => {
      memory.restore(memoryVersion);
      pages.restore(pagesVersion);
      buddy.restore(buddyVersion);
      this.tree = this.#treeAt(root);
      this.#nextNode = nextNode;
      Object.assign(this, {
        pages,
        buddy,
        owned: [...owned],
        believed: new Map(believed),
        incoming: [...incoming],
        clientFreedPreserved,
        overlapping,
      });
    };
  }

  preserved(): Block[] {
    const blocks: Block[] = [];
    this.tree.forEach((lo, _hi, order) => {
      blocks.push({ pfn: lo / 64, order });
    });
    return blocks;
  }

  alloc(order: number): void {
    const pfn = this.buddy.allocPages(order as Order, { compound: true });
    if (pfn !== undefined) this.owned.push({ pfn, order });
  }

  free(index: number): void {
    const block = this.owned.splice(index, 1)[0];
    if (block === undefined) return;
    for (const [start, end] of this.believed.values()) {
      if (start < block.pfn + 2 ** block.order && block.pfn < end) this.clientFreedPreserved = true;
    }
    this.buddy.freePages(block.pfn as Pfn, block.order as Order);
  }

  mark(index: number, preserve: boolean): void {
    const block = this.owned[index];
    if (block === undefined) return;
    const hooks = { map: this.tree, page: PAGE };
    this.#believe('folio', block.pfn, 2 ** block.order, preserve);
    if (preserve) expect(preserveFolio(hooks, block.pfn as Pfn, block.order as Order)).toBe(0);
    else unpreserveFolio(hooks, block.pfn as Pfn, block.order as Order);
  }

  /** All but the first page of the first block, as a range: its pieces are of several orders. */
  markRange(preserve: boolean): void {
    const block = this.owned[0];
    if (block === undefined || block.order === 0) return;
    const hooks = { map: this.tree, page: PAGE };
    const start = (block.pfn + 1) as Pfn;
    const nrPages = 2 ** block.order - 1;
    this.#believe('range', start, nrPages, preserve);
    if (preserve) expect(preservePages(hooks, start, nrPages)).toBe(0);
    else unpreservePages(hooks, start, nrPages);
  }

  #believe(kind: string, pfn: number, nrPages: number, preserve: boolean): void {
    const key = `${kind} ${pfn}`;
    if (preserve) this.believed.set(key, [pfn, pfn + nrPages]);
    else this.believed.delete(key);
  }

  kexec(): void {
    this.incoming = this.preserved();
    // What was free is free no more: the map reserves it in the next kernel.
    this.clientFreedPreserved = false;
    const ranges = [...this.believed.values()];
    this.overlapping = ranges.some(([start, end], i) => ranges.slice(i + 1).some(([s, e]) => s < end && start < e));
    this.believed = new Map();
    const root = this.tree.root;
    this.owned = [];
    this.buddy = this.#bringUp(root === undefined ? [] : [root]);
    this.tree = this.#treeAt(undefined);
  }

  restore(): void {
    const block = this.incoming.shift();
    if (block === undefined) return;
    const preserved = new PreservedPages({
      page: PAGE,
      pages: this.pages,
      log: { warnOnOnce: () => {} },
      quirks: LATEST_RELEASE.quirks,
      maxPageOrder: MAX_ORDER,
    });
    const folio = preserved.restoreFolio((block.pfn * 64) as PhysAddr);
    // The client that freed what it preserved, or preserved it in two ways, gets it back twice.
    if (folio !== undefined && !this.owned.some((each) => overlap(each, folio))) this.owned.push(folio);
  }

  isFree(pfn: number): boolean {
    return (this.pages.flags(pfn as Pfn) & PageFlag.free) !== 0;
  }

  /** Pages that are free although the map (or the one that was handed over) has them. */
  freeAndPreserved(): number[] {
    return [...this.preserved(), ...this.incoming].flatMap(({ pfn, order }) =>
      Array.from({ length: 2 ** order }, (_, i) => pfn + i).filter((each) => this.isFree(each)),
    );
  }

  /** Everything that tells one state from another. */
  key(): string {
    const pages = Array.from({ length: NR_PAGES }, (_, i) => this.pages.state((FIRST + i) as Pfn));
    return JSON.stringify([
      pages,
      this.owned,
      this.preserved(),
      this.incoming,
      [...this.believed.keys()].sort(),
      this.clientFreedPreserved,
      this.overlapping,
    ]);
  }
}

export type Operation = readonly [string, (world: SmallWorld) => void];

/** One client, folios, and jumps. */
export const FOLIOS: readonly Operation[] = [
  ['alloc 0', (world) => world.alloc(0)],
  ['alloc 1', (world) => world.alloc(1)],
  ['preserve first', (world) => world.mark(0, true)],
  ['preserve second', (world) => world.mark(1, true)],
  ['unpreserve first', (world) => world.mark(0, false)],
  ['free first', (world) => world.free(0)],
  ['free second', (world) => world.free(1)],
  ['kexec', (world) => world.kexec()],
  ['restore', (world) => world.restore()],
];

/** Larger folios, ranges over what folios hold already, and a second one to take back. */
export const RANGES: readonly Operation[] = [
  ...FOLIOS,
  ['alloc 2', (world) => world.alloc(2)],
  ['unpreserve second', (world) => world.mark(1, false)],
  ['preserve a range of the first', (world) => world.markRange(true)],
  ['unpreserve that range', (world) => world.markRange(false)],
];

/** What a search over all states found. */
export interface SmallWorldSearch {
  readonly states: number;
  /** Paths to states where a page is free and preserved, and no listed bug of the kernel explains it. */
  readonly unexplained: readonly { readonly path: readonly string[]; readonly both: readonly number[] }[];
  /** How many such states each listed bug explains. */
  readonly explained: Readonly<Record<'freed while preserved' | 'overlapping orders', number>>;
}

/** Breadth first, from a machine that was switched on: every distinct state that up to `depth` operations reach. */
export function searchSmallWorld(operations: readonly Operation[], depth: number): SmallWorldSearch {
  const seen = new Set<string>();
  const unexplained: { path: readonly string[]; both: readonly number[] }[] = [];
  const explained = { 'freed while preserved': 0, 'overlapping orders': 0 };
  const world = new SmallWorld();
  let border: { path: readonly string[]; back: () => void }[] = [{ path: [], back: world.snapshot() }];
  for (let d = 0; d < depth; d++) {
    const next: typeof border = [];
    for (const before of border) {
      for (const [name, run] of operations) {
        before.back();
        run(world);
        const key = world.key();
        if (seen.has(key)) continue;
        seen.add(key);
        const path = [...before.path, name];
        if (d + 1 < depth) next.push({ path, back: world.snapshot() });
        const both = world.freeAndPreserved();
        if (both.length === 0) continue;
        if (world.clientFreedPreserved) explained['freed while preserved']++;
        else if (world.overlapping) explained['overlapping orders']++;
        else unexplained.push({ path, both });
      }
    }
    border = next;
  }
  return { states: seen.size, unexplained, explained };
}
