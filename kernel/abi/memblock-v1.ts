import { defineContract, type MemblockContract, type ReserveMemContract } from './contract.ts';
import { FDT_V17 } from './fdt-format.ts';

/** The named reserve_mem regions: one sub-FDT, the same from 6.16 on. */
export const MEMBLOCK_V1: MemblockContract = defineContract({
  name: 'memblock-v1',
  area: 'memblock',
  title: 'memblock sub-FDT',
  compatible: 'memblock-v1',
  versionedBy: 'memblock',
  subtree: { name: 'memblock', payload: 'fdt' },
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
          { key: 'compatible', name: 'compatible', type: 'string', required: true, doc: 'Version of this tree.' },
        ],
      },
    ],
  },
});

/** One region; a mismatch of string, size or alignment makes the kernel allocate afresh. */
export const RESERVE_MEM_V1: ReserveMemContract = defineContract({
  name: 'reserve-mem-v1',
  area: 'reserve-mem',
  title: 'reserve_mem region',
  compatible: 'reserve-mem-v1',
  versionedBy: 'reserve-mem',
  constants: {},
  structs: [],
  fdt: {
    ...FDT_V17,
    writing: 'sequential',
    nodes: [
      {
        role: 'region',
        name: '*',
        required: false,
        doc: 'A child of the memblock root, under the name that the command line gave.',
        properties: [
          { key: 'compatible', name: 'compatible', type: 'string', required: true, doc: 'Version of this node.' },
          { key: 'start', name: 'start', type: 'u64', required: true, doc: 'Physical address.' },
          { key: 'size', name: 'size', type: 'u64', required: true, doc: 'Size in bytes.' },
        ],
      },
    ],
  },
});
