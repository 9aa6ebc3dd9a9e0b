import type { PageSize } from '../../machine/index.ts';
import { fls64, shl64, shr64, type U64 } from './u64.ts';

/**
 * The part of a memory map contract that decides the shape of its radix tree. Page size and contract together give
 * every number of the tree:
 *
 *     63                            key                             0
 *    +--------+---------+---------+-- ... --+---------+--------------+
 *    | unused |  top    |  ...    |         | level 1 |   leaf bit   |
 *    +--------+---------+---------+-- ... --+---------+--------------+
 *              tableLog2 bits for each table           bitmapLog2 bits
 *
 * A table is a page of u64 physical addresses, a leaf a page of bits, and the tree always has its full depth.
 */
export interface RadixContract {
  readonly name: string;
  /**
   * Bits that the depth formula counts for the order, on top of those of a page frame number. The encoding of keys
   * needs exactly one (the marker bit of order 0). `log2` is the number of bits that an order number needs.
   */
  readonly depthOrderBits: 0 | 1 | 'log2';
}

/** 7.1-rc6 and later: the marker bit of order 0 is part of the key width (7.3 calls that KHO_RADIX_KEY_WIDTH). */
export const RADIX_V3: RadixContract = Object.freeze({ name: 'radix', depthOrderBits: 1 });

/** 7.1-rc1 to rc5: the marker bit was forgotten, so at 16K it lies above the top table. */
export const RADIX_V3_RC5: RadixContract = Object.freeze({ name: 'radix-7.1-rc5', depthOrderBits: 0 });

/** The series as first posted (September 2025): room for a whole order number was reserved. */
export const RADIX_RFC_V1: RadixContract = Object.freeze({ name: 'radix-rfc-v1', depthOrderBits: 'log2' });

/** The numbers of a tree, compiled once for a page size and a contract. */
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
  /** Levels including the leaves: 6, 5, 4. The root is at level depth - 1, leaves at 0. */
  readonly depth: number;
  /** The highest order whose key has a marker bit: 52, 50, 48. */
  readonly maxOrder: number;
  /** Position of the lowest key bit of each level's index; that of level 0 is 0. */
  readonly levelShifts: readonly number[];
}

/** The depth that a contract's formula gives; 1 (a lone leaf) is not a tree that kernels can walk. */
export function radixDepth(contract: RadixContract, page: PageSize): number {
  const pfnBits = page.physBits - page.shift;
  const orderBits = contract.depthOrderBits === 'log2' ? Math.ceil(Math.log2(pfnBits)) : contract.depthOrderBits;
  const tableLog2 = page.shift - 3;
  const bitmapLog2 = page.shift + 3;
  return Math.max(0, Math.ceil((pfnBits + orderBits - bitmapLog2) / tableLog2)) + 1;
}

/**
 * Compiles the numbers of a tree.
 * @throws RangeError when the address width gives a tree of less than two levels or one that a 64-bit key cannot index.
 */
export function radixGeometry(page: PageSize, contract: RadixContract = RADIX_V3): RadixGeometry {
  const tableLog2 = page.shift - 3;
  const bitmapLog2 = page.shift + 3;
  const depth = radixDepth(contract, page);
  if (depth < 2) throw new RangeError(`${page.physBits} address bits are too few for a tree of ${page.name} pages`);
  const levelShifts = [0];
  for (let level = 1; level < depth; level++) levelShifts.push(bitmapLog2 + (level - 1) * tableLog2);
  if ((levelShifts[depth - 1] as number) > 63)
    throw new RangeError(`a tree of depth ${depth} needs keys above 64 bits`);
  return Object.freeze({
    page,
    contract,
    keyWidth: page.physBits - page.shift + 1,
    tableLog2,
    slots: 2 ** tableLog2,
    bitmapLog2,
    depth,
    maxOrder: page.physBits - page.shift,
    levelShifts: Object.freeze(levelShifts),
  });
}

/**
 * The key of a block: a marker bit that tells the order, and below it the address in units of the block. Literal for
 * any operands: shift counts wrap at 64, so an order above `maxOrder` gives the nonsense that a kernel would compute.
 * @param order unsigned 32-bit.
 */
export function encodeKey(geometry: RadixGeometry, physLo: number, physHi: number, order: number): U64 {
  const { page } = geometry;
  const marker = shl64(1, 0, page.physBits - page.shift - order);
  const shifted = shr64(physLo, physHi, page.shift + order);
  return { lo: (marker.lo | shifted.lo) >>> 0, hi: (marker.hi | shifted.hi) >>> 0 };
}

/** What a key says: the address in halves, the order as unsigned 32-bit (above 64 for keys wider than the tree). */
export interface DecodedKey extends U64 {
  readonly order: number;
}

/** The block that a key stands for, literal for any key: a key of 0 decodes to order 53 at 4K. */
export function decodeKey(geometry: RadixGeometry, keyLo: number, keyHi: number): DecodedKey {
  const { page } = geometry;
  const order = (page.physBits - page.shift - (fls64(keyLo, keyHi) - 1)) >>> 0;
  const phys = shl64(keyLo, keyHi, page.shift + order);
  if (page.physBits === 64) return { ...phys, order };
  const mask = page.physBits >= 32 ? [0xffff_ffff, 2 ** (page.physBits - 32) - 1] : [2 ** page.physBits - 1, 0];
  return { lo: (phys.lo & (mask[0] as number)) >>> 0, hi: (phys.hi & (mask[1] as number)) >>> 0, order };
}

/** The size in bytes of a decoded block as the kernel computes it: 1 shifted by page shift + order, modulo 64. */
export function blockBytes(geometry: RadixGeometry, order: number): U64 {
  return shl64(1, 0, geometry.page.shift + order);
}

/** The slot of a key in the table at a level from 1 up. */
export function tableIndex(geometry: RadixGeometry, keyLo: number, keyHi: number, level: number): number {
  const shift = geometry.levelShifts[level] as number;
  const mask = geometry.slots - 1;
  if (shift >= 32) return (keyHi >>> (shift - 32)) & mask;
  return ((keyLo >>> shift) | (keyHi << (32 - shift))) & mask;
}

/** The bit of a key in its leaf. */
export function bitmapIndex(geometry: RadixGeometry, keyLo: number): number {
  return keyLo & (2 ** geometry.bitmapLog2 - 1);
}
