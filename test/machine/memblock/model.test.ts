import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  MEMBLOCK_HOTPLUG,
  MEMBLOCK_KHO_SCRATCH,
  MEMBLOCK_MIRROR,
  MEMBLOCK_NOMAP,
  MEMBLOCK_RSRV_HUGETLB,
  MEMBLOCK_RSRV_KERN,
  MEMBLOCK_RSRV_NOINIT,
  PHYS_ADDR_MAX,
} from '../../../machine/memblock/flags.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';
import type { RegionTable } from '../../../machine/memblock/region-table.ts';
import { PAGE_SIZES, type PageSize } from '../../../machine/page-size.ts';
import { NaiveMemblock } from './naive.ts';

const NR_PAGES = 40;

interface Step {
  readonly what: string;
  readonly start: number;
  readonly count: number;
  readonly nid: number;
  readonly flags: number;
  readonly align: number;
  readonly max: number;
  readonly on: boolean;
}

/** Both at once: each step is taken by both, and what they say and hold is compared. */
class Pair {
  readonly real: Memblock;
  readonly naive: NaiveMemblock;
  readonly #pageBytes: number;

  constructor(page: PageSize, numa: boolean) {
    this.real = new Memblock({ page, numa });
    this.naive = new NaiveMemblock(NR_PAGES, numa);
    this.#pageBytes = page.sizeBytes;
  }

  /** @returns the results of both. */
  take(step: Step): readonly [number, number] {
    const { real, naive } = this;
    const unit = this.#pageBytes;
    const { what, start, nid, flags, align, max, on } = step;
    const count = Math.min(step.count, NR_PAGES - start);
    const [base, bytes] = [start * unit, count * unit];
    const mark = (call: 'Hotplug' | 'Nomap' | 'KhoScratch', flag: number): readonly [number, number] => {
      naive.setFlag(naive.memory, start, count, flag, on);
      return [on ? real[`mark${call}`](base, bytes) : real[`clear${call}`](base, bytes), 0];
    };
    switch (what) {
      case 'add':
        naive.add(naive.memory, start, count, naive.numa ? 1024 : 1, 0);
        return [real.add(base, bytes), 0];
      case 'addNode':
        naive.add(naive.memory, start, count, nid, flags);
        return [real.addNode(base, bytes, nid, flags), 0];
      case 'remove':
        naive.remove(naive.memory, start, count);
        return [real.remove(base, bytes), 0];
      case 'reserve':
        naive.add(naive.reserved, start, count, -1, 0);
        return [real.reserve(base, bytes), 0];
      case 'reserveNode':
        naive.add(naive.reserved, start, count, nid, flags);
        return [real.reserveNode(base, bytes, nid, flags), 0];
      case 'free':
        naive.remove(naive.reserved, start, count);
        return [real.free(base, bytes), 0];
      case 'hotplug':
        return mark('Hotplug', MEMBLOCK_HOTPLUG);
      case 'nomap':
        return mark('Nomap', MEMBLOCK_NOMAP);
      case 'scratch':
        return mark('KhoScratch', MEMBLOCK_KHO_SCRATCH);
      case 'mirror':
        if (naive.mirroredKernelcore) {
          naive.hasMirror = true;
          naive.setFlag(naive.memory, start, count, MEMBLOCK_MIRROR, true);
        }
        return [real.markMirror(base, bytes), 0];
      case 'noinit':
        naive.setFlag(naive.reserved, start, count, MEMBLOCK_RSRV_NOINIT, true);
        return [real.reservedMarkNoinit(base, bytes), 0];
      case 'kern':
        naive.setFlag(naive.reserved, start, count, MEMBLOCK_RSRV_KERN, true);
        return [real.reservedMarkKern(base, bytes), 0];
      case 'setNode':
        naive.setNode(naive.memory, start, count, nid);
        return [real.setNode(base, bytes, nid), 0];
      case 'setNodeReserved':
        naive.setNode(naive.reserved, start, count, nid);
        return [real.setNode(base, bytes, nid, real.reserved), 0];
      case 'bottomUp':
      case 'khoScratchOnly':
      case 'movableNode':
      case 'mirroredKernelcore':
        naive[what] = on;
        real[what] = on;
        return [0, 0];
      case 'limit':
        naive.limit = on ? start + 1 : Number.POSITIVE_INFINITY;
        real.currentLimit = on ? base + unit : PHYS_ADDR_MAX;
        return [0, 0];
      case 'alloc':
        return [
          on
            ? real.allocExactNidRaw(bytes, align * unit, base, max * unit, nid)
            : real.allocTryNidRaw(bytes, align * unit, base, max * unit, nid),
          naive.alloc(count, align, start, max, nid, on) * unit,
        ];
      case 'allocRange':
        return [
          real.allocRangeNid(bytes, align * unit, base, max * unit, nid, on),
          naive.allocRange(count, align, start, max, nid, on) * unit,
        ];
      case 'reserveKern':
        naive.add(naive.reserved, start, count, -1, MEMBLOCK_RSRV_KERN);
        return [real.reserveKern(base, bytes), 0];
      case 'reserveNoinit': {
        const blocks = Math.floor(count / align);
        for (let i = 0; i < blocks; i++) {
          naive.add(naive.reserved, start + i * align, align, -1, 0);
          naive.setFlag(naive.reserved, start + i * align, align, MEMBLOCK_RSRV_NOINIT, true);
        }
        real.reserveNoinit(base, align * unit, blocks);
        return [0, 0];
      }
      case 'physAlloc':
        return [real.physAlloc(bytes, align * unit), naive.allocRange(count, align, 0, 0, -1, false) * unit];
      case 'physAllocRange':
        return [
          real.physAllocRange(bytes, align * unit, base, max * unit),
          naive.allocRange(count, align, start, max, -1, false) * unit,
        ];
      case 'physAllocTryNid':
        return [
          real.physAllocTryNid(bytes, align * unit, nid),
          naive.allocRange(count, align, 0, 0, nid, false) * unit,
        ];
      case 'allocAnywhere':
        return [
          on ? real.alloc(bytes, align * unit) : real.allocRaw(bytes, align * unit),
          naive.alloc(count, align, 0, 0, -1, false) * unit,
        ];
      case 'allocFrom':
        return [real.allocFrom(bytes, align * unit, base), naive.alloc(count, align, start, 0, -1, false) * unit];
      case 'allocLow':
        return [real.allocLow(bytes, align * unit), naive.alloc(count, align, 0, NR_PAGES, -1, false) * unit];
      case 'allocNode':
        return [
          on ? real.allocNode(bytes, align * unit, nid) : real.allocTryNid(bytes, align * unit, 0, 0, nid),
          naive.alloc(count, align, 0, 0, nid, false) * unit,
        ];
      case 'memLimit':
        naive.memLimitRemoveMap(start);
        real.memLimitRemoveMap(base);
        return [0, 0];
      case 'hugetlb':
        return [real.allocHugetlb(align * unit, nid, on), naive.allocHugetlb(align, nid, on) * unit];
      case 'trim':
        naive.trim(align);
        real.trim(align * unit);
        return [0, 0];
      case 'enforceLimit':
        naive.enforceLimit(start);
        real.enforceMemoryLimit(base);
        return [0, 0];
      case 'cap':
        naive.cap(start, count);
        real.capMemoryRange(base, bytes);
        return [0, 0];
      default:
        throw new RangeError(`no such step: ${what}`);
    }
  }

