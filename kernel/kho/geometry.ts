import type { PageSize } from '../../machine/index.ts';
import { type RadixContract, radixNumbersOf } from '../abi/contract.ts';
import { RADIX_V4 } from '../abi/radix.ts';
import { fls64, shl64, shr64, type U64, u64OfBig } from './u64.ts';

/*
 * The numbers of a radix tree, compiled from a page size and the formulas of a contract:
 *
 *     63                            key                             0
 *    +--------+---------+---------+-- ... --+---------+--------------+
 *    | unused |   top   |   ...   |         | level 1 |   leaf bit   |
 *    +--------+---------+---------+-- ... --+---------+--------------+
 *              tableLog2 bits for each table           bitmapLog2 bits
 *
 * A table is a page of u64 physical addresses, a leaf a page of bits, and the tree has its full depth everywhere.
 */

/** The numbers of a tree; hot loops copy what they need into locals. */
export interface RadixGeometry {
  readonly page: PageSize;
  readonly contract: RadixContract;
  /** Bits of the widest valid key: 53, 51, 49. */
  readonly keyWidth: number;
  /** log2 of the slots of a table: 9, 11, 13. */
  readonly tableLog2: number;
  readonly slots: number;
  /** log2 of the bits of a leaf: 15, 17, 19. */
  readonly bitmapLog2: number;
  /** 32-bit words of a leaf's bitmap. */
  readonly bitmapWords: number;
  /** Levels including the leaves: 6, 5, 4. The root is at level depth - 1, leaves at 0. */
  readonly depth: number;
  /** Position of the lowest key bit of each level's index; that of level 0 is 0. */
  readonly levelShifts: readonly number[];
  /** Whether table slots are big-endian (in no kernel so far). */
  readonly bigEndianSlots: boolean;
  /** Orders from 0 that have a marker bit: 53, 51, 49. */
  readonly nrOrders: number;
  /** For each order the index of its marker bit; -1 above those that have one. */
  readonly markerBits: Int8Array;
  /** For each order how far the physical address is shifted right. */
  readonly addressShifts: Int8Array;
  /** For each bit the order that it marks; -1 for none. */
  readonly orderOfBit: Int8Array;
  /** The bits that a physical address has: all 64 in every kernel. */
  readonly addressMask: U64;
  /**
   * Whether keys are laid out as in every kernel so far: marker at PHYS_BITS - PAGE_SHIFT - order, shift of
   * PAGE_SHIFT + order. Then any operands give what a kernel would compute, nonsense included.
   */
  readonly plainKeys: boolean;
}

/**
 * Compiles the numbers of a tree.
 * @throws RangeError when the contract's formulas make no tree for this page size; ExpressionError when one of them
 * cannot be evaluated.
 */
export function radixGeometry(page: PageSize, contract: RadixContract = RADIX_V4): RadixGeometry {
  const numbers = radixNumbersOf(contract, page);
  const { keyWidth, tableLog2, bitmapLog2, depth } = numbers;
  const refuse = (why: string): never => {
    throw new RangeError(`${contract.name} makes no tree of ${page.name} pages: ${why}`);
  };
  if (depth < 2) refuse(`a depth of ${depth} leaves no table`);
  if (tableLog2 < 1 || tableLog2 > page.shift - 3) refuse(`2^${tableLog2} slots are not a page of u64`);
  if (bitmapLog2 < 5 || bitmapLog2 > page.shift + 3) refuse(`2^${bitmapLog2} bits are not a page of bits`);
  const levelShifts = [0];
  for (let level = 1; level < depth; level++) levelShifts.push(bitmapLog2 + (level - 1) * tableLog2);
  if ((levelShifts[depth - 1] as number) > 63) refuse(`at a depth of ${depth} keys are above 64 bits`);

  const markerBits = new Int8Array(64).fill(-1);
  const addressShifts = new Int8Array(64);
  const orderOfBit = new Int8Array(64).fill(-1);
  let nrOrders = 0;
  let plainKeys = true;
  for (const [order, bit] of numbers.orderBits.entries()) {
    const shift = numbers.addressShifts[order] as number;
    if (bit < 0 || bit > 63 || shift < 0 || shift > 64) break;
    if (orderOfBit[bit] !== -1) refuse(`orders ${orderOfBit[bit]} and ${order} have one marker bit`);
    markerBits[order] = bit;
    addressShifts[order] = shift;
    orderOfBit[bit] = order;
    nrOrders = order + 1;
    if (bit !== page.physBits - page.shift - order || shift !== page.shift + order) plainKeys = false;
  }
  if (nrOrders === 0) refuse('order 0 has no marker bit');

  return Object.freeze({
    page,
    contract,
    keyWidth,
    tableLog2,
    slots: 2 ** tableLog2,
    bitmapLog2,
    bitmapWords: 2 ** bitmapLog2 / 32,
    depth,
    levelShifts: Object.freeze(levelShifts),
    bigEndianSlots: contract.entry.byteOrder === 'big',
    nrOrders,
    markerBits,
    addressShifts,
    orderOfBit,
    addressMask: u64OfBig((1n << BigInt(page.physBits)) - 1n),
    plainKeys,
  });
}

