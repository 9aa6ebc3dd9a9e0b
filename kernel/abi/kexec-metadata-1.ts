import { defineContract, type MetadataContract } from './contract.ts';

/** Who handed over, and how often. The first contract with an integer version. */
export const KEXEC_METADATA_1: MetadataContract = defineContract({
  name: 'kexec-metadata-1',
  area: 'metadata',
  title: 'kexec metadata',
  compatible: 1,
  versionedBy: 'metadata',
  subtree: { name: 'kexec-metadata', payload: 'raw', struct: 'kho_kexec_metadata' },
  constants: {
    __NEW_UTS_LEN: { value: 64, decides: 'bytes', doc: 'Longest release name, without its NUL.' },
  },
  structs: [
    {
      name: 'kho_kexec_metadata',
      packed: true,
      fields: [
        { name: 'version', type: 'u32', doc: 'The version of this struct.' },
        {
          name: 'previous_release',
          type: 'char',
          count: '__NEW_UTS_LEN + 1',
          doc: 'Release of the kernel that handed over.',
        },
        { name: 'kexec_count', type: 'u32', doc: 'Handovers since the last cold boot.' },
      ],
    },
  ],
});
