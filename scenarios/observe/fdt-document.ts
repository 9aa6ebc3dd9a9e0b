import {
  be32,
  FDT_BEGIN_NODE,
  FDT_END,
  FDT_END_NODE,
  FDT_NOP,
  FDT_PROP,
  fdtOffDtStrings,
  fdtOffDtStruct,
  fdtOffMemRsvmap,
  fdtSizeDtStrings,
  fdtTotalsize,
  HEADER,
  HEADER_SIZE_BYTES,
  tagAlign,
} from '../../kernel/fdt/layout.ts';
import { type FdtTreeNode, parseFdt } from '../../kernel/fdt/parse.ts';
import { findNul, textOfBytes } from '../../kernel/fdt/text.ts';
import { hex } from '../../machine/units.ts';
import { hexBytes, printable } from '../inspect/bounded-reader.ts';
import type { DumpRow, FdtDocument, FdtNodeView } from '../report/client/model.ts';

/** Rows of a dump at most; a KHO root FDT has some dozens. */
const MAX_ROWS = 400;
/** Bytes of a property's value that a row shows. */
const MAX_VALUE_BYTES = 64;

/**
 * A blob as a tree, and as a dump in which every row says what its bytes are. A broken blob has its rows up to where it
 * breaks, and no tree.
 * @param bytes all that may belong to it.
 */
export function fdtDocument(title: string, phys: number, bytes: Uint8Array): FdtDocument {
  const parsed = parseFdt(bytes);
  const rows = dumpRows(bytes);
  if (parsed.kind === 'error') rows.push({ offset: parsed.offset, hex: '', text: `broken here: ${parsed.message}` });
  return {
    title,
    phys: hex(phys),
    sizeBytes: Math.min(fdtTotalsize(bytes), bytes.length),
    root: parsed.kind === 'tree' ? nodeOf(parsed.root) : null,
    rows,
  };
}

function nodeOf(node: FdtTreeNode): FdtNodeView {
  return {
    name: node.name,
    properties: node.properties.map(({ name, value }) => ({
      name,
      hex: shortHex(value),
      text: meaningOf(value),
    })),
    children: node.children.map(nodeOf),
  };
}

/** What a value looks like: a string, or a number as kernels write them into KHO's blobs (little-endian). */
function meaningOf(value: Uint8Array): string {
  if (value.length === 0) return '';
  const nul = value.indexOf(0);
  if (nul === value.length - 1 && nul > 0 && value.subarray(0, nul).every((byte) => byte >= 0x20 && byte < 0x7f)) {
    return `"${printable(value.subarray(0, nul))}"`;
  }
  if (value.length === 8 || value.length === 4 || value.length === 2) {
    let number = 0n;
    for (let i = value.length - 1; i >= 0; i--) number = (number << 8n) | BigInt(value[i] ?? 0);
    return `u${value.length * 8} ${hex(number)}`;
  }
  return `${value.length} bytes`;
}

function shortHex(bytes: Uint8Array): string {
  const text = (hexBytes(bytes.subarray(0, MAX_VALUE_BYTES)).match(/../g) ?? []).join(' ');
  return bytes.length > MAX_VALUE_BYTES ? `${text} ...` : text;
}

const HEADER_TEXTS: readonly (readonly [keyof typeof HEADER, string])[] = [
  ['magic', 'magic'],
  ['totalsize', 'totalsize'],
  ['offDtStruct', 'off_dt_struct'],
  ['offDtStrings', 'off_dt_strings'],
  ['offMemRsvmap', 'off_mem_rsvmap'],
  ['version', 'version'],
  ['lastCompVersion', 'last_comp_version'],
  ['bootCpuidPhys', 'boot_cpuid_phys'],
  ['sizeDtStrings', 'size_dt_strings'],
  ['sizeDtStruct', 'size_dt_struct'],
];

function dumpRows(bytes: Uint8Array): DumpRow[] {
  const rows: DumpRow[] = [];
  const end = Math.min(fdtTotalsize(bytes), bytes.length);
  const row = (offset: number, length: number, text: string): void => {
    if (rows.length < MAX_ROWS) rows.push({ offset, hex: shortHex(bytes.subarray(offset, offset + length)), text });
  };
  if (bytes.length < HEADER_SIZE_BYTES) return rows;
  for (const [field, name] of HEADER_TEXTS) {
    const value = be32(bytes, HEADER[field]);
    row(HEADER[field], 4, field === 'magic' ? 'magic' : `${name} = ${value}`);
  }
  const reserve = fdtOffMemRsvmap(bytes);
  if (reserve >= HEADER_SIZE_BYTES && reserve + 16 <= end) row(reserve, 16, 'reserve map: its end');
  structureRows(bytes, end, row);
  const strings = fdtOffDtStrings(bytes);
  const stringsEnd = Math.min(strings + fdtSizeDtStrings(bytes), end);
  for (let at = strings; at < stringsEnd; ) {
    const nul = findNul(bytes, at, stringsEnd);
    const stop = nul < 0 ? stringsEnd : nul + 1;
    row(at, stop - at, `string "${printable(bytes.subarray(at, nul < 0 ? stop : nul))}" (offset ${at - strings})`);
    at = stop;
  }
  return rows.sort((a, b) => a.offset - b.offset);
}

function structureRows(
  bytes: Uint8Array,
  end: number,
  row: (offset: number, length: number, text: string) => void,
): void {
  const start = fdtOffDtStruct(bytes);
  const strings = fdtOffDtStrings(bytes);
  const path: string[] = [];
  let at = start;
  for (let steps = 0; at + 4 <= end && steps < MAX_ROWS; steps++) {
    const tag = be32(bytes, at);
    if (tag === FDT_BEGIN_NODE) {
      const nul = findNul(bytes, at + 4, end);
      if (nul < 0) return;
      const name = textOfBytes(bytes.subarray(at + 4, nul));
      path.push(name);
      const next = start + tagAlign(nul + 1 - start);
      row(at, next - at, `${'  '.repeat(path.length - 1)}BEGIN_NODE ${name === '' ? '/' : `"${name}"`}`);
      at = next;
    } else if (tag === FDT_END_NODE) {
      row(at, 4, `${'  '.repeat(Math.max(path.length - 1, 0))}END_NODE`);
      path.pop();
      at += 4;
    } else if (tag === FDT_PROP) {
      const length = be32(bytes, at + 4);
      const name = strings + be32(bytes, at + 8);
      const nul = name < end ? findNul(bytes, name, end) : -1;
      if (at + 12 + length > end) return;
      const label = nul < 0 ? 'a name that is not in the strings block' : textOfBytes(bytes.subarray(name, nul));
      const indent = '  '.repeat(path.length);
      row(at, 12, `${indent}PROP ${label}: ${length} bytes`);
      if (length > 0) row(at + 12, length, `${indent}  = ${meaningOf(bytes.subarray(at + 12, at + 12 + length))}`);
      at = start + tagAlign(at + 12 + length - start);
    } else if (tag === FDT_NOP) {
      row(at, 4, 'NOP');
      at += 4;
    } else {
      row(at, 4, tag === FDT_END ? 'END' : 'no token');
      return;
    }
  }
}
