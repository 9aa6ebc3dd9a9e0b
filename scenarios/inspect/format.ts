import { formatBytes } from '../picture/bytes.ts';
import { HandoverPicture } from '../picture/handover-picture.ts';
import { wrap } from '../picture/wrap.ts';
import type { Finding } from './findings.ts';
import type { InspectDocument, InspectResult } from './inspect.ts';
import type { FileDocument } from './luo.ts';

const WIDTH = 80;
/** Where the text of a section begins. */
const INDENT = 9;
const LINE_COLUMNS = 48;

/** A handover on one screen, for people: the verdict first, then what is there, then what is wrong. */
export function formatInspect(result: InspectResult): string {
  const { document } = result;
  const lines = [
    ...verdict(document),
    ...memoryPicture(result),
    ...section('scratch', scratchLines(document)),
    ...section('map', mapLines(document)),
    ...section('subtrees', subtreeLines(document)),
    ...section('LUO', luoLines(document)),
    ...section('regions', regionLines(document)),
    ...section('test_kho', testLines(document)),
    ...section('findings', findingLines(document.findings)),
  ];
  return `${lines.map((line) => cut(line.trimEnd(), WIDTH)).join('\n')}\n`;
}

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  return ['', ...lines.map((line, i) => `${(i === 0 ? title : '').padEnd(INDENT)}${line}`)];
}

/** Joins items with commas, and breaks only between them. */
function wrapItems(items: readonly string[], width: number): string[] {
  return wrap(items.map((item) => item.replaceAll(' ', '\u00a0')).join(', '), width).map((line) =>
    line.replaceAll('\u00a0', ' '),
  );
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 3)}...`;
}

function plural(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? '' : 's'}`;
}

function verdict(document: InspectDocument): string[] {
  const { image, findings, release, kexecMetadata } = document;
  const pageName = formatBytes(image.pageSize).replace(' KiB', 'K');
  const what = document.compatible === null ? 'no readable handover' : `a ${document.compatible} handover`;
  const head = `${what}, ${pageName} pages, ${image.arch ?? 'architecture unknown'} (${image.format})`;
  const count = (severity: Finding['severity']) => findings.filter((finding) => finding.severity === severity).length;
  const errors = count('error');
  const warnings = count('warning');
  const judged =
    errors > 0
      ? `NOT GOOD: ${plural(errors, 'error')}, ${plural(warnings, 'warning')}`
      : warnings > 0
        ? `good, with ${plural(warnings, 'warning')}`
        : image.format === 'debugfs'
          ? 'nothing is wrong in the blobs; the memory map was not there to be looked at'
          : 'good: nothing is wrong with it';
  const fits = release.candidates.length === 0 ? 'fits no release' : `fits ${release.candidates.join(', ')}`;
  const writer =
    kexecMetadata === undefined
      ? ''
      : `; written by ${cut(kexecMetadata.previousRelease, 32)}, handover ${kexecMetadata.kexecCount}`;
  return [judged, ...wrap(head, WIDTH), ...wrap(`${fits}${writer}`, WIDTH)];
}

function memoryPicture(result: InspectResult): string[] {
  const { reader, preserved, scratch, map } = result;
  const { banks } = reader.memory;
  if (banks.length === 0) return [];
  const picture = new HandoverPicture(banks, LINE_COLUMNS);
  picture.addHandover({
    scratch,
    map: map?.pages ?? [],
    forEachBlock: (visit) => preserved.inAddressOrder((phys, order) => visit(phys, preserved.sizeOf(order))),
  });
  for (const { severity, where } of result.document.findings) {
    if (severity === 'error' && /^0x[0-9a-f]{1,14}$/.test(where)) picture.addWrong(Number(where), 1);
  }
  return ['', ...picture.lines(), `${''.padEnd(INDENT)}${picture.legend('error')}`];
}

function scratchLines(document: InspectDocument): string[] {
  const names = ['low memory', 'global'];
  return document.scratch.slice(0, 16).map(({ base, size }, i) => {
    const name = names[i] ?? `node area ${i - 2}`;
    return `[${i}] ${base.padEnd(14)} ${formatBytes(Number(size)).padStart(9)}  ${name}`;
  });
}

