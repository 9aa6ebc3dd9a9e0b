import type { MemoryRange } from './result.ts';

/** More ranges than this are not told apart by any picture. */
const MAX_RANGES = 3000;

/**
 * The banks of a machine, and what lies in them, by address. Where there are too many ranges to draw, ranges of one kind
 * that are closer than a picture can show become one.
 */
export function joinRanges(
  banks: readonly { readonly base: number; readonly sizeBytes: number }[],
  ranges: readonly MemoryRange[],
): MemoryRange[] {
  const out: MemoryRange[] = banks.map(({ base, sizeBytes }) => ({ base, sizeBytes, kind: 'ram' }));
  const ramBytes = banks.reduce((sum, bank) => sum + bank.sizeBytes, 0);
  for (const kind of ['scratch', 'preserved', 'client', 'map'] as const) {
    const own = ranges.filter((range) => range.kind === kind).sort((a, b) => a.base - b.base);
    let gapBytes = 0;
    let joined = join(own, gapBytes);
    for (let parts = MAX_RANGES; joined.length > MAX_RANGES / 3; parts /= 2) {
      gapBytes = ramBytes / parts;
      joined = join(own, gapBytes);
    }
    out.push(...joined);
  }
  return out;
}

function join(ranges: readonly MemoryRange[], gapBytes: number): MemoryRange[] {
  const out: MemoryRange[] = [];
  for (const range of ranges) {
    const last = out.at(-1);
    if (last !== undefined && range.base <= last.base + last.sizeBytes + gapBytes) {
      const end = Math.max(last.base + last.sizeBytes, range.base + range.sizeBytes);
      out[out.length - 1] = { ...last, sizeBytes: end - last.base };
    } else out.push(range);
  }
  return out;
}
