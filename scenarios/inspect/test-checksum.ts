import type { Arch } from '../../machine/machine.ts';
import type { ContentHasher } from './content.ts';

/**
 * What test_kho's checksum over these folios is, on the architecture of the image; on both where the image does not
 * tell. Observed on real images: arm64 folds each folio to 16 bits and adds those with a 32-bit end-around carry;
 * x86_64 adds 64-bit words with end-around carry and folds the sum of a folio and what came before to 32 bits.
 */
export function testChecksums(
  arch: Arch | undefined,
  folios: readonly { readonly phys: number; readonly sizeBytes: number }[],
  hasher: ContentHasher,
): number[] {
  let arm64 = 0;
  let x86 = 0;
  for (const { phys, sizeBytes } of folios) {
    let lo = 0;
    let hi = 0;
    hasher.pieces(phys, sizeBytes, (bytes) => {
      const words = new Uint32Array(bytes.slice().buffer);
      for (let i = 0; i < words.length; i += 2) {
        lo += words[i] as number;
        hi += words[i + 1] as number;
      }
      // Both stay below 2^53 for a piece; fold so that the next piece has room.
      const carried = fold64(lo, hi);
      lo = carried.lo;
      hi = carried.hi;
    });
    arm64 = addCarry32(arm64, fold16(lo, hi));
    const sum = fold64(lo + x86, hi);
    x86 = addCarry32(sum.lo, sum.hi);
  }
  if (arch === undefined) return [arm64, x86];
  return [arch === 'arm64' ? arm64 : x86];
}

/** A sum of 64-bit words, kept as sums of their halves, with its carries brought around. */
function fold64(lo: number, hi: number): { lo: number; hi: number } {
  let low = lo;
  let high = hi;
  while (low >= 0x1_0000_0000 || high >= 0x1_0000_0000) {
    const carryLow = Math.floor(low / 0x1_0000_0000);
    const carryHigh = Math.floor(high / 0x1_0000_0000);
    low = (low % 0x1_0000_0000) + carryHigh;
    high = (high % 0x1_0000_0000) + carryLow;
  }
  return { lo: low, hi: high };
}

function fold16(lo: number, hi: number): number {
  let sum = (lo & 0xffff) + (lo >>> 16) + (hi & 0xffff) + (hi >>> 16);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

function addCarry32(a: number, b: number): number {
  const sum = a + b;
  return sum > 0xffff_ffff ? (sum % 0x1_0000_0000) + 1 : sum;
}
