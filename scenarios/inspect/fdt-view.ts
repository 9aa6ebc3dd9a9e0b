import { fdtErrName, isFdtErr } from '../../kernel/fdt/error.ts';
import {
  FDT_BEGIN_NODE,
  FDT_END,
  FDT_END_NODE,
  FDT_PROP,
  fdtLastCompVersion,
  fdtOffMemRsvmap,
  fdtTotalsize,
  fdtVersion,
} from '../../kernel/fdt/layout.ts';
import { parseFdt } from '../../kernel/fdt/parse.ts';
import { fdtCheckHeader, fdtGetpropByOffset, fdtNextTag, fdtProbe, structIndex } from '../../kernel/fdt/read.ts';
import { findNul, textOfBytes } from '../../kernel/fdt/text.ts';
import { Bytes } from './bounded-reader.ts';
import type { Findings } from './findings.ts';

/** A property, its value copied out. */
export interface FdtViewProperty {
  readonly name: string;
  readonly value: Bytes;
}

/** A node as a kernel would find it. */
export interface FdtViewNode {
  readonly name: string;
  readonly properties: readonly FdtViewProperty[];
  readonly children: readonly FdtViewNode[];
}

/** An FDT out of foreign memory: what of it can be read, even where a full validation refuses it. */
export interface FdtView {
  readonly totalsizeBytes: number;
  /** Offset of the reserve map: tells a blob that was edited (40) from one written in one go (48). */
  readonly offMemRsvmap: number;
  readonly root: FdtViewNode | undefined;
  /** Whether every kernel would take the header. */
  readonly headerOk: boolean;
}

/**
 * Reads an FDT as far as libfdt would come, and reports all that a full validation finds wrong.
 * @param bytes all that is preserved for the blob.
 * @param where names it in findings.
 */
export function viewFdt(bytes: Uint8Array, where: string, findings: Findings): FdtView | undefined {
  if (bytes.length < 40) {
    findings.add('fdt-header', where, `${bytes.length} bytes are fewer than an FDT header`);
    return undefined;
  }
  const header = fdtCheckHeader(bytes);
  const totalsizeBytes = fdtTotalsize(bytes);
  if (header !== 0) findings.add('fdt-header', where, `libfdt refuses the header: ${fdtErrName(header)} (${header})`);
  if (header === 0 && (fdtVersion(bytes) !== 17 || fdtLastCompVersion(bytes) !== 16)) {
    findings.add(
      'fdt-version',
      where,
      `version ${fdtVersion(bytes)}, last compatible ${fdtLastCompVersion(bytes)}; kernels write 17 and 16`,
    );
  }
  if (header === 0 && totalsizeBytes > bytes.length) {
    findings.add('fdt-totalsize', where, `totalsize is ${totalsizeBytes}, but only ${bytes.length} bytes are its own`);
  }
  const parsed = parseFdt(bytes);
  if (parsed.kind === 'error') {
    if (header === 0 && totalsizeBytes <= bytes.length) {
      findings.add('fdt-structure', where, `${parsed.message} (offset ${parsed.offset})`);
    }
  } else {
    if (parsed.reservations.length > 0) {
      findings.add('fdt-reserve-map', where, `${parsed.reservations.length} entries`);
    }
    if (parsed.bootCpuid !== 0) findings.add('fdt-version', where, `boot CPU is ${parsed.bootCpuid}, not 0`);
    reportDuplicates(parsed.root, where, findings);
  }
  const root = isFdtErr(fdtProbe(bytes)) ? undefined : lenientTree(bytes);
  return { totalsizeBytes, offMemRsvmap: fdtOffMemRsvmap(bytes), root, headerOk: header === 0 };
}

interface Named {
  readonly name: string;
}

interface DuplicateNode extends Named {
  readonly properties: readonly Named[];
  readonly children: readonly DuplicateNode[];
}

function reportDuplicates(root: DuplicateNode, where: string, findings: Findings): void {
  const stack: { node: DuplicateNode; path: string }[] = [{ node: root, path: where }];
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    const { node, path } = item;
    for (const [kind, list] of [
      ['properties', node.properties],
      ['nodes', node.children],
    ] as const) {
      const names = new Set<string>();
      for (const { name } of list) {
        if (names.has(name)) findings.add('fdt-duplicate', path, `two ${kind} are called "${name}"`);
        names.add(name);
      }
    }
    for (const child of node.children) stack.push({ node: child, path: `${path}/${child.name}` });
  }
}

interface OpenNode {
  readonly name: string;
  readonly properties: FdtViewProperty[];
  readonly children: OpenNode[];
}

/** What libfdt's look-ups could reach, in blob order; ends where the first token is broken. */
function lenientTree(fdt: Uint8Array): FdtViewNode | undefined {
  const open: OpenNode[] = [];
  let root: OpenNode | undefined;
  let offset = 0;
  for (;;) {
    const step = fdtNextTag(fdt, offset);
    if (step.next < 0 || step.tag === FDT_END) return root;
    const parent = open.at(-1);
    if (step.tag === FDT_BEGIN_NODE) {
      const start = structIndex(fdt, offset + 4);
      const node = {
        name: textOfBytes(fdt.subarray(start, findNul(fdt, start, fdt.length))),
        properties: [],
        children: [],
      };
      if (parent !== undefined) parent.children.push(node);
      else if (root === undefined) root = node;
      else return root;
      open.push(node);
    } else if (step.tag === FDT_END_NODE) {
      open.pop();
      if (open.length === 0) return root;
    } else if (step.tag === FDT_PROP && parent !== undefined && parent.children.length === 0) {
      const found = fdtGetpropByOffset(fdt, offset);
      if (!isFdtErr(found)) {
        parent.properties.push({ name: textOfBytes(found.name), value: new Bytes(found.property.value.slice()) });
      }
    }
    offset = step.next;
  }
}

/** A property by name; the first one, as libfdt finds it. */
export function propOf(node: FdtViewNode, name: string): Bytes | undefined {
  return node.properties.find((property) => property.name === name)?.value;
}

/** A child by name; the first one. */
export function childNamed(node: FdtViewNode, name: string): FdtViewNode | undefined {
  return node.children.find((child) => child.name === name);
}

/** A string property: its text, and whether it ends with its only NUL. */
export function stringOf(value: Bytes): { text: string; terminated: boolean } {
  const { text } = value.text(0, value.length);
  return { text, terminated: value.length > 0 && value.raw.indexOf(0) === value.length - 1 };
}
