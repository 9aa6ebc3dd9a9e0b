import type { RadixView } from './model.ts';

/** A part of a key, from its highest bits down. */
export interface KeyPart {
  readonly what: 'order bit' | 'table index' | 'leaf bit' | 'unused';
  /** Level of the tree that the bits belong to; -1 for none. */
  readonly level: number;
  readonly bits: string;
  readonly value: number;
}

/** The key of a block: the order's marker bit, and below it the address in units of the block. undefined for an order without a marker. */
export function keyOf(view: RadixView, pageShift: number, pfn: number, order: number): bigint | undefined {
  const bit = view.markerBits[order];
  const shift = view.addressShifts[order];
  if (bit === undefined || shift === undefined) return undefined;
  return (1n << BigInt(bit)) | ((BigInt(pfn) << BigInt(pageShift)) >> BigInt(shift));
}

/** The index that a key has at a level: the slot of a table, or the bit of a leaf. */
export function indexAt(view: RadixView, key: bigint, level: number): number {
  const width = level === 0 ? view.bitmapLog2 : view.tableLog2;
  return Number((key >> BigInt(view.levelShifts[level] ?? 0)) & ((1n << BigInt(width)) - 1n));
}

/** Takes a key apart into the indexes of each level, top down. */
export function partsOf(view: RadixView, key: bigint): KeyPart[] {
  const parts: KeyPart[] = [];
  for (let level = view.depth - 1; level >= 0; level--) {
    const low = view.levelShifts[level] ?? 0;
    const full = level === 0 ? view.bitmapLog2 : view.tableLog2;
    const width = Math.max(Math.min(full, view.keyWidth - low), 1);
    const value = indexAt(view, key, level);
    const what = level === 0 ? 'leaf bit' : 'table index';
    parts.push({ what, level, bits: value.toString(2).padStart(width, '0'), value });
  }
  return parts;
}

/** Position of the bit that tells the order: the highest that is set. */
export function markerBitOf(key: bigint): number {
  return key.toString(2).length - 1;
}
