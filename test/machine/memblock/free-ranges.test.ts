import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FreeRanges } from '../../../machine/memblock/free-ranges.ts';
import { NO_REGION, RegionTable } from '../../../machine/memblock/region-table.ts';

interface Region {
  readonly base: number;
  readonly end: number;
  readonly flags: number;
}

/** Regions from gap and length, ascending. */
function regionsOf(parts: readonly (readonly [number, number, number])[]): Region[] {
  let at = 0;
  return parts.map(([gap, length, flags]) => {
    const base = at + gap;
    at = base + length;
    return { base, end: at, flags };
  });
}

function tableOf(name: 'memory' | 'reserved', regions: readonly Region[]): RegionTable {
  const table = new RegionTable(name, 128);
  for (const { base, end, flags } of regions) table.insert(NO_REGION, base, end, flags, 0);
  return table;
}

/** The kernel's two loops with nothing left out: every gap is looked at, one by one. */
function stepByStep(memory: readonly Region[], reserved: readonly Region[], wanted: number, up: boolean) {
  const ranges: [number, number][] = [];
  let scanned = 0;
  const gaps = [...reserved, undefined].map((above, i) => {
    const below = reserved[i - 1];
    return [below?.end ?? 0, above?.base ?? 2 ** 64] as const;
  });
  let g = up ? 0 : gaps.length - 1;
  for (const { base, end, flags } of up ? memory : memory.toReversed()) {
    scanned++;
    if ((flags & wanted) !== wanted) continue;
    while (g >= 0 && g < gaps.length) {
      scanned++;
      const [from, to] = gaps[g] as (typeof gaps)[number];
      if (up ? from >= end : to <= base) break;
      const meets = from < end && base < to;
      if (meets) ranges.push([Math.max(base, from), Math.min(end, to)]);
      if (meets && (up ? end <= to : base >= from)) break;
      g += up ? 1 : -1;
      // The next call looks at this region of memory again.
      if (meets) scanned++;
    }
  }
  return { ranges, scanned };
}

const parts = (maxLength: number) =>
  fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 12 }), fc.constantFrom(0, 0x40)), { maxLength });

test('going straight to the next gap that matters finds the same ranges, and counts what steps would have looked at', () => {
  fc.assert(
    fc.property(
      parts(6),
      parts(40),
      fc.constantFrom(0, 0x40),
      fc.boolean(),
      // Bytes, and addresses beyond 2^53.
      fc.constantFrom(1, 2 ** 49),
      (memoryParts, reservedParts, wanted, up, unit) => {
        const memory = regionsOf(memoryParts.map(([gap, size, flags]) => [gap * 7 * unit, size * 5 * unit, flags]));
        const reserved = regionsOf(reservedParts.map(([gap, size, flags]) => [gap * unit, size * unit, flags]));
        const source = {
          memory: tableOf('memory', memory),
          reserved: tableOf('reserved', reserved),
          maxNumnodes: 1,
          movableNode: false,
        };
        const walk = new FreeRanges(source, -1, wanted, up ? 'up' : 'down');
        const ranges: [number, number][] = [];
        while (walk.next()) ranges.push([walk.start, walk.end]);
        expect({ ranges, scanned: walk.scanned }).toEqual(stepByStep(memory, reserved, wanted, up));
      },
    ),
    { numRuns: 500, seed: 1 },
  );
});
