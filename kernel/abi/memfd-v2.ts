import { defineContract, type MemfdContract } from './contract.ts';

/** A preserved memfd since 7.1, which added the seals. */
export const MEMFD_V2: MemfdContract = defineContract({
  name: 'memfd-v2',
  area: 'memfd',
  title: 'preserved memfd',
  compatible: 'memfd-v2',
  versionedBy: 'memfd',
  constants: {
    MEMFD_LUO_FOLIO_DIRTY: { value: 1, decides: 'bytes', doc: 'Flag: the folio was dirty.' },
    MEMFD_LUO_FOLIO_UPTODATE: {
      value: 2,
      decides: 'bytes',
      doc: 'Flag: the folio has its content; without it it reads as zeroes.',
    },
    MEMFD_LUO_ALL_SEALS: {
      value: 0x3f,
      decides: 'limit',
      doc: 'Seals that can be preserved; others are refused on both sides.',
    },
    MEMFD_LUO_MAX_FOLIOS: { value: 0xffff_ffff, decides: 'limit', doc: 'More folios are refused.' },
  },
  structs: [
    {
      name: 'memfd_luo_folio_ser',
      packed: true,
      fields: [
        { name: 'pfn', type: 'u64', bits: 52, doc: 'Frame number, 0 for a hole.' },
        { name: 'flags', type: 'u64', bits: 12, doc: 'MEMFD_LUO_FOLIO_*.' },
        { name: 'index', type: 'u64', doc: 'Page offset in the file.' },
      ],
    },
    {
      name: 'memfd_luo_ser',
      packed: true,
      fields: [
        { name: 'pos', type: 'u64', doc: 'File position.' },
        { name: 'size', type: 'u64', doc: 'File size in bytes.' },
        { name: 'seals', type: 'u32', doc: 'F_SEAL_* of the file.' },
        { name: 'flags', type: 'u32', doc: 'None defined; ignored.' },
        { name: 'nr_folios', type: 'u64', doc: 'Entries of the folio array.' },
        { name: 'folios', type: 'struct', struct: 'kho_vmalloc', doc: 'The array of memfd_luo_folio_ser.' },
      ],
    },
  ],
});
