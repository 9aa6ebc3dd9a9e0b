/** A set of pages as ranges, for sets that are large and mostly contiguous. */
export class PageSet {
  /** Unordered ranges [start, end) until they are asked for. */
  #ranges: (readonly [number, number])[] = [];
  #sorted = true;

  add(start: number, end: number): void {
    if (end <= start) return;
    this.#ranges.push([start, end]);
    this.#sorted = false;
  }

  /** Ascending, neither overlapping nor touching. */
  get ranges(): readonly (readonly [number, number])[] {
    if (this.#sorted) return this.#ranges;
    const merged: [number, number][] = [];
    for (const [start, end] of this.#ranges.sort((a, b) => a[0] - b[0])) {
      const last = merged.at(-1);
      if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], end);
      else merged.push([start, end]);
    }
    this.#ranges = merged;
    this.#sorted = true;
    return merged;
  }

  get nrPages(): number {
    return this.ranges.reduce((sum, [start, end]) => sum + end - start, 0);
  }

  get first(): number | undefined {
    return this.ranges[0]?.[0];
  }

  has(page: number): boolean {
    const { ranges } = this;
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const [start, end] = ranges[middle] as readonly [number, number];
      if (page < start) high = middle;
      else if (page >= end) low = middle + 1;
      else return true;
    }
    return false;
  }

  /** The pages of this set that are not in the other. */
  without(other: PageSet): PageSet {
    const left = new PageSet();
    const holes = other.ranges;
    let i = 0;
    for (const [start, end] of this.ranges) {
      let at = start;
      while (i < holes.length && (holes[i] as readonly [number, number])[1] <= at) i++;
      for (let j = i; at < end; j++) {
        const hole = holes[j];
        if (hole === undefined || hole[0] >= end) {
          left.add(at, end);
          break;
        }
        if (hole[0] > at) left.add(at, hole[0]);
        at = Math.max(at, hole[1]);
      }
    }
    return left;
  }
}
