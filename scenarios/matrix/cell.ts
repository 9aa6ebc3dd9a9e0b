import { isErrno, type Kernel } from '../../kernel/index.ts';
import { readPreservation, restoreVmalloc } from '../../kernel/kho/vmalloc.ts';
import { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import type { VmallocArea } from '../../kernel/mm/vmalloc-area.ts';
import { type Pfn, pfnOf, physOf } from '../../machine/index.ts';
import { MEMBLOCK_RSRV_NOINIT } from '../../machine/memblock/flags.ts';
import { NO_REGION } from '../../machine/memblock/region-table.ts';
import { type Intervals, nameRanges, subtract, totalBytes, union } from './intervals.ts';
import { CONTENT, type Handed, type PreservedRange } from './workload.ts';

export type CellOutcome = 'handover' | 'cold-boot' | 'panic' | 'oops' | 'corrupt';

/** One cell of the matrix: what a new kernel made of an old one's memory, executed. */
export interface Cell {
  readonly old: string;
  readonly new: string;
  /** Of the old kernel, in bytes. */
  readonly pageSize: number;
  /** Of the new kernel, where it differs. */
  readonly newPageSize?: number;
  readonly outcome: CellOutcome;
  readonly detail: string;
  readonly pagesLost: number;
  readonly pagesPhantom: number;
}

/** What the old kernel left, in bytes rather than pages, so that a kernel of another page size can be judged too. */
export interface HandedBytes {
  readonly handed: Handed;
  readonly oldPageBytes: number;
  /** Everything that the old kernel recorded as preserved, its own metadata included. */
  readonly recorded: Intervals;
}

export type Verdict = Pick<Cell, 'outcome' | 'detail' | 'pagesLost' | 'pagesPhantom'>;

/** What memblock kept when memory went to the page allocator: everything, and what KHO's walk reserved. */
export interface ReservedMemory {
  readonly all: Intervals;
  readonly noinit: Intervals;
}

/** Reads the reserved regions of a kernel that has just booted. */
export function reservedMemory(kernel: Kernel): ReservedMemory {
  const all: [number, number][] = [];
  const noinit: [number, number][] = [];
  const table = kernel.memblock.reserved;
  for (let at = table.first(); at !== NO_REGION; at = table.next(at)) {
    all.push([table.base(at), table.end(at)]);
    if ((table.flags(at) & MEMBLOCK_RSRV_NOINIT) !== 0) noinit.push([table.base(at), table.end(at)]);
  }
  return { all: union(all), noinit: union(noinit) };
}

function rangesOf({ handed, oldPageBytes }: HandedBytes): Intervals {
  return union(handed.ranges.map(({ pfn, nrPages }) => [pfn * oldPageBytes, (pfn + nrPages) * oldPageBytes] as const));
}

/**
 * Judges a kernel that booted on an old one's memory: restores everything the old kernel was asked to hand over that the
 * new one can restore, and compares. Verifies reservation, content, orders, and each client that both releases have. It
 * does not verify what the old kernel kept for itself.
 */
export function judge(kernel: Kernel, left: HandedBytes): Verdict {
  const { outcome } = kernel;
  const wanted = rangesOf(left);
  const phantomIn = (reserved: ReservedMemory) => subtract(reserved.noinit, union([...left.recorded, ...wanted]));
  const nrPages = (ranges: Intervals) => totalBytes(ranges) / kernel.ctx.page.sizeBytes;
  if (outcome.kind === 'panic' || outcome.kind === 'oops') {
    // Up to where it fell, the walk may have reserved what was never preserved.
    const phantom = kernel.isKhoBoot ? phantomIn(reservedMemory(kernel)) : [];
    const named = phantom.length === 0 ? '' : ` after ${nrPages(phantom)} phantom pages: ${nameRanges(phantom)}`;
    return {
      outcome: outcome.kind,
      detail: `${outcome.reason}${named}`,
      pagesLost: 0,
      pagesPhantom: nrPages(phantom),
    };
  }
  const lostPages = (ranges: Intervals) => totalBytes(ranges) / left.oldPageBytes;
  if (!kernel.isKhoBoot) {
    return { outcome: 'cold-boot', detail: refusal(kernel), pagesLost: lostPages(wanted), pagesPhantom: 0 };
  }
  const reserved = reservedMemory(kernel);
  const lost = subtract(wanted, reserved.all);
  const phantom = phantomIn(reserved);
  const figures = { pagesLost: lostPages(lost), pagesPhantom: nrPages(phantom) };
  const broken: string[] = [];
  if (lost.length > 0) broken.push(`${figures.pagesLost} pages lost: ${nameRanges(lost)}`);
  if (phantom.length > 0) broken.push(`${figures.pagesPhantom} phantom pages: ${nameRanges(phantom)}`);
  const restored = kernel.call(() => checkRestored(kernel, left));
  if (!restored.ok) {
    const after = kernel.outcome;
    const reason = after.kind === 'oops' || after.kind === 'panic' ? after.reason : '';
    return { outcome: after.kind === 'panic' ? 'panic' : 'oops', detail: `on restore: ${reason}`, ...figures };
  }
  broken.push(...restored.value);
  if (broken.length > 0) return { outcome: 'corrupt', detail: broken.join('; '), ...figures };
  return { outcome: 'handover', detail: `${left.handed.ranges.length} ranges restored`, ...figures };
}

/** Why the handover was refused: the log line before "disabling KHO revival". */
function refusal(kernel: Kernel): string {
  const { lines } = kernel.ctx.log;
  const at = lines.findIndex((line) => line.text.startsWith('KHO: disabling KHO revival'));
  return at > 0 ? (lines[at - 1]?.text ?? '') : 'no handover was found';
}

function checkRestored(kernel: Kernel, left: HandedBytes): string[] {
  const { handed } = left;
  const broken: string[] = [];
  const samePages = kernel.ctx.page.sizeBytes === left.oldPageBytes;
  if (samePages) {
    const bad = handed.ranges.filter((range) => !isRestored(kernel, range));
    if (bad.length > 0) broken.push(`${bad.length} of ${handed.ranges.length} ranges are not restored as they were`);
  }
  for (const name of handed.subtrees) {
    const found = kernel.kho.retrieveSubtree(name);
    if (isErrno(found)) broken.push(`subtree ${name}: ${found}`);
    else if (samePages && !kernel.ctx.memory.holdsFill(pfnOf(kernel.ctx.page, found.phys), CONTENT)) {
      broken.push(`subtree ${name}: content differs`);
    }
  }
  if (handed.vmalloc !== undefined && kernel.ctx.release.vmalloc !== undefined) {
    if (!isVmallocRestored(kernel, handed.vmalloc)) broken.push('the vmalloc area is not restored');
  }
  if (handed.files !== undefined && kernel.luo?.enabled === true) broken.push(...checkFiles(kernel, handed.files));
  const revived = kernel.clients.reserveMem.regions.filter((region) => region.revived).map((region) => region.name);
  for (const name of handed.reserveMem) if (!revived.includes(name)) broken.push(`reserve_mem ${name} is not revived`);
  if (handed.testKho && kernel.testKho !== undefined && kernel.testKho.verdict !== 'ok') {
    broken.push(`test_kho: ${kernel.testKho.verdict}`);
  }
  return broken;
}

function isRestored(kernel: Kernel, range: PreservedRange): boolean {
  const { memory, page } = kernel.ctx;
  const phys = physOf(page, range.pfn);
  if (range.folioOrder !== undefined) {
    const folio = kernel.kho.restoreFolio(phys);
    if (folio?.order !== range.folioOrder) return false;
  } else if (kernel.kho.restorePages(phys, range.nrPages) === undefined) return false;
  for (let i = 0; i < range.nrPages; i++) if (!memory.holdsFill((range.pfn + i) as Pfn, CONTENT)) return false;
  return true;
}

function isVmallocRestored(kernel: Kernel, subtree: string): boolean {
  const found = kernel.kho.retrieveSubtree(subtree);
  if (isErrno(found)) return false;
  const area = restoreVmalloc(kernel.ctx, readPreservation(kernel.ctx, found.phys));
  return area !== undefined && holdsContent(kernel, area);
}

function holdsContent(kernel: Kernel, area: VmallocArea): boolean {
  const { page, memory } = kernel.ctx;
  for (let at = 0; at < area.sizeBytes; at += page.sizeBytes) {
    if (!memory.holdsFill(pfnOf(page, area.physAt(at)), CONTENT)) return false;
  }
  return true;
}

function checkFiles(kernel: Kernel, files: ReadonlyMap<string, Uint8Array>): string[] {
  const device = kernel.luo?.open();
  if (device === undefined || isErrno(device)) return [`/dev/liveupdate: ${device}`];
  const broken: string[] = [];
  for (const name of new Set([...files.keys()].map((key) => key.split('/')[0] ?? ''))) {
    const session = device.retrieveSession(name);
    if (isErrno(session)) {
      broken.push(`session ${name}: ${session}`);
      continue;
    }
    for (const [key, bytes] of files) {
      const [owner, token = '0'] = key.split('/');
      if (owner !== name) continue;
      const file = session.retrieveFd(BigInt(token));
      if (isErrno(file) || !(file instanceof Memfd)) broken.push(`file ${key}: ${file}`);
      else if (!sameBytes(file.inode.read(0, bytes.length + 1), bytes)) broken.push(`file ${key}: content differs`);
    }
  }
  return broken;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
