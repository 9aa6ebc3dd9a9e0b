import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FaultInjector } from '../../../kernel/fault-injection.ts';
import { ALLOC_PAGES_SITE } from '../../../kernel/fault-sites.ts';
import { KernelLog } from '../../../kernel/log.ts';
import { BuddyAllocator } from '../../../kernel/mm/buddy.ts';
import { PageFlag, PageStates } from '../../../kernel/mm/page-states.ts';
import {
  junk,
  makePageSize,
  type Order,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  PhysicalMemory,
  physAddr,
  Random,
  VirtualClock,
  ZERO_FILL,
} from '../../../machine/index.ts';

const JUNK = junk(5);
const ORDER_0 = 0 as Order;

interface Bank {
  readonly firstPfn: number;
  readonly nrPages: number;
  readonly nid: number;
}

function setUp(page: PageSize, spec: readonly Bank[], maxPageOrder = page.defaultMaxPageOrder) {
  const banks = spec.map((b) => ({
    base: physAddr(b.firstPfn * page.sizeBytes),
    sizeBytes: b.nrPages * page.sizeBytes,
    nid: b.nid,
  }));
  const memory = new PhysicalMemory(page, banks);
  const pages = new PageStates(page, banks);
  const log = new KernelLog(new VirtualClock());
  const faults = new FaultInjector();
  const buddy = new BuddyAllocator({ page, banks, memory, pages, maxPageOrder, junkSeed: 5, log, faults });
  for (const b of spec) pages.initRange(b.firstPfn as Pfn, b.nrPages, b.nid);
  return { memory, pages, buddy, log, faults };
}

