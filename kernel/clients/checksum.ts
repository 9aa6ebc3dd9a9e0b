import type { Arch, Pfn, PhysicalMemory } from '../../machine/index.ts';

/*
 * csum_partial as test_kho calls it, once per folio with the sum so far. Both architectures add the bytes in one's complement, so
 * that the sum of the 32-bit words as plain numbers has all that is needed; they differ in how far they fold, and when.
 *
 *   arm64  folds each folio to 16 bits, then adds that to the 32-bit sum with end-around carry
 *   x86    adds 64-bit words to the sum with end-around carry, and folds to 32 bits
 */

const MOD_16 = 0xffff;
const MOD_32 = 0xffff_ffff;

/** One's complement never makes 0 out of what was not all zero. */
function foldedTo(sum: number, modulus: number): number {
  if (sum === 0) return 0;
  const rest = sum % modulus;
  return rest === 0 ? modulus : rest;
}

/**
 * Adds the content of `nrPages` pages to a checksum.
 * @param csum the sum so far, a u32; 0 to begin with.
 * @returns the new sum, a u32.
 * @throws MachineFault outside RAM.
 */
export function csumPartial(arch: Arch, memory: PhysicalMemory, pfn: Pfn, nrPages: number, csum: number): number {
  const modulus = arch === 'arm64' ? MOD_16 : MOD_32;
  let sum = arch === 'arm64' ? 0 : csum;
  for (let i = 0; i < nrPages; i++) {
    const words = memory.pageWords((pfn + i) as Pfn);
    // At most 16384 words of 32 bits on top of 32 bits: exact in a double.
    for (let w = 0; w < words.length; w++) sum += words[w] as number;
    sum = foldedTo(sum, modulus);
  }
  if (arch !== 'arm64') return sum;
  const total = csum + sum;
  return total > MOD_32 ? total - MOD_32 : total;
}
