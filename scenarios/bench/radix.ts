import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { RadixTree } from '../../kernel/kho/radix-tree.ts';
import { RadixReader } from '../../kernel/kho/radix-walk.ts';
import type { NodeAllocator } from '../../kernel/kho/tree-tables.ts';
import {
  type Order,
  PAGE_4K,
  PAGE_16K,
  PAGE_64K,
  type PageSize,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  physAddr,
  Random,
} from '../../machine/index.ts';
import type { Clock } from './clock.ts';
import type { BenchTable } from './table.ts';

const TIB = 2 ** 40;
/** Where the tree's pages come from, behind the RAM that is preserved. */
const NODE_BASE = TIB;
const NODE_BYTES = 2 ** 37;

/** Blocks to preserve, one after the other. */
interface Workload {
  /** Frames of 1 TiB: small enough for 31 bits. */
  readonly pfns: Int32Array;
  readonly orders: Uint8Array;
}

interface WorkloadSpec {
  readonly name: string;
  make(page: PageSize, count: number): Workload;
  /** What the kernel's own C needs, nanoseconds per preserve and per walked key, for 4K, 16K, 64K. */
  readonly c: readonly (readonly [preserve: number, walk: number])[];
}

function workload(count: number, fill: (i: number) => readonly [pfn: number, order: number]): Workload {
  const pfns = new Int32Array(count);
  const orders = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const [pfn, order] = fill(i);
    pfns[i] = pfn;
    orders[i] = order;
  }
  return { pfns, orders };
}

const WORKLOADS: readonly WorkloadSpec[] = [
  {
    name: 'contiguous pages, one by one',
    make: (_, count) => workload(count, (i) => [0x10_0000 + i, 0]),
    c: [
      [5.7, 3.3],
      [5.3, 3.3],
      [4.8, 3.4],
    ],
  },
  {
    name: 'random order 0 over 1 TiB',
    make: (page, count) => {
      const random = new Random(1);
      const frames = TIB / page.sizeBytes;
      return workload(count, () => [random.below(frames), 0]);
    },
    c: [
      [25.5, 12.4],
      [7.9, 8.8],
      [6.6, 5.3],
    ],
  },
  {
    name: 'folios of order 0..9, random',
    make: (page, count) => {
      const random = new Random(2);
      const frames = TIB / page.sizeBytes;
      return workload(count, () => {
        const order = random.below(10);
        const pfn = random.below(frames);
        return [pfn - (pfn % 2 ** order), order];
      });
    },
    c: [
      [31.6, 15.3],
      [7.3, 7.6],
      [4.7, 6.2],
    ],
  },
  {
    name: 'folios of order 0..9, in runs',
    make: (page, count) => {
      const random = new Random(3);
      const frames = TIB / page.sizeBytes;
      let left = 0;
      let next = 0;
      let order = 0;
      return workload(count, () => {
        if (left === 0) {
          left = 1 + random.below(256);
          order = random.below(10);
          next = random.below(frames - 256 * 512);
          next -= next % 2 ** order;
        }
        left--;
        const pfn = next;
        next += 2 ** order;
        return [pfn, order];
      });
    },
    c: [
      [6.6, 10.8],
      [5.0, 9.7],
      [4.1, 9.2],
    ],
  },
];

/** Pages upwards from NODE_BASE, zeroed where they lie: from the second round on memory is warm, as a kernel's is. */
class BenchAllocator implements NodeAllocator {
  readonly #memory: PhysicalMemory;
  #next = NODE_BASE;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  startAgain(): void {
    this.#next = NODE_BASE;
  }

  allocNode(): PhysAddr {
    const memory = this.#memory;
    const { sizeBytes } = memory.page;
    const phys = this.#next as PhysAddr;
    this.#next += sizeBytes;
    const frame = memory.frameForWrite((phys / sizeBytes) as Pfn);
    const at = memory.frameWordOffset(frame);
    memory.frameWords(frame).fill(0, at, at + sizeBytes / 4);
    return phys;
  }

  freeNode(): void {}
}

/** Nanoseconds of processor time and on the wall, each the minimum of all rounds. */
interface Best {
  preserve: { cpu: number; wall: number };
  walk: { cpu: number; wall: number };
}

