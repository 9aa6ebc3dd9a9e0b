import {
  FDT_ERR_ALIGNMENT,
  FDT_ERR_BADMAGIC,
  FDT_ERR_BADNCELLS,
  FDT_ERR_BADOFFSET,
  FDT_ERR_BADPATH,
  FDT_ERR_BADSTATE,
  FDT_ERR_BADSTRUCTURE,
  FDT_ERR_BADVERSION,
  FDT_ERR_NOTFOUND,
  FDT_ERR_TRUNCATED,
  type FdtErr,
  isFdtErr,
} from './error.ts';
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
  FDT_SW_MAGIC,
  fdtLastCompVersion,
  fdtMagic,
  fdtOffDtStrings,
  fdtOffDtStruct,
  fdtOffMemRsvmap,
  fdtSizeDtStrings,
  fdtSizeDtStruct,
  fdtTotalsize,
  fdtVersion,
  headerSizeOf,
  PROPERTY_HEADER_SIZE_BYTES,
  RESERVE_ENTRY_SIZE_BYTES,
  TAG_SIZE_BYTES,
  tagAlign,
} from './layout.ts';
import { bytesOfText, cString, findNul } from './text.ts';

/*
 * The look-ups that kernels make, with libfdt's answers: as trusting where it is trusting (a property's last byte may
 * lie in its padding, blocks may be in any order) and as strict where it is strict. Whoever wants a blob checked
 * whole uses parse.ts.
 *
 * A blob is a Uint8Array that starts at its header and may be longer than totalsize. If it is shorter than totalsize
 * says, what is missing counts as beyond the end. As in C, the place of the blob matters: `byteOffset` stands for the
 * address, and a blob that isn't 8-byte aligned is refused where libfdt refuses it; see `fdtAt`.
 */

const INT_MAX = 0x7fff_ffff;

export { parseFdt } from './parse.ts';

/** Copies a blob that was found at physical address `addr` so that its alignment is kept. */
export function fdtAt(addr: number, bytes: Uint8Array): Uint8Array {
  const skew = addr % 8;
  const copy = new Uint8Array(bytes.length + skew).subarray(skew);
  copy.set(bytes);
  return copy;
}

function misaligned(fdt: Uint8Array): boolean {
  return (fdt.byteOffset & 7) !== 0;
}

/** How many bytes of the blob there are to read. */
function limitOf(fdt: Uint8Array): number {
  return Math.min(fdtTotalsize(fdt), fdt.length);
}

/** What almost every call looks at first (fdt_ro_probe_). @returns totalsize or an error. */
export function fdtProbe(fdt: Uint8Array): number | FdtErr {
  if (misaligned(fdt)) return FDT_ERR_ALIGNMENT;
  const magic = fdtMagic(fdt);
  if (magic === FDT_MAGIC) {
    if (fdtVersion(fdt) < FDT_FIRST_SUPPORTED_VERSION) return FDT_ERR_BADVERSION;
    if (fdtLastCompVersion(fdt) > FDT_LAST_SUPPORTED_VERSION) return FDT_ERR_BADVERSION;
  } else if (magic === FDT_SW_MAGIC) {
    if (fdtSizeDtStruct(fdt) === 0) return FDT_ERR_BADSTATE;
  } else {
    return FDT_ERR_BADMAGIC;
  }
  const totalsize = fdtTotalsize(fdt);
  return totalsize < INT_MAX ? totalsize : FDT_ERR_TRUNCATED;
}

export interface CheckHeaderOptions {
  /**
   * Whether a reserve map that isn't 8-byte aligned, or a structure block that isn't 4-byte aligned, is refused:
   * the libfdt in 7.1 and later does, in 6.19 and before it does not.
   */
  readonly checkBlockAlignment?: boolean;
}

/**
 * fdt_check_header: what a kernel asks of a blob that it was handed.
 * @returns 0 or an error: -9 for a wrong magic, -10 for versions it can't read, -8 for a block that sticks out.
 */
