import { defineContract, type ScratchContract } from './contract.ts';

/** The scratch array and the boot protocol's struct: the same in every release, and under no string of their own. */
export const SCRATCH_V1: ScratchContract = defineContract({
  name: 'scratch-v1',
  area: 'scratch',
  title: 'scratch array and boot handoff',
  compatible: undefined,
  versionedBy: 'root',
  constants: {
    SETUP_KEXEC_KHO: { value: 10, decides: 'bytes', doc: 'Type of the x86 setup_data node.' },
  },
  structs: [
    {
      name: 'kho_scratch',
      fields: [
        { name: 'addr', type: 'u64', doc: 'Physical address of the area.' },
        { name: 'size', type: 'u64', doc: 'Its bytes; 0 is legal.' },
      ],
    },
    {
      name: 'kho_data',
      packed: true,
      doc: 'Payload of the x86 setup_data node.',
      fields: [
        { name: 'fdt_addr', type: 'u64', doc: 'Physical address of the root FDT.' },
        { name: 'fdt_size', type: 'u64', doc: 'PAGE_SIZE.' },
        { name: 'scratch_addr', type: 'u64', doc: 'Physical address of the scratch array.' },
        { name: 'scratch_size', type: 'u64', doc: 'Its bytes.' },
      ],
    },
  ],
});
