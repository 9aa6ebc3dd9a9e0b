import type { Arch, BootHandoff } from '../machine.ts';
import type { RamBank } from '../memory-map.ts';
import type { PageSize } from '../page-size.ts';
import type { ByteSource } from './byte-source.ts';

/** What a captured memory was read from. */
export type ImageFormat = 'khosim-sparse-1' | 'elf-core' | 'raw' | 'debugfs';

/** A piece of RAM that an image carries: `sizeBytes` at `phys`, of which the first `storedBytes` are in the source. */
export interface ImageExtent {
  readonly phys: number;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  /** Where the stored bytes begin in the source. */
  readonly offset: number;
}

/** What every format of image comes to. */
export interface MemoryImage {
  readonly format: ImageFormat;
  /** undefined where the container doesn't say. */
  readonly arch?: Arch | undefined;
  readonly page?: PageSize | undefined;
  /** RAM, by ascending address; not necessarily whole pages. */
  readonly banks: readonly RamBank[];
  readonly handoff?: BootHandoff | undefined;
  /** What is carried, by ascending address, without overlap. */
  readonly extents: readonly ImageExtent[];
  readonly source: ByteSource;
  /** Things about the container that a user may want to know, and that keep nothing from working. */
  readonly notes: readonly string[];
}

/** No bank is larger: 2^32 pages of 4K, 16 TiB. */
export const MAX_BANK_BYTES = 2 ** 44;

/** A range of physical addresses. */
export interface PhysRange {
  readonly phys: number;
  readonly sizeBytes: number;
}

/** Whether a range lies in RAM: in one bank, or in banks (by ascending address) that touch. */
export function liesInBanks(banks: readonly RamBank[], phys: number, sizeBytes: number): boolean {
  let at = phys;
  const end = phys + sizeBytes;
  for (const bank of banks) {
    if (at >= end) break;
    if (bank.base <= at && at < bank.base + bank.sizeBytes) at = bank.base + bank.sizeBytes;
  }
  return phys >= 0 && at >= end;
}

/** The first index whose extent ends behind `phys`. */
export function firstExtentBehind(extents: readonly ImageExtent[], phys: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const extent = extents[middle];
    if (extent !== undefined && extent.phys + extent.sizeBytes <= phys) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many bytes of the source an image refers to. */
export function storedBytesOf(image: MemoryImage): number {
  return image.extents.reduce((sum, extent) => sum + extent.storedBytes, 0);
}

/** Joins banks of one node that touch each other. */
export function joinBanks(banks: readonly RamBank[]): RamBank[] {
  const out: RamBank[] = [];
  for (const bank of [...banks].sort((a, b) => a.base - b.base)) {
    const last = out.at(-1);
    if (last !== undefined && last.nid === bank.nid && last.base + last.sizeBytes >= bank.base) {
      const end = Math.max(last.base + last.sizeBytes, bank.base + bank.sizeBytes);
      out[out.length - 1] = { ...last, sizeBytes: end - last.base };
    } else {
      out.push(bank);
    }
  }
  return out;
}
