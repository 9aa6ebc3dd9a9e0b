import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { MEMBLOCK_HOTPLUG, PHYS_ADDR_MAX } from '../../../machine/memblock/flags.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';
import { PAGE_SIZES } from '../../../machine/page-size.ts';
import { type Direction, NODES, World } from './picture.ts';

/*
 * The cases of the kernel's user-space memblock suite under their names, each as two pictures: before and after. An
 * allocation that fails leaves the picture as it was.
 */

const NAMES = readFileSync(new URL('../../fixtures/memblock-case-names.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'));

type Operation = (world: World) => unknown;
type Pictures = readonly [before: string, after: string];
/** One pair for both directions, or one for each. */
type Case = readonly [name: string, run: Operation, pictures: Pictures | Readonly<Record<Direction, Pictures>>];

const MIB = 0x10_0000;
const ALL = 1 << 20;

// --- memory and reserved: memblock_add*, memblock_reserve*, memblock_remove*, memblock_free* -------------------------

const RANGES: readonly Case[] = [
  ['memblock_add_simple', (w) => w.memblock.add(w.at(2), w.bytes(4)), ['|        |', '|  ----  |']],
  ['memblock_add_disjoint', (w) => w.memblock.addNode(w.at(5), w.bytes(2), 0), ['| --     |', '| --  -- |']],
  ['memblock_add_overlap_top', (w) => w.memblock.addNode(w.at(1), w.bytes(4), 0), ['|   ---- |', '| ------ |']],
  ['memblock_add_overlap_bottom', (w) => w.memblock.addNode(w.at(3), w.bytes(4), 0), ['| ----   |', '| ------ |']],
  ['memblock_add_within', (w) => w.memblock.addNode(w.at(3), w.bytes(2), 0), ['| ------ |', '| ------ |']],
  ['memblock_add_twice', (w) => w.memblock.addNode(w.at(1), w.bytes(4), 0), ['| ----   |', '| ----   |']],
  ['memblock_add_between', (w) => w.memblock.addNode(w.at(3), w.bytes(2), 0), ['| --  -- |', '| ------ |']],

  ['memblock_remove_simple', (w) => w.memblock.remove(w.at(1), w.bytes(2)), ['| --  -- |', '|     -- |']],
  ['memblock_remove_absent', (w) => w.memblock.remove(w.at(5), w.bytes(2)), ['| --     |', '| --     |']],
  ['memblock_remove_overlap_top', (w) => w.memblock.remove(w.at(1), w.bytes(4)), ['|   ---- |', '|     -- |']],
  ['memblock_remove_overlap_bottom', (w) => w.memblock.remove(w.at(3), w.bytes(4)), ['| ----   |', '| --     |']],
  ['memblock_remove_within', (w) => w.memblock.remove(w.at(3), w.bytes(2)), ['| ------ |', '| --  -- |']],
  ['memblock_remove_only_region', (w) => w.memblock.remove(w.at(1), w.bytes(4)), ['| ----   |', '|        |']],
  ['memblock_remove_overlap_two', (w) => w.memblock.remove(w.at(2), w.bytes(5)), ['| ---  --- |', '| -     -- |']],

  ['memblock_reserve_simple', (w) => w.memblock.reserve(w.at(2), w.bytes(4)), ['|--------|', '|--RRRR--|']],
  ['memblock_reserve_disjoint', (w) => w.memblock.reserve(w.at(5), w.bytes(2)), ['|-RR-----|', '|-RR--RR-|']],
  ['memblock_reserve_overlap_top', (w) => w.memblock.reserve(w.at(1), w.bytes(4)), ['|---RRRR-|', '|-RRRRRR-|']],
  ['memblock_reserve_overlap_bottom', (w) => w.memblock.reserve(w.at(3), w.bytes(4)), ['|-RRRR---|', '|-RRRRRR-|']],
  ['memblock_reserve_within', (w) => w.memblock.reserve(w.at(3), w.bytes(2)), ['|-RRRRRR-|', '|-RRRRRR-|']],
  ['memblock_reserve_twice', (w) => w.memblock.reserve(w.at(1), w.bytes(4)), ['|-RRRR---|', '|-RRRR---|']],
  ['memblock_reserve_between', (w) => w.memblock.reserve(w.at(3), w.bytes(2)), ['|-RR--RR-|', '|-RRRRRR-|']],

  ['memblock_free_simple', (w) => w.memblock.free(w.at(1), w.bytes(2)), ['|-RR--RR-|', '|-----RR-|']],
  ['memblock_free_absent', (w) => w.memblock.free(w.at(5), w.bytes(2)), ['|-RR-----|', '|-RR-----|']],
  ['memblock_free_overlap_top', (w) => w.memblock.free(w.at(1), w.bytes(4)), ['|---RRRR-|', '|-----RR-|']],
  ['memblock_free_overlap_bottom', (w) => w.memblock.free(w.at(3), w.bytes(4)), ['|-RRRR---|', '|-RR-----|']],
  ['memblock_free_within', (w) => w.memblock.free(w.at(3), w.bytes(2)), ['|-RRRRRR-|', '|-RR--RR-|']],
  ['memblock_free_only_region', (w) => w.memblock.free(w.at(1), w.bytes(4)), ['|-RRRR---|', '|--------|']],
  ['memblock_free_overlap_two', (w) => w.memblock.free(w.at(2), w.bytes(5)), ['|-RRR--RRR-|', '|-R-----RR-|']],

  ['memblock_trim_memory_aligned', (w) => w.memblock.trim(w.bytes(4)), ['|----    ----|', '|----    ----|']],
  ['memblock_trim_memory_too_small', (w) => w.memblock.trim(w.bytes(4)), ['|----     -- |', '|----        |']],
  ['memblock_trim_memory_unaligned_base', (w) => w.memblock.trim(w.bytes(4)), ['|----  ------|', '|----    ----|']],
  ['memblock_trim_memory_unaligned_end', (w) => w.memblock.trim(w.bytes(4)), ['|------  ----|', '|----    ----|']],
];