  /** What every question of memblock answers, and what a list of pages says to it. */
  answers(nid: number, flags: number): readonly [unknown, unknown] {
    const { real, naive } = this;
    const unit = this.#pageBytes;
    const { memory, reserved } = naive;
    const runs = naive.runs(memory);
    const runAt = (i: number) => runs.find((run) => run.start <= i && i < run.end);
    const pages = Array.from({ length: NR_PAGES }, (_, i) => i);
    // Without NUMA there is node 0 alone, and any other number means all.
    const anyNode = nid < 0 || nid >= (naive.numa ? 1024 : 1);
    const sized = (limit: number, flag: number) =>
      reserved.filter((mark, i) => i < limit && mark && (mark.flags & flag) !== 0 && (anyNode || mark.nid === nid))
        .length * unit;
    const free: { start: number; end: number; nid: number }[] = [];
    real.forEachFreeRange(nid, flags, (start, end, node) => {
      if (start < end) free.push({ start: start / unit, end: end / unit, nid: node });
    });
    return [
      {
        single: pages.map((i) => [
          real.isMemory(i * unit),
          real.isMapMemory(i * unit),
          real.isReserved(i * unit),
          real.searchPfnNid(i),
        ]),
        ranges: pages.map((i) => [
          real.isRegionMemory(i * unit, 3 * unit),
          real.isRegionReserved(i * unit, 3 * unit),
          real.overlapsRegion(real.memory, i * unit, 3 * unit),
        ]),
        kern: pages.map((i) => real.reservedKernSize(i * unit, nid)),
        hugetlb: real.reservedHugetlbSize(PHYS_ADDR_MAX, nid),
        ends: [real.startOfDram(), real.endOfDram()],
        free,
      },
      {
        single: pages.map((i) => {
          const run = runAt(i);
          return [
            run !== undefined,
            run !== undefined && (run.flags & MEMBLOCK_NOMAP) === 0,
            reserved[i] !== undefined,
            run && { nid: run.nid, startPfn: run.start, endPfn: run.end },
          ];
        }),
        ranges: pages.map((i) => [
          (runAt(i)?.end ?? -1) >= i + 3,
          reserved.slice(i, i + 3).some((mark) => mark !== undefined),
          memory.slice(i, i + 3).some((mark) => mark !== undefined),
        ]),
        kern: pages.map((i) => sized(i, MEMBLOCK_RSRV_KERN)),
        hugetlb: sized(NR_PAGES, MEMBLOCK_RSRV_HUGETLB),
        ends: [(runs[0]?.start ?? 0) * unit, (runs.at(-1)?.end ?? 0) * unit],
        free: naive.freeRanges(nid, flags).map(({ start, end, nid: node }) => ({ start, end, nid: node })),
      },
    ];
  }

