import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PAGE_4K, PAGE_SIZES, pageSizeByName } from '../../../machine/index.ts';
import { type MemoryReplayOptions, replayMemory } from '../../../scenarios/replay/memory.ts';

interface ManifestEntry {
  readonly name: string;
  readonly kind: string;
  readonly args: readonly string[];
}

const folder = new URL('../../fixtures/traces/', import.meta.url);
const read = (name: string) => readFileSync(new URL(name, folder), 'utf8');
const manifest: ManifestEntry[] = JSON.parse(read('manifest.json'));

function optionsOf({ args }: ManifestEntry): MemoryReplayOptions {
  return {
    page: pageSizeByName(args[args.indexOf('--page-size') + 1] ?? '') ?? PAGE_4K,
    results: args.includes('--results'),
    digestsOnly: args.includes('--digests-only'),
    numa: !args.includes('--no-numa'),
  };
}

describe('recorded traces are replayed byte for byte', () => {
  test.each(manifest.filter((entry) => entry.kind === 'memory'))('$name', (entry) => {
    expect(replayMemory(read(`${entry.name}.trace`), optionsOf(entry))).toBe(read(`${entry.name}.expect`));
  });
});

/** What a trace prints between its first line and the closing dump. */
function outputOf(trace: string, options: Partial<MemoryReplayOptions> = {}): string[] {
  const lines = replayMemory(trace, { page: PAGE_4K, results: true, ...options }).split('\n');
  return lines.slice(
    1,
    lines.findIndex((line) => line.startsWith('memory cnt=')),
  );
}

test('digests come without lines, but an explicit dump is full', () => {
  const trace = 'add_node 0 0x1000000 0 0\ndump\npreserve_folio 3 0\ntree\n';
  const text = replayMemory(trace, { page: PAGE_4K, digestsOnly: true });
  expect(text.match(/^mem\[0\]/gm)?.length).toBe(1);
  expect(text.match(/^memory digest/gm)?.length).toBe(2);
  expect(text).not.toMatch(/^k /m);
  expect(text).toMatch(/^kdigest/m);
});

test.each(PAGE_SIZES)('the first line tells the geometry of $name', (page) => {
  const [first] = replayMemory('', { page, numa: false }).split('\n');
  const align = (page.sizeBytes * 2 ** page.defaultMaxPageOrder).toString(16);
  expect(first).toBe(
    `consts page_shift=${page.shift} MAX_NUMNODES=1 numa=0 region_size=24 scratch_align=0x${align} max_page_order=${page.defaultMaxPageOrder}`,
  );
});

test('an array that may not be resized panics, and the run ends', () => {
  const text = replayMemory('init_max 1 1\nadd 0 0x1000000\nreserve 0x1000 1\nreserve 0x3000 1\nreserve 0x5000 1\n', {
    page: PAGE_4K,
    results: true,
  });
  expect(text).toContain('op 3 0\nfault line=4 PANIC memblock: cannot resize reserved array\nmemory cnt=1');
  expect(text).toContain('\nops 4\n');
});

test('a fault abandons the operation, and the run goes on', () => {
  expect(
    outputOf(
      [
        'add 0x100000000000 0x100000000000',
        'alloc 0x1000 0x1000',
        'poke 0x100000000000 1',
        'kho_populate 0x100000000000 0x10',
        'start_of_dram',
      ].join('\n'),
    ),
  ).toEqual([
    'op 1 0',
    'fault line=2 FAULT sig=11 phys=0x1ffffffff000',
    'fault line=3 FAULT sig=11 phys=0x100000000000',
    'fault line=4 FAULT sig=11 phys=0x100000000000',
    'op 5 0x100000000000',
  ]);
});

test('a block without struct page is a fault of the walk', () => {
  expect(
    outputOf(
      'preserve_folio 0x100000000 0\nkho_scratch_area 0x100000 0x100000\nkho_populate 0x5000 16\nkho_mem_retrieve\n',
    ),
  ).toEqual(['op 1 0', 'op 3 0', 'fault line=4 FAULT pfn_to_page pfn=0x100000000']);
});

test('two arrays that come to lie over each other end the run', () => {
  // Doubling `memory` takes the highest free page and frees the page that its array was in until now. That splits a
  // region of `reserved`, which is full and so doubles too, into the highest free page: the one just taken.
  const trace = [
    'init_max 4 8',
    'add_node 0x100000 0x100000 0 0',
    'allow_resize',
    ...[1, 2, 3, 4, 5, 6].map((i) => `reserve 0x1${i}0000 0x1000`),
    ...[1, 2, 3, 4, 5, 6, 7, 8].map((i) => `add_node 0x${i}0000 0x1000 ${i} 0`),
    'start_of_dram',
  ].join('\n');
  const text = replayMemory(trace, { page: PAGE_4K });
  expect(text).toContain('fault line=17 ARRAY_OVERLAP memarray=0x1fe000 rsvarray=0x1fe000\n');
  expect(text).toContain('\nops 17\n');
});

test('addresses that doubles do not hold are refused, all ones are not', () => {
  expect(outputOf('reserve 0x1000 -1\nreserve 0xfffffffffffff000 0xffff\nis_reserved 0x2000\nend_of_dram\n')).toEqual([
    'op 1 0',
    'op 2 0',
    'op 3 1',
    'op 4 0x0',
  ]);
  expect(() => replayMemory('add 0x20000000000001 1\n', { page: PAGE_4K, file: 'a.trace' })).toThrow(
    /^a\.trace:1: add cannot be replayed: no double has 0x20000000000001/,
  );
});

