/** A preserved block, found again: its place in walk order, address and order. */
export interface PreservedBlock {
  /** Position in the walk. */
  readonly index: number;
  readonly phys: number;
  readonly order: number;
}

interface Segment {
  readonly order: number;
  readonly sizeBytes: number;
  /** Ascending addresses. */
  readonly phys: Float64Array;
  /** Walk position of each; undefined when they are `first`, `first + 1`, ... */
  readonly positions: Uint32Array | undefined;
  readonly first: number;
}

/** Grows while a map is walked; `finish` makes the set that can be asked. */
export class PreservedSetBuilder {
  #phys = new Float64Array(1024);
  #orders = new Uint8Array(1024);
  #length = 0;
  readonly maxBlocks: number;
  /** Blocks that did not fit any more. */
  dropped = 0;

  constructor(maxBlocks: number) {
    this.maxBlocks = maxBlocks;
  }

  get length(): number {
    return this.#length;
  }

  /** Adds a block: `phys` exact as a double (a multiple of the page size up to 2^64), `order` 0 to 63. */
  add(phys: number, order: number): void {
    if (this.#length >= this.maxBlocks) {
      this.dropped++;
      return;
    }
    if (this.#length === this.#phys.length) {
      const size = Math.min(this.maxBlocks, this.#length * 2);
      const phys2 = new Float64Array(size);
      phys2.set(this.#phys);
      this.#phys = phys2;
      const orders = new Uint8Array(size);
      orders.set(this.#orders);
      this.#orders = orders;
    }
    this.#phys[this.#length] = phys;
    this.#orders[this.#length] = order;
    this.#length++;
  }

  finish(pageBytes: number): PreservedSet {
    return new PreservedSet(this.#phys.subarray(0, this.#length), this.#orders.subarray(0, this.#length), pageBytes);
  }
}

/**
 * The blocks that a memory map preserves: in walk order, and per order by ascending address, which is how a radix walk
 * finds them anyway (one contiguous stretch for each order). So no sorting is needed but for a disordered chunk list.
 */
export class PreservedSet {
  readonly #walkPhys: Float64Array;
  readonly #walkOrders: Uint8Array;
  readonly #segments: Segment[];
  readonly pageBytes: number;

  constructor(walkPhys: Float64Array, walkOrders: Uint8Array, pageBytes: number) {
    this.#walkPhys = walkPhys;
    this.#walkOrders = walkOrders;
    this.pageBytes = pageBytes;
    this.#segments = segmentsOf(walkPhys, walkOrders, pageBytes);
  }

  get count(): number {
    return this.#walkPhys.length;
  }

  /** Block number `index` of the walk. */
  at(index: number): PreservedBlock {
    return { index, phys: this.#walkPhys[index] as number, order: this.#walkOrders[index] as number };
  }

  /** Sum of all block sizes in bytes. */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.phys.length * segment.sizeBytes, 0);
  }

  /** Number of blocks of each order that occurs, by ascending order. */
  byOrder(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const { order, phys } of this.#segments) out[String(order)] = phys.length;
    return out;
  }

  sizeOf(order: number): number {
    return this.pageBytes * 2 ** order;
  }

  /** The block that starts at `phys` with exactly this order. */
  exact(phys: number, order: number): PreservedBlock | undefined {
    const segment = this.#segments.find((s) => s.order === order);
    if (segment === undefined) return undefined;
    const at = indexOf(segment.phys, phys);
    return at < 0 ? undefined : { index: positionOf(segment, at), phys, order };
  }

  /** All blocks that start at `phys`, smallest first. */
  startingAt(phys: number): PreservedBlock[] {
    const out: PreservedBlock[] = [];
    for (const segment of this.#segments) {
      const at = indexOf(segment.phys, phys);
      if (at >= 0) out.push({ index: positionOf(segment, at), phys, order: segment.order });
    }
    return out;
  }

  /** The smallest block that holds `addr`. */
  covering(addr: number): PreservedBlock | undefined {
    for (const segment of this.#segments) {
      const phys = addr - (addr % segment.sizeBytes);
      const at = indexOf(segment.phys, phys);
      if (at >= 0) return { index: positionOf(segment, at), phys, order: segment.order };
    }
    return undefined;
  }

  /**
   * Visits the blocks that overlap a range, for each order by ascending address. Stops when the visitor returns false.
   */
  overlapping(start: number, end: number, visit: (block: PreservedBlock) => boolean | undefined): void {
    for (const segment of this.#segments) {
      let at = lowerBound(segment.phys, start - segment.sizeBytes + 1);
      for (; at < segment.phys.length; at++) {
        const phys = segment.phys[at] as number;
        if (phys >= end) break;
        if (phys + segment.sizeBytes <= start) continue;
        if (visit({ index: positionOf(segment, at), phys, order: segment.order }) === false) return;
      }
    }
  }

  /** Visits all blocks by ascending address; of blocks with one address the largest first. */
  inAddressOrder(visit: (phys: number, order: number, index: number) => void): void {
    const heads = this.#segments.map(() => 0);
    for (;;) {
      let best = -1;
      let bestPhys = Number.POSITIVE_INFINITY;
      for (let s = this.#segments.length - 1; s >= 0; s--) {
        const phys = this.#segments[s]?.phys[heads[s] as number];
        if (phys !== undefined && phys < bestPhys) {
          best = s;
          bestPhys = phys;
        }
      }
      const segment = this.#segments[best];
      if (segment === undefined) return;
      const head = heads[best] as number;
      heads[best] = head + 1;
      visit(bestPhys, segment.order, positionOf(segment, head));
    }
  }

  /** How many bytes of a range no block covers, and where the first of them is. */
  uncovered(start: number, end: number): { bytes: number; first: number } {
    let at = start;
    let bytes = 0;
    let first = -1;
    while (at < end) {
      const block = this.#largestCovering(at);
      const next = block === undefined ? this.#nextStart(at, end) : block.phys + this.sizeOf(block.order);
      if (block === undefined) {
        if (first < 0) first = at;
        bytes += next - at;
      }
      at = next;
    }
    return { bytes, first };
  }

  #largestCovering(addr: number): { phys: number; order: number } | undefined {
    for (let s = this.#segments.length - 1; s >= 0; s--) {
      const segment = this.#segments[s];
      if (segment === undefined) continue;
      const phys = addr - (addr % segment.sizeBytes);
      if (indexOf(segment.phys, phys) >= 0) return { phys, order: segment.order };
    }
    return undefined;
  }

  #nextStart(addr: number, limit: number): number {
    let next = limit;
    for (const segment of this.#segments) {
      const phys = segment.phys[lowerBound(segment.phys, addr + 1)];
      if (phys !== undefined && phys < next) next = phys;
    }
    return next;
  }
}

function positionOf(segment: Segment, at: number): number {
  return segment.positions === undefined ? segment.first + at : (segment.positions[at] as number);
}

function segmentsOf(phys: Float64Array, orders: Uint8Array, pageBytes: number): Segment[] {
  interface Run {
    first: number;
    length: number;
    last: number;
    contiguous: boolean;
  }
  const runs = new Map<number, Run>();
  for (let i = 0; i < phys.length; i++) {
    const order = orders[i] as number;
    const value = phys[i] as number;
    const run = runs.get(order);
    if (run === undefined) {
      runs.set(order, { first: i, length: 1, last: value, contiguous: true });
      continue;
    }
    if (run.first + run.length !== i || value <= run.last) run.contiguous = false;
    run.length++;
    run.last = value;
  }
  const segments: Segment[] = [];
  for (const order of [...runs.keys()].sort((a, b) => a - b)) {
    const run = runs.get(order);
    if (run === undefined) continue;
    const sizeBytes = pageBytes * 2 ** order;
    if (run.contiguous) {
      const part = phys.subarray(run.first, run.first + run.length);
      segments.push({ order, sizeBytes, phys: part, positions: undefined, first: run.first });
      continue;
    }
    const positions = new Uint32Array(run.length);
    let n = 0;
    for (let i = 0; i < phys.length; i++) if (orders[i] === order) positions[n++] = i;
    positions.sort((a, b) => (phys[a] as number) - (phys[b] as number) || a - b);
    segments.push({
      order,
      sizeBytes,
      phys: Float64Array.from(positions, (i) => phys[i] as number),
      positions,
      first: 0,
    });
  }
  return segments;
}

/** Index of the first element not below `value`. */
function lowerBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function indexOf(sorted: Float64Array, value: number): number {
  const at = lowerBound(sorted, value);
  return sorted[at] === value ? at : -1;
}
