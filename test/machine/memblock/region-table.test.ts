import { describe, expect, test } from 'vitest';
import { PHYS_ADDR_MAX } from '../../../machine/memblock/flags.ts';
import { NO_REGION, type Region, RegionTable } from '../../../machine/memblock/region-table.ts';
import { Random } from '../../../machine/random.ts';

/** Beside the table a plain sorted array, which is what the kernel has. */
class Pair {
  readonly table = new RegionTable('reserved', 1);
  array: Region[] = [];

  insert(index: number, region: Region): void {
    const { base, end, flags, nid } = region;
    const at = this.table.insert(this.table.at(index), base, end, flags, nid);
    this.array.splice(index, 0, region);
    if (this.table.base(at) !== base || this.table.indexOf(at) !== index) throw new Error(`wrong place at ${index}`);
  }

  remove(index: number): void {
    const next = this.table.remove(this.table.at(index));
    this.array.splice(index, 1);
    const wanted = index < this.array.length ? this.array[index]?.base : undefined;
    const found = next === NO_REGION ? undefined : this.table.base(next);
    if (found !== wanted) throw new Error(`wrong region behind ${index}`);
  }

  /** Looks at everything: both directions, every index, every border. */
  check(): void {
    const { table, array } = this;
    expect(table.count).toBe(array.length);
    const total = array.reduce((sum, { base, end }) => sum + BigInt(end) - BigInt(base), 0n);
    expect(table.totalSize).toBe(total);
    const wrong: string[] = [];
    let pos = table.first();
    for (const [index, region] of array.entries()) {
      const { base, end, flags, nid } = region;
      const same =
        table.base(pos) === base && table.end(pos) === end && table.flags(pos) === flags && table.nid(pos) === nid;
      if (!same || table.indexOf(pos) !== index || table.at(index) !== pos) wrong.push(`region ${index}`);
      if (table.firstEndingAbove(base) !== pos || table.firstEndingAbove(end - 1) !== pos) wrong.push(`in ${index}`);
      if (table.search(base) !== pos || table.search(end - 1) !== pos) wrong.push(`search ${index}`);
      const next = table.next(pos);
      if (table.firstEndingAbove(end) !== next) wrong.push(`behind ${index}`);
      if (array[index + 1]?.base !== end && table.search(end) !== NO_REGION) wrong.push(`gap behind ${index}`);
      pos = next;
    }
    expect([pos, table.at(array.length), table.at(-1), table.indexOf(NO_REGION)]).toEqual([
      NO_REGION,
      NO_REGION,
      NO_REGION,
      array.length,
    ]);
    pos = table.last();
    for (let index = array.length - 1; index >= 0; index--) {
      if (table.base(pos) !== array[index]?.base) wrong.push(`backwards ${index}`);
      pos = table.previous(pos);
    }
    expect(pos).toBe(NO_REGION);
    if (array.length > 0) {
      expect(table.firstEndingAbove((array[0]?.base ?? 0) - 1)).toBe(table.first());
      expect(table.search((array[0]?.base ?? 0) - 1)).toBe(NO_REGION);
    }
    expect(wrong).toEqual([]);
  }
}

const region = (i: number): Region => ({ base: 32 * i, end: 32 * i + 16, flags: i % 7, nid: i % 3 });

/** More regions than fit into two chunks of 512, and than one block of the directory. */
const MANY = 1400;

describe('regions that come', () => {
  test('upwards', () => {
    const pair = new Pair();
    for (let i = 1; i <= MANY; i++) pair.insert(i - 1, region(i));
    pair.check();
  });

  test('downwards', () => {
    const pair = new Pair();
    for (let i = MANY; i >= 1; i--) pair.insert(0, region(i));
    pair.check();
  });

  test('upwards in front of a last one, in the middle, and near the end of a full chunk', () => {
    const pair = new Pair();
    pair.insert(0, region(100_000));
    for (let i = 1; i <= MANY; i++) pair.insert(i - 1, region(i));
    pair.check();
    const middle = new Pair();
    for (let i = 0; i < 600; i++) middle.insert(i, region(1000 * i + 1));
    for (let i = 0; i < 600; i++) middle.insert(300 + i, region(1000 * 299 + 2 + i));
    middle.check();
    for (const at of [383, 384, 385, 511, 512]) {
      const full = new Pair();
      for (let i = 0; i < 512; i++) full.insert(i, region(10 * i + 1));
      full.insert(at, region(10 * at - 5));
      full.check();
      full.insert(at, region(10 * at - 6));
      full.check();
    }
  });
});

