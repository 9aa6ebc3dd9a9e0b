import { hexOfHalves } from '../../machine/units.ts';

/** One range of RAM as an image describes it. */
export interface ForeignBank {
  readonly base: number;
  readonly sizeBytes: number;
  /** NUMA node, where the image tells one. */
  readonly nid?: number | undefined;
}

/** Memory of some other machine: whoever loaded the image decides where its bytes come from. */
export interface ForeignMemory {
  readonly banks: readonly ForeignBank[];
  /** Whether a range is RAM: in one bank, or in banks that touch. Any number may be asked for. */
  inRam(addr: number, sizeBytes: number): boolean;
  /** Copies bytes of a range that is RAM. Pages that the image does not carry read as zero. */
  readBytes(addr: number, sizeBytes: number): Uint8Array;
  /** Whether the image holds the content of the page or extent that `addr` lies in. */
  carries(addr: number): boolean;
}

/** Bytes of foreign memory, copied once; fields are read at offsets that the caller knows to be inside. */
export class Bytes {
  readonly raw: Uint8Array;
  readonly #view: DataView;

  constructor(raw: Uint8Array) {
    this.raw = raw;
    this.#view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  }

  get length(): number {
    return this.raw.length;
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  /** A u64 as the nearest double: exact up to 2^53 - 1, and above that still larger than any RAM or count in use. */
  u64(offset: number): number {
    return this.u32(offset + 4) * 0x1_0000_0000 + this.u32(offset);
  }

  /** A u64 as `0x`-hex, exact. */
  u64Hex(offset: number): string {
    return hexOfHalves(this.u32(offset), this.u32(offset + 4));
  }

  /** A u64 as results report a count or a position: a number, or hex above 2^53 - 1. */
  u64Reported(offset: number): number | string {
    const value = this.u64(offset);
    return Number.isSafeInteger(value) ? value : this.u64Hex(offset);
  }

  /** A string in a fixed field. `terminated` is false when the field holds no NUL. */
  text(offset: number, sizeBytes: number): { text: string; terminated: boolean } {
    const field = this.raw.subarray(offset, offset + sizeBytes);
    const end = field.indexOf(0);
    return { text: printable(end < 0 ? field : field.subarray(0, end)), terminated: end >= 0 };
  }
}

/** Bytes as text for people and JSON: ASCII as it is, everything else as `\xNN`. */
export function printable(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) {
    out += byte >= 0x20 && byte < 0x7f && byte !== 0x5c ? String.fromCharCode(byte) : `\\x${hexByte(byte)}`;
  }
  return out;
}

function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

/** Bytes in the order they lie in memory, as hex digits. */
export function hexBytes(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) out += hexByte(byte);
  return out;
}

/**
 * `0x`-hex of an address that may lie beyond 2^53: radix keys decode to multiples of the page size up to 2^64, which a
 * double holds exactly but prints exactly only through a bigint.
 */
export function hexAddr(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return `0x${(Number.isSafeInteger(value) ? value : BigInt(value)).toString(16)}`;
}

/**
 * Reads foreign memory and never fails: a range that is not wholly in RAM is absent, and once the budget of bytes is
 * used up everything is. Both are values that the caller turns into a finding, so no walk over hostile pointers can
 * throw or run on.
 */
export class BoundedReader {
  readonly memory: ForeignMemory;
  /** Bytes that may still be read. */
  budgetBytes: number;
  /** There are only some blobs and no RAM around them: what is not carried is absent, not zero. */
  readonly partial: boolean;

  constructor(memory: ForeignMemory, budgetBytes: number, partial = false) {
    this.memory = memory;
    this.partial = partial;
    this.budgetBytes = budgetBytes;
  }

  /** All RAM in bytes; more than any machine has where it is not known. */
  get ramBytes(): number {
    return this.partial ? 2 ** 52 : this.memory.banks.reduce((sum, bank) => sum + bank.sizeBytes, 0);
  }

  /** Whether all bytes of a range are RAM; false for an empty range. */
  inRam(addr: number, sizeBytes = 1): boolean {
    return addr >= 0 && sizeBytes > 0 && this.memory.inRam(addr, sizeBytes);
  }

  /** Copies a range out; undefined when it is not in RAM or the budget is spent. */
  bytes(addr: number, sizeBytes: number): Bytes | undefined {
    if (sizeBytes === 0) return new Bytes(new Uint8Array(0));
    if (!Number.isSafeInteger(addr) || !this.inRam(addr, sizeBytes)) return undefined;
    if (sizeBytes > this.budgetBytes) return undefined;
    this.budgetBytes -= sizeBytes;
    return new Bytes(this.memory.readBytes(addr, sizeBytes));
  }

  /** Whether the image holds the content at an address (pages that it left out read as zero). */
  carries(addr: number): boolean {
    return Number.isSafeInteger(addr) && this.inRam(addr) && this.memory.carries(addr);
  }
}
