import { defineContract, type PropertySpec, type TestContract } from './contract.ts';
import { FDT_V17 } from './fdt-format.ts';

function khoTest(name: string, foliosInfo: PropertySpec): TestContract {
  return defineContract({
    name,
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
      ...FDT_V17,
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
            foliosInfo,
            { key: 'csum', name: 'csum', type: 'u32', required: true, doc: 'Checksum over all folios.' },
          ],
        },
      ],
    },
  });
}

/** What test_kho hands over in 6.17: the list of folios is in the FDT. */
export const KHO_TEST_V1A: TestContract = khoTest('kho-test-v1a', {
  key: 'foliosInfo',
  name: 'folios_info',
  type: 'u64[]',
  required: true,
  doc: 'One u64 for each folio: physical address, order in the low bits.',
});

/** Since 6.18: the list is in vmalloc memory, and the property is what leads to it. The string stayed. */
export const KHO_TEST_V1B: TestContract = khoTest('kho-test-v1b', {
  key: 'foliosInfo',
  name: 'folios_info',
  type: 'struct',
  struct: 'kho_vmalloc',
  required: true,
  doc: 'The list, one u64 each: physical address, order in the low bits.',
});
