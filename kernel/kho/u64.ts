/**
 * Unsigned 64-bit values as two 32-bit halves, for what a double cannot hold: wild pointers, keys and addresses that
 * foreign memory holds. The halves may be signed or unsigned; what these functions return is unsigned.
 */
export interface U64 {
  readonly lo: number;
  readonly hi: number;
}

/** `value << count`, the count taken modulo 64 as the processors do. */
export function shl64(lo: number, hi: number, count: number): U64 {
  const n = count & 63;
  if (n === 0) return { lo: lo >>> 0, hi: hi >>> 0 };
  if (n >= 32) return { lo: 0, hi: (lo << (n - 32)) >>> 0 };
  return { lo: (lo << n) >>> 0, hi: ((hi << n) | (lo >>> (32 - n))) >>> 0 };
}

/** `value >> count` without sign, the count taken modulo 64 as the processors do. */
export function shr64(lo: number, hi: number, count: number): U64 {
  const n = count & 63;
  if (n === 0) return { lo: lo >>> 0, hi: hi >>> 0 };
  if (n >= 32) return { lo: hi >>> (n - 32), hi: 0 };
  return { lo: ((lo >>> n) | (hi << (32 - n))) >>> 0, hi: hi >>> n };
}

/** Number of the highest set bit, counted from 1; 0 for 0. */
export function fls64(lo: number, hi: number): number {
  return hi === 0 ? 32 - Math.clz32(lo) : 64 - Math.clz32(hi);
}

/** The halves of a whole number from 0 to 2^53 - 1. */
export function u64Of(value: number): U64 {
  return { lo: value >>> 0, hi: Math.floor(value / 0x1_0000_0000) };
}

/** The halves of the low 64 bits; negative values wrap. */
export function u64OfBig(value: bigint): U64 {
  return { lo: Number(value & 0xffff_ffffn), hi: Number((value >> 32n) & 0xffff_ffffn) };
}

/** All 64 bits. */
export function bigOf(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/** The four bytes in reverse order. */
export function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
