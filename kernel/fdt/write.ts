import { FDT_ERR_BADMAGIC, FDT_ERR_BADSTATE, FDT_ERR_NOSPACE, type FdtErr, isFdtErr } from './error.ts';
import {
  be32,
  FDT_BEGIN_NODE,
  FDT_END,
  FDT_END_NODE,
  FDT_LAST_COMPATIBLE_VERSION,
  FDT_LAST_SUPPORTED_VERSION,
  FDT_MAGIC,
  FDT_PROP,
  FDT_SW_MAGIC,
  fdtMagic,
  fdtOffDtStrings,
  fdtOffDtStruct,
  fdtSizeDtStrings,
  fdtSizeDtStruct,
  fdtTotalsize,
  HEADER,
  HEADER_SIZE_BYTES,
  PROPERTY_HEADER_SIZE_BYTES,
  RESERVE_ENTRY_SIZE_BYTES,
  setBe32,
  setBe64,
  TAG_SIZE_BYTES,
  tagAlign,
} from './layout.ts';
import { fdtNextTag, structIndex } from './read.ts';
import { cString } from './text.ts';

/*
 * The sequential writer: nodes and properties in the order of the calls. While it writes, the strings grow downwards
 * from the end of the buffer, each new one below the last, and a property's name is a negative offset from the end;
 * the last call moves them behind the structure block. So the strings block has the last used name first, and a copy
 * of the strings stays at the end of the buffer.
 *
 *      +--------+-----+------------------>            <---------------+
 *      | header | rsv | structure                 'fdt' 'compatible'  |
 *      +--------+-----+------------------>            <---------------+
 *
 * Calls come in this order: create, add reservations, finish the reserve map, nodes and properties, finish; a call out
 * of order returns -7.
 */

function probe(fdt: Uint8Array): 0 | FdtErr {
  const magic = fdtMagic(fdt);
  if (magic === FDT_SW_MAGIC) return 0;
  return magic === FDT_MAGIC ? FDT_ERR_BADSTATE : FDT_ERR_BADMAGIC;
}

function probeStruct(fdt: Uint8Array): 0 | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  return fdtOffDtStrings(fdt) === fdtTotalsize(fdt) ? 0 : FDT_ERR_BADSTATE;
}

/** Starts a blob in a buffer, which is zeroed whole. @returns 0, or -3 if not even the header fits. */
export function fdtCreate(fdt: Uint8Array): 0 | FdtErr {
  // The writer's header ends at 48, 16-byte aligned, where an edited blob's ends at 40.
  const headerSize = Math.ceil(HEADER_SIZE_BYTES / RESERVE_ENTRY_SIZE_BYTES) * RESERVE_ENTRY_SIZE_BYTES;
  if (fdt.length < headerSize) return FDT_ERR_NOSPACE;
  fdt.fill(0);
  setBe32(fdt, HEADER.magic, FDT_SW_MAGIC);
  setBe32(fdt, HEADER.version, FDT_LAST_SUPPORTED_VERSION);
  setBe32(fdt, HEADER.totalsize, fdt.length);
  setBe32(fdt, HEADER.offMemRsvmap, headerSize);
  setBe32(fdt, HEADER.offDtStruct, headerSize);
  return 0;
}

/** Appends a range to the reserve map. */
export function fdtAddReservemapEntry(fdt: Uint8Array, address: bigint, size: bigint): 0 | FdtErr {
  const error = probe(fdt);
  if (error !== 0) return error;
  if (fdtOffDtStrings(fdt) !== 0) return FDT_ERR_BADSTATE;
  const at = fdtOffDtStruct(fdt);
  if (at + RESERVE_ENTRY_SIZE_BYTES > fdtTotalsize(fdt)) return FDT_ERR_NOSPACE;
  setBe64(fdt, at, address);
  setBe64(fdt, at + 8, size);
  setBe32(fdt, HEADER.offDtStruct, at + RESERVE_ENTRY_SIZE_BYTES);
  return 0;
}

/** Ends the reserve map; nodes may follow. */
export function fdtFinishReservemap(fdt: Uint8Array): 0 | FdtErr {
  const error = fdtAddReservemapEntry(fdt, 0n, 0n);
  if (error !== 0) return error;
  setBe32(fdt, HEADER.offDtStrings, fdtTotalsize(fdt));
  return 0;
}

/** Takes `length` bytes of the structure block. @returns the index in the buffer, or -3. */
function grabSpace(fdt: Uint8Array, length: number): number | FdtErr {
  const offset = fdtSizeDtStruct(fdt);
  const room = fdtTotalsize(fdt) - fdtOffDtStruct(fdt) - fdtSizeDtStrings(fdt);
  if (offset + length > room) return FDT_ERR_NOSPACE;
  setBe32(fdt, HEADER.sizeDtStruct, offset + length);
  return structIndex(fdt, offset);
}

