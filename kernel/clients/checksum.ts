import { type Arch, type Pfn, type PhysicalMemory, sumOfFill } from '../../machine/index.ts';

/*
 * csum_partial as test_kho calls it, once per folio with the sum so far. Both architectures add the bytes in one's
 * complement, so that the sum of the 32-bit words as plain numbers has all that is needed; they differ in how far
 * they fold, and when.
 *
 *   arm64  folds each folio to 16 bits, then adds that to the 32-bit sum with end-around carry
 *   x86    adds 64-bit words to the sum with end-around carry, and folds to 32 bits
 */

const MOD_16 = 0xffff;
const MOD_32 = 0xffff_ffff;

const WORD_BYTES = 4;

/** So many halves of words add up to less than 2^30. */
const PIECE_WORDS = 2 ** 14;

/** One's complement never makes 0 out of what was not all zero. */
function foldedTo(sum: number, modulus: number): number {
  if (sum === 0) return 0;
  const rest = sum % modulus;
  return rest === 0 ? modulus : rest;
}

/** A checksum that one folio is being added to, piece by piece. */
export class FolioChecksum {
  readonly #arch: Arch;
  readonly #csum: number;
  #sum: number;

  /** @param csum the sum so far, a u32; 0 to begin with. */
  constructor(arch: Arch, csum: number) {
    this.#arch = arch;
    this.#csum = csum;
    this.#sum = arch === 'arm64' ? 0 : csum;
  }

  /** Adds the folio's next bytes, as 32-bit words: at most 2^20, so that the sum is exact in a double. */
  add(words: Uint32Array): void {
    let sum = this.#sum;
    for (let start = 0; start < words.length; start += PIECE_WORDS) {
      const end = Math.min(start + PIECE_WORDS, words.length);
      // Halves of words, in small integers: several times as fast as doubles.
      let low = 0;
      let high = 0;
      for (let w = start; w < end; w++) {
        const word = words[w] as number;
        low = (low + (word & 0xffff)) | 0;
        high = (high + (word >>> 16)) | 0;
      }
      sum += low + high * 0x1_0000;
    }
    this.#sum = foldedTo(sum, this.#arch === 'arm64' ? MOD_16 : MOD_32);
  }

  /** Adds bytes by the sum of their 32-bit words. @param sum below 2^52. */
  addSum(sum: number): void {
    this.#sum = foldedTo(this.#sum + sum, this.#arch === 'arm64' ? MOD_16 : MOD_32);
  }

  /** The new sum, a u32, now that the whole folio was added. */
  finish(): number {
    if (this.#arch !== 'arm64') return this.#sum;
    const total = this.#csum + this.#sum;
    return total > MOD_32 ? total - MOD_32 : total;
  }
}

/**
 * Adds the content of `nrPages` pages to a checksum.
 * @param csum the sum so far, a u32; 0 to begin with.
 * @returns the new sum, a u32.
 * @throws MachineFault outside RAM.
 */
export function csumPartial(arch: Arch, memory: PhysicalMemory, pfn: Pfn, nrPages: number, csum: number): number {
  const folio = new FolioChecksum(arch, csum);
  for (let i = 0; i < nrPages; i++) {
    const page = (pfn + i) as Pfn;
    const backing = memory.backing(page);
    const known =
      backing.kind === 'fill' ? sumOfFill(backing.fill, page, memory.page.sizeBytes / WORD_BYTES) : undefined;
    if (known === undefined) folio.add(memory.pageWords(page));
    else folio.addSum(known);
  }
  return folio.finish();
}
