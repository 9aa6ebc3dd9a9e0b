import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DirectoryVersion, PageDirectory } from '../../machine/index.ts';

/** Two spans with a hole between them; the first is a group and a bit long and ends within a chunk. */
const SPANS = [
  { firstPfn: 100, nrPages: 16384 + 21 },
  { firstPfn: 50_000, nrPages: 40 },
];

type Step =
  | { readonly kind: 'set'; readonly span: number; readonly at: number; readonly value: number }
  | {
      readonly kind: 'fill' | 'update';
      readonly span: number;
      readonly at: number;
      readonly nr: number;
      readonly value: number;
    }
  | { readonly kind: 'mark' }
  | { readonly kind: 'restore'; readonly which: number };

/** An index, mostly next to an edge of a chunk, a group or the span. */
const index = fc
  .tuple(fc.constantFrom(0, 16, 32, 16384, 16400, 16405), fc.integer({ min: -2, max: 2 }))
  .map(([at, by]) => Math.max(0, at + by));

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('set' as const),
    span: fc.nat(1),
    at: index,
    value: fc.integer({ min: -3, max: 9 }),
  }),
  fc.record({
    kind: fc.constantFrom('fill' as const, 'update' as const),
    span: fc.nat(1),
    at: index,
    nr: fc.oneof(fc.nat(40), fc.constantFrom(16384, 20_000)),
    value: fc.integer({ min: -3, max: 0 }),
  }),
  fc.record({ kind: fc.constant('mark' as const) }),
  fc.record({ kind: fc.constant('restore' as const), which: fc.nat(3) }),
);

/** The same with one plain array for each span. */
class Model {
  arrays = SPANS.map(({ nrPages }) => new Array<number>(nrPages).fill(0));

  copy(): number[][] {
    return this.arrays.map((array) => [...array]);
  }
}

/** What `update` is to do: numbers of at most 0 move on by one, round from -3 to 0. A number above 0 gets `value`. */
const moved = (value: number) => (before: number) => (before > 0 ? value : before === -3 ? 0 : before - 1);

function contentOf(directory: PageDirectory): number[][] {
  return directory.spans.map((span) => Array.from({ length: span.nrPages }, (_, i) => directory.valueAt(span, i)));
}

function play(steps: readonly Step[]) {
  const directory = new PageDirectory(SPANS);
  const model = new Model();
  const versions: { version: DirectoryVersion; arrays: number[][] }[] = [];
  for (const step of steps) {
    if (step.kind === 'mark') {
      versions.push({ version: directory.mark(), arrays: model.copy() });
    } else if (step.kind === 'restore') {
      const back = versions[step.which];
      if (back === undefined) continue;
      directory.restore(back.version);
      model.arrays = back.arrays.map((array) => [...array]);
    } else {
      const span = directory.spans[step.span] as (typeof directory.spans)[number];
      const array = model.arrays[step.span] as number[];
      const at = Math.min(step.at, span.nrPages - 1);
      if (step.kind === 'set') {
        directory.setCell(directory.cellForWrite(span, at), step.value);
        array[at] = step.value;
        continue;
      }
      const end = Math.min(span.nrPages, at + step.nr);
      if (step.kind === 'fill') {
        const hadOwn = array.slice(at, end).some((value) => value > 0);
        const replaced = directory.fill(span, at, end, step.value);
        if (hadOwn) expect(replaced).toBe(true);
        array.fill(step.value, at, end);
      } else {
        const changed = moved(step.value);
        let told = 0;
        directory.update(span, at, end, changed, (before, after, nr) => {
          expect(after).not.toBe(before);
          told += nr;
        });
        expect(told).toBe(array.slice(at, end).filter((value) => changed(value) !== value).length);
        for (let i = at; i < end; i++) array[i] = changed(array[i] as number);
      }
    }
  }
  return { directory, model, versions };
}

