import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { coarsenTo, Layer, Painter } from '../../../scenarios/observe/painter.ts';
import {
  applyRuns,
  columnStates,
  countStates,
  decodeNumbers,
  diffRuns,
  emptyRuns,
  encodeNumbers,
  findSlot,
  pfnOfSlot,
  RunBuilder,
  type Runs,
  slotOfPfn,
  stateAt,
} from '../../../scenarios/report/client/runs.ts';

const SEED = { seed: 20261124, numRuns: 200 };

function runsOf(states: readonly number[]): Runs {
  const builder = new RunBuilder();
  for (const state of states) builder.add(1, state);
  return builder.finish();
}

function statesOf(runs: Runs): number[] {
  return Array.from({ length: runs.nrSlots }, (_, slot) => stateAt(runs, slot));
}

const statesArb = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 40 });

describe('numbers as text', () => {
  test('come back as they were, up to 2^53', () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeNat()), (numbers) => {
        expect(decodeNumbers(encodeNumbers(numbers))).toEqual(numbers);
      }),
      SEED,
    );
  });
});

describe('runs', () => {
  test('a difference leads from any state to any other, forwards and backwards', () => {
    fc.assert(
      fc.property(statesArb, fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 40, maxLength: 40 }), (a, wide) => {
        const before = runsOf(a);
        const after = runsOf(wide.slice(0, a.length));
        expect(statesOf(applyRuns(before, diffRuns(before, after)))).toEqual(statesOf(after));
        expect(statesOf(applyRuns(after, diffRuns(after, before)))).toEqual(statesOf(before));
      }),
      SEED,
    );
  });

  test('equal states differ by nothing', () => {
    const runs = runsOf([0, 1, 1, 2]);
    expect(diffRuns(runs, runs)).toBe('');
    expect(applyRuns(emptyRuns(4), diffRuns(emptyRuns(4), runs))).toEqual(runs);
  });

  test('a column shows the worst page in it, for every width and window', () => {
    const ranks = Float64Array.of(0, 10, 5, 20);
    fc.assert(
      fc.property(statesArb, fc.integer({ min: 1, max: 50 }), fc.nat(39), fc.nat(39), (states, width, a, b) => {
        const runs = runsOf(states);
        const from = Math.min(a, b);
        const to = Math.max(a, b) + 1;
        const perColumn = (to - from) / width;
        const expected = Array.from({ length: width }, (_, column) => {
          let worst = -1;
          for (const [slot, state] of states.entries()) {
            const start = Math.floor((slot - from) / perColumn);
            const end = Math.ceil((slot + 1 - from) / perColumn) - 1;
            if (column < start || column > end) continue;
            if (worst < 0 || (ranks[state] as number) > (ranks[worst] as number)) worst = state;
          }
          return worst;
        });
        expect(Array.from(columnStates(runs, ranks, from, to, width))).toEqual(expected);
      }),
      SEED,
    );
  });

  test('are counted by state', () => {
    expect(Array.from(countStates(runsOf([0, 0, 2, 2, 2, 1]), 3))).toEqual([2, 1, 3]);
  });

  test('the next page in a state is found from anywhere, around the end', () => {
    const runs = runsOf([0, 1, 1, 0, 2]);
    const is = (wanted: number) => (state: number) => state === wanted;
    expect(findSlot(runs, 0, is(1))).toBe(1);
    expect(findSlot(runs, 2, is(1))).toBe(2);
    expect(findSlot(runs, 3, is(1))).toBe(1);
    expect(findSlot(runs, 4, is(0))).toBe(0);
    expect(findSlot(runs, 0, is(3))).toBe(-1);
  });
});

describe('slots of pages', () => {
  const banks = [
    { pfn: 0x100, nrPages: 4, nid: 0 },
    { pfn: 0x200, nrPages: 2, nid: 1 },
  ];

  test('number the pages of all banks in a row, and holes have none', () => {
    expect([0x100, 0x103, 0x104, 0x200, 0x201, 0x202].map((pfn) => slotOfPfn(banks, pfn))).toEqual([
      0, 3, -1, 4, 5, -1,
    ]);
    expect([0, 3, 4, 5, 6].map((slot) => pfnOfSlot(banks, slot))).toEqual([0x100, 0x103, 0x200, 0x201, -1]);
  });
});

describe('painting', () => {
  const banks = [
    { pfn: 10, nrPages: 20, nid: 0 },
    { pfn: 40, nrPages: 20, nid: 0 },
  ];
  const rangeArb = fc.record({
    pfn: fc.integer({ min: 0, max: 65 }),
    nrPages: fc.integer({ min: 1, max: 25 }),
    state: fc.integer({ min: 1, max: 4 }),
  });

  test('lays ranges over each other as if page by page', () => {
    fc.assert(
      fc.property(fc.array(fc.array(rangeArb, { maxLength: 8 }), { maxLength: 3 }), (layers) => {
        const painter = new Painter(banks);
        const naive = new Array<number>(40).fill(0);
        for (const ranges of layers) {
          const layer = new Layer();
          for (const { pfn, nrPages, state } of ranges) {
            layer.add(pfn, nrPages, state);
            for (let at = pfn; at < pfn + nrPages; at++) {
              const slot = slotOfPfn(banks, at);
              if (slot >= 0) naive[slot] = state;
            }
          }
          painter.paint(layer);
        }
        expect(statesOf(painter.runs)).toEqual(naive);
      }),
      SEED,
    );
  });

  test('may leave what is below', () => {
    const painter = new Painter(banks);
    const below = new Layer();
    below.add(10, 5, 1);
    painter.paint(below);
    const above = new Layer();
    above.add(12, 6, 2);
    painter.paint(above, (under, over) => (under === 0 ? over : under));
    expect(statesOf(painter.runs).slice(0, 9)).toEqual([1, 1, 1, 1, 1, 2, 2, 2, 0]);
  });

  test('coarser, each grain is as bad as its worst page', () => {
    fc.assert(
      fc.property(statesArb, fc.integer({ min: 1, max: 9 }), (states, grain) => {
        const expected = states.map((_, slot) => {
          const start = slot - (slot % grain);
          return Math.max(...states.slice(start, start + grain));
        });
        expect(statesOf(coarsenTo(runsOf(states), grain, (state) => state))).toEqual(expected);
      }),
      SEED,
    );
  });
});
