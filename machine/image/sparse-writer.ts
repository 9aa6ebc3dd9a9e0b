import type { Arch, BootHandoff } from '../machine.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import { alignDown, alignUp, hex, type PhysAddr } from '../units.ts';
import type { ImageExtent, PhysRange } from './memory-image.ts';
import { SPARSE_FORMAT } from './sparse.ts';

/** What a khosim-sparse-1 image is made of. */
export interface SparseImageRequest {
  readonly memory: PhysicalMemory;
  readonly arch: Arch;
  readonly handoff?: BootHandoff | undefined;
  /** What to carry, in any order; grown to whole pages. Ranges outside RAM are left out. */
  readonly ranges: Iterable<PhysRange>;
  /** Name of the data file that goes into the document. */
  readonly data: string;
}

/** An image ready to be written: the document for JSON.stringify, and the data piece by piece. */
export interface SparseImageOutput {
  readonly document: unknown;
  readonly sizeBytes: number;
  /** The data file, unpacked, in pieces of at most a MiB or a page. Can be asked for again. */
  chunks(): Generator<Uint8Array>;
}

const PIECE_BYTES = 0x10_0000;

/**
 * Makes a khosim-sparse-1 image of parts of RAM. Zeros at the end of a piece are not stored. The same RAM gives the
 * same bytes.
 */
export function buildSparseImage(request: SparseImageRequest): SparseImageOutput {
  const { memory, handoff } = request;
  const page = memory.page.sizeBytes;
  const extents: ImageExtent[] = [];
  let offset = 0;
  for (const range of pieces(memory, request.ranges)) {
    const storedBytes = usedBytes(memory.readBytes(range.phys as PhysAddr, range.sizeBytes));
    extents.push({ ...range, storedBytes, offset });
    offset += storedBytes;
  }
  const rangeOf = (at: { phys: number; sizeBytes: number }) => ({ phys: hex(at.phys), size: at.sizeBytes });
  const document = {
    format: SPARSE_FORMAT,
    arch: request.arch,
    pageSize: page,
    ram: memory.banks.map((bank) => ({
      base: hex(bank.base),
      size: hex(bank.sizeBytes),
      ...(bank.nid === 0 ? {} : { nid: bank.nid }),
    })),
    ...(handoff === undefined ? {} : { handoff: { fdt: rangeOf(handoff.fdt), scratch: rangeOf(handoff.scratch) } }),
    data: request.data,
    extents: extents.map((extent) => ({
      phys: hex(extent.phys),
      size: extent.sizeBytes,
      stored: extent.storedBytes,
      offset: extent.offset,
    })),
  };
  return {
    document,
    sizeBytes: offset,
    *chunks() {
      for (const extent of extents) {
        if (extent.storedBytes > 0) yield memory.readBytes(extent.phys as PhysAddr, extent.storedBytes);
      }
    },
  };
}

/** The ranges as whole pages, sorted, joined, inside banks, in pieces. */
function* pieces(memory: PhysicalMemory, ranges: Iterable<PhysRange>): Generator<PhysRange> {
  const page = memory.page.sizeBytes;
  const sorted: PhysRange[] = [];
  for (const range of ranges) {
    if (range.sizeBytes <= 0) continue;
    const start = alignDown(range.phys, page);
    const end = alignUp(range.phys + range.sizeBytes, page);
    for (const bank of memory.banks) {
      const from = Math.max(start, bank.base);
      const to = Math.min(end, bank.base + bank.sizeBytes);
      if (from < to) sorted.push({ phys: from, sizeBytes: to - from });
    }
  }
  sorted.sort((a, b) => a.phys - b.phys);
  let done = 0;
  for (const [i, range] of sorted.entries()) {
    let at = Math.max(range.phys, done);
    let end = range.phys + range.sizeBytes;
    // What touches is one range, as long as it stays in one bank.
    for (let j = i + 1; j < sorted.length; j++) {
      const next = sorted[j];
      if (next === undefined || next.phys > end || !memory.contains(range.phys, end + 1 - range.phys)) break;
      end = Math.max(end, next.phys + next.sizeBytes);
    }
    while (at < end) {
      const sizeBytes = Math.min(PIECE_BYTES, end - at);
      yield { phys: at, sizeBytes };
      at += sizeBytes;
    }
    done = Math.max(done, end);
  }
}

/** How many bytes there are up to the last one that isn't zero; the array begins a buffer. */
function usedBytes(bytes: Uint8Array): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  let word = words.length;
  while (word > 0 && words[word - 1] === 0) word--;
  let end = Math.min(word * 4, bytes.length);
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}