describe('a page directory', () => {
  const steps = fc.array(step, { maxLength: 14 });

  test('holds for each page what an array of all pages would, through versions too', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        const { directory, model } = play(steps);
        // Not toEqual: one comparison of text instead of 16,445 of numbers. -0 reads as 0.
        expect(contentOf(directory).join() === model.arrays.join()).toBe(true);
      }),
      { numRuns: 12, seed: 1 },
    );
  });

  test('finds the pages with a number of their own, ascending', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        const { directory, model } = play(steps);
        const expected = SPANS.flatMap(({ firstPfn }, s) =>
          (model.arrays[s] as number[]).flatMap((value, i) => (value > 0 ? [firstPfn + i] : [])),
        );
        expect([...directory.pagesAboveZero()]).toEqual(expected);
      }),
      { numRuns: 8, seed: 2 },
    );
  });

  test('lists all pages as runs of one number, those with a number of their own one by one', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        const { directory, model } = play(steps);
        const values = new Map<number, number>();
        const runs = [...directory.valueRuns()];
        for (const { start, nrPages, value } of runs) {
          if (value > 0) expect(nrPages).toBe(1);
          for (let pfn: number = start; pfn < start + nrPages; pfn++) values.set(pfn, value);
        }
        const expected = SPANS.flatMap(({ firstPfn }, s) =>
          (model.arrays[s] as number[]).map((value, i) => `${firstPfn + i}:${value}`),
        );
        expect([...values].map(([pfn, value]) => `${pfn}:${value}`).join() === expected.join()).toBe(true);
        for (const [i, run] of runs.entries()) {
          const next = runs[i + 1];
          if (next?.value === run.value && run.value <= 0) expect(next.start).not.toBe(run.start + run.nrPages);
        }
      }),
      { numRuns: 8, seed: 5 },
    );
  });

  test('tells which pages differ between two versions', () => {
    fc.assert(
      fc.property(steps, steps, (before, after) => {
        const { directory, model, versions } = play([...before, { kind: 'mark' }, ...after]);
        const from = versions[before.filter(({ kind }) => kind === 'mark').length];
        if (from === undefined) throw new Error('the mark is missing');
        const expected = SPANS.flatMap(({ firstPfn }, s) =>
          (model.arrays[s] as number[]).flatMap((value, i) => (value === from.arrays[s]?.[i] ? [] : [firstPfn + i])),
        );
        expect(directory.changedPages(from.version, directory.mark())).toEqual(expected);
      }),
      { numRuns: 8, seed: 3 },
    );
  });

  test('a piece around a page holds one number', () => {
    fc.assert(
      fc.property(steps, fc.nat(1), index, (steps, s, at) => {
        const { directory, model } = play(steps);
        const span = directory.spans[s] as (typeof directory.spans)[number];
        const page = Math.min(at, span.nrPages - 1);
        const [from, end] = directory.pieceAround(span, page);
        expect(from).toBeLessThanOrEqual(page);
        expect(end).toBeGreaterThan(page);
        expect(new Set((model.arrays[s] as number[]).slice(from, end)).size).toBe(1);
      }),
      { numRuns: 12, seed: 4 },
    );
  });

  test('costs nothing for neighbours that share a number, and a chunk that is uniform again gives its cells up', () => {
    const directory = new PageDirectory(SPANS);
    const [span] = directory.spans as [(typeof directory.spans)[number]];
    directory.fill(span, 0, 16384, -1);
    const before = directory.committedBytes;
    directory.fill(span, 16384, span.nrPages, -2);
    expect(directory.committedBytes).toBe(before);
    directory.setCell(directory.cellForWrite(span, 5), -2);
    expect(directory.pieceAround(span, 5)).toEqual([5, 6]);
    directory.update(
      span,
      0,
      16,
      () => -3,
      () => {},
    );
    expect(directory.pieceAround(span, 5)).toEqual([0, 16]);
  });

  test('needs a span', () => {
    expect(() => new PageDirectory([])).toThrow(RangeError);
    expect(new PageDirectory(SPANS).find(99)).toBeUndefined();
  });
});
