import {
  FDT_ERR_BADLAYOUT,
  FDT_ERR_BADNCELLS,
  FDT_ERR_BADOFFSET,
  FDT_ERR_BADVALUE,
  FDT_ERR_BADVERSION,
  FDT_ERR_EXISTS,
  FDT_ERR_INTERNAL,
  FDT_ERR_NOSPACE,
  FDT_ERR_NOTFOUND,
  type FdtErr,
  isFdtErr,
} from './error.ts';
import {
  be32,
  FDT_BEGIN_NODE,
  FDT_END,
  FDT_END_NODE,
  FDT_LAST_COMPATIBLE_VERSION,
  FDT_LAST_SUPPORTED_VERSION,
  FDT_MAGIC,
  FDT_NOP,
  FDT_PROP,
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
  setBe32,
  setBe64,
  TAG_SIZE_BYTES,
  tagAlign,
} from './layout.ts';
import {
  fdtAddressCells,
  fdtCheckNodeOffset,
  fdtGetprop,
  fdtNextTag,
  fdtNodeEndOffset,
  fdtNumMemRsv,
  fdtProbe,
  fdtSizeCells,
  fdtSubnodeOffset,
  structIndex,
} from './read.ts';
import { bytesOfText, cString } from './text.ts';
import { findString } from './write.ts';

/*
 * Editing a finished blob in place, byte for byte as libfdt does: everything behind the place of a change moves, up to
 * the end of the strings. `fdtOpenInto` makes room (totalsize becomes the size of the buffer), `fdtPack` gives it back.
 *
 * What that does to bytes: a new property comes before the node's others, a new node before its siblings; strings are
 * only ever appended and stay when what used them goes; packing moves the reserve map to 40, right behind the header.
 * Offsets of nodes behind a change are stale after it.
 */

/** The sums are of 32 bits and wrap, as in libfdt: a block far beyond the end can look as if it were in its place. */
function misordered(fdt: Uint8Array, reserveMapSize: number, structSize: number): boolean {
  return (
    fdtOffMemRsvmap(fdt) < HEADER_SIZE_BYTES ||
    fdtOffDtStruct(fdt) < (fdtOffMemRsvmap(fdt) + reserveMapSize) >>> 0 ||
    fdtOffDtStrings(fdt) < (fdtOffDtStruct(fdt) + structSize) >>> 0 ||
    fdtTotalsize(fdt) < (fdtOffDtStrings(fdt) + fdtSizeDtStrings(fdt)) >>> 0
  );
}

/** What every editing call looks at first. */
function probe(fdt: Uint8Array): 0 | FdtErr {
  const error = fdtProbe(fdt);
  if (isFdtErr(error)) return error;
  if (fdtVersion(fdt) < 17) return FDT_ERR_BADVERSION;
  if (misordered(fdt, RESERVE_ENTRY_SIZE_BYTES, fdtSizeDtStruct(fdt))) return FDT_ERR_BADLAYOUT;
  if (fdtVersion(fdt) > FDT_LAST_SUPPORTED_VERSION) setBe32(fdt, HEADER.version, FDT_LAST_SUPPORTED_VERSION);
  return 0;
}

function dataSize(fdt: Uint8Array): number {
  return fdtOffDtStrings(fdt) + fdtSizeDtStrings(fdt);
}

/** Makes the `oldLength` bytes at index `at` `newLength` long; what follows moves. */
function splice(fdt: Uint8Array, at: number, oldLength: number, newLength: number): 0 | FdtErr {
  const end = dataSize(fdt);
  if (at < 0 || at + oldLength > end) return FDT_ERR_BADOFFSET;
  if (end - oldLength + newLength > Math.min(fdtTotalsize(fdt), fdt.length)) return FDT_ERR_NOSPACE;
  fdt.copyWithin(at + newLength, at + oldLength, end);
  return 0;
}

function spliceStruct(fdt: Uint8Array, at: number, oldLength: number, newLength: number): 0 | FdtErr {
  const error = splice(fdt, at, oldLength, newLength);
  if (error !== 0) return error;
  setBe32(fdt, HEADER.sizeDtStruct, fdtSizeDtStruct(fdt) + newLength - oldLength);
  setBe32(fdt, HEADER.offDtStrings, fdtOffDtStrings(fdt) + newLength - oldLength);
  return 0;
}