// --- allocations without NUMA ----------------------------------------------------------------------------------------

const ALLOCATIONS: readonly Case[] = [
  [
    'alloc_simple',
    (w) => w.alloc(2),
    { top_down: ['|--------|', '|------KK|'], bottom_up: ['|--------|', '|KK------|'] },
  ],
  [
    'alloc_disjoint',
    (w) => w.alloc(2, 4),
    { top_down: ['|-------------R--|', '|--------KK---R--|'], bottom_up: ['|-R--------------|', '|-R--KK----------|'] },
  ],
  [
    'alloc_before',
    (w) => w.alloc(2),
    { top_down: ['|------KK|', '|----KKKK|'], bottom_up: ['|--KK----|', '|KKKK----|'] },
  ],
  [
    'alloc_after',
    (w) => w.alloc(2),
    { top_down: ['|----KK--|', '|----KKKK|'], bottom_up: ['|KK------|', '|KKKK----|'] },
  ],
  [
    'alloc_second_fit',
    (w) => w.alloc(2),
    { top_down: ['|----R-R|', '|--KKR-R|'], bottom_up: ['|R-R----|', '|R-RKK--|'] },
  ],
  ['alloc_in_between', (w) => w.alloc(2), ['|KK--KK|', '|KKKKKK|']],
  ['alloc_small_gaps', (w) => w.alloc(2), ['|R-R-R-R-|', '|R-R-R-R-|']],
  ['alloc_all_reserved', (w) => w.alloc(2), ['|RRRR|', '|RRRR|']],
  ['alloc_no_space', (w) => w.alloc(2), ['|RRR-|', '|RRR-|']],
  ['alloc_limited_space', (w) => w.alloc(2), ['|RRR--|', '|RRRKK|']],
  ['alloc_no_memory', (w) => w.alloc(2), ['|    |', '|    |']],
  ['alloc_too_large', (w) => w.alloc(5), ['|----|', '|----|']],

  [
    'alloc_from_simple',
    (w) => w.allocFrom(2, 5),
    { top_down: ['|--------|', '|------KK|'], bottom_up: ['|--------|', '|-----KK-|'] },
  ],
  [
    'alloc_from_misaligned',
    (w) => w.allocFrom(2, 5, 4),
    { top_down: ['|----------------|', '|------------KK--|'], bottom_up: ['|----------------|', '|--------KK------|'] },
  ],
  [
    'alloc_from_high_addr',
    (w) => w.allocFrom(2, 7),
    { top_down: ['|--------|', '|------KK|'], bottom_up: ['|--------|', '|KK------|'] },
  ],
  [
    'alloc_from_no_space_above',
    (w) => w.allocFrom(2, 4),
    { top_down: ['|----RRRR|', '|--KKRRRR|'], bottom_up: ['|----RRRR|', '|KK--RRRR|'] },
  ],
  [
    'alloc_from_min_addr_cap',
    (w) => w.allocFrom(2, -8),
    { top_down: ['|--------|', '|------KK|'], bottom_up: ['|--------|', '|KK------|'] },
  ],

  [
    'alloc_nid_simple',
    (w) => w.allocNid(2, 2, 6),
    { top_down: ['|--------|', '|----KK--|'], bottom_up: ['|--------|', '|--KK----|'] },
  ],
  [
    'alloc_nid_misaligned',
    (w) => w.allocNid(2, 1, 15, -1, 4),
    { top_down: ['|----------------|', '|------------KK--|'], bottom_up: ['|----------------|', '|----KK----------|'] },
  ],
  ['alloc_nid_exact_address', (w) => w.allocNid(2, 3, 5), ['|--------|', '|---KK---|']],
  [
    'alloc_nid_narrow_range',
    (w) => w.allocNid(3, 4, 6),
    { top_down: ['|--------|', '|---KKK--|'], bottom_up: ['|--------|', '|KKK-----|'] },
  ],
  ['alloc_nid_low_max', (w) => w.allocNid(2, 0, 1), ['|--------|', '|--------|']],
  ['alloc_nid_min_reserved', (w) => w.allocNid(2, 4, 6), ['|--KK----|', '|--KKKK--|']],
  ['alloc_nid_max_reserved', (w) => w.allocNid(2, 2, 4), ['|----KK--|', '|--KKKK--|']],
  [
    'alloc_nid_reserved_with_space',
    (w) => w.allocNid(2, 0, 8),
    { top_down: ['|R------R|', '|R----KKR|'], bottom_up: ['|R------R|', '|RKK----R|'] },
  ],
  ['alloc_nid_reserved_full_merge', (w) => w.allocNid(2, 2, 4), ['|KK--KK|', '|KKKKKK|']],
  ['alloc_nid_reserved_no_space', (w) => w.allocNid(2, 3, 4), ['|--R-R---|', '|KKR-R---|']],
  [
    'alloc_nid_cap_max',
    (w) => w.allocNid(2, 4, ALL),
    { top_down: ['|--------|', '|------KK|'], bottom_up: ['|--------|', '|----KK--|'] },
  ],
  [
    'alloc_nid_cap_min',
    (w) => w.allocNid(2, -8, 8),
    { top_down: ['|--------|', '|------KK|'], bottom_up: ['|--------|', '|KK------|'] },
  ],
  ['alloc_nid_reserved_all', (w) => w.allocNid(2, 0, 4), ['|RRRR|', '|RRRR|']],
];

