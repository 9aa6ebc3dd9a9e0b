import { defineContract, type MemfdContract } from './contract.ts';

/** A preserved memfd of 6.19 and 7.0: what it had of seals is lost. */
export const MEMFD_V1: MemfdContract = defineContract({
  name: 'memfd-v1',
  area: 'memfd',
  title: 'preserved memfd',
  compatible: 'memfd-v1',
  versionedBy: 'memfd',
  constants: {
    MEMFD_LUO_FOLIO_DIRTY: { value: 1, decides: 'bytes', doc: 'Flag: the folio was dirty.' },
    MEMFD_LUO_FOLIO_UPTODATE: {
      value: 2,
      decides: 'bytes',
      doc: 'Flag: the folio has its content; without it it reads as zeroes.',
    },
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
        { name: 'nr_folios', type: 'u64', doc: 'Entries of the folio array.' },
        { name: 'folios', type: 'struct', struct: 'kho_vmalloc', doc: 'The array of memfd_luo_folio_ser.' },
      ],
    },
  ],
});

const [FOLIO, MEMFD] = MEMFD_V1.structs;
if (FOLIO === undefined || MEMFD === undefined) throw new Error('memfd-v1 lost its structs');

/** A preserved memfd since 7.1, which added the seals, and refuses what it can't count. */
export const MEMFD_V2: MemfdContract = defineContract({
  ...MEMFD_V1,
  name: 'memfd-v2',
  compatible: 'memfd-v2',
  constants: {
    ...MEMFD_V1.constants,
    MEMFD_LUO_MAX_FOLIOS: { value: 0xffff_ffff, decides: 'limit', doc: 'More folios are refused.' },
    MEMFD_LUO_ALL_SEALS: {
      value: 0x3f,
      decides: 'limit',
      doc: 'Seals that can be preserved; others are refused on both sides.',
    },
  },
  structs: [
    FOLIO,
    {
      ...MEMFD,
      fields: [
        ...MEMFD.fields.slice(0, 2),
        { name: 'seals', type: 'u32', doc: 'F_SEAL_* of the file.' },
        { name: 'flags', type: 'u32', doc: 'None defined; ignored.' },
        ...MEMFD.fields.slice(2),
      ],
    },
  ],
});
