import {
  be32,
  be64,
  FDT_BEGIN_NODE,
  FDT_END,
  FDT_END_NODE,
  FDT_FIRST_SUPPORTED_VERSION,
  FDT_LAST_SUPPORTED_VERSION,
  FDT_MAGIC,
  FDT_NOP,
  FDT_PROP,
  fdtLastCompVersion,
  fdtMagic,
  fdtOffDtStrings,
  fdtOffDtStruct,
  fdtOffMemRsvmap,
  fdtSizeDtStrings,
  fdtSizeDtStruct,
  fdtTotalsize,
  fdtVersion,
  HEADER,
  HEADER_SIZE_BYTES,
  PROPERTY_HEADER_SIZE_BYTES,
  RESERVE_ENTRY_SIZE_BYTES,
  TAG_SIZE_BYTES,
  tagAlign,
} from './layout.ts';
import type { FdtReservation } from './read.ts';
import { findNul, textOfBytes } from './text.ts';

/** What can be wrong with a blob. The first thing that is wrong, in the order of the blob, is the one reported. */
export type FdtErrorCode =
  /** Fewer bytes than a header. */
  | 'short'
  | 'bad-magic'
  /** Not version 16 or 17, or not compatible with 17. */
  | 'bad-version'
  /** Smaller than the header, or more than the bytes at hand. */
  | 'bad-totalsize'
  /** A block doesn't lie inside the blob, or isn't aligned. */
  | 'bad-block'
  /** Two blocks share bytes. */
  | 'overlapping-blocks'
  /** The reserve map has no terminator. */
  | 'bad-reserve-map'
  /** A token that there isn't. */
  | 'bad-tag'
  /** A node's name doesn't end, or is empty below the root. */
  | 'bad-node-name'
  /** A property's value sticks out of the structure block, or it follows a child node. */
  | 'bad-property'
  /** A property's name lies outside the strings block or doesn't end. */
  | 'bad-property-name'
  /** Ends without a begin, a second root, or an end that comes too early. */
  | 'unbalanced'
  /** The structure block ends before FDT_END. */
  | 'truncated'
  /** Nodes nested deeper than FDT_MAX_DEPTH. */
  | 'too-deep';

/** Why a blob is not a valid FDT. */
export interface FdtError {
  readonly kind: 'error';
  readonly code: FdtErrorCode;
  /** Index into the blob of what is wrong. */
  readonly offset: number;
  readonly message: string;
}

/** A property of a parsed tree. */
export interface FdtTreeProperty {
  readonly name: string;
  /** A window into the blob. */
  readonly value: Uint8Array;
  /** Index of the value in the blob. */
  readonly offset: number;
}

/** A node of a parsed tree, with its properties and children in the order of the blob. */
export interface FdtTreeNode {
  /** Empty for the root. */
  readonly name: string;
  /** Index of the node's first byte in the blob. */
  readonly offset: number;
  readonly properties: readonly FdtTreeProperty[];
  readonly children: readonly FdtTreeNode[];
}

/** A blob that was checked whole. */
export interface FdtTree {
  readonly kind: 'tree';
  readonly totalsizeBytes: number;
  readonly version: number;
  readonly lastCompVersion: number;
  readonly bootCpuid: number;
  readonly reservations: readonly FdtReservation[];
  readonly root: FdtTreeNode;
}

/** Deeper than any devicetree, low enough for every consumer that recurses. */
export const FDT_MAX_DEPTH = 64;

/** Finds a property of a node by name. */
export function propertyOf(node: FdtTreeNode, name: string): FdtTreeProperty | undefined {
  return node.properties.find((property) => property.name === name);
}

/** Finds a child of a node by its full name. */
export function childOf(node: FdtTreeNode, name: string): FdtTreeNode | undefined {
  return node.children.find((child) => child.name === name);
}