// --- allocations on nodes ----------------------------------------------------------------------------------------------

/** The line of NODES with some pages taken: `pages` from `at`. */
function line(...taken: readonly (readonly [at: number, pages: string])[]): string {
  const chars = [...'-'.repeat(NODES.length)];
  for (const [at, pages] of taken) chars.splice(at, pages.length, ...pages);
  return `|${chars.join('')}|`;
}

const FREE = line();
const bothEnds = (before: string, [top, up]: readonly [string, string]) => ({
  top_down: [before, top] as const,
  bottom_up: [before, up] as const,
});

//                    0       8 10  14  18  22      30
//                    000000001122223333445566666666 77
const ON_NODES: readonly Case[] = [
  ['alloc_nid_numa_simple', (w) => w.allocNid(2, 0, ALL, 3), bothEnds(FREE, [line([16, 'dd']), line([14, 'dd'])])],
  [
    'alloc_nid_numa_small_node',
    (w) => w.allocNid(4, 0, ALL, 1),
    bothEnds(FREE, [line([26, 'KKKK']), line([0, 'KKKK'])]),
  ],
  [
    'alloc_nid_numa_node_reserved',
    (w) => w.allocNid(2, 0, ALL, 2),
    bothEnds(line([10, 'RRRR']), [line([10, 'RRRR'], [30, 'KK']), line([10, 'RRRR'], [0, 'KK'])]),
  ],
  [
    'alloc_nid_numa_part_reserved',
    (w) => w.allocNid(2, 0, ALL, 3),
    bothEnds(line([14, 'R']), [line([14, 'R-dd']), line([14, 'Rdd-'])]),
  ],
  [
    'alloc_nid_numa_part_reserved_fallback',
    (w) => w.allocNid(2, 0, ALL, 3),
    bothEnds(line([15, 'RR']), [line([15, 'RR'], [30, 'KK']), line([15, 'RR'], [0, 'KK'])]),
  ],
  [
    'alloc_nid_numa_split_range_low',
    (w) => w.allocNid(2, 11, 16, 2),
    bothEnds(FREE, [line([12, 'cc']), line([11, 'cc'])]),
  ],
  ['alloc_nid_numa_split_range_high', (w) => w.allocNid(2, 12, 15, 3), [FREE, line([12, 'KK'])]],
  [
    'alloc_nid_numa_no_overlap_split',
    (w) => w.allocNid(1, 19, 21, 2),
    bothEnds(FREE, [line([20, 'K']), line([19, 'K'])]),
  ],
  ['alloc_nid_numa_no_overlap_low', (w) => w.allocNid(2, 4, 10, 3), bothEnds(FREE, [line([8, 'KK']), line([4, 'KK'])])],
  [
    'alloc_nid_numa_no_overlap_high',
    (w) => w.allocNid(2, 22, 30, 3),
    bothEnds(FREE, [line([28, 'KK']), line([22, 'KK'])]),
  ],
  // Two nodes never make one free range, however free they are.
  ['alloc_nid_numa_large_region', (w) => w.allocNid(9, 0, ALL, 0), [FREE, FREE]],
  ['alloc_nid_numa_reserved_full_merge', (w) => w.allocNid(2, 15, 17, 3), [line([14, 'd--d']), line([14, 'dddd'])]],
  [
    'alloc_nid_numa_split_all_reserved',
    (w) => w.allocNid(2, 12, 16, 2),
    [line([0, 'R'.repeat(16)]), line([0, 'R'.repeat(16)])],
  ],

  [
    'alloc_exact_nid_numa_simple',
    (w) => w.allocExactNid(2, 0, ALL, 3),
    bothEnds(FREE, [line([16, 'dd']), line([14, 'dd'])]),
  ],
  [
    'alloc_exact_nid_numa_part_reserved',
    (w) => w.allocExactNid(2, 0, ALL, 3),
    bothEnds(line([14, 'R']), [line([14, 'R-dd']), line([14, 'Rdd-'])]),
  ],
  [
    'alloc_exact_nid_numa_split_range_low',
    (w) => w.allocExactNid(2, 11, 16, 2),
    bothEnds(FREE, [line([12, 'cc']), line([11, 'cc'])]),
  ],
  [
    'alloc_exact_nid_numa_no_overlap_split',
    (w) => w.allocExactNid(2, 19, 21, 2),
    bothEnds(FREE, [line([12, 'cc']), line([10, 'cc'])]),
  ],
  [
    'alloc_exact_nid_numa_no_overlap_low',
    (w) => w.allocExactNid(2, 22, 30, 0),
    bothEnds(FREE, [line([6, 'aa']), line([0, 'aa'])]),
  ],
  ['alloc_exact_nid_numa_small_node', (w) => w.allocExactNid(4, 0, ALL, 1), [FREE, FREE]],
  [
    'alloc_exact_nid_numa_node_reserved',
    (w) => w.allocExactNid(2, 0, ALL, 2),
    [line([10, 'RRRR']), line([10, 'RRRR'])],
  ],
  [
    'alloc_exact_nid_numa_part_reserved_fail',
    (w) => w.allocExactNid(2, 0, ALL, 3),
    [line([15, 'RR']), line([15, 'RR'])],
  ],
  ['alloc_exact_nid_numa_split_range_high', (w) => w.allocExactNid(2, 12, 15, 3), [FREE, FREE]],
  ['alloc_exact_nid_numa_no_overlap_high', (w) => w.allocExactNid(2, 0, 8, 3), [FREE, FREE]],
  ['alloc_exact_nid_numa_large_region', (w) => w.allocExactNid(9, 0, ALL, 0), [FREE, FREE]],
  [
    'alloc_exact_nid_numa_reserved_full_merge',
    (w) => w.allocExactNid(2, 15, 17, 3),
    [line([14, 'd--d']), line([14, 'dddd'])],
  ],
  [
    'alloc_exact_nid_numa_split_all_reserved',
    (w) => w.allocExactNid(2, 12, 16, 2),
    [line([0, 'R'.repeat(16)]), line([0, 'R'.repeat(16)])],
  ],
];

