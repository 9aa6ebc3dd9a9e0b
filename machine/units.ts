/**
 * The numbers a kernel counts memory in, kept apart by the type checker. They are plain numbers at run time, so hot
 * loops pay nothing; a bare number becomes one only through the functions below, which check their range.
 */

/** A physical address in bytes, 0 to 2^53 - 1: what a double holds exactly. Wider values are never a PhysAddr. */
export type PhysAddr = number & { readonly __unit: 'PhysAddr' };

/** A page frame number: a physical address divided by the page size. */
export type Pfn = number & { readonly __unit: 'Pfn' };

/** The binary logarithm of a number of pages: order 3 is 8 pages. */
export type Order = number & { readonly __unit: 'Order' };

/** NUMA_NO_NODE, as memblock uses it for reserved regions. */
export const NUMA_NO_NODE = -1;

/**
 * Makes a physical address of a number.
 * @throws RangeError unless it is a whole number from 0 to 2^53 - 1.
 */
export function physAddr(value: number): PhysAddr {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a physical address: ${value}`);
  return value as PhysAddr;
}

/**
 * Makes a page frame number of a number.
 * @throws RangeError unless it is a whole number from 0 to 2^53 - 1.
 */
export function pfn(value: number): Pfn {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a page frame number: ${value}`);
  return value as Pfn;
}

/**
 * Makes an order of a number.
 * @throws RangeError unless it is a whole number from 0 to 63.
 */
export function order(value: number): Order {
  if (!Number.isInteger(value) || value < 0 || value > 63) throw new RangeError(`not an order: ${value}`);
  return value as Order;
}

/** `0x`-hex of an address or size, as results and logs print it. Exact for whole numbers up to 2^53 - 1. */
export function hex(value: number | bigint): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

/** The u64 whose halves these are as `0x`-hex: exact for all 64 bits. */
export function hexOfHalves(lo: number, hi: number): string {
  const high = hi >>> 0;
  const low = lo >>> 0;
  return high === 0 ? `0x${low.toString(16)}` : `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`;
}

/** Rounds down to a multiple of `align`, any positive whole number. Exact up to 2^53 - 1. */
export function alignDown(value: number, align: number): number {
  return value - (value % align);
}

/** Rounds up to a multiple of `align`, any positive whole number. Exact while the result is below 2^53. */
export function alignUp(value: number, align: number): number {
  const rest = value % align;
  return rest === 0 ? value : value + (align - rest);
}

/** Index of the lowest set bit of a positive whole number up to 2^53 - 1; 53 for 0, so that 0 counts as aligned to everything. */
export function ctz(value: number): number {
  const lo = value >>> 0;
  if (lo !== 0) return 31 - Math.clz32(lo & -lo);
  const hi = Math.floor(value / 0x1_0000_0000);
  return hi === 0 ? 53 : 63 - Math.clz32(hi & -hi);
}

/** floor(log2(value)) of a positive whole number up to 2^53 - 1. */
export function ilog2(value: number): number {
  const hi = Math.floor(value / 0x1_0000_0000);
  return hi === 0 ? 31 - Math.clz32(value) : 63 - Math.clz32(hi);
}
