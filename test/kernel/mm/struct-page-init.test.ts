import { describe, expect, test } from 'vitest';
import { BuddyAllocator } from '../../../kernel/mm/buddy.ts';
import { PageFlag, type PageRun, PageStates } from '../../../kernel/mm/page-states.ts';
import { defaultSectionBytes, StructPageInit } from '../../../kernel/mm/struct-page-init.ts';
import { type Order, PAGE_SIZES, type PageSize, type Pfn, PhysicalMemory, physAddr } from '../../../machine/index.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';

const KHOP = 0x4b484f50;
const GIB = 2 ** 30;

/** 4 GiB from 1 GiB on: node 0 has the first two, node 1 the others. */
const REGIONS = [
  { base: GIB, sizeBytes: 2 * GIB, nid: 0 },
  { base: 3 * GIB, sizeBytes: 2 * GIB, nid: 1 },
];

function setUp(page: PageSize, deferred: boolean, zoneEnds: readonly number[] = []) {
  const banks = REGIONS.map((region) => ({ ...region, base: physAddr(region.base) }));
  const memory = new PhysicalMemory(page, banks);
  const pages = new PageStates(page, banks);
  const buddy = new BuddyAllocator({ page, banks, memory, pages, junkSeed: 3 });
  const init = new StructPageInit(pages, { deferred, zoneEnds });
  return { memory, pages, buddy, init };
}

describe.each(PAGE_SIZES)('struct page initialisation with $name pages', (page) => {
  const at = (bytes: number) => (bytes / page.sizeBytes) as Pfn;
  const section = defaultSectionBytes(page);
  const picture = (runs: Iterable<PageRun>) =>
    [...runs].map((run) => [(run.start * page.sizeBytes) / 2 ** 20, run.state.flags, run.state.nid]);

  test('all memory at once, unless it is deferred', () => {
    const { init, pages } = setUp(page, false);
    init.initMemory(REGIONS);
    expect(picture(pages.runs(at(GIB), at(5 * GIB)))).toEqual([
      [1024, PageFlag.initialised, 0],
      [3072, PageFlag.initialised, 1],
    ]);
  });

  test('deferred, the last zone of each node stops after a section', () => {
    const { init, pages } = setUp(page, true, [2 * GIB]);
    init.initMemory(REGIONS);
    expect(picture(pages.runs(at(GIB), at(5 * GIB)))).toEqual([
      [1024, PageFlag.initialised, 0],
      [(2 * GIB + section) / 2 ** 20, 0, 0],
      [3072, PageFlag.initialised, 1],
      [(3 * GIB + section) / 2 ** 20, 0, 0],
    ]);
    expect(init.isDeferred(at(2 * GIB), 0)).toBe(false);
    expect(init.isDeferred(at(2 * GIB + section), 0)).toBe(true);
  });

  test('frames that have a struct page but are in no region are reserved', () => {
    const banks = [{ base: physAddr(GIB), sizeBytes: GIB + 5 * page.sizeBytes, nid: 0 }];
    const pages = new PageStates(page, banks, { sectionBytes: section });
    new StructPageInit(pages, { deferred: false }).initMemory(banks);
    expect(picture(pages.runs(0 as Pfn, at(8 * GIB)))).toEqual([
      [1024, PageFlag.initialised, 0],
      [2048 + (5 * page.sizeBytes) / 2 ** 20, PageFlag.initialised | PageFlag.reserved, 0],
    ]);
  });

  describe.each([false, true])('from memblock to the page allocator, deferred: %s', (deferred) => {
    /** Boots up to the end of memblock with three preserved blocks; the mark of the second one got lost, the third was not reserved. */
    const boot = () => {
      const mm = setUp(page, deferred, [2 * GIB]);
      const memblock = new Memblock({ page });
      for (const region of REGIONS) memblock.addNode(region.base, region.sizeBytes, region.nid);
      memblock.reserve(GIB, 64 * 2 ** 20);
      mm.init.initMemory(REGIONS);
      const blocks = [0, 1, 2].map((i) => 3 * GIB + section + i * 64 * page.sizeBytes + page.sizeBytes);
      for (const [i, base] of blocks.entries()) {
        mm.init.initPreserved(at(base), 0 as Order);
        if (i < 2) memblock.reserve(base, page.sizeBytes);
        if (i === 0) memblock.reservedMarkNoinit(base, page.sizeBytes);
        mm.pages.setPrivate(at(base), 0, KHOP);
      }
      const freed = memblock.freeAll(
        page.defaultMaxPageOrder,
        (pfn, order) => mm.init.release(pfn, order),
        (first, end, nid) => mm.init.initReserved(first, end, nid),
      );
      return { ...mm, freed, blocks, early: mm.init.flush(mm.buddy) };
    };

    test('what is reserved and noinit keeps its {order, magic}', () => {
      const { pages, blocks } = boot();
      const kept = at(blocks[0] as number);
      expect(pages.privateHi(kept)).toBe(KHOP);
      expect(pages.state(kept)).toMatchObject({ refcount: 1, nid: 1, flags: PageFlag.initialised });
    });

    test('a lost noinit mark costs it only where initialisation is deferred', () => {
      const { pages, blocks } = boot();
      const lost = at(blocks[1] as number);
      expect(pages.privateHi(lost)).toBe(deferred ? 0 : KHOP);
      expect(pages.has(lost, PageFlag.reserved)).toBe(true);
    });

    test('all that is not reserved is free in the end, a lost reservation included', () => {
      const { pages, buddy, init, freed, early, blocks } = boot();
      expect(buddy.nrFreePages()).toBe(early);
      expect(early === freed.pages).toBe(!deferred);
      expect(early + init.initLate(buddy)).toBe(freed.pages);
      expect(pages.nrFree).toBe(freed.pages);
      expect(pages.nrManaged).toBe((4 * GIB - 64 * 2 ** 20) / page.sizeBytes - 2);
      expect(pages.has(at(blocks[2] as number), PageFlag.free)).toBe(true);
      expect(pages.privateHi(at(blocks[2] as number))).toBe(deferred ? 0 : KHOP);
    });

    test('every frame is initialised once boot is over', () => {
      const { pages, buddy, init } = boot();
      init.initLate(buddy);
      for (const run of pages.runs(at(GIB), at(5 * GIB))) {
        expect(run.state.flags & PageFlag.initialised).toBe(PageFlag.initialised);
      }
      expect(init.isDeferred(at(5 * GIB) - 1, 1)).toBe(false);
    });
  });
});