/**
 * The key of a block: a marker bit that tells the order, and below it the address in units of the block. Literal for
 * any operands: shift counts wrap at 64, so an order that has no marker bit gives the nonsense that a kernel computes.
 * @param order unsigned 32-bit.
 */
export function encodeKey(geometry: RadixGeometry, physLo: number, physHi: number, order: number): U64 {
  const { page, nrOrders } = geometry;
  const known = order < nrOrders;
  const bit = known ? (geometry.markerBits[order] as number) : page.physBits - page.shift - order;
  const shift = known ? (geometry.addressShifts[order] as number) : page.shift + order;
  const marker = shl64(1, 0, bit);
  const shifted = shr64(physLo, physHi, shift);
  return { lo: (marker.lo | shifted.lo) >>> 0, hi: (marker.hi | shifted.hi) >>> 0 };
}

/** What a key says: the address in halves, the order as unsigned 32-bit (above 64 for keys wider than the tree). */
export interface DecodedKey extends U64 {
  readonly order: number;
}

/** The block that a key stands for, literal for any key: a key of 0 decodes to order 53 at 4K. */
export function decodeKey(geometry: RadixGeometry, keyLo: number, keyHi: number): DecodedKey {
  const { page, addressMask } = geometry;
  const top = fls64(keyLo, keyHi) - 1;
  if (!geometry.plainKeys) {
    const order = geometry.orderOfBit[top] ?? -1;
    if (order < 0) return { lo: 0, hi: 0, order: 0xffff_ffff };
    // The marker need not fall off the top here: take it away first.
    const marker = shl64(1, 0, top);
    const phys = shl64(keyLo & ~marker.lo, keyHi & ~marker.hi, geometry.addressShifts[order] as number);
    return { lo: phys.lo, hi: phys.hi, order };
  }
  const order = (page.physBits - page.shift - top) >>> 0;
  const phys = shl64(keyLo, keyHi, page.shift + order);
  return { lo: (phys.lo & addressMask.lo) >>> 0, hi: (phys.hi & addressMask.hi) >>> 0, order };
}

/** The size in bytes of a decoded block as the kernel computes it: 1 shifted by page shift + order, modulo 64. */
export function blockBytes(geometry: RadixGeometry, order: number): U64 {
  return shl64(1, 0, geometry.page.shift + order);
}

/** The slot of a key in the table at a level from 1 up. */
export function tableIndex(geometry: RadixGeometry, keyLo: number, keyHi: number, level: number): number {
  const shift = geometry.levelShifts[level] as number;
  const mask = geometry.slots - 1;
  // Processors take the counts modulo 32.
  if (shift >= 32) return (keyHi >>> shift) & mask;
  return ((keyLo >>> shift) | (keyHi << -shift)) & mask;
}

/** The bit of a key in its leaf. */
export function bitmapIndex(geometry: RadixGeometry, keyLo: number): number {
  return keyLo & (2 ** geometry.bitmapLog2 - 1);
}
