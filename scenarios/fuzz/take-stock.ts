import { isErrno } from '../../kernel/errno.ts';
import { parseFdt } from '../../kernel/fdt/parse.ts';
import { ChunkListMap } from '../../kernel/kho/chunk-list.ts';
import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { auditRadixTree } from '../../kernel/kho/radix-audit.ts';
import { u64Of } from '../../kernel/kho/u64.ts';
import { PageFlag } from '../../kernel/mm/page-states.ts';
import { hex, type Pfn, type PhysAddr, pfnOf } from '../../machine/index.ts';
import { type Intervals, subtract, union } from '../handover/intervals.ts';
import type { RunState } from '../run/run-state.ts';

/*
 * Every page of a running kernel and whose it is, between two steps of a run.
 *
 * What it verifies: each page that the page allocator gave out belongs to the memory map itself, to a block of the map, to
 * something that a client of the scenario holds, or to what was there before; the map's own structure; the root FDT.
 * What it does not: memory that the page allocator never had (memblock's), and which of two owners a page belongs to.
 */

/** A kernel between two steps. All ranges are of frames. */
export interface Stock {
  /** Pages that the page allocator gave out. */
  readonly used: Intervals;
  /** Pages with an owner that can be named: the map's nodes, preserved blocks, objects and files of clients. */
  readonly owned: Intervals;
  /** Pages that are preserved, and free. */
  readonly freePreserved: Intervals;
  /** Blocks that would be handed over, as text. */
  readonly map: string;
  /** Names of the subtrees in the outgoing FDT, and where their data is. */
  readonly subtrees: string;
  /** Sessions and the tokens of their files. */
  readonly sessions: string;
  /** What is wrong with the structure of it. */
  readonly wrong: readonly string[];
}

/** Used pages that nobody owns. */
export function unowned({ used, owned }: Stock): Intervals {
  return subtract(used, owned);
}

/** Takes stock of the kernel that runs. */
export function takeStock(run: RunState): Stock {
  const { context, outgoing, kernel } = run.kernel;
  const { memory, page, pages, release, control } = context;
  const wrong: string[] = [];
  const used: [number, number][] = [];
  const free: [number, number][] = [];
  for (const span of pages.spans()) {
    for (const { start, nrPages, state } of pages.runs(span.start, (span.start + span.nrPages) as Pfn)) {
      if ((state.flags & PageFlag.free) !== 0) free.push([start, start + nrPages]);
      else if ((state.flags & PageFlag.managed) !== 0) used.push([start, start + nrPages]);
    }
  }
  const frames = (phys: number, sizeBytes: number): readonly [number, number] => [
    Math.floor(phys / page.sizeBytes),
    Math.ceil((phys + sizeBytes) / page.sizeBytes),
  ];
  const blocks: string[] = [];
  const preserved: (readonly [number, number])[] = [];
  outgoing?.forEach((lo, hi, order) => {
    const phys = (hi >>> 0) * 0x1_0000_0000 + (lo >>> 0);
    blocks.push(`${hex(phys)}/${order}`);
    preserved.push(frames(phys, page.sizeBytes * 2 ** order));
  });
  const nodes: (readonly [number, number])[] = [];
  if (outgoing instanceof ChunkListMap) {
    for (const { phys, sizeBytes } of outgoing.metadata()) nodes.push(frames(phys, sizeBytes));
  } else if (outgoing !== undefined && release.map.format === 'radix-tree') {
    const root = outgoing.finalize();
    const { lo, hi } = u64Of(isErrno(root) ? 0 : root);
    const audit = auditRadixTree(
      {
        inRam: (phys, sizeBytes) => memory.contains(phys, sizeBytes),
        words: (phys) => memory.pageWords(pfnOf(page, phys) as Pfn).slice(),
      },
      radixGeometry(page, release.map),
      lo,
      hi,
      { report: ({ code, message }) => wrong.push(`tree: ${code}: ${message}`) },
    );
    for (const phys of audit.nodes.keys()) nodes.push(frames(phys, page.sizeBytes));
  }
  const nodeRanges = union(nodes);
  const preservedRanges = union(preserved);
  const usedRanges = union(used);
  const unusedNodes = subtract(nodeRanges, usedRanges);
  if (unusedNodes.length > 0) wrong.push(`pages of the map that are nobody's: ${namePages(unusedNodes)}`);
  const overlap = subtract(nodeRanges, subtract(nodeRanges, preservedRanges));
  if (overlap.length > 0) wrong.push(`pages of the map inside preserved blocks: ${namePages(overlap)}`);

  const held: (readonly [number, number])[] = [];
  for (const { state, blocks: own } of run.objects.objects.values()) {
    if (state !== 'allocated' && state !== 'preserved' && state !== 'restored') continue;
    for (const start of own.starts) held.push([start, start + own.nrPagesEach]);
  }
  for (const session of run.sessions.sessions.values()) {
    for (const file of [...session.files, ...session.left]) {
      if (file.open === undefined || session.state === 'crossed' || session.state === 'lost') continue;
      for (const { pfn, nrFolios, order } of file.open.inode.cache.runs()) {
        held.push([pfn, pfn + nrFolios * 2 ** order]);
      }
    }
  }
  const fdt = kernel.kho.outgoingFdtPhys;
  if (fdt !== undefined) held.push(frames(fdt, page.sizeBytes));
  if (fdt !== undefined && (release.quirks.finalize !== 'before-load' || kernel.kho.finalized)) {
    const tree = parseFdt(memory.readBytes(fdt as PhysAddr, page.sizeBytes));
    if ('message' in tree) wrong.push(`root FDT: ${tree.message}`);
  }
  const { subtreesOut, sessions } = control.state;
  for (const { name, phys, sizeBytes } of subtreesOut) {
    if (subtract([frames(phys, Math.max(sizeBytes, 1))], preservedRanges).length > 0) {
      wrong.push(`subtree ${name} points to ${hex(phys)}, which is not preserved`);
    }
  }
  return {
    used: usedRanges,
    owned: union([...nodeRanges, ...preservedRanges, ...held]),
    freePreserved: subtract(preservedRanges, subtract(preservedRanges, union(free))),
    map: blocks.join(' '),
    subtrees: subtreesOut.map(({ name, phys }) => `${name}@${hex(phys)}`).join(' '),
    sessions: sessions
      .map(({ name, direction, files }) => `${direction} ${name}: ${files.map((file) => file.token).join(' ')}`)
      .join('; '),
    wrong,
  };
}

/** The first few ranges of frames, as a message names them. */
export function namePages(ranges: Intervals, most = 3): string {
  const named = ranges
    .slice(0, most)
    .map(([start, end]) => (end - start === 1 ? hex(start) : `${hex(start)}+${end - start}`));
  return `${named.join(', ')}${ranges.length > most ? ` and ${ranges.length - most} more` : ''}`;
}
