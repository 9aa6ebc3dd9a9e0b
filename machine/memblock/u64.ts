import { hex } from '../units.ts';
import { PHYS_ADDR_MAX } from './flags.ts';

/*
 * Arithmetic on physical addresses as memblock does it, modulo 2^64, on doubles in which 2^64 stands for 2^64 - 1
 * (see PHYS_ADDR_MAX). Everything below 2^53 takes the short path; the rest goes through BigInt.
 */

const MASK = (1n << 64n) - 1n;
const EXACT = Number.MAX_SAFE_INTEGER;

/** The u64 that a memblock number stands for. */
export function toU64(value: number): bigint {
  return value >= PHYS_ADDR_MAX ? MASK : BigInt(value);
}

/** The memblock number for a u64: the nearest that a double has, PHYS_ADDR_MAX for all ones. */
export function fromU64(value: bigint): number {
  return value === MASK ? PHYS_ADDR_MAX : Number(BigInt.asUintN(64, value));
}

/** base + size, wrapping at 2^64 as the kernel's sum does where it does not cap. */
export function wrappingAdd(base: number, size: number): number {
  const sum = base + size;
  return sum <= EXACT ? sum : fromU64(toU64(base) + toU64(size));
}

/** The end of a range, capped at PHYS_ADDR_MAX (memblock_cap_size). */
export function cappedEnd(base: number, size: number): number {
  const sum = base + size;
  return sum < PHYS_ADDR_MAX ? sum : PHYS_ADDR_MAX;
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value)) && 2 ** Math.log2(value) === value;
}

/** The kernel's round_up: masks, so an alignment that is no power of two gives what masking gives. */
export function roundUp64(value: number, align: number): number {
  if (value + align <= EXACT && isPowerOfTwo(align)) {
    const rest = value % align;
    return rest === 0 ? value : value + (align - rest);
  }
  return fromU64(BigInt.asUintN(64, ((toU64(value) - 1n) | BigInt.asUintN(64, toU64(align) - 1n)) + 1n) & MASK);
}

/** The kernel's round_down, by masks as well. */
export function roundDown64(value: number, align: number): number {
  if (value <= EXACT && isPowerOfTwo(align)) return value - (value % align);
  return fromU64(toU64(value) & ~BigInt.asUintN(64, toU64(align) - 1n));
}

/** round_down(end - size, align), exact for an end of PHYS_ADDR_MAX as well. Needs size <= end. */
export function highestAligned(end: number, size: number, align: number): number {
  if (end <= EXACT) return roundDown64(end - size, align);
  return fromU64((toU64(end) - toU64(size)) & ~BigInt.asUintN(64, toU64(align) - 1n));
}

/** Bytes between two addresses, as memblock's number. */
export function sizeBetween(base: number, end: number): number {
  if (end <= EXACT) return end - base;
  return fromU64(toU64(end) - toU64(base));
}

/** Bytes between two addresses, exact: a region capped at the end of the address space is a byte short of it. */
export function exactSizeBetween(base: number, end: number): bigint {
  return toU64(end) - toU64(base);
}

/** `0x`-hex of an address or size, all 64 bits exact. */
export function hexU64(value: number): string {
  return value <= EXACT ? hex(value) : hex(toU64(value));
}

/** `0x`-hex with all 16 digits, as the kernel prints `%pa`. */
export function hexPa(value: number): string {
  return `0x${toU64(value).toString(16).padStart(16, '0')}`;
}
