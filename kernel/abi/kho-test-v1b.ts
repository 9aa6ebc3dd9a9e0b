import { defineContract, type TestContract } from './contract.ts';

/** What test_kho hands over since 6.18: the list of folios in vmalloc memory. The string is that of the raw form. */
export const KHO_TEST_V1B: TestContract = defineContract({
  name: 'kho-test-v1b',
  area: 'test',
  title: 'test_kho',
  compatible: 'kho-test-v1',
  versionedBy: 'test',
  subtree: { name: 'kho_test', payload: 'fdt' },
  constants: {
    KHO_TEST_MAGIC: { value: 0x4b484f21, decides: 'bytes', doc: 'Value of the magic property.' },
  },
  structs: [],
  fdt: {
    version: 17,
    lastCompatibleVersion: 16,
    bufferBytes: 'PAGE_SIZE',
    writing: 'sequential',
    nodes: [
      {
        role: 'root',
        name: '',
        required: true,
        properties: [
          { key: 'compatible', name: 'compatible', type: 'string', required: true, doc: 'Version of this tree.' },
          { key: 'magic', name: 'magic', type: 'u32', required: true, doc: 'KHO_TEST_MAGIC.' },
        ],
      },
      {
        role: 'data',
        name: 'data',
        parent: 'root',
        required: true,
        properties: [
          { key: 'nrFolios', name: 'nr_folios', type: 'u32', required: true, doc: 'Folios in the list.' },
          {
            key: 'foliosInfo',
            name: 'folios_info',
            type: 'struct',
            struct: 'kho_vmalloc',
            required: true,
            doc: 'The list, one u64 each: physical address, order in the low bits.',
          },
          { key: 'csum', name: 'csum', type: 'u32', required: true, doc: 'Checksum over all folios.' },
        ],
      },
    ],
  },
});
