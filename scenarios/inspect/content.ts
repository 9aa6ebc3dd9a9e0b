import { createHash, type Hash } from 'node:crypto';
import type { BoundedReader } from './bounded-reader.ts';

/** How much is copied at once while hashing. */
const PIECE_BYTES = 1 << 20;

const ZEROES = new Uint8Array(64 * 1024);

/** A part of a content: a range of memory, or zeroes. */
export interface ContentPart {
  /** Physical address, undefined for zeroes. */
  readonly phys: number | undefined;
  readonly sizeBytes: number;
}

/**
 * Hashes contents piece by piece, in at most a given number of bytes for a whole inspection: absurd sizes cost nothing.
 */
export class ContentHasher {
  readonly #reader: BoundedReader;
  /** Bytes that may still be hashed. */
  budgetBytes: number;

  /** Whether contents are looked at. If not, a missing hash is nothing to report. */
  readonly enabled: boolean;

  /** @param budgetBytes undefined: contents are not to be looked at. */
  constructor(reader: BoundedReader, budgetBytes: number | undefined) {
    this.#reader = reader;
    this.enabled = budgetBytes !== undefined;
    this.budgetBytes = budgetBytes ?? -1;
  }

  /** sha256 in hex; undefined when a part is not RAM, or the budget does not suffice. */
  sha256(parts: Iterable<ContentPart>, totalBytes: number): string | undefined {
    if (!(totalBytes <= this.budgetBytes)) return undefined;
    this.budgetBytes -= totalBytes;
    const hash = createHash('sha256');
    for (const { phys, sizeBytes } of parts) {
      if (phys === undefined) updateZeroes(hash, sizeBytes);
      else if (!this.pieces(phys, sizeBytes, (bytes) => hash.update(bytes))) return undefined;
    }
    return hash.digest('hex');
  }

  /** Visits the bytes of a range in pieces of at most 1 MiB. False when it is not all RAM. Not counted in the budget. */
  pieces(phys: number, sizeBytes: number, visit: (bytes: Uint8Array) => void): boolean {
    if (!this.#reader.inRam(phys, sizeBytes)) return sizeBytes === 0;
    for (let done = 0; done < sizeBytes; done += PIECE_BYTES) {
      visit(this.#reader.memory.readBytes(phys + done, Math.min(PIECE_BYTES, sizeBytes - done)));
    }
    return true;
  }
}

function updateZeroes(hash: Hash, sizeBytes: number): void {
  for (let left = sizeBytes; left > 0; left -= ZEROES.length)
    hash.update(ZEROES.subarray(0, Math.min(left, ZEROES.length)));
}