/** Begins a node; the root's name is empty. */
export function fdtBeginNode(fdt: Uint8Array, name: string): 0 | FdtErr {
  const error = probeStruct(fdt);
  if (error !== 0) return error;
  const bytes = cString(name);
  const at = grabSpace(fdt, TAG_SIZE_BYTES + tagAlign(bytes.length));
  if (isFdtErr(at)) return at;
  setBe32(fdt, at, FDT_BEGIN_NODE);
  fdt.set(bytes, at + TAG_SIZE_BYTES);
  return 0;
}

/** Ends the node that was begun last. */
export function fdtEndNode(fdt: Uint8Array): 0 | FdtErr {
  const error = probeStruct(fdt);
  if (error !== 0) return error;
  const at = grabSpace(fdt, TAG_SIZE_BYTES);
  if (isFdtErr(at)) return at;
  setBe32(fdt, at, FDT_END_NODE);
  return 0;
}

/**
 * Looks for a string in a strings block: wherever its bytes and a NUL are, so the end of a longer string counts
 * too. @returns the index in the buffer, -1 if there is none.
 */
export function findString(fdt: Uint8Array, start: number, size: number, string: Uint8Array): number {
  const last = start + size - string.length;
  for (let at = start; at <= last; at++) {
    let i = 0;
    while (i < string.length && fdt[at + i] === string[i]) i++;
    if (i === string.length) return at;
  }
  return -1;
}

/** Appends a property and leaves its value to be written. @returns the index of the value in the buffer, or -3. */
function fdtPropertyPlaceholder(fdt: Uint8Array, name: string, length: number): number | FdtErr {
  const error = probeStruct(fdt);
  if (error !== 0) return error;
  const string = cString(name);
  const end = fdtTotalsize(fdt);
  const tableSize = fdtSizeDtStrings(fdt);
  let nameAt = findString(fdt, end - tableSize, tableSize, string);
  if (nameAt < 0) {
    nameAt = end - tableSize - string.length;
    if (nameAt < fdtOffDtStruct(fdt) + fdtSizeDtStruct(fdt)) return FDT_ERR_NOSPACE;
    fdt.set(string, nameAt);
    setBe32(fdt, HEADER.sizeDtStrings, tableSize + string.length);
  }
  const at = grabSpace(fdt, PROPERTY_HEADER_SIZE_BYTES + tagAlign(length));
  if (isFdtErr(at)) {
    setBe32(fdt, HEADER.sizeDtStrings, tableSize);
    return at;
  }
  setBe32(fdt, at, FDT_PROP);
  setBe32(fdt, at + 4, length);
  setBe32(fdt, at + 8, nameAt - end);
  return at + PROPERTY_HEADER_SIZE_BYTES;
}

/** Appends a property to the open node. The bytes go in as they are: u64 values of KHO are little-endian. */
export function fdtProperty(fdt: Uint8Array, name: string, value: Uint8Array): 0 | FdtErr {
  const at = fdtPropertyPlaceholder(fdt, name, value.length);
  if (isFdtErr(at)) return at;
  fdt.set(value, at);
  return 0;
}

/** Appends a property whose value is a string and its NUL. */
export function fdtPropertyString(fdt: Uint8Array, name: string, value: string): 0 | FdtErr {
  return fdtProperty(fdt, name, cString(value));
}

/** Appends a property whose value is cells: big-endian u32. */
export function fdtPropertyCells(fdt: Uint8Array, name: string, ...cells: number[]): 0 | FdtErr {
  const value = new Uint8Array(cells.length * 4);
  for (const [i, cell] of cells.entries()) setBe32(value, i * 4, cell);
  return fdtProperty(fdt, name, value);
}

/** Ends the blob: moves the strings behind the structure block, and sets totalsize to what is used. */
export function fdtFinish(fdt: Uint8Array): 0 | FdtErr {
  const error = probeStruct(fdt);
  if (error !== 0) return error;
  const at = grabSpace(fdt, TAG_SIZE_BYTES);
  if (isFdtErr(at)) return at;
  setBe32(fdt, at, FDT_END);
  const tableSize = fdtSizeDtStrings(fdt);
  const strings = fdtOffDtStruct(fdt) + fdtSizeDtStruct(fdt);
  fdt.copyWithin(strings, fdtTotalsize(fdt) - tableSize, fdtTotalsize(fdt));
  setBe32(fdt, HEADER.offDtStrings, strings);
  let offset = 0;
  for (;;) {
    const step = fdtNextTag(fdt, offset);
    if (step.tag === FDT_END) {
      if (isFdtErr(step.next)) return step.next;
      break;
    }
    if (step.tag === FDT_PROP) {
      const nameField = structIndex(fdt, offset) + 8;
      setBe32(fdt, nameField, be32(fdt, nameField) + tableSize);
    }
    offset = step.next;
  }
  setBe32(fdt, HEADER.totalsize, strings + tableSize);
  setBe32(fdt, HEADER.lastCompVersion, FDT_LAST_COMPATIBLE_VERSION);
  setBe32(fdt, HEADER.magic, FDT_MAGIC);
  return 0;
}
