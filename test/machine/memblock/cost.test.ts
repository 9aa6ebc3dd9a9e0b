import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Memblock } from '../../../machine/memblock/memblock.ts';
import { PAGE_4K } from '../../../machine/page-size.ts';

/*
 * What the kernel's flat arrays would cost: regions looked at by loops that start at the first, and bytes moved by
 * memmove, 24 a region.
 */

interface Region {
  base: number;
  end: number;
  readonly flags: number;
  readonly nid: number;
}

/** `reserved` as a flat array that is changed as the kernel does it, and that counts. */
class FlatArray {
  regions: Region[] = [];
  regionsScanned = 0;
  bytesMoved = 0;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  #insert(index: number, region: Region): void {
    this.bytesMoved += 24 * (this.regions.length - index);
    this.regions.splice(index, 0, region);
  }

  #takeOut(index: number): void {
    this.regions.splice(index, 1);
    this.bytesMoved += 24 * (this.regions.length - index);
  }

  #merge(start: number, end: number): void {
    let last = Math.min(end, this.regions.length - 1);
    for (let i = Math.max(start - 1, 0); i < last; ) {
      const [a, b] = [this.regions[i], this.regions[i + 1]] as [Region, Region];
      if (a.end === b.base && a.flags === b.flags && a.nid === b.nid) {
        a.end = b.end;
        this.#takeOut(i + 1);
        last--;
      } else {
        i++;
      }
    }
  }

  /** One pass of adding: how many regions are new, at [first, last]. */
  #pass(from: number, end: number, flags: number, nid: number, insert: boolean): readonly [number, number, number] {
    const added: number[] = [];
    let base = from;
    let i = 0;
    const put = (to: number) => {
      added.push(i);
      if (insert) this.#insert(i++, { base, end: to, flags, nid });
    };
    for (; i < this.regions.length; i++) {
      this.regionsScanned++;
      const region = this.regions[i] as Region;
      if (region.base >= end) break;
      if (region.end <= base) continue;
      if (region.base > base) {
        put(region.base);
        if (insert) this.regionsScanned++;
      }
      base = Math.min(region.end, end);
    }
    // That there is none left is seen by a look as well.
    if (i === this.regions.length) this.regionsScanned++;
    if (base < end) put(end);
    return [added.length, added[0] ?? 0, added.at(-1) ?? 0];
  }

  add(base: number, end: number, flags: number, nid: number): void {
    if (this.regions.length === 0) {
      this.regions.push({ base, end, flags, nid });
      return;
    }
    if (this.regions.length * 2 + 1 > this.#max) {
      if (this.#pass(base, end, flags, nid, false)[0] === 0) return;
    }
    const [count, first, last] = this.#pass(base, end, flags, nid, true);
    if (count > 0) this.#merge(first, last + 1);
  }

  /** @returns the indices of the regions that are the range now. */
  #isolate(base: number, end: number): readonly [number, number] {
    let first = -1;
    let behind = 0;
    let i = 0;
    for (; i < this.regions.length; i++) {
      this.regionsScanned++;
      const region = this.regions[i] as Region;
      if (region.base >= end) break;
      if (region.end <= base) continue;
      if (region.base < base) {
        this.#insert(i, { ...region, end: base });
        region.base = base;
      } else if (region.end > end) {
        this.#insert(i, { ...region, end });
        region.base = end;
        i--;
      } else {
        if (first < 0) first = i;
        behind = i + 1;
      }
    }
    if (i === this.regions.length) this.regionsScanned++;
    return first < 0 ? [0, 0] : [first, behind];
  }

  remove(base: number, end: number): void {
    const [first, behind] = this.#isolate(base, end);
    for (let i = behind - 1; i >= first; i--) this.#takeOut(i);
  }

  change(base: number, end: number, how: (region: Region) => Region): void {
    const [first, behind] = this.#isolate(base, end);
    for (let i = first; i < behind; i++) this.regions[i] = how(this.regions[i] as Region);
    this.#merge(first, behind);
  }
}

