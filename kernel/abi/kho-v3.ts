import { defineContract, type NodeSpec, type PropertySpec, type RootContract } from './contract.ts';
import { FDT_V17 } from './fdt-format.ts';

const ROOT_NODE: NodeSpec = {
  role: 'root',
  name: '',
  required: true,
  properties: [
    {
      key: 'compatible',
      name: 'compatible',
      type: 'string',
      required: true,
      doc: 'The version of this tree and of everything that has no string of its own. Readers want exactly theirs.',
    },
    {
      key: 'map',
      name: 'preserved-memory-map',
      type: 'u64',
      required: true,
      doc: 'Physical address of the root page of the radix tree; 0 is refused.',
    },
  ],
};

const DATA: PropertySpec = {
  key: 'data',
  name: 'preserved-data',
  type: 'u64',
  required: true,
  doc: "Physical address of the user's FDT or blob.",
};

const SIZE: PropertySpec = {
  key: 'size',
  name: 'blob-size',
  type: 'u64',
  required: true,
  doc: "Size of the user's data in bytes: only an FDT knows its own.",
};

const SUBTREE = {
  role: 'subtree',
  name: '*',
  parent: 'root',
  required: false,
  doc: 'One node for each user, under the name it chose.',
} as const;

/** The root FDT of the development tree between 7.0 and 7.1-rc1: never in a release. */
export const KHO_V2: RootContract = defineContract({
  name: 'kho-v2',
  area: 'root',
  title: 'root FDT',
  compatible: 'kho-v2',
  versionedBy: 'root',
  doc: 'One page with the entry points of everything that is handed over. Its address reaches the next kernel through the boot protocol.',
  constants: {},
  structs: [],
  fdt: { ...FDT_V17, writing: 'edited', nodes: [ROOT_NODE, { ...SUBTREE, properties: [DATA] }] },
});

/** The root FDT of 7.1: subtrees may be raw blobs, so their size is written down. */
export const KHO_V3: RootContract = defineContract({
  ...KHO_V2,
  name: 'kho-v3',
  compatible: 'kho-v3',
  fdt: { ...FDT_V17, writing: 'edited', nodes: [ROOT_NODE, { ...SUBTREE, properties: [DATA, SIZE] }] },
});
