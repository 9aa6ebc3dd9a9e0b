import { describe, expect, test } from 'vitest';
import { encodeKey, radixGeometry } from '../../../kernel/kho/geometry.ts';
import { LeafPlaces } from '../../../kernel/kho/leaf-places.ts';
import { makePageSize, PAGE_4K, PAGE_SIZES, type PageSize, PhysicalMemory, physAddr } from '../../../machine/index.ts';

const GIB = 2 ** 30;
const TIB = 2 ** 40;

function setUp(page: PageSize, endOfRam: number) {
  const bank = (base: number) => ({ base: physAddr(base), sizeBytes: page.sizeBytes, nid: 0 });
  const memory = new PhysicalMemory(page, [bank(0), bank(endOfRam - page.sizeBytes)]);
  return new LeafPlaces(memory, radixGeometry(page));
}

function leafOf(page: PageSize, places: LeafPlaces, pfn: number, order: number): number {
  const phys = pfn * page.sizeBytes;
  const key = encodeKey(radixGeometry(page), phys >>> 0, Math.floor(phys / 2 ** 32), order);
  return places.leafOf(key.lo | 0, key.hi | 0);
}

describe.each(PAGE_SIZES)('numbers of leaves with $name pages', (page) => {
  const { bitmapLog2 } = radixGeometry(page);

  test('are for the frames of RAM, and of at most 2^17 leaves', () => {
    expect(setUp(page, GIB).pfnLimit).toBe(GIB / page.sizeBytes);
    expect(setUp(page, 16 * TIB).pfnLimit).toBe(
      Math.min((16 * TIB) / page.sizeBytes, 2 ** 31 - 1, 2 ** (bitmapLog2 + 17)),
    );
    expect(setUp(page, 2 ** 50).pfnLimit).toBe(Math.min(2 ** 31 - 1, 2 ** (bitmapLog2 + 17)));
  });

  test('are for orders up to 13, or as many as there are numbers of leaves', () => {
    const most = page.physBits - page.shift - 32;
    expect([setUp(page, GIB).maxOrder, setUp(page, 2 ** 50).maxOrder]).toEqual([
      Math.min(13, most),
      Math.min(most, Math.max(13, Math.min(17, 31 - bitmapLog2))),
    ]);
  });

  test('tell leaves apart, and are the order and the frame without the bits within a leaf', () => {
    const places = setUp(page, 16 * TIB);
    const seen = new Map<number, string>();
    for (let order = 0; order <= places.maxOrder; order++) {
      const leafFrames = 2 ** (bitmapLog2 + order);
      for (let n = 0; n < 40 && n * leafFrames < places.pfnLimit; n++) {
        const leaf = leafOf(page, places, n * leafFrames, order);
        expect(leaf).toBe(2 ** (places.maxOrder - order) + n);
        expect(leafOf(page, places, Math.min((n + 1) * leafFrames, places.pfnLimit) - 2 ** order, order)).toBe(leaf);
        expect(seen.get(leaf)).toBeUndefined();
        seen.set(leaf, `${order} ${n}`);
      }
    }
  });

  test('are not for blocks beyond, nor for keys that are none', () => {
    const places = setUp(page, GIB);
    expect(leafOf(page, places, 0, places.maxOrder)).toBe(1);
    expect(leafOf(page, places, 0, places.maxOrder + 1)).toBe(0);
    expect(leafOf(page, places, places.pfnLimit - 1, 0)).toBeGreaterThan(0);
    expect(leafOf(page, places, places.pfnLimit, 0)).toBe(0);
    expect(leafOf(page, places, places.pfnLimit - 2, 1)).toBeGreaterThan(0);
    expect(leafOf(page, places, places.pfnLimit, 1)).toBe(0);
    const marker = 1 << (page.physBits - page.shift - 32);
    expect([places.leafOf(0, marker), places.leafOf(0, marker | 1), places.leafOf(0, 0), places.leafOf(5, -1)]).toEqual(
      [2 ** places.maxOrder, 0, 0, 0],
    );
    expect([places.leafOf(0, marker << 1), places.leafOf(0, -(2 ** 31))]).toEqual([0, 0]);
  });
});

test('keys in another layout have no numbers', () => {
  const tiny = setUp(makePageSize(5, 16), 2 ** 16);
  expect([tiny.pfnLimit, tiny.maxOrder]).toEqual([0, -1]);
});

test('places are known from the sixteenth leaf that was looked for, until they are forgotten', () => {
  const places = setUp(PAGE_4K, GIB);
  for (let i = 1; i < 16; i++) places.remember(8000 + i, 3 * i);
  for (let i = 0; i < 16; i++) places.remember(0, 3);
  expect(places.places.some((place) => place !== 0)).toBe(false);
  const leaves = Array.from({ length: 50 }, (_, i) => 8192 + i);
  for (const leaf of leaves) places.remember(leaf, leaf - 8000);
  const known = places.places;
  expect(known).toHaveLength(2 << places.maxOrder);
  for (const leaf of leaves) expect(known[leaf]).toBe((leaf - 8000) * 1024);
  places.forget();
  expect(known.every((place) => place === 0)).toBe(true);
  places.remember(8200, 9);
  expect([places.places === known, known[8200], known[8192]]).toEqual([true, 9 * 1024, 0]);
});

test('frames whose words are beyond 2^31 are not remembered', () => {
  const places = setUp(PAGE_4K, GIB);
  for (let i = 0; i < 16; i++) places.remember(8192, 1);
  places.remember(8193, 2 ** 21);
  places.remember(8194, 2 ** 21 - 1);
  expect([places.places[8193], places.places[8194]]).toEqual([0, (2 ** 21 - 1) * 1024]);
});
