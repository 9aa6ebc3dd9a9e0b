import { createHash } from 'node:crypto';
import { EINVAL, type Errno } from '../../kernel/errno.ts';
import { encodeKey, type RadixGeometry, radixGeometry } from '../../kernel/kho/geometry.ts';
import { type PreserveHooks, preserveFolio, preservePages, unpreservePages } from '../../kernel/kho/preserve.ts';
import { radixStats } from '../../kernel/kho/radix-stats.ts';
import { RadixTree } from '../../kernel/kho/radix-tree.ts';
import type { NodeAllocator } from '../../kernel/kho/tree-tables.ts';
import { bigOf, shl64, u64OfBig } from '../../kernel/kho/u64.ts';
import {
  hexOfHalves,
  MachineFault,
  type Order,
  type Pfn,
  type PhysAddr,
  type PhysicalMemory,
  ZERO_FILL,
} from '../../machine/index.ts';

const U64 = 2n ** 64n;
const EXACT = 2n ** 51n;
/** A trace's walk is kept in memory: some four million keys. */
const MAX_WALK_STEPS = 2 ** 27;

/** The tree's pages in a trace: upwards from an address, freed ones first (last in, first out), zeroed when handed out. */
class TraceAllocator implements NodeAllocator {
  readonly #memory: PhysicalMemory;
  readonly #free: PhysAddr[] = [];
  #next = 0x4000_0000;
  #successesLeft: number | undefined;
  #budget = Number.POSITIVE_INFINITY;
  /** Pages handed out and not given back. */
  live = 0;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** node_base */
  setBase(phys: bigint): void {
    this.#next = Number(phys);
  }

  /** node_fail: after so many more successes one allocation fails. */
  failAfter(successes: bigint): void {
    this.#successesLeft = Number(successes);
  }

  /** node_budget: allocations fail while so many pages are live. */
  setBudget(pages: bigint): void {
    this.#budget = Number(pages);
  }

