import fc from 'fast-check';
import { enablePatches, produceWithPatches } from 'immer';
import { describe, expect, test } from 'vitest';
import { encodeKey, radixGeometry } from '../../../kernel/kho/geometry.ts';
import { u64Of } from '../../../kernel/kho/u64.ts';
import { PAGE_SIZES } from '../../../machine/index.ts';
import { indexAt, keyOf, markerBitOf, partsOf } from '../../../scenarios/report/client/key.ts';
import type { PatchView, RadixView } from '../../../scenarios/report/client/model.ts';
import { applyPatches } from '../../../scenarios/report/client/player.ts';

enablePatches();

interface Thing {
  name: string;
  list: { id: number; tags: string[] }[];
  map: Record<string, number>;
}

type Change = (draft: Thing) => void;

const changeArb: fc.Arbitrary<Change> = fc.oneof(
  fc.string().map(
    (name): Change =>
      (draft) =>
        void (draft.name = name),
  ),
  fc.nat(9).map(
    (id): Change =>
      (draft) =>
        void draft.list.push({ id, tags: [] }),
  ),
  fc.nat(9).map(
    (at): Change =>
      (draft) =>
        void draft.list.splice(at % (draft.list.length + 1), 1),
  ),
  fc.nat(9).map(
    (id): Change =>
      (draft) =>
        void draft.list.unshift({ id, tags: ['new'] }),
  ),
  fc.string().map(
    (tag): Change =>
      (draft) =>
        void draft.list[0]?.tags.push(tag),
  ),
  fc.tuple(fc.constantFrom('a', 'b'), fc.nat()).map(
    ([key, value]): Change =>
      (draft) =>
        void (draft.map[key] = value),
  ),
  fc.constantFrom('a', 'b').map(
    (key): Change =>
      (draft) =>
        void delete draft.map[key],
  ),
);

describe('the page applies immer’s patches', () => {
  test('forwards and backwards, to the states that immer has', () => {
    fc.assert(
      fc.property(fc.array(fc.array(changeArb, { maxLength: 4 }), { maxLength: 6 }), (steps) => {
        let state: Thing = { name: '', list: [{ id: 1, tags: [] }], map: {} };
        for (const changes of steps) {
          const [next, patches, inverse] = produceWithPatches(state, (draft) => {
            for (const change of changes) change(draft);
          });
          expect(applyPatches(state, patches as PatchView[])).toEqual(next);
          expect(applyPatches(next, inverse as PatchView[])).toEqual(state);
          state = next;
        }
      }),
      { seed: 20261124, numRuns: 150 },
    );
  });
});

describe.each(PAGE_SIZES)('keys of $name pages', (page) => {
  const geometry = radixGeometry(page);
  const view: RadixView = {
    kind: 'radix-tree',
    depth: geometry.depth,
    keyWidth: geometry.keyWidth,
    tableLog2: geometry.tableLog2,
    bitmapLog2: geometry.bitmapLog2,
    levelShifts: [...geometry.levelShifts],
    markerBits: Array.from(geometry.markerBits.subarray(0, geometry.nrOrders)),
    addressShifts: Array.from(geometry.addressShifts.subarray(0, geometry.nrOrders)),
    levels: [],
  };

  test('are the kernel’s, and their parts put together are the key', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 30), fc.integer({ min: 0, max: 13 }), (block, order) => {
        const pfn = block * 2 ** order;
        const phys = u64Of(pfn * page.sizeBytes);
        const expected = encodeKey(geometry, phys.lo, phys.hi, order);
        const key = keyOf(view, page.shift, pfn, order);
        expect(key).toBe((BigInt(expected.hi) << 32n) | BigInt(expected.lo));
        if (key === undefined) return;
        expect(markerBitOf(key)).toBe(geometry.markerBits[order]);
        const bits = partsOf(view, key).map((part) => part.bits);
        expect(bits.join('').length).toBe(geometry.keyWidth);
        expect(BigInt(`0b${bits.join('')}`)).toBe(key);
        expect(partsOf(view, key).map((part) => part.value)).toEqual(
          Array.from({ length: view.depth }, (_, i) => indexAt(view, key, view.depth - 1 - i)),
        );
      }),
      { seed: 20261124, numRuns: 100 },
    );
  });
});
