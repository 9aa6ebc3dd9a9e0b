import { alignDown } from '../../machine/units.ts';
import { formatBytes } from '../picture/bytes.ts';
import { wrap } from '../picture/wrap.ts';
import { hexAddr } from './bounded-reader.ts';
import { FINDING_CODES, type FindingCode } from './finding-codes.ts';
import type { Finding } from './findings.ts';
import type { InspectResult } from './inspect.ts';
import { describeOwner } from './ownership.ts';
import { type PathStep, radixPath } from './radix-map.ts';
import { overlappingScratch } from './scratch-array.ts';

/** A preserved block that a page lies in. */
export interface ExplainedBlock {
  readonly phys: string;
  readonly order: number;
  readonly sizeBytes: number;
  /** Position in the walk. */
  readonly walkIndex: number;
  /** The block's key in a radix tree. */
  readonly key?: string;
  /** From the root table down to the bit in the leaf. */
  readonly path?: readonly PathStep[];
  /** Chunk and entry of a chunk list. */
  readonly chunk?: { readonly phys: string; readonly entry: number; readonly bitmap: string; readonly bit: number };
  readonly owners: readonly {
    readonly kind: string;
    readonly path: string;
    readonly index?: number;
    readonly text: string;
  }[];
}

/** What is known about a page: `explain --page ADDR --json`. */
export interface PageExplanation {
  readonly page: string;
  readonly pageSize: number;
  readonly inRam: boolean;
  /** Whether the image holds its content. */
  readonly inImage: boolean;
  readonly summary: string;
  /** Smallest first; more than one where blocks overlap. */
  readonly blocks: readonly ExplainedBlock[];
  /** What of the memory map itself lies in it. */
  readonly memoryMap: readonly string[];
  /** Index of the scratch area it lies in, null for none. */
  readonly scratch: number | null;
  /** Pieces of the handoff in it: `root FDT`, `scratch array`. */
  readonly handoff: readonly string[];
  readonly findings: readonly Finding[];
}

/** Says what a page is, who points at it, and what was found wrong with it. */
export function explainPage(result: InspectResult, addr: number): PageExplanation {
  const { page, reader, preserved, map, scratch } = result;
  const base = alignDown(addr, page.sizeBytes);
  const end = base + page.sizeBytes;
  const blocks: ExplainedBlock[] = [];
  preserved.overlapping(base, end, (block) => {
    blocks.push(explainBlock(result, block));
    return blocks.length < 64;
  });
  const memoryMap = (map?.pages ?? [])
    .filter((piece) => piece.phys < end && piece.phys + piece.sizeBytes > base)
    .map((piece) => `${piece.what} at ${hexAddr(piece.phys)}`);
  const area = overlappingScratch(scratch, base, page.sizeBytes);
  const handoff: string[] = [];
  const { fdt, scratch: array } = result.handoff;
  if (fdt !== undefined && fdt.phys < end && fdt.phys + Math.max(fdt.sizeBytes, 1) > base) handoff.push('root FDT');
  if (array !== undefined && array.phys < end && array.phys + array.sizeBytes > base) handoff.push('scratch array');
  const inRam = reader.inRam(base, page.sizeBytes);
  const explanation = {
    page: hexAddr(base),
    pageSize: page.sizeBytes,
    inRam,
    inImage: reader.carries(base),
    blocks,
    memoryMap,
    scratch: area < 0 ? null : area,
    handoff,
    findings: result.document.findings.filter(({ where }) => liesIn(where, base, end)),
  };
  return { ...explanation, summary: summaryOf(explanation) };
}

function liesIn(where: string, base: number, end: number): boolean {
  if (!/^0x[0-9a-f]{1,14}$/.test(where)) return false;
  const at = Number(where);
  return at >= base && at < end;
}