test('where an allocation or a range ends at an address that no double has, nobody is told another one', () => {
  const refusal = (trace: string) => {
    try {
      return replayMemory(trace, { page: PAGE_4K, file: 'a.trace' });
    } catch (error) {
      return String(error);
    }
  };
  // The real code gives 0xffffffffffffefc0.
  expect(refusal('add 0xc1477000 0xfffffffffffff000\nalloc_raw 0x1001 0x40\n')).toContain(
    'a.trace:2: alloc_raw cannot be replayed: no double has the address 0xffffffffffffefc0',
  );
  expect(refusal('reserve 0x1001 0x20000000000000\n')).toContain(
    'a.trace:1: reserve cannot be replayed: no double has 0x20000000001001',
  );
});

test('a scratch array given up after a failure still keeps HugeTLB pages away from its areas', () => {
  // Memory without a node: node 0 gets no area, so all is freed, but the count and the array with two areas stay.
  const trace = [
    'add 0x4000 0x8000000',
    'allow_resize',
    'alloc 64 64',
    'kho_reserve_scratch',
    'alloc_hugetlb 0x4000 0 0',
    'alloc_hugetlb 0x4000 0 0',
  ].join('\n');
  expect(outputOf(trace).slice(3)).toEqual(['op 4 0', 'op 5 0x7bfc000', 'op 6 0x7bf8000']);
});

test('a scratch array that there was no memory for is a null pointer to whoever looks at it', () => {
  const trace =
    'add 0x1000 0x1000\nallow_resize\nreserve 0x1000 1\nkho_reserve_scratch\nfree 0x1000 1\nalloc_hugetlb 64 0 0\n';
  expect(outputOf(trace).at(-1)).toMatch(/^fault line=6 FAULT sig=11 phys=/);
});

test('a region capped at the end of the address space ends a byte before 2^64, whatever size was asked for', () => {
  const trace = 'reserve 0x1b2001000 0xfffffffffffff000\nadd_node 0x120541000 -1 0 0\n';
  const text = replayMemory(trace, { page: PAGE_4K });
  expect(text).toContain('mem[0] 0x120541000 0xfffffffedfabefff 0x0 0\n');
  expect(text).toContain('rsv[0] 0x1b2001000 0xfffffffe4dffefff 0x0 -1\n');
  expect(text).toContain('reserved cnt=1 max=128 total_size=0xfffffffe4dffefff\n');
  expect(outputOf('add_node 0x100000 -1 0 0\nsearch_pfn_nid 0x200\n').at(-1)).toBe(
    'search_pfn_nid 0x200 = 0 0x100 0xfffffffffffff',
  );
});

test('after scratch could not be reserved, huge pages avoid whatever the memory of its freed array holds by now', () => {
  // What the 7.3.4 code answered: the place of a freed array of areas was the array of reserved regions by then.
  const trace = [
    'init_max 0x6 0x8',
    'add 0x0 0x100000000',
    'allow_resize',
    'movable_node 0x1',
    'clear_nomap 0x8598e000 0x4000',
    'reserve_kern 0x3000 0x3000',
    'alloc_exact_nid_raw 0x1a46 0x1000 0x85992000 0x4278efc6 0x0',
    'alloc_raw 0x3000 0x10000',
    'alloc 0x10000 0x8',
    'reserved_mark_noinit 0x98d7500 0xbc18c49a',
    'reserved_mark_kern 0x98d7500 0x1b54',
    'clear_nomap 0x98d7500 0x1b54',
    'set_node 0x8598e000 0x4000 -1',
    'alloc_exact_nid_raw 0x0 0x1 0x0 0x0 0x0',
    'scratch_sizes 0x1 0x1 0x1 0x0',
    'nodes 0x1',
    'kho_reserve_scratch',
    'mirrored_kernelcore 0x1',
    'kho_scratch_only 0x0',
    'set_node 0xb02c5000 0x3000 -1',
    'free 0x98d7500 0x1b54',
    'is_memory 0x46641000',
    'reserve_kern 0x9f94a000 0x1000',
    'is_map_memory 0x6000',
    'alloc_hugetlb 0x200000 0x0 0x1',
    'set_node_rsv 0x100002000 0x4000 0x0',
    'free 0x98d7500 0x1b54',
    'kho_scratch_only 0x0',
    'reserve 0x100001000 0x5000',
    'mark_nomap 0x8598e000 0x4000',
    'remove 0x98d7500 0x1b54',
    'alloc_hugetlb 0x2000000 0x1 0x1',
    'reserve_nid 0x24e27000 0x2000 0x1 0x0',
    'alloc 0x1001 0x40',
    'mark_nomap 0x9f949000 0x104d',
    'remove 0x0 0x4000',
    'reserved_mark_noinit 0xb02c7000 0x87000',
    'remove 0xb02c5000 0x3000',
    'is_reserved 0x9f949000',
    'alloc_exact_nid_raw 0x1000 0x1000 0x0 0x0 0x1',
    'reserve 0xfffff000 0x1000',
    'reserved_kern_size 0xffffffff 0x0',
    'phys_alloc 0x40000000 0x40',
    'free_all',
    'reserve 0x1000 0x1000',
    'alloc 0x1001 0x2000',
    'set_node_rsv 0x3000 0x3000 -1',
    'add_node 0x4000 0xcd0fbd8c 0x0 0x20',
    'alloc_hugetlb 0x10000 -1 0x0',
    'remove 0x1000 0xe7',
    'reserve 0x3c41e00 0x1000',
    'reserve 0xffffd000 0x19f7',
  ];
  expect(outputOf(trace.join('\n'))).toContain('op 49 0xbffd0000');
});
