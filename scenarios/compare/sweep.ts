import { isErrno } from '../../kernel/errno.ts';
import { makeOutgoingMap } from '../../kernel/kho/outgoing-map.ts';
import type { FrameRun } from '../../kernel/mm/page-allocator.ts';
import { ilog2, type Order, type PageSize, type Pfn } from '../../machine/index.ts';
import type { SimulatedKernel } from '../run/simulator.ts';
import { bootBoard, bootRequest } from './board.ts';
import { measureTree } from './measure-map.ts';
import type { SweepPoint } from './result.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const ORDER_0 = 0 as Order;

/** RAM of the machine that is filled: enough to see the page sizes change places. */
const SWEEP_RAM_BYTES = 64 * GIB;

/** What is left free for tree pages. */
const SPARE_BYTES = 64 * MIB;

/** From one point of a curve to the next. */
const STEP = 4;

/** A sparse curve is over when pages are closer than this and no new leaf has come: then none will. */
const CLOSE_PAGES = 1024;

/** What a single page needs, and how far a leaf reaches: asked of the kernel's own tree, page by page. */
export interface TreeProbe {
  /** Bytes of a tree that holds one page. */
  readonly lonePageBytes: number;
  /** The distance from a leaf's first page at which the next leaf begins. */
  readonly leafCoversBytes: number;
}

export interface SweepResult {
  readonly points: readonly SweepPoint[];
  readonly probe: TreeProbe;
  /** Whether a new kernel took over all of RAM. */
  readonly handover: boolean;
}

function bootSweepBoard(page: PageSize, seed: number): SimulatedKernel {
  return bootBoard({ page, seed, banks: [[GIB, SWEEP_RAM_BYTES]] });
}

/** Preserves ever more single pages at one page size, dense and sparse, and hands all of RAM over in the end. */
export function sweep(page: PageSize, seed: number): SweepResult {
  const dense = bootSweepBoard(page, seed);
  const points = [...denseCurve(dense, page)];
  const next = dense.kexec(bootRequest());
  const handover = next !== undefined && !isErrno(next) && next.start.kind === 'handover';
  const sparse = bootSweepBoard(page, seed);
  points.push(...sparseCurve(sparse, page));
  return { points, probe: probeTree(sparse, page), handover };
}

/** All memory that the page allocator can give, as a page cache would have it in the end. */
function takeAllMemory(kernel: SimulatedKernel, page: PageSize): FrameRun[] {
  const { allocator } = kernel.context;
  const nrPages = allocator.nrFreePages('normal') - SPARE_BYTES / page.sizeBytes;
  const runs = allocator.allocPagesBulk(nrPages);
  if (runs === undefined) throw new Error('the page allocator does not give what it has');
  return runs.sort((a, b) => a.pfn - b.pfn);
}

function nrPagesOf(runs: readonly FrameRun[]): number {
  return runs.reduce((sum, run) => sum + run.nrPages, 0);
}

/** Tree pages of the running kernel. */
function treePages(kernel: SimulatedKernel): { readonly nodes: number; readonly leaves: number } {
  const { page, release, memory } = kernel.context;
  const root = kernel.outgoing?.finalize();
  const figures =
    root === undefined || isErrno(root) ? undefined : measureTree(memory, page, release, root, { keys: false });
  return { nodes: figures?.nodes ?? 0, leaves: figures?.nodesPerLevel[0] ?? 0 };
}

function point(kernel: SimulatedKernel, density: SweepPoint['density'], nrPages: number): SweepPoint {
  const { page } = kernel.context;
  return {
    column: page.name,
    density,
    preservedBytes: nrPages * page.sizeBytes,
    metadataBytes: treePages(kernel).nodes * page.sizeBytes,
    keys: nrPages,
  };
}

/** One page, then ever more of those behind it. */
function denseCurve(kernel: SimulatedKernel, page: PageSize): SweepPoint[] {
  const runs = takeAllMemory(kernel, page);
  const total = nrPagesOf(runs);
  const points: SweepPoint[] = [];
  let done = 0;
  for (let wanted = 1; done < total; wanted *= STEP) {
    const end = Math.min(wanted, total);
    preserveBetween(kernel, runs, done, end);
    done = end;
    points.push(point(kernel, 'dense', done));
  }
  return points;
}

/** Preserves the pages [from, to) of a list of runs. */
function preserveBetween(kernel: SimulatedKernel, runs: readonly FrameRun[], from: number, to: number): void {
  let before = 0;
  for (const run of runs) {
    const start = Math.max(from - before, 0);
    const end = Math.min(to - before, run.nrPages);
    before += run.nrPages;
    if (start >= end) continue;
    const folio = { pfn: (run.pfn + start) as Pfn, order: ORDER_0 };
    const err = kernel.enter(() => kernel.kernel.kho.preserveFolios(folio, end - start));
    if (err !== 0) throw new Error(`preserving ${end - start} pages gives ${err}`);
  }
}

/** One page, then ever more between those that are there, evenly over all of RAM; in the end all of it. */
function sparseCurve(kernel: SimulatedKernel, page: PageSize): SweepPoint[] {
  const runs = takeAllMemory(kernel, page);
  const total = nrPagesOf(runs);
  const points: SweepPoint[] = [];
  let leaves = -1;
  for (let wanted = 1; wanted * STEP < total; wanted *= STEP) {
    const stride = 2 ** ilog2(total / wanted);
    preserveEvery(kernel, runs, stride, wanted);
    points.push(point(kernel, 'sparse', wanted));
    const before = leaves;
    leaves = treePages(kernel).leaves;
    if (stride <= CLOSE_PAGES && leaves === before) break;
  }
  preserveBetween(kernel, runs, 0, total);
  points.push(point(kernel, 'sparse', total));
  return points;
}

/** Preserves every `stride`th page of a list of runs, `count` of them. */
function preserveEvery(kernel: SimulatedKernel, runs: readonly FrameRun[], stride: number, count: number): void {
  const { kho } = kernel.kernel;
  const done = kernel.enter((): number => {
    let index = 0;
    let left = count;
    for (const run of runs) {
      for (; index < run.nrPages && left > 0; index += stride, left--) {
        const err = kho.preserveFolio({ pfn: (run.pfn + index) as Pfn, order: ORDER_0 });
        if (err !== 0) return err;
      }
      index -= run.nrPages;
    }
    return left;
  });
  if (done !== 0) throw new Error(`preserving every ${stride}th page gives ${done}`);
}

/** Asks an empty tree of the kernel's. */
export function probeTree(kernel: SimulatedKernel, page: PageSize): TreeProbe {
  const { context } = kernel;
  const map = makeOutgoingMap(context);
  if (isErrno(map)) throw new Error(`the kernel makes no tree: ${map}`);
  const measure = () => {
    const root = map.finalize();
    const tree = isErrno(root) ? undefined : measureTree(context.memory, page, context.release, root, { keys: false });
    if (tree === undefined) throw new Error('the kernel has no tree');
    return tree;
  };
  const start = SWEEP_RAM_BYTES / 2 / page.sizeBytes;
  map.preserve(start as Pfn, ORDER_0);
  const lone = measure();
  let distance = 1;
  do {
    distance *= 2;
    map.preserve((start + distance) as Pfn, ORDER_0);
  } while ((measure().nodesPerLevel[0] ?? 0) === (lone.nodesPerLevel[0] ?? 0) && distance < start);
  return { lonePageBytes: lone.bytes, leafCoversBytes: distance * page.sizeBytes };
}
