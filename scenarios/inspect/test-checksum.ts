import { FolioChecksum } from '../../kernel/clients/checksum.ts';
import { ARCHES, type Arch } from '../../machine/machine.ts';
import type { ContentHasher } from './content.ts';

/**
 * What test_kho's checksum over these folios is, on the architecture of the image; on each there is, where the image
 * does not tell.
 */
export function testChecksums(
  arch: Arch | undefined,
  folios: readonly { readonly phys: number; readonly sizeBytes: number }[],
  hasher: ContentHasher,
): number[] {
  return (arch === undefined ? ARCHES : [arch]).map((candidate) => {
    let csum = 0;
    for (const { phys, sizeBytes } of folios) {
      const folio = new FolioChecksum(candidate, csum);
      hasher.pieces(phys, sizeBytes, (bytes) => folio.add(new Uint32Array(bytes.slice().buffer)));
      csum = folio.finish();
    }
    return csum;
  });
}