export function fdtCheckHeader(fdt: Uint8Array, options: CheckHeaderOptions = {}): 0 | FdtErr {
  if (misaligned(fdt)) return FDT_ERR_ALIGNMENT;
  if (fdtMagic(fdt) !== FDT_MAGIC) return FDT_ERR_BADMAGIC;
  const version = fdtVersion(fdt);
  const lastComp = fdtLastCompVersion(fdt);
  if (version < FDT_FIRST_SUPPORTED_VERSION || lastComp > FDT_LAST_SUPPORTED_VERSION || version < lastComp) {
    return FDT_ERR_BADVERSION;
  }
  const headerSize = headerSizeOf(version);
  const totalsize = fdtTotalsize(fdt);
  if (totalsize < headerSize || totalsize > INT_MAX) return FDT_ERR_TRUNCATED;
  if (options.checkBlockAlignment ?? true) {
    if (fdtOffMemRsvmap(fdt) % 8 !== 0 || fdtOffDtStruct(fdt) % TAG_SIZE_BYTES !== 0) return FDT_ERR_ALIGNMENT;
  }
  const inside = (base: number, size: number) => base >= headerSize && base + size <= totalsize;
  const structSize = version < 17 ? 0 : fdtSizeDtStruct(fdt);
  const fits =
    inside(fdtOffMemRsvmap(fdt), 0) &&
    inside(fdtOffDtStruct(fdt), structSize) &&
    inside(fdtOffDtStrings(fdt), fdtSizeDtStrings(fdt));
  return fits ? 0 : FDT_ERR_TRUNCATED;
}

// --- the structure block -----------------------------------------------------------------------------------------

/** One token of the structure block, and the offset of the next one or an error. */
export interface FdtStep {
  readonly tag: number;
  readonly next: number | FdtErr;
}

const PREMATURE_END: FdtStep = { tag: FDT_END, next: FDT_ERR_TRUNCATED };
const BAD_STRUCTURE: FdtStep = { tag: FDT_END, next: FDT_ERR_BADSTRUCTURE };

/** Whether `length` bytes at `offset` of the structure block are there (fdt_offset_ptr is not NULL). */
function structHas(fdt: Uint8Array, offset: number, length: number): boolean {
  if (offset < 0) return false;
  if (fdtOffDtStruct(fdt) + offset + length > limitOf(fdt)) return false;
  return fdtVersion(fdt) < 17 || offset + length <= fdtSizeDtStruct(fdt);
}

/** The index in the blob of an offset into the structure block. */
export function structIndex(fdt: Uint8Array, offset: number): number {
  return fdtOffDtStruct(fdt) + offset;
}

/** Reads the token at `offset` of the structure block (fdt_next_tag). An error shows as FDT_END with a negative `next`. */
export function fdtNextTag(fdt: Uint8Array, offset: number): FdtStep {
  if (!structHas(fdt, offset, TAG_SIZE_BYTES)) return PREMATURE_END;
  const base = fdtOffDtStruct(fdt);
  const tag = be32(fdt, base + offset);
  let end = offset + TAG_SIZE_BYTES;
  if (tag === FDT_BEGIN_NODE) {
    const limit = fdtVersion(fdt) < 17 ? limitOf(fdt) : Math.min(limitOf(fdt), base + fdtSizeDtStruct(fdt));
    const nul = findNul(fdt, base + end, limit);
    if (nul < 0) return BAD_STRUCTURE;
    end = nul + 1 - base;
  } else if (tag === FDT_PROP) {
    if (!structHas(fdt, end, TAG_SIZE_BYTES)) return BAD_STRUCTURE;
    const length = be32(fdt, base + end);
    if (length + end >= INT_MAX) return BAD_STRUCTURE;
    end += PROPERTY_HEADER_SIZE_BYTES - TAG_SIZE_BYTES + length;
    if (fdtVersion(fdt) < 16 && length >= 8 && (end - length) % 8 !== 0) end += 4;
  } else if (tag !== FDT_END && tag !== FDT_END_NODE && tag !== FDT_NOP) {
    return BAD_STRUCTURE;
  }
  if (!structHas(fdt, offset, end - offset)) return BAD_STRUCTURE;
  return { tag, next: tagAlign(end) };
}

/** The offset behind the node header at `offset`, or -4 if there is none. */
export function fdtCheckNodeOffset(fdt: Uint8Array, offset: number): number | FdtErr {
  if (offset < 0 || offset % TAG_SIZE_BYTES !== 0) return FDT_ERR_BADOFFSET;
  const step = fdtNextTag(fdt, offset);
  return step.tag === FDT_BEGIN_NODE ? step.next : FDT_ERR_BADOFFSET;
}