/** The suite's own names for a case in one direction. */
function namesOf(name: string, direction: Direction): string[] {
  const special: Readonly<Record<string, string>> = {
    alloc_nid_top_down_misaligned: 'alloc_nid_top_down_end_misaligned',
    alloc_nid_bottom_up_misaligned: 'alloc_nid_bottom_up_start_misaligned',
  };
  const prefix = /^alloc_(from|nid|exact_nid)_|^alloc_|^memblock_/.exec(name)?.[0] ?? '';
  const directed = `${prefix}${direction}_${name.slice(prefix.length)}`;
  return [name, `${name}_generic`, special[directed] ?? directed].filter((known) => NAMES.includes(known));
}

const CASES: readonly (readonly [cases: readonly Case[], nodes: string | undefined])[] = [
  [RANGES, undefined],
  [ALLOCATIONS, undefined],
  [ON_NODES, NODES],
];

describe.each(PAGE_SIZES)('with pages of $name', (page) => {
  for (const direction of ['top_down', 'bottom_up'] as const) {
    for (const [cases, nodes] of CASES) {
      for (const [name, run, pictures] of cases) {
        const [before, after] = 'top_down' in pictures ? pictures[direction] : pictures;
        test(`${namesOf(name, direction).at(-1)} ${direction}`, () => {
          const world = new World(page, before, direction, nodes);
          expect(world.draw()).toBe(before);
          const result = run(world);
          expect(world.draw()).toBe(after);
          if (name.startsWith('alloc')) expect(result === 0).toBe(before === after);
          else if (!name.startsWith('memblock_trim')) expect(result).toBe(0);
        });
      }
    }
  }

  test('memblock_initialization, memblock_set_bottom_up, memblock_bottom_up', () => {
    const memblock = new Memblock({ page });
    expect([memblock.memory.count, memblock.reserved.count]).toEqual([0, 0]);
    expect([memblock.memory.max, memblock.reserved.max]).toEqual([128, 128]);
    expect(memblock.currentLimit).toBe(PHYS_ADDR_MAX);
    expect(memblock.bottomUp).toBe(false);
    memblock.addNode(MIB * 16, MIB * 16, 0);
    const highest = memblock.alloc(page.sizeBytes, page.sizeBytes);
    memblock.bottomUp = true;
    expect(memblock.alloc(page.sizeBytes, page.sizeBytes)).toBe(MIB * 16);
    expect(highest).toBe(MIB * 32 - page.sizeBytes);
  });

  test('memblock_add_node_simple: flags and node are those given', () => {
    const memblock = new Memblock({ page });
    memblock.addNode(MIB, MIB, 1, MEMBLOCK_HOTPLUG);
    expect([...memblock.memory]).toEqual([{ base: MIB, end: 2 * MIB, flags: MEMBLOCK_HOTPLUG, nid: 1 }]);
  });

  test('memblock_add_near_max, _remove_near_max, _reserve_near_max, _free_near_max: cut off at the last address', () => {
    const memblock = new Memblock({ page });
    const base = 2 ** 64 - MIB;
    memblock.add(base, 2 * MIB);
    memblock.reserve(base, 2 * MIB);
    expect(memblock.memory.totalSize).toBe(BigInt(MIB - 1));
    expect(memblock.reserved.totalSize).toBe(BigInt(MIB - 1));
    memblock.remove(base + MIB / 2, MIB);
    memblock.free(base + MIB / 2, MIB);
    expect(memblock.memory.totalSize).toBe(BigInt(MIB / 2));
    expect([...memblock.reserved]).toEqual([{ base, end: base + MIB / 2, flags: 0, nid: -1 }]);
  });

  test('memblock_add_many: the array of memory doubles into memory', () => {
    const memblock = new Memblock({ page });
    memblock.allowResize();
    for (let i = 0; i < 130; i++) memblock.add(MIB * (16 + 2 * i), MIB);
    expect([memblock.memory.count, memblock.memory.max]).toEqual([130, 256]);
    const bytes = Math.ceil((256 * 24) / page.sizeBytes) * page.sizeBytes;
    expect(memblock.memory.arrayPhys).toBe(MIB * (16 + 2 * 127 + 1) - bytes);
    expect([...memblock.reserved]).toEqual([
      { base: memblock.memory.arrayPhys, end: memblock.memory.arrayPhys + bytes, flags: 0x20, nid: -1 },
    ]);
  });

  test('memblock_reserve_many, _reserve_all_locations: wherever the new region goes, the array doubles around it', () => {
    // 129 places, one of which is left out and reserved last.
    for (const skipped of [0, 1, 64, 127, 128]) {
      const memblock = new Memblock({ page });
      memblock.addNode(MIB, 512 * MIB, 0);
      memblock.allowResize();
      const at = (i: number) => MIB * (2 + 2 * i);
      for (let i = 0; i < 129; i++) if (i !== skipped) memblock.reserve(at(i), MIB);
      expect([memblock.reserved.count, memblock.reserved.max]).toEqual([128, 128]);
      memblock.reserve(at(skipped), MIB);
      expect([memblock.reserved.count, memblock.reserved.max]).toEqual([130, 256]);
      expect(memblock.overlapsRegion(memblock.reserved, at(128) + MIB, 256 * MIB)).toBe(true);
    }
  });

  test('memblock_reserve_many_may_conflict: a new array is never put into the range that waits to be reserved', () => {
    //  |--|        |--- about to be reserved ---|      R R R ... R    (128 regions, where there is no memory)
    const memblock = new Memblock({ page });
    memblock.addNode(16 * MIB, MIB, 0);
    memblock.addNode(32 * MIB, 32 * MIB, 0);
    memblock.allowResize();
    for (let i = 0; i < 128; i++) memblock.reserve(MIB * (128 + 2 * i), MIB);
    expect(memblock.reserve(32 * MIB, 32 * MIB)).toBe(0);
    const bytes = Math.ceil((256 * 24) / page.sizeBytes) * page.sizeBytes;
    expect(memblock.reserved.arrayPhys).toBe(17 * MIB - bytes);
    expect([...memblock.reserved].slice(0, 2)).toEqual([
      { base: 17 * MIB - bytes, end: 17 * MIB, flags: 0x20, nid: -1 },
      { base: 32 * MIB, end: 64 * MIB, flags: 0, nid: -1 },
    ]);
  });

  test('memblock_set_node: a range is cut out and given to a node', () => {
    const world = new World(page, '|--------|', 'top_down', '00001111');
    expect(world.memblock.setNode(world.at(2), world.bytes(4), 2)).toBe(0);
    expect(world.drawNodes()).toBe('00222211');
    expect(world.memblock.memory.count).toBe(3);
    world.memblock.setNode(world.at(2), world.bytes(4), 1);
    expect(world.drawNodes()).toBe('00111111');
    expect(world.memblock.memory.count).toBe(2);
  });

  test('memblock_overlaps_region: touching is not overlapping', () => {
    const { memblock, at, bytes } = bound(new World(page, '|--RRRR--|', 'top_down'));
    const overlaps = (from: number, pages: number) =>
      memblock.overlapsRegion(memblock.reserved, at(from), bytes(pages));
    expect([overlaps(0, 2), overlaps(6, 2), overlaps(0, 3), overlaps(5, 3), overlaps(3, 1), overlaps(0, 8)]).toEqual([
      false,
      false,
      true,
      true,
      true,
      true,
    ]);
  });
});

function bound(world: World) {
  return {
    memblock: world.memblock,
    at: (i: number) => world.at(i),
    bytes: (pages: number) => world.bytes(pages),
  };
}

test('every case of the kernel’s suite is here', () => {
  const covered = new Set(
    CASES.flatMap(([cases]) =>
      cases.flatMap(([name]) => [...namesOf(name, 'top_down'), ...namesOf(name, 'bottom_up')]),
    ),
  );
  const source = readFileSync(new URL(import.meta.url), 'utf8');
  const missing = NAMES.filter((name) => {
    // Groups and drivers of the suite, not cases.
    if (name.startsWith('(group)') || name.endsWith('_internal')) return false;
    const inTitle = new RegExp(`test\\('[^']*\\b${name.replace(/^memblock/, '(memblock)?')}\\b`);
    return !covered.has(name) && !inTitle.test(source);
  });
  expect(missing).toEqual([]);
});
