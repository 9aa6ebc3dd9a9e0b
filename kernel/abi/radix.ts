import { defineContract, type RadixContract } from './contract.ts';

/**
 * The tree of preserved memory as it was merged. The depth counts the bits of a shifted address, but not the one in
 * front of them that tells the order: with 16K pages that bit lies beyond the top table.
 */
export const RADIX_V2: RadixContract = defineContract({
  name: 'radix-v2',
  area: 'map',
  title: 'radix tree of preserved memory',
  compatible: undefined,
  versionedBy: 'root',
  format: 'radix-tree',
  doc: 'Each preserved block is one key; a key is a path through page-sized tables down to one bit of a page-sized bitmap. The tree has its full depth everywhere.',
  geometry: {
    keyWidth: 'PHYS_BITS - PAGE_SHIFT + 1',
    tableLog2: 'PAGE_SHIFT - 3',
    bitmapLog2: 'PAGE_SHIFT + 3',
    depth: 'divRoundUp(PHYS_BITS - PAGE_SHIFT - BITMAP_LOG2, TABLE_LOG2) + 1',
    leafLevel: 0,
  },
  encoding: { orderBit: 'PHYS_BITS - PAGE_SHIFT - ORDER', addressShift: 'PAGE_SHIFT + ORDER' },
  keyAssembly: 'shifted',
  entry: { type: 'u64' },
  leafWord: 'u64',
  constants: {},
  structs: [
    {
      name: 'kho_radix_node',
      doc: 'A table: the physical addresses of the tables or leaves below, 0 where there is none.',
      fields: [{ name: 'table', type: 'u64', count: 'PAGE_SIZE / 8', doc: 'Physical addresses, 0 for absent.' }],
    },
    {
      name: 'kho_radix_leaf',
      doc: 'A bitmap: bit i is set when the key whose low bits are i is in the tree.',
      fields: [{ name: 'bitmap', type: 'u64', count: 'PAGE_SIZE / 8', doc: 'Bit i is bit i % 64 of word i / 64.' }],
    },
  ],
});

/** The tree of 7.1-rc6 to 7.2: the depth counts the whole key. The string stayed. */
export const RADIX_V3: RadixContract = defineContract({
  ...RADIX_V2,
  name: 'radix-v3',
  geometry: {
    ...RADIX_V2.geometry,
    depth: 'divRoundUp(PHYS_BITS - PAGE_SHIFT - BITMAP_LOG2 + 1, TABLE_LOG2) + 1',
  },
});

/** The tree of 7.3: the same, said in terms of the key's width. */
export const RADIX_V4: RadixContract = defineContract({
  ...RADIX_V3,
  name: 'radix-v4',
  geometry: { ...RADIX_V3.geometry, depth: 'divRoundUp(KEY_WIDTH - BITMAP_LOG2, TABLE_LOG2) + 1' },
});

/**
 * The tree as it was first posted. Levels are counted from 1 at the leaf; the depth leaves room for the order written
 * as a number although the key has it as one bit; the walk collects table offsets unshifted and shifts them at each
 * level, which comes to the same keys.
 */
export const RADIX_RFC_V1: RadixContract = defineContract({
  ...RADIX_V2,
  name: 'radix-rfc-v1',
  geometry: {
    ...RADIX_V2.geometry,
    depth:
      'divRoundUp(PHYS_BITS - PAGE_SHIFT - BITMAP_LOG2 + ilog2(roundUpPow2(PHYS_BITS - PAGE_SHIFT)), TABLE_LOG2) + 1',
    leafLevel: 1,
  },
  keyAssembly: 'unshifted',
});
