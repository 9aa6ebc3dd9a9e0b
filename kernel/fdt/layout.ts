/*
 * The flattened devicetree, version 17 (devicetree specification 0.4, chapter 5). All numbers are big-endian.
 *
 *      0   magic d00dfeed          20  version
 *      4   totalsize               24  last compatible version
 *      8   off_dt_struct           28  boot_cpuid_phys
 *      12  off_dt_strings          32  size_dt_strings
 *      16  off_mem_rsvmap          36  size_dt_struct (since version 17)
 *
 *      +--------+-------------+-----------------+---------------+
 *      | header | reserve map | structure block | strings block |
 *      +--------+-------------+-----------------+---------------+
 *               8-aligned     4-aligned
 */

export const FDT_MAGIC = 0xd00d_feed;
/** The magic of a blob that the sequential writer has not finished. */
export const FDT_SW_MAGIC = ~FDT_MAGIC >>> 0;

export const FDT_FIRST_SUPPORTED_VERSION = 2;
export const FDT_LAST_COMPATIBLE_VERSION = 16;
export const FDT_LAST_SUPPORTED_VERSION = 17;

/** Offsets of the header's fields. */
export const HEADER = {
  magic: 0,
  totalsize: 4,
  offDtStruct: 8,
  offDtStrings: 12,
  offMemRsvmap: 16,
  version: 20,
  lastCompVersion: 24,
  bootCpuidPhys: 28,
  sizeDtStrings: 32,
  sizeDtStruct: 36,
} as const;

export const HEADER_SIZE_BYTES = 40;
export const RESERVE_ENTRY_SIZE_BYTES = 16;
/** A property: tag, length of the value, offset of its name in the strings block; then the value. */
export const PROPERTY_HEADER_SIZE_BYTES = 12;
export const TAG_SIZE_BYTES = 4;

export const FDT_BEGIN_NODE = 1;
export const FDT_END_NODE = 2;
export const FDT_PROP = 3;
export const FDT_NOP = 4;
export const FDT_END = 9;

/** The size of the header that a version has; older versions lack the last fields. */
export function headerSizeOf(version: number): number {
  if (version <= 1) return 28;
  if (version === 2) return 32;
  if (version <= 16) return 36;
  return HEADER_SIZE_BYTES;
}

/** A big-endian u32. Bytes past the end of the array read as 0. */
export function be32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}

/** Writes the low 32 bits of `value`, big-endian. */
export function setBe32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** A big-endian u64, exact. */
export function be64(bytes: Uint8Array, at: number): bigint {
  return (BigInt(be32(bytes, at)) << 32n) | BigInt(be32(bytes, at + 4));
}

/** Writes a u64, big-endian. */
export function setBe64(bytes: Uint8Array, at: number, value: bigint): void {
  setBe32(bytes, at, Number((value >> 32n) & 0xffff_ffffn));
  setBe32(bytes, at + 4, Number(value & 0xffff_ffffn));
}

/** Rounds an offset up to the next tag. */
export function tagAlign(offset: number): number {
  return Math.ceil(offset / TAG_SIZE_BYTES) * TAG_SIZE_BYTES;
}

export const fdtMagic = (fdt: Uint8Array): number => be32(fdt, HEADER.magic);
export const fdtTotalsize = (fdt: Uint8Array): number => be32(fdt, HEADER.totalsize);
export const fdtVersion = (fdt: Uint8Array): number => be32(fdt, HEADER.version);
export const fdtLastCompVersion = (fdt: Uint8Array): number => be32(fdt, HEADER.lastCompVersion);
export const fdtOffDtStruct = (fdt: Uint8Array): number => be32(fdt, HEADER.offDtStruct);
export const fdtOffDtStrings = (fdt: Uint8Array): number => be32(fdt, HEADER.offDtStrings);
export const fdtOffMemRsvmap = (fdt: Uint8Array): number => be32(fdt, HEADER.offMemRsvmap);
export const fdtSizeDtStruct = (fdt: Uint8Array): number => be32(fdt, HEADER.sizeDtStruct);
export const fdtSizeDtStrings = (fdt: Uint8Array): number => be32(fdt, HEADER.sizeDtStrings);
