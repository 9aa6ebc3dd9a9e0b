import { defineContract, type VmallocContract } from './contract.ts';

/** kho_vmalloc of 6.18 and 6.19, declared beside the code. */
export const VMALLOC_V1: VmallocContract = defineContract({
  name: 'vmalloc-v1',
  area: 'vmalloc',
  title: 'preserved vmalloc areas',
  compatible: undefined,
  versionedBy: 'root',
  doc: 'A descriptor that users embed in their own structs, and a chain of pages with the addresses behind it.',
  constants: {
    KHO_VMALLOC_ALLOC: { value: 1, decides: 'bytes', doc: 'Flag: allocated with VM_ALLOC.' },
    KHO_VMALLOC_HUGE_VMAP: { value: 2, decides: 'bytes', doc: 'Flag: VM_ALLOW_HUGE_VMAP.' },
    KHO_VMALLOC_SIZE: {
      value: '(PAGE_SIZE - sizeof(kho_vmalloc_hdr)) / sizeof(u64)',
      decides: 'bytes',
      doc: 'Slots of a chunk.',
    },
  },
  structs: [
    {
      name: 'kho_vmalloc',
      fields: [
        { name: 'first', type: 'u64', doc: 'Physical address of the first chunk.' },
        { name: 'total_pages', type: 'u32', doc: 'Length of the area in pages.' },
        { name: 'flags', type: 'u16', doc: 'KHO_VMALLOC_ALLOC, KHO_VMALLOC_HUGE_VMAP.' },
        { name: 'order', type: 'u16', doc: 'Each slot stands for 2^order contiguous pages.' },
      ],
    },
    {
      name: 'kho_vmalloc_hdr',
      fields: [{ name: 'next', type: 'u64', doc: 'Physical address of the next chunk, 0 at the end.' }],
    },
    {
      name: 'kho_vmalloc_chunk',
      doc: 'One page.',
      fields: [
        { name: 'hdr', type: 'struct', struct: 'kho_vmalloc_hdr' },
        {
          name: 'phys',
          type: 'u64',
          count: 'KHO_VMALLOC_SIZE',
          doc: 'Physical addresses; a 0 ends the list. A full chunk has a successor, even an empty one.',
        },
      ],
    },
  ],
});

/** kho_vmalloc as of 7.0: moved to a header of its own, slots declared as u64. The same bytes. */
export const VMALLOC_V2: VmallocContract = defineContract({ ...VMALLOC_V1, name: 'vmalloc-v2' });
