import { fillWithObjects } from '../../kernel/kho/bitmap-slab.ts';
import type { ImageRam } from '../../machine/image/image-ram.ts';
import { alignDown, type PhysAddr, type PhysicalMemory, Random } from '../../machine/index.ts';
import type { ChunkListDocument } from '../inspect/memory-map.ts';

/** Bitmaps of this size come from slab, and share their pages with other kernel objects (6.16 to 6.17.8). */
const SLAB_BITMAP_BYTES = 512;

/**
 * A sparse image carries the bitmaps of an old handover, but not the kernel objects around them, which a reader that
 * takes bitmaps for whole pages reads too. Fills what is missing there as a kernel's slab would be.
 * @returns how many bytes were filled, 0 where there is nothing to fill.
 */
export function fillSlabAround(memory: PhysicalMemory, ram: ImageRam, map: ChunkListDocument, seed: number): number {
  if (map.bitmapBytes !== SLAB_BITMAP_BYTES) return 0;
  const random = new Random(seed);
  const pageBytes = memory.page.sizeBytes;
  const pages = new Set<number>();
  for (const chunk of map.chunks) {
    for (const entry of chunk.entries) {
      const bitmap = Number(entry.bitmap);
      const first = alignDown(bitmap, pageBytes);
      for (let page = first; page < bitmap + pageBytes; page += pageBytes) pages.add(page);
    }
  }
  let filled = 0;
  for (const page of [...pages].sort((a, b) => a - b)) {
    for (const hole of ram.missing(page, pageBytes)) {
      if (!memory.contains(hole.phys, hole.sizeBytes)) continue;
      const words = new Uint32Array(Math.ceil(hole.sizeBytes / 4));
      fillWithObjects(words, random);
      memory.writeBytes(hole.phys as PhysAddr, new Uint8Array(words.buffer, 0, hole.sizeBytes));
      filled += hole.sizeBytes;
    }
  }
  return filled;
}
