import { expect, test } from 'vitest';
import { benchRetrieval } from '../../../scenarios/bench/memblock.ts';

test('scattered keys cost the kernel a scan of all that came before, contiguous ones nothing', () => {
  const now = () => 0;
  const costs = [1000, 2000].map((nrKeys) => benchRetrieval({ name: '', nrKeys, stride: 2 }, now).memblock);
  // Two passes to insert and one to mark, each over every region so far: 3/2 n^2.
  expect(costs.map(({ cost }) => Math.round(cost.regionsScanned / 1e5))).toEqual([15, 60]);
  expect(costs.map(({ cost, reserved }) => [reserved.count, cost.doublings])).toEqual([
    [1001, 3],
    [2001, 4],
  ]);
  const contiguous = benchRetrieval({ name: '', nrKeys: 2000, stride: 1 }, now).memblock;
  expect([...contiguous.reserved]).toEqual([{ base: 0x100_0000, end: 0x17d_0000, flags: 0x10, nid: -1 }]);
  expect(contiguous.cost).toEqual({ regionsScanned: 10_001, bytesMoved: 48, doublings: 0 });
});

test('the order of keys does not matter for what is reserved', () => {
  const workload = { name: '', nrKeys: 3000, stride: 3 };
  const [ordered, shuffled] = [false, true].map((mixed) => {
    const { memblock } = benchRetrieval({ ...workload, shuffled: mixed }, () => 0);
    return [...memblock.reserved].map(({ base, end, flags }) => [base, end, flags]);
  });
  expect(shuffled).toEqual(ordered);
});
