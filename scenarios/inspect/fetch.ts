import { type BoundedReader, type Bytes, hexAddr } from './bounded-reader.ts';
import type { Findings } from './findings.ts';

/**
 * Copies a piece of metadata, and reports why it cannot or why it may not be what was there. The caller has made sure
 * that it is RAM.
 * @param where whose it is, for the finding.
 * @param what it is: `its struct`, `chunk 3`.
 */
export function fetchMetadata(
  reader: BoundedReader,
  findings: Findings,
  phys: number,
  sizeBytes: number,
  where: string,
  what: string,
): Bytes | undefined {
  if (!reader.carries(phys)) {
    if (reader.partial) {
      findings.add('not-in-image', where, `${what} at ${hexAddr(phys)} is not among the blobs`, 'note');
      return undefined;
    }
    findings.add('not-in-image', where, `${what} at ${hexAddr(phys)} is not in the image; read as zeroes`);
  }
  const bytes = reader.bytes(phys, sizeBytes);
  if (bytes === undefined) findings.add('read-budget', where, `${what} at ${hexAddr(phys)} is not read`);
  return bytes;
}