/** A node and how deep it lies below where the walk began; `offset` may be an error or, at depth -1, what follows. */
interface NodeStep {
  readonly offset: number | FdtErr;
  readonly depth: number;
}

/** The node after the one at `offset` (-1: the first), in the order of the block (fdt_next_node with a depth). */
function nextNode(fdt: Uint8Array, offset: number, startDepth: number): NodeStep {
  let depth = startDepth;
  let next = 0;
  if (offset >= 0) {
    const behind = fdtCheckNodeOffset(fdt, offset);
    if (behind < 0) return { offset: behind, depth };
    next = behind;
  }
  for (;;) {
    const at = next;
    const step = fdtNextTag(fdt, at);
    if (step.tag === FDT_BEGIN_NODE) return { offset: at, depth: depth + 1 };
    if (step.tag === FDT_END_NODE && --depth < 0) return { offset: step.next, depth };
    if (step.tag === FDT_END) return { offset: step.next >= 0 ? FDT_ERR_NOTFOUND : step.next, depth };
    next = step.next;
  }
}

/** The first child of a node. */
export function fdtFirstSubnode(fdt: Uint8Array, node: number): number | FdtErr {
  const first = nextNode(fdt, node, 0);
  return first.offset < 0 || first.depth !== 1 ? FDT_ERR_NOTFOUND : first.offset;
}

/** The next child of the same parent. */
export function fdtNextSubnode(fdt: Uint8Array, node: number): number | FdtErr {
  let step: NodeStep = { offset: node, depth: 1 };
  do {
    step = nextNode(fdt, step.offset, step.depth);
    if (step.offset < 0 || step.depth < 1) return FDT_ERR_NOTFOUND;
  } while (step.depth > 1);
  return step.offset;
}

/** The offset behind a node with all that is in it. */
export function fdtNodeEndOffset(fdt: Uint8Array, node: number): number | FdtErr {
  let step: NodeStep = { offset: node, depth: 0 };
  while (step.offset >= 0 && step.depth >= 0) step = nextNode(fdt, step.offset, step.depth);
  return step.offset;
}

/** The bytes of a node's name, without the NUL. */
export function fdtGetName(fdt: Uint8Array, node: number): Uint8Array | FdtErr {
  const probe = fdtProbe(fdt);
  if (isFdtErr(probe)) return probe;
  const behind = fdtCheckNodeOffset(fdt, node);
  if (isFdtErr(behind)) return behind;
  const start = structIndex(fdt, node + TAG_SIZE_BYTES);
  const end = findNul(fdt, start, fdt.length);
  const name = fdt.subarray(start, end);
  if (fdtVersion(fdt) >= 16) return name;
  const slash = name.lastIndexOf(0x2f);
  return slash < 0 ? FDT_ERR_BADSTRUCTURE : name.subarray(slash + 1);
}

const AT_SIGN = 0x40;

/** A name matches itself, and `memory` also matches `memory@40000000`. */
function nameMatches(fdt: Uint8Array, node: number, wanted: Uint8Array): boolean {
  const name = fdtGetName(fdt, node);
  if (isFdtErr(name)) return false;
  for (let i = 0; i < wanted.length; i++) if (name[i] !== wanted[i]) return false;
  if (name.length === wanted.length) return true;
  return name[wanted.length] === AT_SIGN && !wanted.includes(AT_SIGN);
}

/** The child of `parent` that has a name: its offset, -1 if there is none. The first one where there are several. */
export function fdtSubnodeOffset(fdt: Uint8Array, parent: number, name: string | Uint8Array): number | FdtErr {
  const probe = fdtProbe(fdt);
  if (isFdtErr(probe)) return probe;
  const wanted = typeof name === 'string' ? bytesOfText(name) : name;
  let step: NodeStep = { offset: parent, depth: 0 };
  while (step.offset >= 0 && step.depth >= 0) {
    if (step.depth === 1 && nameMatches(fdt, step.offset, wanted)) return step.offset;
    step = nextNode(fdt, step.offset, step.depth);
  }
  return step.depth < 0 ? FDT_ERR_NOTFOUND : step.offset;
}