interface Block {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

function failure(code: FdtErrorCode, offset: number, message: string): FdtError {
  return { kind: 'error', code, offset, message };
}

/**
 * Reads a whole blob and checks everything about it: header, blocks, every token and name. Stricter than any kernel,
 * for whoever inspects foreign memory. Never throws, and its work is bounded by the length of the blob.
 * @param bytes the blob, from its header on; may be longer than totalsize (a page), what follows is not looked at.
 */
export function parseFdt(bytes: Uint8Array): FdtTree | FdtError {
  if (bytes.length < HEADER_SIZE_BYTES) {
    return failure('short', bytes.length, `${bytes.length} bytes are fewer than the header's ${HEADER_SIZE_BYTES}`);
  }
  if (fdtMagic(bytes) !== FDT_MAGIC) {
    return failure('bad-magic', HEADER.magic, `magic is ${hex32(fdtMagic(bytes))}, not ${hex32(FDT_MAGIC)}`);
  }
  const version = fdtVersion(bytes);
  const lastComp = fdtLastCompVersion(bytes);
  if (
    version < 16 ||
    version < lastComp ||
    lastComp > FDT_LAST_SUPPORTED_VERSION ||
    lastComp < FDT_FIRST_SUPPORTED_VERSION
  ) {
    return failure('bad-version', HEADER.version, `version ${version}, compatible back to ${lastComp}`);
  }
  const totalsize = fdtTotalsize(bytes);
  if (totalsize < HEADER_SIZE_BYTES || totalsize > bytes.length) {
    return failure('bad-totalsize', HEADER.totalsize, `totalsize is ${totalsize}, of ${bytes.length} bytes at hand`);
  }
  const reservations: FdtReservation[] = [];
  const blocks = readBlocks(bytes, totalsize, reservations);
  if ('kind' in blocks) return blocks;
  const root = new StructureReader(bytes, blocks.structure, blocks.strings).read();
  if ('kind' in root) return root;
  return {
    kind: 'tree',
    totalsizeBytes: totalsize,
    version,
    lastCompVersion: lastComp,
    bootCpuid: be32(bytes, HEADER.bootCpuidPhys),
    reservations,
    root,
  };
}

/** Finds the three blocks; the entries of the reserve map go into `reservations`. */
function readBlocks(
  bytes: Uint8Array,
  totalsize: number,
  reservations: FdtReservation[],
): { structure: Block; strings: Block } | FdtError {
  const headerSize = fdtVersion(bytes) < 17 ? HEADER_SIZE_BYTES - 4 : HEADER_SIZE_BYTES;
  const place = (name: string, field: number, start: number, size: number, align: number): Block | FdtError => {
    const end = start + size;
    if (start % align !== 0)
      return failure('bad-block', field, `the ${name} block at ${start} is not ${align}-byte aligned`);
    if (start < headerSize || end > totalsize) {
      return failure('bad-block', field, `the ${name} block, ${start} to ${end}, is not inside the blob`);
    }
    return { name, start, end };
  };
  const rsvStart = place('reserve map', HEADER.offMemRsvmap, fdtOffMemRsvmap(bytes), 0, 8);
  if ('kind' in rsvStart) return rsvStart;
  let rsvEnd = rsvStart.start;
  for (;;) {
    if (rsvEnd + RESERVE_ENTRY_SIZE_BYTES > totalsize) {
      return failure('bad-reserve-map', rsvEnd, 'the reserve map has no terminator');
    }
    const entry = { address: be64(bytes, rsvEnd), size: be64(bytes, rsvEnd + 8) };
    rsvEnd += RESERVE_ENTRY_SIZE_BYTES;
    if (entry.address === 0n && entry.size === 0n) break;
    reservations.push(entry);
  }
  const strings = place('strings', HEADER.offDtStrings, fdtOffDtStrings(bytes), fdtSizeDtStrings(bytes), 1);
  if ('kind' in strings) return strings;
  const structStart = fdtOffDtStruct(bytes);
  // Version 16 doesn't say how long the structure block is: up to the next block, or the end.
  const behind = [strings.start, rsvStart.start].filter((start) => start >= structStart);
  const unsaid = Math.min(totalsize, ...behind) - structStart;
  const structSize = fdtVersion(bytes) < 17 ? unsaid : fdtSizeDtStruct(bytes);
  const structure = place('structure', HEADER.offDtStruct, structStart, Math.max(structSize, 0), TAG_SIZE_BYTES);
  if ('kind' in structure) return structure;
  const sorted = [{ name: 'reserve map', start: rsvStart.start, end: rsvEnd }, structure, strings].sort(
    (a, b) => a.start - b.start || a.end - b.end,
  );
  for (const [i, block] of sorted.entries()) {
    const next = sorted[i + 1];
    if (next !== undefined && block.end > next.start) {
      return failure('overlapping-blocks', next.start, `the ${block.name} and the ${next.name} block overlap`);
    }
  }
  return { structure, strings };
}

interface OpenNode {
  readonly name: string;
  readonly offset: number;
  readonly properties: FdtTreeProperty[];
  readonly children: FdtTreeNode[];
}

/** Walks the structure block once, without recursion. */
class StructureReader {
  readonly #bytes: Uint8Array;
  readonly #structure: Block;
  readonly #strings: Block;
  readonly #open: OpenNode[] = [];
  #root: OpenNode | undefined;
  #at: number;

