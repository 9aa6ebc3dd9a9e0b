import { hexAddr } from '../inspect/bounded-reader.ts';
import type { InspectResult } from '../inspect/inspect.ts';
import { describeOwner, type Owner } from '../inspect/ownership.ts';
import { formatBytes } from '../picture/bytes.ts';
import type { FdtDocument, HandoverView } from '../report/client/model.ts';
import { fdtDocument } from './fdt-document.ts';
import { mapView } from './map-view.ts';
import { Layer, type Painter, type StateNumbers } from './painter.ts';

/** Sub-FDTs and sessions that a report shows. */
const MAX_LISTED = 32;

/** What inspection found, as a report shows it. @param frame the frame whose RAM it was. */
export function handoverView(result: InspectResult, title: string, frame: number): HandoverView {
  const { document } = result;
  const { handoff } = document.image;
  const facts: (readonly [string, string])[] = [];
  if (handoff.fdt !== null) facts.push(['root FDT', `${handoff.fdt.phys}, ${handoff.fdt.size} bytes`]);
  if (handoff.scratch !== null) facts.push(['scratch array', `${handoff.scratch.phys}, ${handoff.scratch.size} bytes`]);
  for (const [i, { base, size }] of document.scratch.slice(0, MAX_LISTED).entries()) {
    facts.push([`scratch[${i}]`, `${base}, ${formatBytes(Number(size))}`]);
  }
  facts.push(['preserved', `${document.preserved.count} blocks, ${bytesText(document.preserved.bytes)}`]);
  for (const { name, phys, size } of document.subtrees.slice(0, MAX_LISTED)) {
    facts.push([`subtree ${name}`, size === undefined ? phys : `${phys}, ${size} bytes`]);
  }
  return {
    title,
    frame,
    compatible: document.compatible ?? 'none',
    candidates: document.release.candidates,
    facts,
    byOrder: Object.entries(document.preserved.byOrder).map(([order, count]) => [Number(order), count] as const),
    map: mapView(result),
    fdts: fdtsOf(result),
    clients: clientsOf(result),
    findings: document.findings,
  };
}

function bytesText(bytes: number | string): string {
  return typeof bytes === 'number' ? formatBytes(bytes) : `${bytes} bytes`;
}

function fdtsOf(result: InspectResult): FdtDocument[] {
  const { reader, page, handoff, document } = result;
  const out: FdtDocument[] = [];
  const add = (title: string, phys: number, sizeBytes: number): void => {
    const bytes = reader.bytes(phys, Math.min(sizeBytes, 1 << 16))?.raw;
    if (bytes !== undefined && (title === 'root FDT' || isFdt(bytes))) out.push(fdtDocument(title, phys, bytes));
  };
  if (handoff.fdt !== undefined) add('root FDT', handoff.fdt.phys, page.sizeBytes);
  for (const { name, phys } of document.subtrees.slice(0, MAX_LISTED))
    add(`subtree ${name}`, Number(phys), page.sizeBytes);
  return out;
}

function isFdt(bytes: Uint8Array): boolean {
  return bytes[0] === 0xd0 && bytes[1] === 0x0d && bytes[2] === 0xfe && bytes[3] === 0xed;
}

function clientsOf(result: InspectResult): { title: string; lines: string[] }[] {
  const { luo, reserveMem, khoTest, kexecMetadata } = result.document;
  const out: { title: string; lines: string[] }[] = [];
  if (kexecMetadata !== undefined) {
    const { previousRelease, kexecCount } = kexecMetadata;
    out.push({
      title: 'kexec-metadata',
      lines: [`previous release ${previousRelease}, handover number ${kexecCount}`],
    });
  }
  if (reserveMem !== undefined) {
    const lines = reserveMem.slice(0, MAX_LISTED).map(({ name, start, size, sha256 }) => {
      const hash = sha256 === null ? '' : `, sha256 ${sha256.slice(0, 16)}...`;
      return `${name}: ${start}, ${formatBytes(Number(size))}${hash}`;
    });
    out.push({ title: 'reserve_mem', lines });
  }
  if (khoTest !== undefined) {
    out.push({ title: 'test_kho', lines: [`${khoTest.folios.length} folios, checksum ${khoTest.csumHex}`] });
  }
  if (luo !== undefined) {
    const lines = [`${luo.compatible}, live update number ${luo.liveupdateNumber}`];
    for (const session of luo.sessions.slice(0, MAX_LISTED)) {
      lines.push(`session "${session.name}"`);
      for (const file of session.files.slice(0, MAX_LISTED)) {
        if ('data' in file) lines.push(`  ${file.token} ${file.compatible}: data ${file.data}`);
        else {
          const hash = file.sha256 === null ? '' : `, sha256 ${file.sha256.slice(0, 16)}...`;
          lines.push(
            `  ${file.token} ${file.compatible}: ${bytesText(file.size)}, ${file.folios} ${file.folios === 1 ? 'folio' : 'folios'}${hash}`,
          );
        }
      }
      if (session.files.length > MAX_LISTED) lines.push(`  and ${session.files.length - MAX_LISTED} more`);
    }
    if (luo.sessions.length > MAX_LISTED) lines.push(`and ${luo.sessions.length - MAX_LISTED} sessions more`);
    for (const flb of luo.flbs.slice(0, MAX_LISTED))
      lines.push(`FLB ${flb.name}: 0x${flb.data_hex}, ${flb.count} files`);
    out.push({ title: 'LUO', lines });
  }
  return out;
}