/** Keeps the smaller times of a measured piece of work, in nanoseconds for each of `count` keys. */
function keepBest(
  best: { cpu: number; wall: number },
  from: { cpu: number; wall: number },
  to: { cpu: number; wall: number },
  count: number,
) {
  best.cpu = Math.min(best.cpu, ((to.cpu - from.cpu) * 1e6) / count);
  best.wall = Math.min(best.wall, ((to.wall - from.wall) * 1e6) / count);
}

const timesOf = (clock: Clock) => ({ cpu: clock.cpuMs(), wall: clock.wallMs() });

/** Preserves every block of a workload, one by one. */
function preserveAll(tree: RadixTree, { pfns, orders }: Workload): void {
  for (let i = 0; i < pfns.length; i++) {
    if (tree.preserve(pfns[i] as Pfn, orders[i] as Order) !== 0) throw new Error('out of memory in a benchmark');
  }
}

/** Walks a tree as the next kernel would. @returns how many blocks there are. */
function walkAll(memory: PhysicalMemory, reader: RadixReader, root: PhysAddr): number {
  const totals = new Int32Array(2);
  reader.walk(memory, root, (lo, hi, order) => {
    totals[0] = (totals[0] as number) + 1;
    totals[1] = (totals[1] as number) ^ lo ^ hi ^ order;
  });
  return totals[0] as number;
}

/** One round: fills a new tree and walks it. */
function measureOnce(memory: PhysicalMemory, alloc: BenchAllocator, blocks: Workload, clock: Clock, best: Best): void {
  const geometry = radixGeometry(memory.page);
  alloc.startAgain();
  const tree = new RadixTree(memory, geometry, alloc);
  tree.init();
  const start = timesOf(clock);
  preserveAll(tree, blocks);
  const filled = timesOf(clock);
  const keys = walkAll(memory, new RadixReader(geometry), tree.finalize());
  const walked = timesOf(clock);
  if (keys === 0) throw new Error('nothing was walked in a benchmark');
  keepBest(best.preserve, start, filled, blocks.pfns.length);
  keepBest(best.walk, filled, walked, keys);
}

function cellsOf(ns: { cpu: number; wall: number }, c: number): string[] {
  return [ns.cpu.toFixed(1), `(${ns.wall.toFixed(1)})`, c.toFixed(1), (ns.cpu / c).toFixed(2)];
}

/**
 * The table of preserve and walk times beside those of the kernel's own code. Ratios are of processor time.
 * @param count keys of each workload.
 * @param only tells which workloads are wanted, by their place.
 */
export function benchRadix(clock: Clock, count = 1_000_000, rounds = 5, only = (_row: number) => true): BenchTable {
  const rows: string[][] = [];
  for (const spec of WORKLOADS.filter((_, row) => only(row))) {
    for (const [p, page] of [PAGE_4K, PAGE_16K, PAGE_64K].entries()) {
      const blocks = spec.make(page, count);
      const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: NODE_BASE + NODE_BYTES, nid: 0 }]);
      const alloc = new BenchAllocator(memory);
      const best: Best = {
        preserve: { cpu: Number.POSITIVE_INFINITY, wall: Number.POSITIVE_INFINITY },
        walk: { cpu: Number.POSITIVE_INFINITY, wall: Number.POSITIVE_INFINITY },
      };
      for (let round = 0; round < rounds; round++) measureOnce(memory, alloc, blocks, clock, best);
      const [cPreserve, cWalk] = spec.c[p] as readonly [number, number];
      rows.push([spec.name, page.name, ...cellsOf(best.preserve, cPreserve), ...cellsOf(best.walk, cWalk)]);
    }
  }
  return {
    title: `radix tree, ${count} keys, nanoseconds each, minimum of ${rounds}`,
    columns: ['workload', 'page', 'preserve', '(wall)', 'in C', 'ratio', 'walk', '(wall)', 'in C', 'ratio'],
    rows,
    note: 'Processor time, and in parentheses time on the wall. The C figures are of the machine that khosim is measured on: compare by the calibration loop.',
  };
}
