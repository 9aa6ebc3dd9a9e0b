/** Half-open ranges of addresses, ascending, none touching another. */
export type Intervals = readonly (readonly [number, number])[];

/** Sorts ranges and joins those that touch or overlap; empty ones go. */
export function union(ranges: Iterable<readonly [number, number]>): Intervals {
  const some: (readonly [number, number])[] = [];
  let ascending = true;
  let before = Number.NEGATIVE_INFINITY;
  for (const range of ranges) {
    if (range[1] <= range[0]) continue;
    if (range[0] < before) ascending = false;
    before = range[0];
    some.push(range);
  }
  if (!ascending) some.sort((a, b) => a[0] - b[0]);
  const out: (readonly [number, number])[] = [];
  let start = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const range of some) {
    if (range[0] <= end) {
      if (range[1] <= end) continue;
      end = range[1];
      out[out.length - 1] = [start, end];
    } else {
      start = range[0];
      end = range[1];
      out.push(range);
    }
  }
  return out;
}

/** What of `a` is not in `b`. */
export function subtract(a: Intervals, b: Intervals): Intervals {
  const out: (readonly [number, number])[] = [];
  let j = 0;
  for (const [start, end] of a) {
    let at = start;
    while (j < b.length && (b[j] as readonly [number, number])[1] <= at) j++;
    for (let k = j; k < b.length && at < end; k++) {
      const [from, to] = b[k] as readonly [number, number];
      if (from >= end) break;
      if (from > at) out.push([at, from]);
      at = Math.max(at, to);
    }
    if (at < end) out.push([at, end]);
  }
  return out;
}

/** All bytes of some ranges. */
export function totalBytes(ranges: Intervals): number {
  return ranges.reduce((sum, [start, end]) => sum + end - start, 0);
}

/** The first few ranges, as a sentence names them. */
export function nameRanges(ranges: Intervals, most = 3): string {
  const named = ranges.slice(0, most).map(([start, end]) => `0x${start.toString(16)}-0x${(end - 1).toString(16)}`);
  return ranges.length > most ? `${named.join(', ')} and ${ranges.length - most} more` : named.join(', ');
}