test.each([
  ['that has room for whatever comes', 128],
  ['that is counted first, and then changed', 14],
])('adding, removing and marking cost what they cost in a flat array %s', (_, max) => {
  const operation = fc.record({
    what: fc.constantFrom('reserve', 'reserveKern', 'node', 'free', 'noinit', 'setNode'),
    start: fc.nat(14),
    count: fc.integer({ min: 1, max: 6 }),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 25 }), (operations) => {
      const memblock = new Memblock({ page: PAGE_4K, initReservedRegions: max });
      const flat = new FlatArray(max);
      for (const { what, start, count } of operations) {
        const [end, bytes] = [Math.min(start + count, 16), (Math.min(start + count, 16) - start) * 4096];
        const base = start * 4096;
        if (what === 'reserve') {
          memblock.reserve(base, bytes);
          flat.add(start, end, 0, -1);
        } else if (what === 'reserveKern') {
          memblock.reserveKern(base, bytes);
          flat.add(start, end, 0x20, -1);
        } else if (what === 'node') {
          memblock.reserveNode(base, bytes, 1, 0);
          flat.add(start, end, 0, 1);
        } else if (what === 'free') {
          memblock.free(base, bytes);
          flat.remove(start, end);
        } else if (what === 'noinit') {
          memblock.reservedMarkNoinit(base, bytes);
          flat.change(start, end, (region) => ({ ...region, flags: region.flags | 0x10 }));
        } else {
          memblock.setNode(base, bytes, 1, memblock.reserved);
          flat.change(start, end, (region) => ({ ...region, nid: 1 }));
        }
      }
      const { regionsScanned, bytesMoved } = flat;
      expect(memblock.cost).toEqual({ regionsScanned, bytesMoved, doublings: 0 });
      expect([...memblock.reserved]).toEqual(
        flat.regions.map((region) => ({ ...region, base: region.base * 4096, end: region.end * 4096 })),
      );
    }),
    { numRuns: 150, seed: 3 },
  );
});

test('an allocation costs the steps of the walk over free ranges, a doubling copies the array', () => {
  const memblock = new Memblock({ page: PAGE_4K, initReservedRegions: 2 });
  memblock.addNode(0, 64 * 4096, 0);
  memblock.allowResize();
  memblock.reserve(60 * 4096, 4096);
  memblock.reserve(62 * 4096, 4096);
  // An array that might be too small is gone through twice.
  expect(memblock.cost).toEqual({ regionsScanned: 2 * 2, bytesMoved: 0, doublings: 0 });
  expect(memblock.physAlloc(2 * 4096, 4096)).toBe(58 * 4096);
  // The region of memory with each of three gaps; where to put it; page 63 for the new array: the first gap again,
  // and twice both regions and the end; putting it in front of three.
  expect(memblock.cost).toEqual({
    regionsScanned: 4 + 3 * 2 + 1 + (2 + 2 * 3) + 1,
    bytesMoved: 2 * 24 + 3 * 24,
    doublings: 1,
  });
  expect(memblock.reserved.arrayPhys).toBe(63 * 4096);
});

test('reserving what is reserved, in an array that might be too small, costs one look', () => {
  const memblock = new Memblock({ page: PAGE_4K, initReservedRegions: 1 });
  memblock.reserve(4096, 8192);
  memblock.reserve(8192, 4096);
  expect(memblock.cost.regionsScanned).toBe(2);
});

test('blocks with nothing in their way are reserved in one step, up to a full array', () => {
  class Watched extends Memblock {
    readonly slow: number[] = [];
    override reserve(base: number, sizeBytes: number): number {
      this.slow.push(base);
      return super.reserve(base, sizeBytes);
    }
  }
  const memblock = new Watched({ page: PAGE_4K, initReservedRegions: 6, failsDoubling: () => true });
  memblock.allowResize();
  memblock.reserveNoinit(64, 32, 100);
  // Only into an empty table does one go by itself.
  expect(memblock.slow).toEqual([64]);
  expect([...memblock.reserved]).toEqual([{ base: 64, end: 64 + 3200, flags: 0x10, nid: -1 }]);
  memblock.reserveNoinit(8192, 32, 3);
  memblock.reserveNoinit(16384, 32, 3);
  expect([memblock.slow, memblock.reserved.count]).toEqual([[64], 3]);
  // The last address that is exact.
  memblock.reserveNoinit(2 ** 53 - 33, 32);
  expect(memblock.slow).toEqual([64]);
  memblock.reserveNoinit(65536, 32);
  expect(memblock.slow).toEqual([64, 65536]);
});
