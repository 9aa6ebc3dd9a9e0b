import { firstExtentBehind, liesInBanks, type MemoryImage, type PhysRange } from './memory-image.ts';

/** The grain in which RAM is fetched and kept: the largest page, so that no page is cut. */
const BLOCK_BYTES = 0x1_0000;
/** A piece of a scan. */
const SCAN_BYTES = 0x10_0000;
/** Blocks kept: 32 MiB, whatever the size of the image. */
const MAX_BLOCKS = 512;

/** Bytes that were asked for, with what is known about them. */
export interface BoundedRead {
  readonly bytes: Uint8Array;
  /** Ranges of them that lie in RAM but that the image does not carry: zero in `bytes`. */
  readonly missing: readonly PhysRange[];
}

/**
 * The RAM of an image as one reads foreign memory: an address outside RAM gives undefined, a byte that the image does
 * not carry gives zero and a note that it is missing. Never throws for an address, and keeps at most 32 MiB at hand
 * (patched blocks beside), however large the image is.
 */
export class ImageRam {
  readonly image: MemoryImage;
  readonly #blocks = new Map<number, Uint8Array>();
  readonly #patched = new Map<number, Uint8Array>();
  #lastIndex = -1;
  #last: Uint8Array = new Uint8Array(0);

  constructor(image: MemoryImage) {
    this.image = image;
  }

  /** Whether a range lies in RAM: in one bank, or in banks that touch. */
  inRam(phys: number, sizeBytes = 1): boolean {
    return liesInBanks(this.image.banks, phys, sizeBytes);
  }

  /** The parts of a range that the image does not carry, in or outside RAM. */
  missing(phys: number, sizeBytes: number): PhysRange[] {
    const out: PhysRange[] = [];
    const end = phys + sizeBytes;
    const extents = this.image.extents;
    let at = phys;
    for (let i = firstExtentBehind(extents, phys); at < end; i++) {
      const extent = extents[i];
      const next = Math.min(extent?.phys ?? end, end);
      if (next > at) out.push({ phys: at, sizeBytes: next - at });
      if (extent === undefined) break;
      at = Math.max(at, extent.phys + extent.sizeBytes);
    }
    return out;
  }

  /** Whether the image carries every byte of a range. */
  carries(phys: number, sizeBytes: number): boolean {
    return this.missing(phys, sizeBytes).length === 0;
  }

  /** Reads a range; undefined if it does not lie wholly in RAM. */
  readBounded(phys: number, sizeBytes: number): BoundedRead | undefined {
    if (!Number.isSafeInteger(phys) || !this.inRam(phys, sizeBytes)) return undefined;
    return { bytes: this.#copy(phys, sizeBytes), missing: this.missing(phys, sizeBytes) };
  }

  /** A u32 at a 4-byte aligned address; undefined outside RAM. Zero where the image carries nothing. */
  readU32(phys: number): number | undefined {
    if (!Number.isSafeInteger(phys) || !this.inRam(phys, 4)) return undefined;
    const at = phys % BLOCK_BYTES;
    const block = this.#block((phys - at) / BLOCK_BYTES);
    return (
      ((block[at] ?? 0) | ((block[at + 1] ?? 0) << 8) | ((block[at + 2] ?? 0) << 16) | ((block[at + 3] ?? 0) << 24)) >>>
      0
    );
  }

  /** A u64 at an 8-byte aligned address as a number: exact up to 2^53 - 1, else the nearest; undefined outside RAM. */
  readU64(phys: number): number | undefined {
    const low = this.readU32(phys);
    const high = this.readU32(phys + 4);
    return low === undefined || high === undefined ? undefined : high * 0x1_0000_0000 + low;
  }

  /** Changes what is read from now on; the image itself stays as it is. @returns false outside RAM, nothing changed. */
  patch(phys: number, bytes: Uint8Array): boolean {
    if (!this.inRam(phys, bytes.length)) return false;
    let done = 0;
    while (done < bytes.length) {
      const at = (phys + done) % BLOCK_BYTES;
      const index = (phys + done - at) / BLOCK_BYTES;
      const part = Math.min(BLOCK_BYTES - at, bytes.length - done);
      const block = this.#patched.get(index) ?? this.#fetch(index);
      block.set(bytes.subarray(done, done + part), at);
      this.#patched.set(index, block);
      done += part;
    }
    this.#lastIndex = -1;
    return true;
  }

  /**
   * Shows stored bytes, piece by piece and by ascending address: for a search of RAM. Patches are in them; at the end the
   * blocks around patches are shown once more, for what was patched into holes. Nothing of an array is kept.
   */
  scan(visit: (phys: number, bytes: Uint8Array) => void): void {
    for (const extent of this.image.extents) {
      for (let done = 0; done < extent.storedBytes; done += SCAN_BYTES) {
        const phys = extent.phys + done;
        const stored = this.image.source.pass(extent.offset + done, Math.min(SCAN_BYTES, extent.storedBytes - done));
        visit(phys, this.#overlay(phys, stored));
      }
    }
    for (const [index, block] of this.#patched) visit(index * BLOCK_BYTES, block);
  }

  /** Stored bytes with the patches in them: a copy if there are any. */
  #overlay(phys: number, stored: Uint8Array): Uint8Array {
    let bytes = stored;
    for (const [index, block] of this.#patched) {
      const start = index * BLOCK_BYTES;
      const from = Math.max(start, phys);
      const to = Math.min(start + BLOCK_BYTES, phys + bytes.length);
      if (from >= to) continue;
      // Not slice(): that of a Buffer copies nothing.
      if (bytes === stored) bytes = new Uint8Array(stored);
      bytes.set(block.subarray(from - start, to - start), from - phys);
    }
    return bytes;
  }

  #copy(phys: number, sizeBytes: number): Uint8Array {
    const out = new Uint8Array(sizeBytes);
    let done = 0;
    while (done < sizeBytes) {
      const at = (phys + done) % BLOCK_BYTES;
      const part = Math.min(BLOCK_BYTES - at, sizeBytes - done);
      out.set(this.#block((phys + done - at) / BLOCK_BYTES).subarray(at, at + part), done);
      done += part;
    }
    return out;
  }

  #block(index: number): Uint8Array {
    if (index === this.#lastIndex) return this.#last;
    let block = this.#patched.get(index) ?? this.#blocks.get(index);
    if (block === undefined) {
      block = this.#fetch(index);
      if (this.#blocks.size >= MAX_BLOCKS) {
        const oldest = this.#blocks.keys().next();
        if (!oldest.done) this.#blocks.delete(oldest.value);
      }
      this.#blocks.set(index, block);
    }
    this.#lastIndex = index;
    this.#last = block;
    return block;
  }

  #fetch(index: number): Uint8Array {
    const block = new Uint8Array(BLOCK_BYTES);
    readExtents(this.image, index * BLOCK_BYTES, block);
    return block;
  }
}

/** Copies what an image carries of the range that begins at `phys` into zeroed bytes. */
export function readExtents(image: MemoryImage, phys: number, out: Uint8Array): void {
  const end = phys + out.length;
  for (let i = firstExtentBehind(image.extents, phys); ; i++) {
    const extent = image.extents[i];
    if (extent === undefined || extent.phys >= end) return;
    const from = Math.max(phys, extent.phys);
    const to = Math.min(end, extent.phys + extent.storedBytes);
    if (from < to) image.source.readInto(extent.offset + from - extent.phys, out.subarray(from - phys, to - phys));
  }
}