function spliceReserveMap(fdt: Uint8Array, index: number, oldCount: number, newCount: number): 0 | FdtErr {
  const at = fdtOffMemRsvmap(fdt) + index * RESERVE_ENTRY_SIZE_BYTES;
  const error = splice(fdt, at, oldCount * RESERVE_ENTRY_SIZE_BYTES, newCount * RESERVE_ENTRY_SIZE_BYTES);
  if (error !== 0) return error;
  const delta = (newCount - oldCount) * RESERVE_ENTRY_SIZE_BYTES;
  setBe32(fdt, HEADER.offDtStruct, fdtOffDtStruct(fdt) + delta);
  setBe32(fdt, HEADER.offDtStrings, fdtOffDtStrings(fdt) + delta);
  return 0;
}

/** Where the old blob begins in the new buffer, if both are windows into one piece of memory. */
function placeIn(buffer: Uint8Array, fdt: Uint8Array): number | undefined {
  return fdt.buffer === buffer.buffer ? fdt.byteOffset - buffer.byteOffset : undefined;
}

/** Moves the three blocks together into `to`, in the order reserve map, structure, strings, and says so in its header. */
function packBlocks(from: Uint8Array, to: Uint8Array, reserveMapSize: number, structSize: number): void {
  const stringsSize = fdtSizeDtStrings(from);
  const structAt = HEADER_SIZE_BYTES + reserveMapSize;
  const stringsAt = structAt + structSize;
  const move = (source: number, target: number, size: number) => {
    // A header that lies could ask for more than there is.
    const room = Math.max(to.length - target, 0);
    to.set(from.subarray(source, source + Math.min(size, room)), Math.min(target, to.length));
  };
  move(fdtOffMemRsvmap(from), HEADER_SIZE_BYTES, reserveMapSize);
  setBe32(to, HEADER.offMemRsvmap, HEADER_SIZE_BYTES);
  move(fdtOffDtStruct(from), structAt, structSize);
  setBe32(to, HEADER.offDtStruct, structAt);
  setBe32(to, HEADER.sizeDtStruct, structSize);
  move(fdtOffDtStrings(from), stringsAt, stringsSize);
  setBe32(to, HEADER.offDtStrings, stringsAt);
  setBe32(to, HEADER.sizeDtStrings, stringsSize);
}

/** How long the structure block is, which version 16 leaves to be found out. */
function structSizeOf(fdt: Uint8Array): number | FdtErr {
  if (fdtVersion(fdt) >= 17) return fdtSizeDtStruct(fdt);
  if (fdtVersion(fdt) < 16) return FDT_ERR_BADVERSION;
  let offset = 0;
  for (;;) {
    const step = fdtNextTag(fdt, offset);
    if (step.tag === FDT_END) return step.next;
    offset = step.next;
  }
}

/**
 * Copies a blob into a buffer and opens it for editing up to the buffer's end. Buffer and blob may be the same array,
 * as in the kernel. @returns 0, or -3 if it doesn't fit.
 */
export function fdtOpenInto(fdt: Uint8Array, buffer: Uint8Array): 0 | FdtErr {
  const totalsize = fdtProbe(fdt);
  if (isFdtErr(totalsize)) return totalsize;
  const nrReserved = fdtNumMemRsv(fdt);
  // libfdt takes a missing terminator (-8) for a count of entries; then the layout decides.
  const reserveMapSize = (nrReserved + 1) * RESERVE_ENTRY_SIZE_BYTES;
  const structSize = structSizeOf(fdt);
  if (isFdtErr(structSize)) return structSize;
  if (!misordered(fdt, reserveMapSize, structSize)) {
    if (totalsize > buffer.length) return FDT_ERR_NOSPACE;
    buffer.set(fdt.subarray(0, Math.min(totalsize, fdt.length)));
    setBe32(buffer, HEADER.version, FDT_LAST_SUPPORTED_VERSION);
    setBe32(buffer, HEADER.sizeDtStruct, structSize);
    setBe32(buffer, HEADER.totalsize, buffer.length);
    return 0;
  }
  const newSize = HEADER_SIZE_BYTES + reserveMapSize + structSize + fdtSizeDtStrings(fdt);
  if (buffer.length < newSize) return FDT_ERR_NOSPACE;
  let target = buffer;
  const place = placeIn(buffer, fdt);
  if (place !== undefined && newSize > place && place + totalsize > 0) {
    const after = place + totalsize;
    if (after + newSize > buffer.length) return FDT_ERR_NOSPACE;
    target = buffer.subarray(after);
  }
  packBlocks(fdt, target, Math.max(reserveMapSize, 0), structSize);
  if (target !== buffer) buffer.set(target.subarray(0, newSize));
  setBe32(buffer, HEADER.magic, FDT_MAGIC);
  setBe32(buffer, HEADER.totalsize, buffer.length);
  setBe32(buffer, HEADER.version, FDT_LAST_SUPPORTED_VERSION);
  setBe32(buffer, HEADER.lastCompVersion, FDT_LAST_COMPATIBLE_VERSION);
  setBe32(buffer, HEADER.bootCpuidPhys, be32(fdt, HEADER.bootCpuidPhys));
  return 0;
}