describe.each(PAGE_SIZES)('buddy allocator with $name pages', (page) => {
  const max = page.defaultMaxPageOrder as Order;
  const block = 2 ** max;
  const two = () =>
    setUp(page, [
      { firstPfn: 4 * block, nrPages: 8 * block, nid: 0 },
      { firstPfn: 64 * block, nrPages: 4 * block, nid: 1 },
    ]);

  test('memory handed over is managed, free, and reads as junk', () => {
    const { buddy, memory, pages } = two();
    memory.writeU32(physAddr(5 * block * page.sizeBytes), 1);
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    expect(buddy.nrFreePages()).toBe(8 * block);
    expect([pages.nrManaged, pages.nrFree]).toEqual([8 * block, 8 * block]);
    expect(memory.holdsFill((5 * block) as Pfn, JUNK)).toBe(true);
  });

  test('handing over memory that is free already is an error of the caller', () => {
    const { buddy } = two();
    buddy.addFreeRange((4 * block) as Pfn, block);
    expect(() => buddy.addFreeRange((5 * block - 1) as Pfn, 2)).toThrow('partly free already');
  });

  test('order 0 comes from the lowest block, split upwards; freeing it all merges the blocks again', () => {
    const { buddy, pages } = two();
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    const got = Array.from({ length: 5 }, () => buddy.allocPages(ORDER_0) as Pfn);
    expect(got.map((pfn) => pfn - 4 * block)).toEqual([0, 1, 2, 3, 4]);
    expect(buddy.info()[0]?.blocks[max]).toBe(7);
    expect(pages.refcount(got[0] as Pfn)).toBe(1);
    for (const pfn of got) buddy.freePages(pfn, ORDER_0);
    expect(buddy.info()[0]?.blocks).toEqual([...new Array(max).fill(0), 8]);
  });

  test('the block freed last is given out first', () => {
    const { buddy } = two();
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    const got = Array.from({ length: 6 }, () => buddy.allocPages(ORDER_0) as Pfn);
    buddy.freePages(got[1] as Pfn, ORDER_0);
    buddy.freePages(got[4] as Pfn, ORDER_0);
    expect(buddy.allocPages(ORDER_0)).toBe(got[4]);
    expect(buddy.allocPages(ORDER_0)).toBe(got[1]);
  });

  test('content is junk unless zero was asked for, and freed pages are junk again', () => {
    const { buddy, memory } = two();
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    const dirty = buddy.allocPages(ORDER_0) as Pfn;
    const clean = buddy.allocPages(1 as Order, { zero: true }) as Pfn;
    expect(memory.holdsFill(dirty, JUNK)).toBe(true);
    expect(memory.holdsFill((clean + 1) as Pfn, ZERO_FILL)).toBe(true);
    buddy.freePages(clean, 1 as Order);
    expect(memory.holdsFill((clean + 1) as Pfn, JUNK)).toBe(true);
  });

  test('a compound page knows its head, and is taken apart when it is freed', () => {
    const { buddy, pages } = two();
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    const head = buddy.allocPages(3 as Order, { compound: true }) as Pfn;
    expect(pages.headOf((head + 7) as Pfn)).toBe(head);
    expect([pages.refcount(head), pages.refcount((head + 7) as Pfn)]).toEqual([1, 0]);
    buddy.freePages(head, 3 as Order);
    expect(pages.compound((head + 7) as Pfn)).toBe('none');
  });

  test('the preferred node serves first, the next one when it is empty, none when only it may', () => {
    const { buddy } = two();
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    buddy.addFreeRange((64 * block) as Pfn, 4 * block);
    for (let i = 0; i < 4; i++) expect(buddy.allocPages(max, { nid: 1 })).toBe((64 + i) * block);
    expect(buddy.allocPages(max, { nid: 1, thisNode: true })).toBeUndefined();
    expect(buddy.allocPages(max, { nid: 1 })).toBe(4 * block);
  });

  test('CMA memory never serves unmovable allocations, and movable ones first while most free memory is CMA', () => {
    const { buddy, pages } = two();
    buddy.addFreeRange((4 * block) as Pfn, 2 * block);
    buddy.addFreeRange((6 * block) as Pfn, 3 * block, 'cma');
    expect(buddy.allocPages(max, { migratetype: 'movable' })).toBe(6 * block);
    expect(buddy.allocPages(max, { migratetype: 'movable' })).toBe(4 * block);
    expect(buddy.allocPages(max)).toBe(5 * block);
    expect(buddy.allocPages(ORDER_0)).toBeUndefined();
    expect(buddy.allocSpecific((7 * block) as Pfn, ORDER_0)).toBe(false);
    expect(buddy.allocPages(ORDER_0, { migratetype: 'movable' })).toBe(7 * block);
    buddy.freePages((6 * block) as Pfn, max);
    expect(pages.has((6 * block) as Pfn, PageFlag.cma | PageFlag.free)).toBe(true);
    expect(buddy.nrFreePages('normal')).toBe(0);
  });

  test('a given place can be had once', () => {
    const { buddy } = two();
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    const pfn = (5 * block + 6) as Pfn;
    expect(buddy.allocSpecific(pfn, 1 as Order)).toBe(true);
    expect(buddy.allocSpecific((pfn + 1) as Pfn, ORDER_0)).toBe(false);
    expect(buddy.freeOrderAt((pfn - 1) as Pfn)).toBe(1);
    expect(buddy.nrFreePages()).toBe(8 * block - 2);
  });

  test('an order above the limit gets nothing, and the fault site makes any call fail', () => {
    const { buddy, faults } = two();
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    expect(buddy.allocPages((max + 1) as Order)).toBeUndefined();
    faults.arm(ALLOC_PAGES_SITE, 2);
    expect(buddy.allocPages(ORDER_0)).toBeDefined();
    expect(buddy.allocPages(ORDER_0)).toBeUndefined();
    expect(buddy.allocPages(ORDER_0)).toBeDefined();
  });

  test('single pages in bulk are neighbours where that can be, and go back in bulk or one by one', () => {
    const { buddy, pages, memory } = two();
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    const first = buddy.allocPages(ORDER_0) as Pfn;
    const runs = buddy.allocPagesBulk(2 * block + 1, { zero: true }) ?? [];
    expect(runs.reduce((sum, run) => sum + run.nrPages, 0)).toBe(2 * block + 1);
    expect(runs[0]).toEqual({ pfn: 5 * block, nrPages: 2 * block });
    expect(pages.refcount((6 * block + 3) as Pfn)).toBe(1);
    expect(memory.holdsFill((6 * block + 3) as Pfn, ZERO_FILL)).toBe(true);
    buddy.freePages((6 * block + 3) as Pfn, ORDER_0);
    buddy.freePagesBulk((5 * block) as Pfn, block + 3);
    buddy.freePagesBulk((6 * block + 4) as Pfn, block - 4);
    for (const run of runs.slice(1)) buddy.freePagesBulk(run.pfn, run.nrPages);
    buddy.freePages(first, ORDER_0);
    expect(buddy.info()[0]?.blocks[max]).toBe(8);
    expect(memory.holdsFill((6 * block + 3) as Pfn, JUNK)).toBe(true);
  });

  test('a block above the largest order is freed in pieces', () => {
    const { buddy } = two();
    buddy.addFreeRange((4 * block) as Pfn, 8 * block);
    for (let i = 0; i < 4; i++) buddy.allocPages(max);
    buddy.freePages((4 * block) as Pfn, (max + 2) as Order);
    expect(buddy.info()[0]?.blocks[max]).toBe(8);
  });

  test('freeing what is free, or was never managed, is a bad page: said in the log, and nothing is freed', () => {
    const { buddy, log } = two();
    buddy.addFreeRange((4 * block) as Pfn, 2 * block);
    const pfn = buddy.allocPages(ORDER_0) as Pfn;
    buddy.freePages(pfn, ORDER_0);
    buddy.freePages(pfn, ORDER_0);
    buddy.freePages((8 * block) as Pfn, 1 as Order);
    expect(buddy.nrFreePages()).toBe(2 * block);
    expect(log.lines.map((line) => line.text.replace(/ {2}pfn.*/, ''))).toEqual([
      'BUG: Bad page state in process khosim',
      'BUG: Bad page state in process khosim',
    ]);
  });

  test('free memory keeps the private of pages that head no free block: a lost reservation still looks preserved', () => {
    const { buddy, pages } = two();
    const first = (4 * block) as Pfn;
    for (const at of [0, 1, block, block + 1]) pages.setPrivate((first + at) as Pfn, 0, 0x4b484f50);
    buddy.addFreeRange(first, 2 * block);
    expect([0, 1, block, block + 1].map((at) => pages.privateHi((first + at) as Pfn) !== 0)).toEqual([
      false,
      true,
      false,
      true,
    ]);
    buddy.allocPages(ORDER_0);
    expect(pages.privateHi((first + 1) as Pfn)).toBe(0);
  });

  test('scattered allocations lie apart and are the same for the same seed', () => {
    const draw = () => {
      const { buddy } = two();
      buddy.addFreeRange((4 * block) as Pfn, 8 * block);
      buddy.addFreeRange((64 * block) as Pfn, 4 * block);
      const random = new Random(7);
      return Array.from({ length: 50 }, () => buddy.allocScattered(random, ORDER_0) as Pfn);
    };
    const a = draw();
    expect(new Set(a).size).toBe(50);
    expect(a.some((pfn) => pfn >= 64 * block)).toBe(true);
    expect(draw()).toEqual(a);
  });
});

