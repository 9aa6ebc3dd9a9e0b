import { defineContract, type RootContract } from './contract.ts';

/** The root FDT of 7.2 and 7.3. Its own layout is that of kho-v3; the string moved because kho_block came under it. */
export const KHO_V4: RootContract = defineContract({
  name: 'kho-v4',
  area: 'root',
  title: 'root FDT',
  compatible: 'kho-v4',
  versionedBy: 'root',
  doc: 'One page with the entry points of everything that is handed over. Its address reaches the next kernel through the boot protocol.',
  constants: {},
  structs: [],
  fdt: {
    version: 17,
    lastCompatibleVersion: 16,
    bufferBytes: 'PAGE_SIZE',
    writing: 'edited',
    nodes: [
      {
        role: 'root',
        name: '',
        required: true,
        properties: [
          {
            key: 'compatible',
            name: 'compatible',
            type: 'string',
            required: true,
            doc: 'The version of this tree, of the memory map, of kho_vmalloc and of kho_block. Readers want exactly theirs.',
          },
          {
            key: 'map',
            name: 'preserved-memory-map',
            type: 'u64',
            required: true,
            doc: 'Physical address of the root page of the radix tree; 0 is refused.',
          },
        ],
      },
      {
        role: 'subtree',
        name: '*',
        parent: 'root',
        required: false,
        doc: 'One node for each user, under the name it chose.',
        properties: [
          {
            key: 'data',
            name: 'preserved-data',
            type: 'u64',
            required: true,
            doc: "Physical address of the user's FDT or blob.",
          },
          { key: 'size', name: 'blob-size', type: 'u64', required: true, doc: "Size of the user's data in bytes." },
        ],
      },
    ],
  },
});
