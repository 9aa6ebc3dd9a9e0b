import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EINVAL, ENOMEM } from '../../../kernel/errno.ts';
import { KernelHang } from '../../../kernel/failure.ts';
import { radixGeometry } from '../../../kernel/kho/geometry.ts';
import { type PreserveHooks, preserveFolio, preservePages, unpreservePages } from '../../../kernel/kho/preserve.ts';
import { RadixTree } from '../../../kernel/kho/radix-tree.ts';
import { type Order, PAGE_SIZES, type PageSize, type Pfn, PhysicalMemory, physAddr } from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

function setUp(page: PageSize, hooks: Partial<PreserveHooks> = {}) {
  const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: 2 ** 40, nid: 0 }]);
  const alloc = new BumpAllocator(memory, 2 ** 39);
  const warnings: string[] = [];
  const log = {
    warnOn: (name: string) => void warnings.push(name),
    warnOnOnce: (name: string) => void warnings.push(name),
  };
  const tree = new RadixTree(memory, radixGeometry(page), alloc, { log });
  tree.init();
  const blocks = () => {
    const out: { pfn: number; order: number }[] = [];
    tree.forEach((lo, hi, order) => {
      out.push({ pfn: (hi * 2 ** 32 + lo) / page.sizeBytes, order });
    });
    return out.sort((a, b) => a.pfn - b.pfn);
  };
  return { hooks: { map: tree, page, log, ...hooks } satisfies PreserveHooks, alloc, warnings, blocks };
}

const range = fc.record({ start: fc.nat(100_000), count: fc.nat(70_000), border: fc.nat(150_000) });

describe.each(PAGE_SIZES)('ranges with $name pages', (page) => {
  test('are split into the largest aligned blocks, none of them across a node border', () => {
    fc.assert(
      fc.property(range, ({ start, count, border }) => {
        const { hooks, blocks, warnings } = setUp(page, { nidOf: (pfn) => (pfn < border ? 0 : 1) });
        expect(preservePages(hooks, start as Pfn, count)).toBe(0);
        let next = start;
        for (const { pfn, order } of blocks()) {
          const size = 2 ** order;
          expect(pfn).toBe(next);
          expect(pfn % size).toBe(0);
          expect(pfn < border && pfn + size > border).toBe(false);
          // No larger one would do: it is not aligned, does not fit, or crosses the border.
          const twice = pfn + 2 * size;
          const crosses = pfn < border && twice > border;
          expect(pfn % (2 * size) !== 0 || twice > start + count || crosses).toBe(true);
          next = pfn + size;
        }
        expect(next).toBe(start + count);
        unpreservePages(hooks, start as Pfn, count);
        expect(blocks()).toEqual([]);
        expect(warnings).toEqual([]);
      }),
      { numRuns: 40, seed: 1 },
    );
  });

  test('that cannot be recorded wholly are not recorded at all', () => {
    const { hooks, alloc, blocks, warnings } = setUp(page);
    const depth = radixGeometry(page).depth;
    for (let failAfter = 0; failAfter < 2 * depth; failAfter++) {
      alloc.failAfter = failAfter;
      const result = preservePages(hooks, 0x7_fffd as Pfn, 11);
      if (result === 0) break;
      expect(result).toBe(ENOMEM);
      expect(blocks()).toEqual([]);
    }
    alloc.failAfter = Number.POSITIVE_INFINITY;
    expect(preservePages(hooks, 0x7_fffd as Pfn, 11)).toBe(0);
    expect(warnings).toEqual([]);
  });

  test('that touch scratch are refused with a WARN, when that is checked', () => {
    const scratchOverlaps = (phys: number, sizeBytes: number) => {
      const pfn = phys / page.sizeBytes;
      return pfn < 64 && pfn + sizeBytes / page.sizeBytes > 32;
    };
    const { hooks, warnings, blocks } = setUp(page, { scratchOverlaps });
    expect(preservePages(hooks, 20 as Pfn, 13)).toBe(EINVAL);
    expect(preserveFolio(hooks, 0 as Pfn, 6 as Order)).toBe(EINVAL);
    expect(warnings).toEqual(['kho_preserve_pages', 'kho_preserve_folio']);
    expect(preservePages(hooks, 20 as Pfn, 12)).toBe(0);
    expect(preservePages({ ...hooks, scratchOverlaps: undefined }, 20 as Pfn, 13)).toBe(0);
    expect(blocks()).toContainEqual({ pfn: 32, order: 0 });
  });

  test('of 2^31 pages: from frame 0 the rest is dropped, from elsewhere the loop never ends', () => {
    const { hooks, blocks } = setUp(page);
    expect(preservePages(hooks, 0 as Pfn, 2 ** 31 + 5)).toBe(0);
    expect(blocks()).toEqual([{ pfn: 0, order: 31 }]);
    expect(() => preservePages(setUp(page).hooks, (2 ** 31) as Pfn, 2 ** 31)).toThrow(KernelHang);
    expect(() => preservePages(setUp(page).hooks, 0 as Pfn, 2 ** 33)).toThrow(KernelHang);
  });
});

test('where unpreserving does not lower orders at a node border, blocks are left behind with a WARN', () => {
  const page = PAGE_SIZES[0] as PageSize;
  const { hooks, blocks, warnings } = setUp(page, {
    nidOf: (pfn) => (pfn < 24 ? 0 : 1),
    unpreserveSplitsAtNodes: false,
  });
  expect(preservePages(hooks, 16 as Pfn, 16)).toBe(0);
  unpreservePages(hooks, 16 as Pfn, 16);
  expect(blocks()).toEqual([
    { pfn: 16, order: 3 },
    { pfn: 24, order: 3 },
  ]);
  expect(warnings).toEqual(['kho_radix_del_key']);
});
