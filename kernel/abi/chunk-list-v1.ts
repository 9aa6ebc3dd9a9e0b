import { type ChunkListContract, defineContract } from './contract.ts';

/** The memory map of 6.16.0 to 6.17.8: bitmaps of 512 bytes, from slab. */
export const CHUNK_LIST_V1A: ChunkListContract = defineContract({
  name: 'chunk-list-v1a',
  area: 'map',
  title: 'chunk list of preserved memory',
  compatible: undefined,
  versionedBy: 'root',
  format: 'chunk-list',
  doc: 'Orders ascending, each beginning a chunk of its own; within an order ascending start addresses. Neither chunks nor bitmaps are preserved: the reader walks them while it allocates from scratch only.',
  bitmap: { sizeBytes: 512, allocator: 'slab' },
  constants: {
    PRESERVE_BITS: { value: 'BITMAP_BYTES * 8', decides: 'bytes', doc: 'Blocks that one bitmap covers.' },
    KHOSER_BITMAP_SIZE: {
      value: '(PAGE_SIZE - sizeof(khoser_mem_chunk_hdr)) / sizeof(khoser_mem_bitmap_ptr)',
      decides: 'bytes',
      doc: 'Bitmaps of a chunk.',
    },
  },
  structs: [
    {
      name: 'khoser_mem_bitmap_ptr',
      fields: [
        { name: 'phys_start', type: 'u64', doc: 'Physical address that bit 0 stands for.' },
        { name: 'bitmap', type: 'u64', doc: 'Physical address of the bitmap.' },
      ],
    },
    {
      name: 'khoser_mem_chunk_hdr',
      fields: [
        { name: 'next', type: 'u64', doc: 'Physical address of the next chunk, 0 at the end.' },
        { name: 'order', type: 'u32', doc: 'Order of every block in this chunk.' },
        { name: 'num_elms', type: 'u32', doc: 'Entries in use.' },
      ],
    },
    {
      name: 'khoser_mem_chunk',
      doc: 'One page.',
      fields: [
        { name: 'hdr', type: 'struct', struct: 'khoser_mem_chunk_hdr' },
        { name: 'bitmaps', type: 'struct', struct: 'khoser_mem_bitmap_ptr', count: 'KHOSER_BITMAP_SIZE' },
      ],
    },
  ],
});

/** The memory map of 6.17.9 to 7.0: a page for each bitmap. The string stayed. */
export const CHUNK_LIST_V1B: ChunkListContract = defineContract({
  ...CHUNK_LIST_V1A,
  name: 'chunk-list-v1b',
  bitmap: { sizeBytes: 'PAGE_SIZE', allocator: 'page' },
});
