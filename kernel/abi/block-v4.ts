import { type BlockContract, defineContract } from './contract.ts';

/** kho_block: chained pages of equal entries, new in 7.2 and the reason for kho-v4. */
export const BLOCK_V4: BlockContract = defineContract({
  name: 'block-v4',
  area: 'block',
  title: 'linked serialization blocks',
  compatible: undefined,
  versionedBy: 'root',
  constants: {
    KHO_BLOCK_SIZE: { value: 'PAGE_SIZE', decides: 'bytes', doc: 'Bytes of a block, header included.' },
    KHO_MAX_BLOCKS: { value: 10000, decides: 'limit', doc: 'Blocks of a chain; a longer one is refused.' },
  },
  structs: [
    {
      name: 'kho_block_header_ser',
      packed: true,
      doc: 'The start of a block; the entries follow it without a gap.',
      fields: [
        { name: 'next', type: 'u64', doc: 'Physical address of the next block, 0 at the end.' },
        { name: 'count', type: 'u64', doc: 'Entries in this block: 1 to as many as fit.' },
      ],
    },
  ],
});