/** The node at an absolute path such as `/chosen`. Aliases are not looked up: a path without `/` gives -5. */
export function fdtPathOffset(fdt: Uint8Array, path: string): number | FdtErr {
  const probe = fdtProbe(fdt);
  if (isFdtErr(probe)) return probe;
  if (!path.startsWith('/')) return FDT_ERR_BADPATH;
  let offset = 0;
  for (const name of path.split('/')) {
    if (name === '') continue;
    offset = fdtSubnodeOffset(fdt, offset, name);
    if (offset < 0) return offset;
  }
  return offset;
}

// --- properties --------------------------------------------------------------------------------------------------

/** A property as it lies in the blob. */
export interface FdtProperty {
  /** Offset of its tag in the structure block. */
  readonly offset: number;
  /** Index of the value in the blob: 4-byte aligned, not more. */
  readonly valueIndex: number;
  readonly length: number;
  /** The value, a window into the blob: writing to it changes the blob, as fdt_getprop_w allows. */
  readonly value: Uint8Array;
}

function nextProperty(fdt: Uint8Array, from: number): number | FdtErr {
  let offset = from;
  for (;;) {
    const step = fdtNextTag(fdt, offset);
    if (step.tag === FDT_PROP) return offset;
    if (step.tag === FDT_END) return step.next >= 0 ? FDT_ERR_BADSTRUCTURE : step.next;
    if (step.tag !== FDT_NOP) return FDT_ERR_NOTFOUND;
    offset = step.next;
  }
}

/** The offset of a node's first property. */
export function fdtFirstPropertyOffset(fdt: Uint8Array, node: number): number | FdtErr {
  const behind = fdtCheckNodeOffset(fdt, node);
  return isFdtErr(behind) ? behind : nextProperty(fdt, behind);
}

/** The offset of the property after the one at `offset`. */
export function fdtNextPropertyOffset(fdt: Uint8Array, offset: number): number | FdtErr {
  if (offset < 0 || offset % TAG_SIZE_BYTES !== 0) return FDT_ERR_BADOFFSET;
  const step = fdtNextTag(fdt, offset);
  return step.tag === FDT_PROP ? nextProperty(fdt, step.next) : FDT_ERR_BADOFFSET;
}

/** A string of the strings block, without the NUL. Negative offsets count back from the end, in an unfinished blob. */
export function fdtGetString(fdt: Uint8Array, stringOffset: number): Uint8Array | FdtErr {
  const probe = fdtProbe(fdt);
  if (isFdtErr(probe)) return probe;
  const limit = Math.min(probe, fdt.length);
  const start = (stringOffset + fdtOffDtStrings(fdt)) % 0x1_0000_0000;
  if (start < 0 || start >= limit) return FDT_ERR_BADOFFSET;
  let end = limit;
  const tableSize = fdtSizeDtStrings(fdt);
  if (fdtMagic(fdt) === FDT_MAGIC) {
    if (stringOffset < 0) return FDT_ERR_BADOFFSET;
    if (fdtVersion(fdt) >= 17) {
      if (stringOffset >= tableSize) return FDT_ERR_BADOFFSET;
      end = Math.min(end, start + tableSize - stringOffset);
    }
  } else {
    if (stringOffset >= 0 || -stringOffset > tableSize) return FDT_ERR_BADOFFSET;
    end = Math.min(end, start - stringOffset);
  }
  const nul = findNul(fdt, start, end);
  return nul < 0 ? FDT_ERR_TRUNCATED : fdt.subarray(start, nul);
}

/** The property at an offset of the structure block; the caller knows that there is one. */
function propertyAt(fdt: Uint8Array, offset: number): FdtProperty {
  const at = structIndex(fdt, offset);
  const length = be32(fdt, at + 4);
  let valueIndex = at + PROPERTY_HEADER_SIZE_BYTES;
  if (fdtVersion(fdt) < 16 && length >= 8 && (offset + PROPERTY_HEADER_SIZE_BYTES) % 8 !== 0) valueIndex += 4;
  return { offset, valueIndex, length, value: fdt.subarray(valueIndex, valueIndex + length) };
}