describe('buddy allocator against a plain set of pages', () => {
  const page = makePageSize(6);
  const first = 8 * 13;
  const cmaStart = first + 67;
  const end = first + 200;

  const step = fc.oneof(
    fc.record({ op: fc.constant('alloc' as const), order: fc.nat(3), movable: fc.boolean(), pick: fc.nat(1000) }),
    fc.record({ op: fc.constant('at' as const), order: fc.nat(3), movable: fc.boolean(), pick: fc.nat(220) }),
    fc.record({ op: fc.constant('bulk' as const), order: fc.nat(3), movable: fc.boolean(), pick: fc.nat(90) }),
    fc.record({ op: fc.constant('free' as const), order: fc.nat(3), movable: fc.boolean(), pick: fc.nat(1000) }),
    fc.record({
      op: fc.constantFrom('mark' as const, 'restore' as const),
      order: fc.nat(3),
      movable: fc.boolean(),
      pick: fc.nat(1000),
    }),
  );

  test('no page is free and allocated, all are accounted for, unmovable never gets CMA, versions come back', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const { buddy, pages } = setUp(page, [{ firstPfn: first, nrPages: end - first, nid: 0 }], 3);
        buddy.addFreeRange((first + 3) as Pfn, cmaStart - first - 3);
        buddy.addFreeRange(cmaStart as Pfn, end - cmaStart - 5, 'cma');
        const total = end - first - 8;
        let held = new Map<number, number>();
        const versions: [ReturnType<typeof buddy.mark>, ReturnType<typeof pages.mark>, typeof held][] = [];
        const take = (pfn: number, order: number, movable: boolean) => {
          if (pfn % 2 ** order !== 0) throw new Error('not aligned');
          for (let p = pfn; p < pfn + 2 ** order; p++) {
            for (const [head, o] of held) if (p >= head && p < head + 2 ** o) throw new Error(`${p} given twice`);
            if (p < first + 3 || p >= end - 5) throw new Error('never handed over');
            if (p >= cmaStart && !movable) throw new Error('unmovable in CMA');
            if (pages.has(p as Pfn, PageFlag.free)) throw new Error('still marked free');
          }
          held.set(pfn, order);
        };
        for (const s of steps) {
          const options = { migratetype: s.movable ? ('movable' as const) : ('unmovable' as const) };
          if (s.op === 'alloc') {
            const pfn = buddy.allocPages(s.order as Order, options);
            if (pfn !== undefined) take(pfn, s.order, s.movable);
          } else if (s.op === 'at') {
            const pfn = first + s.pick;
            if (buddy.allocSpecific(pfn as Pfn, s.order as Order, options)) take(pfn, s.order, s.movable);
          } else if (s.op === 'bulk') {
            const free = buddy.nrFreePages(s.movable ? undefined : 'normal');
            const runs = buddy.allocPagesBulk(s.pick, options);
            if ((runs === undefined) !== s.pick > free) throw new Error('enough is enough');
            for (const run of runs ?? []) for (let i = 0; i < run.nrPages; i++) take(run.pfn + i, 0, s.movable);
          } else if (s.op === 'free') {
            const entry = [...held][s.pick % Math.max(1, held.size)];
            if (entry === undefined) continue;
            buddy.freePages(entry[0] as Pfn, entry[1] as Order);
            held.delete(entry[0]);
          } else if (s.op === 'mark') {
            versions.push([buddy.mark(), pages.mark(), new Map(held)]);
          } else {
            const version = versions[s.pick % Math.max(1, versions.length)];
            if (version === undefined) continue;
            buddy.restore(version[0]);
            pages.restore(version[1]);
            held = new Map(version[2]);
          }
          let allocated = 0;
          for (const order of held.values()) allocated += 2 ** order;
          if (buddy.nrFreePages() !== total - allocated || pages.nrFree !== total - allocated) return false;
        }
        for (let p = first; p < end; p++) {
          if (buddy.freeOrderAt(p as Pfn) >= 0 !== pages.has(p as Pfn, PageFlag.free)) return false;
        }
        // Everything freed: the lists are as they were before the first allocation, fully merged.
        for (const [pfn, order] of held) buddy.freePages(pfn as Pfn, order as Order);
        const fresh = setUp(page, [{ firstPfn: first, nrPages: end - first, nid: 0 }], 3).buddy;
        fresh.addFreeRange((first + 3) as Pfn, cmaStart - first - 3);
        fresh.addFreeRange(cmaStart as Pfn, end - cmaStart - 5, 'cma');
        expect(buddy.info()).toEqual(fresh.info());
        return true;
      }),
      { numRuns: 80, seed: 2 },
    );
  });
});

describe('ZONE_DMA', () => {
  test.each(PAGE_SIZES)('is given out last, with $name pages', (page) => {
    const sizeBytes = 64 * 2 ** 20;
    const banks = [{ base: physAddr(0), sizeBytes, nid: 0 }];
    const memory = new PhysicalMemory(page, banks);
    const pages = new PageStates(page, banks);
    const dmaEnd = 16 * 2 ** 20;
    const buddy = new BuddyAllocator({ page, banks, memory, pages, junkSeed: 1, dmaEnd });
    buddy.addFreeRange(0 as Pfn, sizeBytes / page.sizeBytes);
    const border = dmaEnd / page.sizeBytes;
    const taken = Array.from({ length: sizeBytes / page.sizeBytes }, () => buddy.allocPages(0 as Order));
    expect(taken.every((pfn) => pfn !== undefined)).toBe(true);
    expect(taken.findIndex((pfn) => (pfn ?? 0) < border)).toBe((sizeBytes - dmaEnd) / page.sizeBytes);
    expect(buddy.allocPages(0 as Order)).toBeUndefined();
  });
});
