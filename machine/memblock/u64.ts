import { hex } from '../units.ts';
import { PHYS_ADDR_MAX } from './flags.ts';

/*
 * Arithmetic on physical addresses as memblock does it, modulo 2^64, on doubles in which 2^64 stands for 2^64 - 1
 * (see PHYS_ADDR_MAX). What allocations compute goes by halves of 32 bits, which is exact for every double.
 */

/** An address that an allocation came to is one that no double has: khosim cannot go on, and does not guess. */
export class InexactAddress extends RangeError {
  constructor(exact: bigint) {
    super(`no double has the address 0x${exact.toString(16)}`);
  }
}

const MASK = (1n << 64n) - 1n;
const HALF = 2 ** 32;

/** The u64 that a memblock number stands for. */
export function toU64(value: number): bigint {
  return value >= PHYS_ADDR_MAX ? MASK : BigInt(value);
}

/** The memblock number for a u64: the nearest that a double has, so PHYS_ADDR_MAX for all ones. */
export function fromU64(value: bigint): number {
  return Number(BigInt.asUintN(64, value));
}

/** base + size, wrapping at 2^64 as the kernel's sum does where it does not cap. */
export function wrappingAdd(base: number, size: number): number {
  return fromU64(toU64(base) + toU64(size));
}

/** The end of a range, capped at PHYS_ADDR_MAX (memblock_cap_size). */
export function cappedEnd(base: number, size: number): number {
  return Math.min(base + size, PHYS_ADDR_MAX);
}

/** The low half of the u64, as an unsigned number. */
function low(value: number): number {
  return value >= PHYS_ADDR_MAX ? HALF - 1 : value >>> 0;
}

function high(value: number): number {
  return value >= PHYS_ADDR_MAX ? HALF - 1 : Math.floor(value / HALF);
}

/** The number for two halves, each taken modulo 2^32. */
function join(highHalf: number, lowHalf: number): number {
  return (highHalf >>> 0) * HALF + (lowHalf >>> 0);
}

/** The high half of align - 1; its low half is low(align) - 1. */
function highMask(align: number): number {
  return high(align) - (low(align) === 0 ? 1 : 0);
}

/** The kernel's round_up, ((value - 1) | (align - 1)) + 1: an alignment that is no power of two gives what masks give. */
export function roundUp64(value: number, align: number): number {
  const lowHalf = ((low(value) - 1) | (low(align) - 1)) + 1;
  const highHalf = (high(value) - (low(value) === 0 ? 1 : 0)) | highMask(align);
  return join(highHalf + (lowHalf === 0 ? 1 : 0), lowHalf);
}

/** The kernel's round_down, by masks as well. @throws InexactAddress where there is no such number. */
export function roundDown64(value: number, align: number): number {
  return highestAligned(value, 0, align);
}

/**
 * round_down(end - size, align), exact for an end of PHYS_ADDR_MAX as well.
 * @throws InexactAddress where there is no such number.
 */
export function highestAligned(end: number, size: number, align: number): number {
  const lowHalf = low(end) - low(size);
  const highHalf = high(end) - high(size) - (lowHalf < 0 ? 1 : 0);
  const alignedLow = lowHalf & ~(low(align) - 1);
  const result = join(highHalf & ~highMask(align), alignedLow);
  // From 2^53 on low bits are lost; all ones are PHYS_ADDR_MAX.
  if (result > Number.MAX_SAFE_INTEGER && low(result) !== alignedLow >>> 0) {
    throw new InexactAddress((BigInt((highHalf & ~highMask(align)) >>> 0) << 32n) | BigInt(alignedLow >>> 0));
  }
  return result;
}

/** Bytes between two addresses, as memblock's number: the nearest that a double has. */
export function sizeBetween(base: number, end: number): number {
  const lowHalf = low(end) - low(base);
  return join(high(end) - high(base) - (lowHalf < 0 ? 1 : 0), lowHalf);
}

/** Bytes between two addresses, exact: a region capped at the end of the address space is a byte short of it. */
export function exactSizeBetween(base: number, end: number): bigint {
  return toU64(end) - toU64(base);
}

/** `0x`-hex of an address or size, all 64 bits exact. */
export function hexU64(value: number): string {
  return hex(toU64(value));
}

/** `0x`-hex with all 16 digits, as the kernel prints `%pa`. */
export function hexPa(value: number): string {
  return `0x${toU64(value).toString(16).padStart(16, '0')}`;
}