  constructor(bytes: Uint8Array, structure: Block, strings: Block) {
    this.#bytes = bytes;
    this.#structure = structure;
    this.#strings = strings;
    this.#at = structure.start;
  }

  read(): FdtTreeNode | FdtError {
    const end = this.#structure.end;
    while (this.#at + TAG_SIZE_BYTES <= end) {
      const at = this.#at;
      const tag = be32(this.#bytes, at);
      this.#at += TAG_SIZE_BYTES;
      if (tag === FDT_NOP) continue;
      if (tag === FDT_END) {
        if (this.#root === undefined) return failure('unbalanced', at, 'there is no root node');
        if (this.#open.length > 0) return failure('unbalanced', at, `${this.#open.length} nodes are still open`);
        return this.#root;
      }
      const error =
        tag === FDT_BEGIN_NODE
          ? this.#beginNode(at)
          : tag === FDT_PROP
            ? this.#property(at)
            : tag === FDT_END_NODE
              ? this.#endNode(at)
              : failure('bad-tag', at, `${hex32(tag)} is not a token`);
      if (error !== undefined) return error;
    }
    return failure('truncated', end, 'the structure block ends without FDT_END');
  }

  #beginNode(at: number): FdtError | undefined {
    const nul = findNul(this.#bytes, this.#at, this.#structure.end);
    if (nul < 0) return failure('bad-node-name', this.#at, 'the name of the node does not end');
    const name = textOfBytes(this.#bytes.subarray(this.#at, nul));
    const node: OpenNode = { name, offset: at, properties: [], children: [] };
    const parent = this.#open.at(-1);
    if (parent === undefined) {
      if (this.#root !== undefined) return failure('unbalanced', at, 'there is a second root node');
      this.#root = node;
    } else {
      if (name === '') return failure('bad-node-name', this.#at, 'a node below the root has no name');
      parent.children.push(node);
    }
    if (this.#open.length >= FDT_MAX_DEPTH) return failure('too-deep', at, `deeper than ${FDT_MAX_DEPTH} nodes`);
    this.#open.push(node);
    this.#at = this.#structure.start + tagAlign(nul + 1 - this.#structure.start);
    return undefined;
  }

  #property(at: number): FdtError | undefined {
    const node = this.#open.at(-1);
    if (node === undefined) return failure('bad-property', at, 'a property outside of any node');
    if (node.children.length > 0) return failure('bad-property', at, 'a property after a child node');
    const value = at + PROPERTY_HEADER_SIZE_BYTES;
    const end = this.#structure.end;
    const length = be32(this.#bytes, at + 4);
    if (value + length > end) {
      return failure('bad-property', at, `a value of ${length} bytes sticks out of the structure block`);
    }
    const name = this.#strings.start + be32(this.#bytes, at + 8);
    const nul = findNul(this.#bytes, name, this.#strings.end);
    if (nul < 0) return failure('bad-property-name', at + 8, 'the name of the property is not in the strings block');
    node.properties.push({
      name: textOfBytes(this.#bytes.subarray(name, nul)),
      value: this.#bytes.subarray(value, value + length),
      offset: value,
    });
    this.#at = this.#structure.start + tagAlign(value + length - this.#structure.start);
    return undefined;
  }

  #endNode(at: number): FdtError | undefined {
    return this.#open.pop() === undefined ? failure('unbalanced', at, 'an end without a beginning') : undefined;
  }
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
