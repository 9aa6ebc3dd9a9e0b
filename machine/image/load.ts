import { imageFill, type PageSource } from '../fill.ts';
import type { RamBank } from '../memory-map.ts';
import type { PageSize } from '../page-size.ts';
import { PhysicalMemory } from '../physical-memory.ts';
import { alignDown, alignUp, type Pfn, type PhysAddr } from '../units.ts';
import { readExtents } from './image-ram.ts';
import { type MemoryImage, storedBytesOf } from './memory-image.ts';

/** Images that store no more than this are copied; of larger ones each page is fetched when it is read. */
const COPY_BYTES = 64 * 2 ** 20;

/** The banks of an image grown to whole pages, those joined that then overlap. */
export function wholePageBanks(image: MemoryImage, page: PageSize): RamBank[] {
  const out: RamBank[] = [];
  for (const bank of image.banks) {
    const base = alignDown(bank.base, page.sizeBytes);
    const end = alignUp(bank.base + bank.sizeBytes, page.sizeBytes);
    const last = out.at(-1);
    if (last !== undefined && last.base + last.sizeBytes > base) {
      out[out.length - 1] = { ...last, sizeBytes: Math.max(end, last.base + last.sizeBytes) - last.base };
    } else {
      out.push({ base: base as PhysAddr, sizeBytes: end - base, nid: bank.nid });
    }
  }
  return out;
}

/**
 * Makes RAM that holds what an image carries, and zero where it carries nothing. A kernel can boot on it.
 * @param writer who is named as the writer of the pages.
 */
export function loadImage(image: MemoryImage, page: PageSize, writer = 'image'): PhysicalMemory {
  const memory = new PhysicalMemory(page, wholePageBanks(image, page));
  memory.setWriter(writer);
  if (storedBytesOf(image) <= COPY_BYTES) copyExtents(image, memory);
  else mapExtents(image, memory);
  memory.setWriter('power-on');
  return memory;
}

function copyExtents(image: MemoryImage, memory: PhysicalMemory): void {
  for (const extent of image.extents) {
    if (extent.storedBytes > 0) {
      memory.writeBytes(extent.phys as PhysAddr, image.source.read(extent.offset, extent.storedBytes));
    }
  }
}

function mapExtents(image: MemoryImage, memory: PhysicalMemory): void {
  const pageBytes = memory.page.sizeBytes;
  const pages: PageSource = {
    readPage(frame, words) {
      words.fill(0);
      readExtents(image, frame * pageBytes, new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    },
  };
  const fill = imageFill(pages, 0);
  for (const extent of image.extents) {
    const first = Math.floor(extent.phys / pageBytes);
    const end = Math.ceil((extent.phys + extent.storedBytes) / pageBytes);
    for (const bank of memory.banks) {
      const from = Math.max(first, bank.base / pageBytes);
      const to = Math.min(end, (bank.base + bank.sizeBytes) / pageBytes);
      if (from < to) memory.fillPages(from as Pfn, to - from, fill);
    }
  }
}
