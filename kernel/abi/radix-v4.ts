import { defineContract, type RadixContract } from './contract.ts';

/** The tree of preserved memory, as of 7.1-rc6: the key is one bit wider than a frame number. */
export const RADIX_V4: RadixContract = defineContract({
  name: 'radix-v4',
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
    depth: 'divRoundUp(KEY_WIDTH - BITMAP_LOG2, TABLE_LOG2) + 1',
    leafLevel: 0,
  },
  encoding: { orderBit: 'PHYS_BITS - PAGE_SHIFT - ORDER', addressShift: 'PAGE_SHIFT + ORDER' },
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
