import { hex, type PhysAddr } from '../units.ts';
import type { ByteSource } from './byte-source.ts';
import { ImageError } from './image-error.ts';
import type { MemoryImage } from './memory-image.ts';

/**
 * RAM as it is, from its first byte on: one bank.
 * @param base the physical address of the first byte.
 * @throws ImageError when there is nothing in it, or the address isn't page aligned.
 */
export function rawImage(source: ByteSource, base: number): MemoryImage {
  if (source.sizeBytes === 0) throw new ImageError({ message: 'is empty' });
  if (base % 4096 !== 0 || base + source.sizeBytes > Number.MAX_SAFE_INTEGER) {
    throw new ImageError({ message: `RAM does not begin at ${hex(base)}`, hint: 'RAM begins at a page' });
  }
  const sizeBytes = source.sizeBytes;
  return {
    format: 'raw',
    banks: [{ base: base as PhysAddr, sizeBytes, nid: 0 }],
    extents: [{ phys: base, sizeBytes, storedBytes: sizeBytes, offset: 0 }],
    source,
    notes: [],
  };
}
