import { describe, expect, test } from 'vitest';
import { allocFolio, folioGet, folioOf, folioPut, migrateFolio } from '../../../kernel/mm/folio.ts';
import { copiedFill, junk, type Order, PAGE_SIZES, type Pfn, pattern, physAddr } from '../../../machine/index.ts';
import { runningMm } from './set-up.ts';

describe.each(PAGE_SIZES)('folios with $name pages', (page) => {
  const block = 2 ** page.defaultMaxPageOrder;

  test('any frame of a folio leads to it', () => {
    const mm = runningMm(page, block);
    const folio = allocFolio(mm, 4 as Order);
    if (folio === undefined) throw new Error('no memory');
    expect(folioOf(mm.pages, (folio.pfn + 15) as Pfn)).toEqual(folio);
    const single = allocFolio(mm, 0 as Order);
    if (single === undefined) throw new Error('no memory');
    expect(folioOf(mm.pages, single.pfn)).toEqual(single);
  });

  test('the last reference frees it, and one too many is a bad page', () => {
    const mm = runningMm(page, block);
    const folio = allocFolio(mm, 2 as Order);
    if (folio === undefined) throw new Error('no memory');
    folioGet(mm.pages, folio);
    expect(folioPut(mm, folio)).toBe(false);
    expect(folioPut(mm, folio)).toBe(true);
    expect(mm.allocator.nrFreePages()).toBe(block);
    expect(folioPut(mm, folio)).toBe(false);
    expect(mm.log.lines).toHaveLength(1);
  });

  test('migration takes content along and leaves junk behind', () => {
    const mm = runningMm(page, block, block);
    const folio = allocFolio(mm, 1 as Order, { migratetype: 'movable', zero: true });
    if (folio === undefined) throw new Error('no memory');
    mm.memory.writeU32(physAddr((folio.pfn + 1) * page.sizeBytes + 8), 77);
    const moved = migrateFolio(mm, folio);
    if (moved === undefined) throw new Error('no memory');
    expect(moved.pfn).not.toBe(folio.pfn);
    expect(mm.memory.readU32(physAddr((moved.pfn + 1) * page.sizeBytes + 8))).toBe(77);
    expect(mm.memory.readU32(physAddr(moved.pfn * page.sizeBytes))).toBe(0);
    expect(mm.memory.holdsFill(folio.pfn, junk(5))).toBe(true);
  });

  test('a fill that migrates is still what its first frame had, byte for byte, and costs no frame', () => {
    const mm = runningMm(page, block, block);
    const folio = allocFolio(mm, 1 as Order, { migratetype: 'movable' });
    if (folio === undefined) throw new Error('no memory');
    mm.memory.fillPages(folio.pfn, 2, pattern(9));
    const before = mm.memory.readBytes(physAddr(folio.pfn * page.sizeBytes), 2 * page.sizeBytes);
    const once = migrateFolio(mm, folio) ?? folio;
    const twice = migrateFolio(mm, once) ?? once;
    expect(new Set([folio.pfn, once.pfn, twice.pfn]).size).toBeGreaterThan(1);
    expect(mm.memory.backing(twice.pfn).kind).toBe('fill');
    const after = mm.memory.readBytes(physAddr(twice.pfn * page.sizeBytes), 2 * page.sizeBytes);
    expect(Buffer.compare(before, after)).toBe(0);
    expect(mm.memory.holdsFill(twice.pfn, pattern(9))).toBe(twice.pfn === folio.pfn);
    expect(mm.memory.holdsFill(twice.pfn, copiedFill(pattern(9), twice.pfn - folio.pfn, mm.memory.page))).toBe(true);
  });
});