  allocNode(): PhysAddr | undefined {
    if (this.#successesLeft === 0) {
      this.#successesLeft = undefined;
      return undefined;
    }
    if (this.live >= this.#budget) return undefined;
    if (this.#successesLeft !== undefined) this.#successesLeft--;
    const { page } = this.#memory;
    let phys = this.#free.pop();
    if (phys === undefined) {
      phys = this.#next as PhysAddr;
      this.#next += page.sizeBytes;
    }
    if (phys % page.sizeBytes === 0) this.#memory.fillPages((phys / page.sizeBytes) as Pfn, 1, ZERO_FILL);
    else this.#memory.writeBytes(phys, new Uint8Array(page.sizeBytes));
    this.live++;
    return phys;
  }

  freeNode(phys: PhysAddr): void {
    this.#free.push(phys);
    this.live--;
  }
}

/** The blocks that a walk found, three numbers each: address in halves, order. */
class BlockList {
  #numbers = new Uint32Array(3 * 1024);
  length = 0;

  push(lo: number, hi: number, order: number): void {
    const at = 3 * this.length++;
    if (at + 3 > this.#numbers.length) {
      const grown = new Uint32Array(2 * this.#numbers.length);
      grown.set(this.#numbers);
      this.#numbers = grown;
    }
    this.#numbers[at] = lo;
    this.#numbers[at + 1] = hi;
    this.#numbers[at + 2] = order;
  }

  /** One line for each block, in the order found or by address and order. */
  lines(mark: string, sorted: boolean): string {
    const numbers = this.#numbers;
    const indices = Array.from({ length: this.length }, (_, i) => 3 * i);
    const at = (i: number) => numbers[i] as number;
    if (sorted) indices.sort((a, b) => at(a + 1) - at(b + 1) || at(a) - at(b) || at(a + 2) - at(b + 2));
    return indices.map((i) => `${mark} ${hexOfHalves(at(i), at(i + 1))} ${at(i + 2)}\n`).join('');
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * The old kernel's side of a trace: a tree, its page allocator, the node table and the scratch areas, with operands of
 * 64 bits. What it prints is what the trace language says.
 */
export class TraceTree {
  readonly geometry: RadixGeometry;
  readonly alloc: TraceAllocator;
  readonly tree: RadixTree;
  /** WARNs so far; whoever replays reads and resets nothing, but takes differences. */
  warnings = 0;
  readonly #memory: PhysicalMemory;
  readonly #numa: boolean;
  readonly #nids: { readonly start: number; readonly end: number; readonly nid: number }[] = [];
  readonly #scratch: { readonly start: bigint; readonly end: bigint }[] = [];
  readonly #hooks: PreserveHooks;

  /** @param numa whether nid ranges count. */
  constructor(memory: PhysicalMemory, numa = true) {
    this.#memory = memory;
    this.#numa = numa;
    this.geometry = radixGeometry(memory.page);
    this.alloc = new TraceAllocator(memory);
    const warn = () => {
      this.warnings++;
    };
    const log = { warnOn: warn, warnOnOnce: warn };
    this.tree = new RadixTree(memory, this.geometry, this.alloc, { log, maxWalkSteps: MAX_WALK_STEPS });
    this.#hooks = {
      map: this.tree,
      page: memory.page,
      log,
      nidOf: (pfn) => this.nidOf(pfn),
      // Far frames pass the end of 64 bits, as they do in the kernel's shift.
      scratchOverlaps: (phys, sizeBytes) =>
        this.#overlaps(BigInt.asUintN(64, BigInt(phys)), BigInt.asUintN(64, BigInt(sizeBytes))),
    };
  }

  /** nid: the first range that holds a frame wins; node 0 where none does. */
  addNid(startPfn: bigint, endPfn: bigint, nid: bigint): void {
    this.#nids.push({ start: Number(startPfn), end: Number(endPfn), nid: Number(BigInt.asIntN(32, nid)) });
  }

  nidOf(pfn: number): number {
    if (!this.#numa) return 0;
    for (const range of this.#nids) if (pfn >= range.start && pfn < range.end) return range.nid;
    return 0;
  }

  /** scratch, kho_scratch_area: an area that preserving must not touch. */
  addScratch(base: bigint, size: bigint): void {
    this.#scratch.push({ start: base, end: BigInt.asUintN(64, base + size) });
  }

  #overlaps(phys: bigint, size: bigint): boolean {
    const end = BigInt.asUintN(64, phys + size);
    return this.#scratch.some((area) => phys < area.end && end > area.start);
  }

  // --- operations with operands of 64 bits -----------------------------------------------------------------------

  preserveFolio(pfn: bigint, order: bigint): 0 | Errno {
    const order32 = Number(BigInt.asUintN(32, order));
    if (pfn < EXACT && order32 < 32) return preserveFolio(this.#hooks, Number(pfn) as Pfn, order32 as Order);
    const key = this.#keyOf(pfn, order32);
    const size = shl64(this.#memory.page.sizeBytes, 0, order32);
    if (this.#overlaps(this.#physOf(pfn), bigOf(size.lo, size.hi))) {
      this.warnings++;
      return EINVAL;
    }
    return this.tree.addKey(key.lo, key.hi);
  }

  unpreserveFolio(pfn: bigint, order: bigint): void {
    const key = this.#keyOf(pfn, Number(BigInt.asUintN(32, order)));
    this.tree.delKey(key.lo, key.hi);
  }

  preservePages(pfn: bigint, nrPages: bigint): 0 | Errno {
    const range = this.#exactRange(pfn, nrPages);
    if (range !== undefined) return preservePages(this.#hooks, range.start, range.nrPages);
    if (this.#overlaps(this.#physOf(pfn), this.#physOf(nrPages))) {
      this.warnings++;
      return EINVAL;
    }
    for (const [at, order] of this.#wildPieces(pfn, BigInt.asUintN(64, pfn + nrPages))) {
      const key = this.#keyOf(at, order);
      const result = this.tree.addKey(key.lo, key.hi);
      if (result === 0) continue;
      this.#unpreserveWild(pfn, at);
      return result;
    }
    return 0;
  }

  unpreservePages(pfn: bigint, nrPages: bigint): void {
    const range = this.#exactRange(pfn, nrPages);
    if (range !== undefined) unpreservePages(this.#hooks, range.start, range.nrPages);
    else this.#unpreserveWild(pfn, BigInt.asUintN(64, pfn + nrPages));
  }

  #unpreserveWild(start: bigint, end: bigint): void {
    for (const [at, order] of this.#wildPieces(start, end)) {
      const key = this.#keyOf(at, order);
      this.tree.delKey(key.lo, key.hi);
    }
  }

  #exactRange(pfn: bigint, nrPages: bigint): { start: Pfn; nrPages: number } | undefined {
    if (pfn >= EXACT || nrPages >= EXACT) return undefined;
    return { start: Number(pfn) as Pfn, nrPages: Number(nrPages) };
  }

  /** The split of a range that reaches beyond exact numbers; pieces of order 31 and more do not fit before 2^64. */
  *#wildPieces(start: bigint, end: bigint): Generator<[pfn: bigint, order: number]> {
    for (let pfn = start; pfn < end; ) {
      let order = (end - pfn).toString(2).length - 1;
      while (order > 0 && pfn % (1n << BigInt(order)) !== 0n) order--;
      const nid = this.nidOf(Number(pfn));
      while (order > 0 && nid !== this.nidOf(Number(pfn + (1n << BigInt(order)) - 1n))) order--;
      yield [pfn, order];
      pfn = BigInt.asUintN(64, pfn + BigInt(1 << (order & 31)));
    }
  }

  #physOf(pfn: bigint): bigint {
    return BigInt.asUintN(64, pfn * BigInt(this.#memory.page.sizeBytes));
  }

  #keyOf(pfn: bigint, order: number) {
    const phys = u64OfBig(this.#physOf(pfn));
    return encodeKey(this.geometry, phys.lo, phys.hi, order);
  }

  // --- what is printed -------------------------------------------------------------------------------------------

  /** `walk N ret=R`, a `k` line for each key in walk order, `kdigest SHA`. */
  walkLines(digestsOnly: boolean): string {
    return this.#blockLines('walk', 'k', digestsOnly);
  }

  /** `list N ret=R`, a `p` line for each key by address and order, `pdigest SHA`. */
  listLines(digestsOnly: boolean): string {
    return this.#blockLines('list', 'p', digestsOnly);
  }

  #blockLines(title: 'walk' | 'list', mark: string, digestsOnly: boolean): string {
    const blocks = new BlockList();
    const result = this.tree.walk({ block: (lo, hi, order) => blocks.push(lo, hi, order) });
    const body = blocks.lines(mark, title === 'list');
    return `${title} ${blocks.length} ret=${result}\n${digestsOnly ? '' : body}${mark}digest ${sha256(body)}\n`;
  }

  /** The `stats` line and the `digest` line. */
  statsLines(): string {
    const { nodesPerLevel, nodes, keys, bytes } = radixStats(this.tree);
    const digest = this.#digest();
    const levels = nodesPerLevel.map((count, level) => `L${level}=${count}`).reverse();
    return (
      `stats nodes=${nodes} ${levels.join(' ')} keys=${keys} bytes=${bytes} live=${this.alloc.live} ` +
      `warn=${this.warnings}\ndigest ${digest}\n`
    );
  }

  /** sha256 over all pages in pre-order, each slot replaced by the number of the page that it points to. */
  #digest(): string {
    const { sizeBytes } = this.#memory.page;
    const pages: { phys: PhysAddr; level: number; links: [slot: number, number: number][] }[] = [];
    const path: number[] = [];
    if (this.tree.root !== undefined) {
      this.tree.walk({
        node: (phys, level, linkPhys) => {
          const parent = pages[path[level + 1] ?? -1];
          parent?.links.push([(linkPhys - parent.phys) / 8, pages.length + 1]);
          path[level] = pages.length;
          pages.push({ phys, level, links: [] });
          return 0;
        },
      });
    }
    const hash = createHash('sha256');
    for (const { phys, level, links } of pages) {
      if (level === 0) {
        hash.update(this.#memory.readBytes(phys, sizeBytes));
        continue;
      }
      const table = new DataView(new ArrayBuffer(sizeBytes));
      for (const [slot, number] of links) table.setUint32(8 * slot, number, true);
      hash.update(new Uint8Array(table.buffer));
    }
    return hash.digest('hex');
  }

  /** `root 0xPHYS`. */
  rootLine(): string {
    return `root 0x${(this.tree.root ?? 0).toString(16)}\n`;
  }
}

/** An address of a trace's operand. @throws MachineFault when no RAM can be there. */
export function addressOf(value: bigint): PhysAddr {
  if (value >= 2n ** 53n) throw new MachineFault('read', value);
  return Number(value % U64) as PhysAddr;
}
