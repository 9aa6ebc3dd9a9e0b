import { defineContract, type NodeSpec, type RootContract } from './contract.ts';
import { FDT_V17 } from './fdt-format.ts';

const SUBTREE: NodeSpec = {
  role: 'subtree',
  name: '*',
  parent: 'root',
  required: false,
  doc: 'One node for each user, under the name it chose.',
  properties: [{ key: 'data', name: 'fdt', type: 'u64', required: true, doc: "Physical address of the user's FDT." }],
};

/** The root FDT of 6.16 to 6.18: written in one go when the handover is finalised. */
export const KHO_V1A: RootContract = defineContract({
  name: 'kho-v1a',
  area: 'root',
  title: 'root FDT',
  compatible: 'kho-v1',
  versionedBy: 'root',
  doc: 'One page with the entry points of everything that is handed over. Its address reaches the next kernel through the boot protocol.',
  constants: {},
  structs: [],
  fdt: {
    ...FDT_V17,
    writing: 'sequential',
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
            doc: 'The version of this tree, of the memory map and (from 6.18) of kho_vmalloc. Readers want exactly theirs.',
          },
          {
            key: 'map',
            name: 'preserved-memory-map',
            type: 'u64',
            required: true,
            doc: 'Physical address of the first chunk of the memory map, 0 when nothing is preserved.',
          },
        ],
      },
      SUBTREE,
    ],
  },
});

/** The root FDT of 6.19 and 7.0: the same properties, but there from the start and edited for each user. */
export const KHO_V1B: RootContract = defineContract({
  ...KHO_V1A,
  name: 'kho-v1b',
  fdt: { ...KHO_V1A.fdt, writing: 'edited' },
});

/**
 * The root FDT of the radix tree as it was first posted: another map under another property name, and the old string.
 * How it was written is inferred from what the series did to the notifiers.
 */
export const KHO_RADIX_RFC_V1_ROOT: RootContract = defineContract({
  ...KHO_V1B,
  name: 'kho-radix-rfc-v1-root',
  fdt: {
    ...KHO_V1B.fdt,
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
            doc: 'Still the string of the chunk list.',
          },
          {
            key: 'map',
            name: 'preserved-page-radix-tree',
            type: 'u64',
            required: true,
            doc: 'Physical address of the root page of the radix tree.',
          },
        ],
      },
      SUBTREE,
    ],
  },
});