function mapLines(document: InspectDocument): string[] {
  const { memoryMap, preserved } = document;
  if (memoryMap === null) return [];
  const lines: string[] = [];
  if (memoryMap.kind === 'radix-tree') {
    const levels = Object.entries(memoryMap.nodesPerLevel).reverse();
    const nodes = levels.reduce((sum, [, count]) => sum + count, 0);
    lines.push(
      `radix tree at ${memoryMap.root}, depth ${memoryMap.depth}, ${plural(nodes, 'node')} (${formatBytes(nodes * document.pageSize)})`,
    );
    const perLevel = Object.entries(memoryMap.nodesPerLevel).sort(([a], [b]) => Number(b) - Number(a));
    lines.push(
      ...wrapItems(
        perLevel.map(([level, count]) => `L${level} ${count}`),
        WIDTH - INDENT,
      ),
    );
  } else {
    const bitmaps = memoryMap.chunks.reduce((sum, chunk) => sum + chunk.entries.length, 0);
    lines.push(
      `chunk list at ${memoryMap.first}: ${plural(memoryMap.chunks.length, 'chunk')}, ${plural(bitmaps, 'bitmap')} of ${memoryMap.bitmapBytes} bytes`,
    );
  }
  const bytes = typeof preserved.bytes === 'number' ? formatBytes(preserved.bytes) : `${preserved.bytes} bytes`;
  lines.push(`${plural(preserved.count, 'block')}, ${bytes} preserved`);
  const orders = Object.entries(preserved.byOrder).map(([order, count]) => `order ${order}: ${count}`);
  if (orders.length > 0) lines.push(...wrapItems(orders, WIDTH - INDENT));
  return lines;
}

function subtreeLines(document: InspectDocument): string[] {
  return document.subtrees.map(({ name, phys, size }) => {
    const sized = size === undefined ? '' : typeof size === 'number' ? formatBytes(size) : size;
    return `${cut(name, 32).padEnd(20)} ${phys.padEnd(14)} ${sized}`;
  });
}

const SEALS = ['SEAL', 'SHRINK', 'GROW', 'WRITE', 'FUTURE_WRITE', 'EXEC'];

function sealNames(seals: number): string {
  const names = SEALS.filter((_, bit) => (seals & (1 << bit)) !== 0);
  if ((seals & ~0x3f) !== 0) names.push(`0x${(seals & ~0x3f).toString(16)}`);
  return names.length === 0 ? '' : `  sealed: ${names.join(' ')}`;
}

function fileLines(file: FileDocument): string[] {
  if ('data' in file) return [`  ${file.token}  ${cut(file.compatible, 30)}  data ${file.data}`];
  const size = typeof file.size === 'number' ? formatBytes(file.size) : `${file.size} bytes`;
  const folios = typeof file.folios === 'number' ? plural(file.folios, 'folio') : `${file.folios} folios`;
  const pos = file.pos === 0 ? '' : `, position ${file.pos}`;
  const hash = file.sha256 === null ? 'content not known' : `sha256 ${file.sha256.slice(0, 16)}...`;
  return [
    `  ${file.token}  ${file.compatible}  ${size}${pos}, ${folios}`,
    ...wrap(`${hash}${sealNames(file.seals)}`, 60).map((line) => `    ${line}`),
  ];
}

function luoLines(document: InspectDocument): string[] {
  const { luo } = document;
  if (luo === undefined) return [];
  const lines = [`${cut(luo.compatible, 20)}, live update ${luo.liveupdateNumber}`];
  for (const session of luo.sessions.slice(0, 32)) {
    lines.push(`session "${cut(session.name, 48)}", ${plural(session.files.length, 'file')}`);
    for (const file of session.files.slice(0, 16)) lines.push(...fileLines(file));
    if (session.files.length > 16) lines.push(`  and ${session.files.length - 16} more`);
  }
  if (luo.sessions.length > 32) lines.push(`and ${luo.sessions.length - 32} sessions more`);
  for (const { name, data_hex, count } of luo.flbs.slice(0, 16)) {
    const used = typeof count === 'number' ? plural(count, 'file') : `${count} files`;
    lines.push(`FLB ${cut(name, 30)}  0x${data_hex}, ${used}`);
  }
  if (luo.flbs.length > 16) lines.push(`and ${luo.flbs.length - 16} FLBs more`);
  return lines;
}

function regionLines(document: InspectDocument): string[] {
  return (document.reserveMem ?? []).slice(0, 32).map(({ name, start, size, sha256 }) => {
    const hash = sha256 === null ? '' : `  sha256 ${sha256.slice(0, 8)}...`;
    return `${cut(name, 24)}  ${start}  ${formatBytes(Number(size))}${hash}`;
  });
}

function testLines(document: InspectDocument): string[] {
  const { khoTest } = document;
  if (khoTest === undefined) return [];
  return [`${plural(khoTest.folios.length, 'folio')}, checksum ${khoTest.csumHex}`];
}

function findingLines(findings: readonly Finding[]): string[] {
  const lines: string[] = [];
  for (const { severity, code, message, where } of findings) {
    const text = `${severity} ${code} (${where}): ${message}`;
    const [first = '', ...rest] = wrap(text, WIDTH - INDENT - 2);
    lines.push(first, ...rest.map((line) => `  ${line}`));
  }
  if (findings.length > 0) lines.push('(khosim explain --finding CODE says what a kernel does)');
  return lines;
}
