import { describe, expect, test } from 'vitest';
import { ALLOC_PAGES_SITE } from '../../../kernel/fault-sites.ts';
import { pmdOrder, VM_ALLOC, VM_ALLOW_HUGE_VMAP, vfree, vmalloc } from '../../../kernel/mm/vmalloc-area.ts';
import { type Order, PAGE_SIZES, pattern, Random, ZERO_FILL } from '../../../machine/index.ts';
import { runningMm } from './set-up.ts';

describe.each(PAGE_SIZES)('a vmalloc area with $name pages', (page) => {
  const size = page.sizeBytes;
  const block = 2 ** page.defaultMaxPageOrder;

  test('its bytes run on across frames that lie anywhere', () => {
    const mm = runningMm(page, 4 * block);
    const random = new Random(1);
    for (let i = 0; i < block; i++) mm.allocator.allocScattered(random, 0 as Order);
    const area = vmalloc(mm, 5 * size - 100);
    if (area === undefined) throw new Error('no memory');
    expect([area.nrPages, area.sizeBytes, area.order, area.flags]).toEqual([5, 5 * size, 0, VM_ALLOC]);
    area.write(
      size - 3,
      Uint8Array.from({ length: size + 6 }, (_, i) => i),
    );
    expect([...area.read(2 * size - 1, 3)]).toEqual([2, 3, 4].map((i) => (i + size) & 0xff));
    area.writeU32(4 * size + 8, 0xfeedface);
    expect(mm.memory.readU32(area.physAt(4 * size + 8))).toBe(0xfeedface);
    expect(() => area.read(5 * size - 1, 2)).toThrow(RangeError);
  });

  test('zero and fill reach every page', () => {
    const mm = runningMm(page, block);
    const area = vmalloc(mm, 3 * size, { zero: true });
    if (area === undefined) throw new Error('no memory');
    expect(area.blocks.every((pfn) => mm.memory.holdsFill(pfn, ZERO_FILL))).toBe(true);
    area.fill(pattern(2));
    expect(area.blocks.every((pfn) => mm.memory.holdsFill(pfn, pattern(2)))).toBe(true);
  });

  test('huge blocks are for areas of a PMD and more, rounded up, each page of its own', () => {
    const order = pmdOrder(page);
    const mm = runningMm(page, 4 * block);
    const small = vmalloc(mm, 2 ** order * size - 1, { allowHuge: true });
    expect([small?.order, small?.flags]).toEqual([0, VM_ALLOC | VM_ALLOW_HUGE_VMAP]);
    const area = vmalloc(mm, 2 ** order * size + 1, { allowHuge: true });
    if (area === undefined) throw new Error('no memory');
    expect([area.order, area.blocks.length, area.nrPages]).toEqual([order, 2, 2 ** (order + 1)]);
    for (const pfn of area.blocks) {
      expect(pfn % 2 ** order).toBe(0);
      expect(mm.pages.state(pfn)).toMatchObject({ refcount: 1, compound: 'none' });
      expect(mm.pages.refcount((pfn + 1) as typeof pfn)).toBe(1);
    }
    vfree(mm, area);
    if (small !== undefined) vfree(mm, small);
    expect(mm.allocator.nrFreePages()).toBe(4 * block);
  });

  test('without memory nothing is taken', () => {
    const mm = runningMm(page, block, block);
    expect(vmalloc(mm, (block + 1) * size)).toBeUndefined();
    expect(vmalloc(mm, 0)).toBeUndefined();
    mm.faults.arm(ALLOC_PAGES_SITE, 1);
    expect(vmalloc(mm, size)).toBeUndefined();
    expect(mm.allocator.nrFreePages()).toBe(2 * block);
  });
});
