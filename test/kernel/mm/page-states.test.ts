import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PageFlag, PageStates, type PageStatesVersion } from '../../../kernel/mm/page-states.ts';
import { MachineFault, makePageSize, type Order, PAGE_SIZES, type Pfn, physAddr } from '../../../machine/index.ts';

const GIB = 2 ** 30;
const TIB = 2 ** 40;
const KHOP = 0x4b484f50;

describe.each(PAGE_SIZES)('page states with $name pages', (page) => {
  const low = (GIB / page.sizeBytes) as Pfn;
  const high = ((4 * GIB) / page.sizeBytes) as Pfn;
  const make = (sectionBytes?: number) =>
    new PageStates(
      page,
      [
        { base: physAddr(GIB), sizeBytes: GIB + page.sizeBytes, nid: 0 },
        { base: physAddr(4 * GIB), sizeBytes: TIB, nid: 1 },
      ],
      sectionBytes === undefined ? {} : { sectionBytes },
    );

  test('every frame starts uninitialised', () => {
    expect(make().state(low)).toEqual({
      privateLo: 0,
      privateHi: 0,
      refcount: 0,
      compound: 'none',
      order: 0,
      nid: 0,
      flags: 0,
    });
  });

  test('a frame outside RAM has no struct page, and asking for it is what a kernel oopses on', () => {
    const pages = make();
    const behind = (low + GIB / page.sizeBytes + 1) as Pfn;
    expect(pages.hasStructPage(behind)).toBe(false);
    expect(pages.hasStructPage(behind - 1)).toBe(true);
    expect(() => pages.privateLo((low - 1) as Pfn)).toThrow(MachineFault);
    expect(() => pages.setPrivate(behind, 1, 2)).toThrow('no struct page for pfn');
    expect(() => pages.setRange((behind - 3) as Pfn, 9, PageFlag.reserved)).toThrow(MachineFault);
    expect(pages.has((behind - 1) as Pfn, PageFlag.reserved)).toBe(true);
  });

  test('with sections, the rest of the last section has struct pages too', () => {
    const section = 512 * 2 ** 20;
    const pages = make(section);
    expect(pages.hasStructPage(low + (GIB + section) / page.sizeBytes - 1)).toBe(true);
    expect(pages.hasStructPage(low + (GIB + section) / page.sizeBytes)).toBe(false);
  });

  test('private keeps all 64 bits of each frame apart from its neighbours', () => {
    const pages = make();
    pages.setPrivate(low, 9, KHOP);
    pages.setPrivate((low + 1) as Pfn, 0xffff_ffff, 0xffff_fffe);
    expect([pages.privateLo(low), pages.privateHi(low)]).toEqual([9, KHOP]);
    expect([pages.privateLo((low + 1) as Pfn), pages.privateHi((low + 1) as Pfn)]).toEqual([0xffff_ffff, 0xffff_fffe]);
    expect(pages.privateHi((low + 2) as Pfn)).toBe(0);
  });

  test('initialising struct pages erases private, order and flags, and leaves refcount 1', () => {
    const pages = make();
    pages.setPrivate(high, 9, KHOP);
    pages.setCompound(high, 2 as Order);
    pages.setRange(high, 4, PageFlag.reserved | PageFlag.cma | PageFlag.noinit);
    pages.initRange((high + 1) as Pfn, 2, 1);
    expect(pages.state(high)).toMatchObject({ privateHi: KHOP, compound: 'head', nid: 0 });
    pages.initRange(high, 1, 1);
    expect(pages.state(high)).toEqual({
      privateLo: 0,
      privateHi: 0,
      refcount: 1,
      compound: 'none',
      order: 0,
      nid: 1,
      flags: PageFlag.initialised | PageFlag.cma | PageFlag.noinit,
    });
  });

  test('the tails of a compound page lead to its head until it is taken apart', () => {
    const pages = make();
    const order = page.defaultMaxPageOrder as Order;
    pages.setCompound(high, order);
    expect(pages.headOf((high + 2 ** order - 1) as Pfn)).toBe(high);
    expect(pages.headOf((high + 2 ** order) as Pfn)).toBe(high + 2 ** order);
    expect(pages.order((high + 1) as Pfn)).toBe(order);
    pages.clearCompound(high);
    expect([...pages.runs(high, (high + 2 ** order) as Pfn)]).toHaveLength(1);
    expect(pages.compound((high + 1) as Pfn)).toBe('none');
  });

  test('a folio that is not aligned to its size has its head found too, and nonsense orders harm nothing else', () => {
    const pages = make();
    const order = 17 as Order;
    pages.setCompound((high + 5) as Pfn, order);
    expect(pages.headOf((high + 5 + 2 ** order - 1) as Pfn)).toBe(high + 5);
    pages.setCompound(low, 70 as Order);
    expect(pages.state(low)).toMatchObject({ compound: 'head', order: 6, nid: 0 });
    expect(pages.compound((low + 63) as Pfn)).toBe('tail');
    expect(pages.compound((low + 64) as Pfn)).toBe('none');
  });

  test('released memory counts as managed and free, and keeps the private of frames that head nothing', () => {
    const pages = make();
    const nrPages = TIB / page.sizeBytes;
    pages.initRange(high, nrPages, 1);
    pages.setPrivate((high + 77) as Pfn, 0, KHOP);
    pages.releaseRange(high, nrPages);
    expect([pages.nrManaged, pages.nrFree]).toEqual([nrPages, nrPages]);
    expect(pages.privateHi((high + 77) as Pfn)).toBe(KHOP);
    pages.clearRange((high + 10) as Pfn, 100, PageFlag.free);
    expect([pages.nrManaged, pages.nrFree]).toEqual([nrPages, nrPages - 100]);
  });

  test('runs show neighbours in one state together, and nothing between the banks', () => {
    const pages = make();
    pages.setRange((high + 5) as Pfn, 3, PageFlag.reserved);
    const runs = [...pages.runs(low, (high + 20) as Pfn)].map((run) => [run.start, run.nrPages, run.state.flags]);
    expect(runs).toEqual([
      [low, GIB / page.sizeBytes + 1, 0],
      [high, 5, 0],
      [high + 5, 3, PageFlag.reserved],
      [high + 8, 12, 0],
    ]);
  });

  test('scattered frames over a TiB cost what they touch', () => {
    const pages = make();
    const step = Math.floor(TIB / page.sizeBytes / 20_000);
    for (let i = 0; i < 20_000; i++) pages.setPrivate((high + i * step) as Pfn, 0, KHOP);
    expect(pages.committedBytes).toBeLessThan(75_000_000);
    expect(pages.privateHi((high + 19_999 * step) as Pfn)).toBe(KHOP);
  });
});