/** Moves the blocks together and sets totalsize to what is used. Bytes behind that stay as they were. */
export function fdtPack(fdt: Uint8Array): 0 | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  const nrReserved = fdtNumMemRsv(fdt);
  packBlocks(fdt, fdt, Math.max((nrReserved + 1) * RESERVE_ENTRY_SIZE_BYTES, 0), fdtSizeDtStruct(fdt));
  setBe32(fdt, HEADER.totalsize, dataSize(fdt));
  return 0;
}

/**
 * Adds a node under `parent`, before its other children.
 * @returns the offset of the new node, -2 if the parent has one of that name, -3 if there is no room.
 */
export function fdtAddSubnode(fdt: Uint8Array, parent: number, name: string): number | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  const existing = fdtSubnodeOffset(fdt, parent, name);
  if (existing >= 0) return FDT_ERR_EXISTS;
  if (existing !== FDT_ERR_NOTFOUND) return existing;
  const begin = fdtNextTag(fdt, parent);
  // Only for a parent that is itself a "not found" of an earlier look-up.
  if (begin.tag !== FDT_BEGIN_NODE) return FDT_ERR_INTERNAL;
  let offset: number = begin.next;
  for (;;) {
    const step = fdtNextTag(fdt, offset);
    if (step.tag !== FDT_PROP && step.tag !== FDT_NOP) break;
    offset = step.next;
  }
  const bytes = bytesOfText(name);
  const nameSize = tagAlign(bytes.length + 1);
  const size = TAG_SIZE_BYTES + nameSize + TAG_SIZE_BYTES;
  const at = structIndex(fdt, offset);
  const spliced = spliceStruct(fdt, at, 0, size);
  if (spliced !== 0) return spliced;
  setBe32(fdt, at, FDT_BEGIN_NODE);
  fdt.fill(0, at + TAG_SIZE_BYTES, at + TAG_SIZE_BYTES + nameSize);
  fdt.set(bytes, at + TAG_SIZE_BYTES);
  setBe32(fdt, at + size - TAG_SIZE_BYTES, FDT_END_NODE);
  return offset;
}

/** Removes a node with all that is in it. Its strings stay. */
export function fdtDelNode(fdt: Uint8Array, node: number): 0 | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  const end = fdtNodeEndOffset(fdt, node);
  if (isFdtErr(end)) return end;
  return spliceStruct(fdt, structIndex(fdt, node), end - node, 0);
}

/** Puts a property that isn't there yet before the node's others. @returns the index of its value. */
function addProperty(fdt: Uint8Array, node: number, name: string, length: number): number | FdtErr {
  const offset = fdtCheckNodeOffset(fdt, node);
  if (isFdtErr(offset)) return offset;
  const string = cString(name);
  const tableSize = fdtSizeDtStrings(fdt);
  const found = findString(fdt, fdtOffDtStrings(fdt), tableSize, string);
  let nameOffset = found - fdtOffDtStrings(fdt);
  if (found < 0) {
    const stringAt = dataSize(fdt);
    const error = splice(fdt, stringAt, 0, string.length);
    if (error !== 0) return error;
    setBe32(fdt, HEADER.sizeDtStrings, tableSize + string.length);
    fdt.set(string, stringAt);
    nameOffset = tableSize;
  }
  const at = structIndex(fdt, offset);
  const error = spliceStruct(fdt, at, 0, PROPERTY_HEADER_SIZE_BYTES + tagAlign(length));
  if (error !== 0) {
    setBe32(fdt, HEADER.sizeDtStrings, tableSize);
    return error;
  }
  setBe32(fdt, at, FDT_PROP);
  setBe32(fdt, at + 4, length);
  setBe32(fdt, at + 8, nameOffset);
  return at + PROPERTY_HEADER_SIZE_BYTES;
}