test('regions come and go at random, in tables that stay small and tables that grow', () => {
  for (const [seed, most] of [
    [1, 40],
    [2, 1200],
  ] as const) {
    const random = new Random(seed);
    const pair = new Pair();
    for (let step = 0; step < 2500; step++) {
      const grow = random.below(most) >= pair.array.length / 2;
      if (grow || pair.array.length === 0) {
        const i = 1 + random.below(1_000_000);
        const index = pair.array.findIndex(({ base }) => base >= 32 * i);
        if (pair.array[index]?.base === 32 * i) continue;
        pair.insert(index < 0 ? pair.array.length : index, region(i));
      } else {
        pair.remove(random.below(pair.array.length));
      }
      if (step % 500 === 499) pair.check();
    }
  }
});

test('regions go from the front, from the back, and chunk by chunk from the middle, down to none', () => {
  for (const choose of [() => 0, (count: number) => count - 1, (count: number) => count >> 1]) {
    const pair = new Pair();
    for (let i = 1; i <= MANY; i++) pair.insert(i - 1, region(i));
    while (pair.array.length > 0) {
      pair.remove(choose(pair.array.length));
      if (pair.array.length % 467 === 0) pair.check();
    }
    expect([pair.table.first(), pair.table.last(), pair.table.firstEndingAbove(5)]).toEqual([-1, -1, -1]);
    pair.insert(0, region(3));
    pair.check();
  }
});

test('a table that lost its last chunk grows again in the one before', () => {
  const pair = new Pair();
  const last = 5 * 512;
  for (let i = 0; i <= last; i++) pair.insert(i, region(2 * i + 1));
  for (let i = 0; i < 500; i++) pair.remove(4 * 512);
  pair.remove(pair.array.length - 1);
  for (let i = 0; i < 300; i++) pair.insert(pair.array.length, region(2 * last + i));
  pair.check();
});

test('a directory of many chunks grows, and versions of any size come back', () => {
  const pair = new Pair();
  const empty = pair.table.mark();
  for (let i = 1; i <= 9000; i++) {
    pair.table.insert(NO_REGION, 32 * i, 32 * i + 16, 0, 0);
    pair.array.push({ base: 32 * i, end: 32 * i + 16, flags: 0, nid: 0 });
  }
  const full = pair.table.mark();
  for (let i = 0; i < 40; i++) {
    expect(pair.table.base(pair.table.at(i * 220))).toBe(32 * (i * 220 + 1));
    expect(pair.table.indexOf(pair.table.firstEndingAbove(32 * (i * 220 + 1)))).toBe(i * 220);
  }
  pair.table.setFlags(pair.table.at(5), 9);
  pair.table.setNid(pair.table.at(700), 4);
  pair.table.setRange(pair.table.at(512), 32 * 513 - 8, 32 * 513 + 8);
  pair.table.extend(pair.table.at(8999), 2 ** 30);
  pair.table.restore(empty);
  expect([pair.table.count, pair.table.totalSize, pair.table.first()]).toEqual([0, 0n, NO_REGION]);
  const other = new RegionTable('reserved', 1);
  other.restore(full);
  expect([other.count, other.totalSize]).toEqual([9000, 16n * 9000n]);
  expect(other.base(other.at(8999))).toBe(32 * 9000);
  pair.table.restore(full);
  expect(pair.table.flags(pair.table.at(5))).toBe(0);
  expect(pair.table.nid(pair.table.at(700))).toBe(0);
  expect(pair.table.base(pair.table.at(512))).toBe(32 * 513);
  expect(pair.table.end(pair.table.at(8999))).toBe(32 * 9000 + 16);
  expect(pair.table.indexOf(pair.table.search(32 * 8000))).toBe(7999);
});

test('the total is a u64: exact above 2^53, and gone with what it counted', () => {
  const table = new RegionTable('memory', 128);
  const sizes = [2 ** 52, 2 ** 52 + 2 ** 20, 2 ** 51];
  let base = 4096;
  let sum = 0n;
  for (const size of sizes) {
    table.insert(NO_REGION, base, base + size, 0, 0);
    base += size + 4096;
    sum += BigInt(size);
    expect(table.totalSize).toBe(sum);
  }
  table.insert(NO_REGION, 2 ** 60, PHYS_ADDR_MAX, 0, 0);
  sum += 2n ** 64n - 1n - 2n ** 60n;
  expect(table.totalSize).toBe(sum);
  for (let i = 0; i < 2; i++) table.remove(table.first());
  table.remove(table.last());
  expect(table.totalSize).toBe(2n ** 51n);
  table.remove(table.first());
  expect(table.totalSize).toBe(0n);
  table.setTotal(20n);
  expect(table.totalSize).toBe(20n);
  table.insert(NO_REGION, 0, 5, 0, 0, true);
  expect(table.totalSize).toBe(20n);
  table.remove(table.first(), true);
  expect(table.totalSize).toBe(20n);
});