describe('page states against a plain array', () => {
  const page = makePageSize(6);
  const nr = 3 * 16384 + 21;
  const at = fc.oneof(fc.nat(60), fc.integer({ min: 16370, max: 16400 }), fc.nat(nr - 1));
  const count = fc.oneof(fc.nat(40), fc.nat(nr));
  const flags = fc.constantFrom<number>(PageFlag.reserved, PageFlag.free, PageFlag.managed | PageFlag.cma);
  const step = fc.oneof(
    fc.record({ op: fc.constantFrom('set' as const, 'clear' as const), at, count, flags }),
    fc.record({ op: fc.constantFrom('init' as const, 'release' as const), at, count, flags }),
    fc.record({ op: fc.constant('private' as const), at, count: fc.nat(5), flags }),
    fc.record({ op: fc.constantFrom('mark' as const, 'restore' as const), at: fc.nat(4), count: fc.nat(1), flags }),
  );

  test('any sequence of changes, marks and restores agrees', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const pages = new PageStates(page, [{ base: physAddr(64 * 1000), sizeBytes: nr * 64, nid: 0 }]);
        let naive = { flags: new Uint8Array(nr), priv: new Uint8Array(nr) };
        const versions: [PageStatesVersion, typeof naive][] = [];
        for (const s of steps) {
          const start = (1000 + s.at) as Pfn;
          const nrPages = Math.min(s.count, nr - s.at);
          const each = (change: (flags: number) => number) => {
            for (let i = s.at; i < s.at + nrPages; i++) naive.flags[i] = change(naive.flags[i] as number);
          };
          if (s.op === 'set') {
            pages.setRange(start, nrPages, s.flags);
            each((f) => f | s.flags);
          } else if (s.op === 'clear') {
            pages.clearRange(start, nrPages, s.flags);
            each((f) => f & ~s.flags);
          } else if (s.op === 'init') {
            pages.initRange(start, nrPages, 0);
            each((f) => (f & PageFlag.cma) | PageFlag.initialised);
            naive.priv.fill(0, s.at, s.at + nrPages);
          } else if (s.op === 'release') {
            pages.releaseRange(start, nrPages);
            each((f) => (f & ~PageFlag.reserved) | PageFlag.managed | PageFlag.free);
          } else if (s.op === 'private') {
            pages.setPrivate(start, s.count, 0);
            naive.priv[s.at] = s.count;
          } else if (s.op === 'mark') {
            versions.push([pages.mark(), { flags: naive.flags.slice(), priv: naive.priv.slice() }]);
          } else {
            const version = versions[s.at % Math.max(1, versions.length)];
            if (version === undefined) continue;
            pages.restore(version[0]);
            naive = { flags: version[1].flags.slice(), priv: version[1].priv.slice() };
          }
        }
        let free = 0;
        let managed = 0;
        const seen = new Uint8Array(nr);
        for (const run of pages.runs(1000 as Pfn, (1000 + nr) as Pfn)) {
          for (let i = run.start - 1000; i < run.start - 1000 + run.nrPages; i++) {
            seen[i] = 1;
            if (naive.flags[i] !== run.state.flags || naive.priv[i] !== run.state.privateLo) return false;
          }
          if (run.state.flags & PageFlag.free) free += run.nrPages;
          if (run.state.flags & PageFlag.managed) managed += run.nrPages;
        }
        return !seen.includes(0) && pages.nrFree === free && pages.nrManaged === managed;
      }),
      { numRuns: 60, seed: 1 },
    );
  });
});
