import type { PageSize } from './page-size.ts';

/** log2 of the 32-bit words of a slab. */
export const SLAB_WORDS_LOG2 = 20;
const SLAB_BYTES_LOG2 = SLAB_WORDS_LOG2 + 2;

function grown<T extends Uint32Array | Uint16Array>(array: T, length: number): T {
  const next = new (array.constructor as new (n: number) => T)(Math.max(length, array.length * 2));
  next.set(array);
  return next;
}

/**
 * The pages of RAM that are kept byte for byte, in slabs of 4 MiB that are never moved. Frames are numbered from 1 as they are
 * made, and live as long as the pool: versions of memory share them. Each knows the epoch that it was made in, and who
 * wrote it last.
 */
export class FramePool {
  /** Slabs of 2^SLAB_WORDS_LOG2 words, one frame behind the other. The array grows, and stays the same one. */
  readonly slabs: Uint32Array[] = [];
  readonly #slabBytes: Uint8Array[] = [];
  readonly #pageBytes: number;
  readonly #framesPerSlabShift: number;
  readonly #frameMask: number;
  readonly #wordShift: number;
  #epochs = new Uint32Array(256);
  #writers = new Uint16Array(256);
  #nrFrames = 1;

  constructor(page: PageSize) {
    this.#pageBytes = page.sizeBytes;
    this.#framesPerSlabShift = SLAB_BYTES_LOG2 - page.shift;
    this.#frameMask = (1 << this.#framesPerSlabShift) - 1;
    this.#wordShift = page.shift - 2;
  }

  /** A frame of zeroes, made in an epoch by a writer. */
  make(epoch: number, writer: number): number {
    const frame = this.#nrFrames++;
    if (frame >= this.#epochs.length) {
      this.#epochs = grown(this.#epochs, frame + 1);
      this.#writers = grown(this.#writers, frame + 1);
    }
    const slab = frame >>> this.#framesPerSlabShift;
    while (slab >= this.slabs.length) {
      const buffer = new ArrayBuffer(1 << SLAB_BYTES_LOG2);
      this.slabs.push(new Uint32Array(buffer));
      this.#slabBytes.push(new Uint8Array(buffer));
    }
    this.#epochs[frame] = epoch;
    this.#writers[frame] = writer;
    return frame;
  }

  epochOf(frame: number): number {
    return this.#epochs[frame]!;
  }

  writerOf(frame: number): number {
    return this.#writers[frame]!;
  }

  setWriter(frame: number, writer: number): void {
    this.#writers[frame] = writer;
  }

  /** The slab of 32-bit words that a frame lies in: its first word is at `wordOffset(frame)`. */
  words(frame: number): Uint32Array {
    return this.slabs[frame >>> this.#framesPerSlabShift]!;
  }

  /** Index of a frame's first word in its slab. */
  wordOffset(frame: number): number {
    return (frame & this.#frameMask) << this.#wordShift;
  }

  /** The frame's own words. */
  content(frame: number): Uint32Array {
    const at = this.wordOffset(frame);
    return this.words(frame).subarray(at, at + this.#pageBytes / 4);
  }

  /** Writes bytes into a frame, from a byte of it on. */
  setBytes(frame: number, offset: number, bytes: Uint8Array): void {
    const start = (frame & this.#frameMask) * this.#pageBytes + offset;
    this.#slabBytes[frame >>> this.#framesPerSlabShift]!.set(bytes, start);
  }

  /** Bytes of memory that the slabs take. */
  get committedBytes(): number {
    return this.slabs.length * 2 ** SLAB_BYTES_LOG2;
  }
}