/** Gives a property that is there another length. @returns the index of its value, -1 if it isn't there. */
function resizeProperty(fdt: Uint8Array, node: number, name: string, length: number): number | FdtErr {
  const property = fdtGetprop(fdt, node, name);
  if (isFdtErr(property)) return property;
  const error = spliceStruct(fdt, property.valueIndex, tagAlign(property.length), tagAlign(length));
  if (error !== 0) return error;
  setBe32(fdt, structIndex(fdt, property.offset) + 4, length);
  return property.valueIndex;
}

/** Sets a property, in its old place if the node has it, else before the node's others. */
export function fdtSetprop(fdt: Uint8Array, node: number, name: string, value: Uint8Array): 0 | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  let at = resizeProperty(fdt, node, name, value.length);
  if (at === FDT_ERR_NOTFOUND) at = addProperty(fdt, node, name, value.length);
  if (isFdtErr(at)) return at;
  fdt.set(value, at);
  return 0;
}

/** Sets a property to a string and its NUL. */
export function fdtSetpropString(fdt: Uint8Array, node: number, name: string, value: string): 0 | FdtErr {
  return fdtSetprop(fdt, node, name, cString(value));
}

/** Appends to a property's value, or makes the property. */
export function fdtAppendprop(fdt: Uint8Array, node: number, name: string, value: Uint8Array): 0 | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  const property = fdtGetprop(fdt, node, name);
  const oldLength = isFdtErr(property) ? 0 : property.length;
  const at = isFdtErr(property)
    ? addProperty(fdt, node, name, value.length)
    : resizeProperty(fdt, node, name, oldLength + value.length);
  if (isFdtErr(at)) return at;
  fdt.set(value, at + oldLength);
  return 0;
}

/**
 * Appends an address and a size, in as many cells as `parent` gives its children.
 * @returns 0; -14 for cells that aren't 1 or 2, -15 for a value that doesn't fit them.
 */
export function fdtAppendpropAddrrange(
  fdt: Uint8Array,
  parent: number,
  node: number,
  name: string,
  address: bigint,
  size: bigint,
): 0 | FdtErr {
  const addressCells = fdtAddressCells(fdt, parent);
  if (isFdtErr(addressCells)) return addressCells;
  const sizeCells = fdtSizeCells(fdt, parent);
  if (isFdtErr(sizeCells)) return sizeCells;
  const value = new Uint8Array((addressCells + sizeCells) * 4);
  if (addressCells === 1) {
    if (address > 0xffff_ffffn || 0x1_0000_0000n - address < size) return FDT_ERR_BADVALUE;
    setBe32(value, 0, Number(address));
  } else if (addressCells === 2) {
    setBe64(value, 0, address);
  } else {
    return FDT_ERR_BADNCELLS;
  }
  if (sizeCells === 1) {
    if (size > 0xffff_ffffn) return FDT_ERR_BADVALUE;
    setBe32(value, addressCells * 4, Number(size));
  } else if (sizeCells === 2) {
    setBe64(value, addressCells * 4, size);
  } else {
    return FDT_ERR_BADNCELLS;
  }
  return fdtAppendprop(fdt, node, name, value);
}

/** Removes a property. @returns 0, or -1 if the node has none of that name. */
export function fdtDelprop(fdt: Uint8Array, node: number, name: string): 0 | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  const property = fdtGetprop(fdt, node, name);
  if (isFdtErr(property)) return property;
  const size = PROPERTY_HEADER_SIZE_BYTES + tagAlign(property.length);
  return spliceStruct(fdt, structIndex(fdt, property.offset), size, 0);
}

/** Adds a range at the end of the reserve map. */
export function fdtAddMemRsv(fdt: Uint8Array, address: bigint, size: bigint): 0 | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  const count = fdtNumMemRsv(fdt);
  if (isFdtErr(count)) return count;
  const spliced = spliceReserveMap(fdt, count, 0, 1);
  if (spliced !== 0) return spliced;
  const at = fdtOffMemRsvmap(fdt) + count * RESERVE_ENTRY_SIZE_BYTES;
  setBe64(fdt, at, address);
  setBe64(fdt, at + 8, size);
  return 0;
}

/** Removes range `index` of the reserve map. */
export function fdtDelMemRsv(fdt: Uint8Array, index: number): 0 | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  if (index >= fdtNumMemRsv(fdt)) return FDT_ERR_NOTFOUND;
  return spliceReserveMap(fdt, index, 1, 0);
}