function explainBlock(result: InspectResult, block: { phys: number; order: number; index: number }): ExplainedBlock {
  const { map, release, page, reader, mapRoot, owners } = result;
  const common = {
    phys: hexAddr(block.phys),
    order: block.order,
    sizeBytes: result.preserved.sizeOf(block.order),
    walkIndex: block.index,
  };
  const claims = owners.ownersOf(block).map((owner) => ({
    kind: owner.source.kind,
    path: owner.source.path,
    ...(owner.index === undefined ? {} : { index: owner.index }),
    text: describeOwner(owner),
  }));
  if (map?.document.kind === 'radix-tree' && release.map.format === 'radix-tree' && mapRoot !== undefined) {
    return { ...common, ...radixPath(reader, page, release.map, mapRoot, block.phys, block.order), owners: claims };
  }
  if (map?.document.kind === 'chunk-list') {
    const { bitmapBytes, chunks } = map.document;
    const reach = bitmapBytes * 8 * common.sizeBytes;
    for (const chunk of chunks) {
      if (chunk.order !== block.order) continue;
      for (const [entry, { physStart, bitmap }] of chunk.entries.entries()) {
        const offset = block.phys - Number(physStart);
        if (offset < 0 || offset >= reach) continue;
        const bit = offset / common.sizeBytes;
        return { ...common, chunk: { phys: chunk.phys, entry, bitmap, bit }, owners: claims };
      }
    }
  }
  return { ...common, owners: claims };
}

function summaryOf(page: Omit<PageExplanation, 'summary'>): string {
  if (!page.inRam) return 'not RAM';
  const parts: string[] = [...page.handoff];
  for (const block of page.blocks) {
    const who = block.owners.length === 0 ? 'nobody points at it' : block.owners.map((owner) => owner.text).join('; ');
    parts.push(`preserved (block ${block.phys} of order ${block.order}): ${who}`);
  }
  parts.push(...page.memoryMap);
  if (page.scratch !== null) parts.push(`scratch[${page.scratch}]`);
  return parts.length === 0 ? 'ordinary RAM: free for the next kernel' : parts.join('; ');
}

/** An explanation for people. */
export function formatPageExplanation(page: PageExplanation): string {
  const lines = [`page ${page.page} (${formatBytes(page.pageSize)})`];
  if (!page.inRam) return `${lines[0]}\n  is not RAM\n`;
  for (const what of page.handoff) lines.push(`  holds the ${what}`);
  for (const block of page.blocks) {
    const size = formatBytes(block.sizeBytes);
    lines.push(`  preserved in the block ${block.phys} of order ${block.order} (${size}),`);
    lines.push(`  number ${block.walkIndex} of the walk`);
    if (block.key !== undefined) {
      lines.push(`    key ${block.key}`);
      for (const step of block.path ?? []) {
        const kind =
          step.level === 0 ? `leaf  ${step.node}  bit ${step.index}` : `table ${step.node}  slot ${step.index}`;
        lines.push(`    L${step.level} ${kind}`);
      }
    }
    if (block.chunk !== undefined) {
      lines.push(
        `    chunk ${block.chunk.phys}, entry ${block.chunk.entry}, bitmap ${block.chunk.bitmap}, bit ${block.chunk.bit}`,
      );
    }
    if (block.owners.length === 0) lines.push('    nobody points at it');
    for (const owner of block.owners) lines.push(...wrap(owner.text, 76).map((line) => `    ${line}`));
  }
  for (const what of page.memoryMap) lines.push(`  holds a ${what}`);
  if (page.scratch !== null) lines.push(`  lies in scratch[${page.scratch}]: the next kernel overwrites it`);
  if (lines.length === 1) lines.push('  ordinary RAM: free for the next kernel');
  if (!page.inImage) lines.push('  the image does not hold its content');
  for (const { severity, code, message } of page.findings) {
    lines.push(...wrap(`${severity} ${code}: ${message}`, 78).map((line) => `  ${line}`));
  }
  return `${lines.join('\n')}\n`;
}

/** What `explain --finding CODE` prints; undefined for a code that there is not. */
export function explainFinding(code: string): string | undefined {
  if (!Object.hasOwn(FINDING_CODES, code)) return undefined;
  const info = FINDING_CODES[code as FindingCode];
  return [
    `${code} (${info.severity})`,
    ...wrap(info.meaning, 76).map((line) => `  ${line}`),
    ...wrap(`What a kernel does: ${info.kernel}`, 76).map((line) => `  ${line}`),
    ...wrap(`How it is found: ${info.found}`, 76).map((line) => `  ${line}`),
    '',
  ].join('\n');
}