/** How an owner is called in a picture: without the number of the page in it, which would make each page a state of its own. */
function ownerName(owner: Owner | undefined): string {
  return owner === undefined ? '' : describeOwner({ source: owner.source });
}

/**
 * Paints what a handover consists of: scratch, preserved blocks with their owners, the map's own pages, FDTs.
 * @param ownerOf the owner's name where inspection knows none.
 * @param units how many frames of the picture a page of the handover is.
 */
export function paintHandover(
  result: InspectResult,
  painter: Painter,
  numbers: StateNumbers,
  ownerOf: (pfn: number) => string = () => '',
  units = 1,
): void {
  const { page, scratch, preserved, owners, metadata, map, handoff } = result;
  const pageBytes = page.sizeBytes;
  const areas = new Layer(units);
  for (const [i, area] of scratch.entries()) {
    const state = numbers.numberOf({ kind: 'scratch', order: -1, owner: `scratch[${i}]`, writer: '' });
    areas.add(area.base / pageBytes, area.sizeBytes / pageBytes, state);
  }
  painter.paint(areas);
  const names = new Map<Owner['source'], string>();
  // Smaller blocks over larger ones, as the walk would have it.
  const byOrder = new Map<number, Layer>();
  for (let i = 0; i < preserved.count; i++) {
    const { phys, order, index } = preserved.at(i);
    if (!Number.isSafeInteger(phys)) continue;
    const owner = owners.ownersOf({ phys, order, index })[0];
    let name = owner === undefined ? '' : names.get(owner.source);
    if (name === undefined && owner !== undefined) names.set(owner.source, (name = ownerName(owner)));
    const pfn = phys / pageBytes;
    const kind = isFdtOwner(owner) ? 'fdt' : 'preserved';
    const shown = name === undefined || name === '' ? ownerOf(pfn) : name;
    const blocks = byOrder.get(order) ?? new Layer(units);
    byOrder.set(order, blocks);
    blocks.add(pfn, 2 ** order, numbers.numberOf({ kind, order, owner: shown, writer: '' }));
  }
  for (const order of [...byOrder.keys()].sort((a, b) => b - a)) painter.paint(byOrder.get(order) ?? new Layer());
  const tree = new Layer(units);
  for (const { phys, sizeBytes, what } of map?.pages ?? []) {
    const first = Math.floor(phys / pageBytes);
    const state = numbers.numberOf({ kind: 'tree', order: -1, owner: what, writer: '' });
    tree.add(first, Math.ceil((phys + sizeBytes) / pageBytes) - first, state);
  }
  painter.paint(tree);
  const fdts = new Layer(units);
  const state = numbers.numberOf({ kind: 'fdt', order: 0, owner: 'the root FDT', writer: '' });
  for (const piece of metadata) if (piece.what === 'root FDT') fdts.add(Math.floor(piece.phys / pageBytes), 1, state);
  if (handoff.fdt !== undefined) painter.paint(fdts);
}

function isFdtOwner(owner: Owner | undefined): boolean {
  return owner?.source.kind === 'root-fdt' || owner?.source.kind === 'subtree';
}

/** Findings whose place is an address, as bad pages. */
export function badPages(result: InspectResult): { pfn: number; text: string }[] {
  const out: { pfn: number; text: string }[] = [];
  for (const { severity, where, code, message } of result.document.findings) {
    if (severity !== 'error' || !/^0x[0-9a-f]{1,13}$/.test(where)) continue;
    out.push({
      pfn: Math.floor(Number(where) / result.page.sizeBytes),
      text: `${code} at ${hexAddr(Number(where))}: ${message}`,
    });
  }
  return out;
}