  /** Capping cuts NOMAP memory at the border and keeps both parts, unmerged: a list of pages does not know that. */
  capSplitsNomap({ what, start, count }: Step): boolean {
    const { memory } = this.naive;
    const borders = what === 'memLimit' ? [this.naive.borderOf(start)] : [start, Math.min(start + count, NR_PAGES)];
    return borders.some((border) => {
      const [below, above] = [memory[border - 1], memory[border]];
      return ((below?.flags ?? 0) & (above?.flags ?? 0) & MEMBLOCK_NOMAP) !== 0;
    });
  }

  /** What both hold, in one form. */
  states(): readonly [unknown, unknown] {
    const { real, naive } = this;
    const unit = this.#pageBytes;
    const regions = (table: RegionTable) =>
      [...table].map(({ base, end, ...mark }) => ({ start: base / unit, end: end / unit, ...mark }));
    const free: { start: number; end: number; nid: number }[] = [];
    for (const direction of ['up', 'down'] as const) {
      real.forEachFreeRange(
        -1,
        0,
        (start, end, nid) => {
          if (start < end) free.push({ start: start / unit, end: end / unit, nid });
        },
        direction,
      );
    }
    const expected = naive.freeRanges(-1, 0).map(({ start, end, nid }) => ({ start, end, nid }));
    return [
      { memory: regions(real.memory), reserved: regions(real.reserved), free },
      {
        memory: naive.runs(naive.memory),
        reserved: naive.runs(naive.reserved),
        free: [...expected, ...expected.toReversed()],
      },
    ];
  }
}

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom(
    ...['add', 'addNode', 'addNode', 'remove', 'reserve', 'reserve', 'reserveNode', 'free', 'free'],
    ...['hotplug', 'nomap', 'scratch', 'mirror', 'noinit', 'kern', 'setNode', 'setNodeReserved'],
    ...['bottomUp', 'khoScratchOnly', 'movableNode', 'mirroredKernelcore', 'limit'],
    ...[
      'alloc',
      'alloc',
      'allocRange',
      'hugetlb',
      'trim',
      'enforceLimit',
      'cap',
      'memLimit',
      'reserveKern',
      'reserveNoinit',
    ],
    ...['physAlloc', 'physAllocRange', 'physAllocTryNid', 'allocAnywhere', 'allocFrom', 'allocLow', 'allocNode'],
  ),
  start: fc.integer({ min: 0, max: NR_PAGES - 1 }),
  count: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: NR_PAGES })),
  nid: fc.integer({ min: -1, max: 2 }),
  flags: fc.constantFrom(0, 0, 0, MEMBLOCK_HOTPLUG, MEMBLOCK_RSRV_KERN, 8),
  align: fc.constantFrom(1, 1, 2, 4),
  max: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: NR_PAGES })),
  on: fc.boolean(),
});

describe.each(PAGE_SIZES)('with pages of $name', (page) => {
  test('any sequence of operations leaves what a list of pages says', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40, size: 'max' }),
        fc.boolean(),
        fc.boolean(),
        (steps, numa, bottomUp) => {
          const pair = new Pair(page, numa);
          pair.take({ what: 'bottomUp', start: 0, count: 1, nid: 0, flags: 0, align: 1, max: 0, on: bottomUp });
          pair.take({ what: 'addNode', start: 0, count: NR_PAGES / 2, nid: 0, flags: 0, align: 1, max: 0, on: true });
          pair.take({
            what: 'addNode',
            start: NR_PAGES / 2,
            count: NR_PAGES / 2,
            nid: 1,
            flags: 0,
            align: 1,
            max: 0,
            on: true,
          });
          let trimmed = false;
          for (const [i, taken] of steps.entries()) {
            if ((taken.what === 'cap' || taken.what === 'memLimit') && (trimmed || pair.capSplitsNomap(taken)))
              continue;
            const [result, expected] = pair.take(taken);
            expect(result, `step ${i}: ${JSON.stringify(taken)}`).toBe(expected);
            // After a trim total_size is off: an array that becomes empty then is a WARN, and capping takes an empty one
            // for one with memory. Not modelled.
            trimmed ||= taken.what === 'trim';
            if (!trimmed) expect(pair.real.warnings).toBe(pair.naive.warnings);
          }
          const [state, expectedState] = pair.states();
          expect(state).toEqual(expectedState);
          const kinds = [0, MEMBLOCK_HOTPLUG, MEMBLOCK_KHO_SCRATCH, MEMBLOCK_NOMAP];
          for (const [i, flags] of kinds.entries()) {
            const [answers, expectedAnswers] = pair.answers((i % 3) - 1, flags);
            expect(answers).toEqual(expectedAnswers);
          }
          const chunks: [number, number][] = [];
          const expectedChunks = pair.naive.freeAll(3);
          pair.real.freeAll(3, (pfn, order) => chunks.push([pfn, order]));
          expect(chunks).toEqual(expectedChunks);
          const [end, expectedEnd] = pair.states();
          expect(end).toEqual(expectedEnd);
        },
      ),
      { numRuns: 300, seed: 42 },
    );
  });
});