/** A property with its name. */
export function fdtGetpropByOffset(
  fdt: Uint8Array,
  offset: number,
): { readonly name: Uint8Array; readonly property: FdtProperty } | FdtErr {
  if (offset < 0 || offset % TAG_SIZE_BYTES !== 0) return FDT_ERR_BADOFFSET;
  if (fdtNextTag(fdt, offset).tag !== FDT_PROP) return FDT_ERR_BADOFFSET;
  const name = fdtGetString(fdt, be32(fdt, structIndex(fdt, offset) + 8) | 0);
  return isFdtErr(name) ? name : { name, property: propertyAt(fdt, offset) };
}

/** The property of a node that has a name; -1 if there is none. Whoever uses it checks `length`, as kernels do. */
export function fdtGetprop(fdt: Uint8Array, node: number, name: string): FdtProperty | FdtErr {
  const wanted = bytesOfText(name);
  let offset = fdtFirstPropertyOffset(fdt, node);
  while (offset >= 0) {
    const have = fdtGetString(fdt, be32(fdt, structIndex(fdt, offset) + 8) | 0);
    if (!isFdtErr(have) && have.length === wanted.length && have.every((byte, i) => byte === wanted[i])) {
      return propertyAt(fdt, offset);
    }
    offset = fdtNextPropertyOffset(fdt, offset);
  }
  return offset as FdtErr;
}

/**
 * Whether a node's `compatible` list has a string: 0 yes, 1 no, or an error (-1: no such property). Like libfdt it lets
 * the NUL of the last string lie one byte behind the property.
 */
export function fdtNodeCheckCompatible(fdt: Uint8Array, node: number, compatible: string): 0 | 1 | FdtErr {
  const property = fdtGetprop(fdt, node, 'compatible');
  if (isFdtErr(property)) return property;
  const wanted = cString(compatible);
  let at = property.valueIndex;
  let left = property.length;
  while (left >= wanted.length - 1) {
    const start = at;
    if (wanted.every((byte, i) => fdt[start + i] === byte)) return 0;
    const nul = findNul(fdt, at, at + left);
    if (nul < 0) return 1;
    left -= nul + 1 - at;
    at = nul + 1;
  }
  return 1;
}

function cells(fdt: Uint8Array, node: number, name: string): number | FdtErr {
  const property = fdtGetprop(fdt, node, name);
  if (isFdtErr(property)) return property;
  if (property.length !== 4) return FDT_ERR_BADNCELLS;
  const value = be32(property.value, 0);
  return value > 4 ? FDT_ERR_BADNCELLS : value;
}

/** How many cells an address has among the children of a node: 2 if it doesn't say. */
export function fdtAddressCells(fdt: Uint8Array, node: number): number | FdtErr {
  const value = cells(fdt, node, '#address-cells');
  if (value === 0) return FDT_ERR_BADNCELLS;
  return value === FDT_ERR_NOTFOUND ? 2 : value;
}

/** How many cells a size has among the children of a node: 1 if it doesn't say. */
export function fdtSizeCells(fdt: Uint8Array, node: number): number | FdtErr {
  const value = cells(fdt, node, '#size-cells');
  return value === FDT_ERR_NOTFOUND ? 1 : value;
}

// --- the reserve map ---------------------------------------------------------------------------------------------

/** One range of the reserve map. */
export interface FdtReservation {
  readonly address: bigint;
  readonly size: bigint;
}

/** Entry `index` of the reserve map, the terminator (size 0) included; -4 past the end of the blob. */
export function fdtGetMemRsv(fdt: Uint8Array, index: number): FdtReservation | FdtErr {
  const at = fdtOffMemRsvmap(fdt) + index * RESERVE_ENTRY_SIZE_BYTES;
  // The subtraction is unsigned, so a totalsize below 16 is no bound.
  const last = (fdtTotalsize(fdt) - RESERVE_ENTRY_SIZE_BYTES) >>> 0;
  if (at > Math.min(last, fdt.length - RESERVE_ENTRY_SIZE_BYTES)) return FDT_ERR_BADOFFSET;
  return { address: be64(fdt, at), size: be64(fdt, at + 8) };
}

/** How many ranges the reserve map has before the terminator; -8 if that is missing. */
export function fdtNumMemRsv(fdt: Uint8Array): number | FdtErr {
  for (let i = 0; ; i++) {
    const entry = fdtGetMemRsv(fdt, i);
    if (isFdtErr(entry)) return FDT_ERR_TRUNCATED;
    if (entry.size === 0n) return i;
  }
}
