import { describe, expect, test } from 'vitest';
import { radixGeometry } from '../../../kernel/kho/geometry.ts';
import type { BlockVisitor } from '../../../kernel/kho/memory-map.ts';
import { RadixTree } from '../../../kernel/kho/radix-tree.ts';
import { PreservedPages } from '../../../kernel/kho/restore.ts';
import { KHO_PAGE_MAGIC, retrievedBlockBytes, retrievePreserved } from '../../../kernel/kho/retrieve.ts';
import { extendScratch } from '../../../kernel/kho/scratch-extension.ts';
import { PageStates } from '../../../kernel/mm/page-states.ts';
import { LATEST_RELEASE, type Release, releaseByName } from '../../../kernel/release.ts';
import {
  MachineFault,
  type Order,
  PAGE_4K,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  physAddr,
} from '../../../machine/index.ts';
import { MEMBLOCK_KHO_SCRATCH, MEMBLOCK_RSRV_NOINIT } from '../../../machine/memblock/flags.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';
import { BumpAllocator } from './bump-allocator.ts';

const GIB = 2 ** 30;

function release(name: string): Release {
  return releaseByName(name) ?? LATEST_RELEASE;
}

function newKernel(page: PageSize, name = '7.3', bytes = 8 * GIB) {
  const banks = [{ base: physAddr(0), sizeBytes: bytes, nid: 0 }];
  const memory = new PhysicalMemory(page, banks);
  const memblock = new Memblock({ page, memory });
  memblock.addNode(0, bytes, 0);
  memblock.allowResize();
  const pages = new PageStates(page, banks);
  const warnings: string[] = [];
  const log = { warnOnOnce: (where: string) => void warnings.push(where) };
  const { quirks } = release(name);
  const retrieve: BlockVisitor = (...block) =>
    retrievePreserved({ memblock, pages, page, quirks }, (visit) => visit(...block));
  const preserved = new PreservedPages({ page, pages, log, quirks, maxPageOrder: page.defaultMaxPageOrder });
  return { memory, memblock, pages, warnings, retrieve, preserved };
}

describe.each(PAGE_SIZES)('with pages of $name', (page) => {
  const physOf = (pfn: number) => (pfn * page.sizeBytes) as PhysAddr;

  test('a retrieved block is reserved, noinit, and restored once', () => {
    const { memblock, pages, warnings, retrieve, preserved } = newKernel(page);
    retrieve(physOf(0x100), 0, 3);
    expect([...memblock.reserved]).toEqual([
      { base: physOf(0x100), end: physOf(0x108), flags: MEMBLOCK_RSRV_NOINIT, nid: -1 },
    ]);
    expect(pages.privateLo(0x100 as Pfn)).toBe(3);
    expect(pages.privateHi(0x100 as Pfn)).toBe(KHO_PAGE_MAGIC);
    expect(preserved.restoreFolio(physOf(0x100))).toEqual({ pfn: 0x100, order: 3 });
    expect([0x100, 0x101, 0x107].map((pfn) => pages.refcount(pfn as Pfn))).toEqual([1, 0, 0]);
    expect(pages.compound(0x107 as Pfn)).toBe('tail');
    expect(warnings).toEqual([]);
    expect(preserved.restoreFolio(physOf(0x100))).toBeUndefined();
    expect(warnings).toEqual(['kho_restore_page']);
    expect(preserved.managedPages).toBe(8);
  });

  test('restored ranges are single pages, each with a reference', () => {
    const { pages, retrieve, preserved } = newKernel(page);
    for (const [pfn, order] of [
      [0x101, 0],
      [0x102, 1],
      [0x104, 0],
    ] as const) {
      retrieve(physOf(pfn), 0, order);
    }
    expect(preserved.restorePages(physOf(0x101), 4)).toBe(0x101);
    expect([0x101, 0x102, 0x103, 0x104].map((pfn) => pages.refcount(pfn as Pfn))).toEqual([1, 1, 1, 1]);
    expect(pages.compound(0x102 as Pfn)).toBe('none');
  });

  test('a range whose order was lowered at a node border is restored in part, successfully', () => {
    const { pages, retrieve, preserved } = newKernel(page);
    retrieve(physOf(0x200), 0, 2);
    retrieve(physOf(0x204), 0, 2);
    expect(preserved.restorePages(physOf(0x200), 8)).toBe(0x200);
    expect(preserved.managedPages).toBe(4);
    expect(pages.privateHi(0x204 as Pfn)).toBe(KHO_PAGE_MAGIC);
  });

  test('what was never preserved, or is no memory, is not restored', () => {
    const { warnings, preserved } = newKernel(page);
    expect(preserved.restoreFolio(physOf(0x300))).toBeUndefined();
    expect(preserved.restorePages(physOf(0x300), 2)).toBeUndefined();
    expect(warnings.length).toBe(2);
    expect(preserved.restoreFolio((64 * GIB) as PhysAddr)).toBeUndefined();
    expect(warnings.length).toBe(2);
  });

  test('a block outside memory is an oops', () => {
    const { retrieve } = newKernel(page);
    expect(() => retrieve(0, 0x8000_0000, 0)).toThrow(MachineFault);
    const frame = ((64 * GIB) / page.sizeBytes).toString(16);
    expect(() => retrieve(0, 0x10, 0)).toThrow(`no struct page for pfn 0x${frame}`);
  });

  test('6.17 keeps the bare order, and restores anything as often as asked', () => {
    const { pages, retrieve, preserved } = newKernel(page, '6.17.8');
    retrieve(physOf(0x100), 0, 1);
    expect(pages.privateHi(0x100 as Pfn)).toBe(0);
    expect(preserved.restoreFolio(physOf(0x100))?.order).toBe(1);
    expect(preserved.restoreFolio(physOf(0x100))?.order).toBe(1);
    expect(preserved.restoreFolio(physOf(0x500))?.order).toBe(0);
  });

  test('6.18 to 7.0 refuse an order above MAX_PAGE_ORDER, later releases take it', () => {
    const order = page.defaultMaxPageOrder + 1;
    const old = newKernel(page, '6.19');
    old.retrieve(0, 0, order);
    expect(old.preserved.restoreFolio(0 as PhysAddr)).toBeUndefined();
    const now = newKernel(page);
    now.retrieve(0, 0, order);
    expect(now.preserved.restoreFolio(0 as PhysAddr)?.order).toBe(order);
  });

  test('6.18 leaves the blocks of a restored range compound', () => {
    const { pages, retrieve, preserved } = newKernel(page, '6.18');
    retrieve(physOf(0x102), 0, 1);
    expect(preserved.restorePages(physOf(0x102), 2)).toBe(0x102);
    expect(pages.compound(0x102 as Pfn)).toBe('head');
    expect(pages.refcount(0x103 as Pfn)).toBe(1);
  });

  test('every gigabyte without preserved memory or tree pages becomes scratch', () => {
    const { memory, memblock } = newKernel(page);
    const geometry = radixGeometry(page);
    let next = 5 * GIB;
    const tree = new RadixTree(memory, geometry, {
      allocNode: () => {
        const phys = next as PhysAddr;
        next += page.sizeBytes;
        return phys;
      },
      freeNode: () => undefined,
    });
    tree.init();
    tree.preserve((GIB / page.sizeBytes + 3) as Pfn, 0 as Order);
    tree.preserve(((3 * GIB) / page.sizeBytes) as Pfn, Math.log2(GIB / page.sizeBytes) as Order);
    memblock.markKhoScratch(64 * 2 ** 20, 64 * 2 ** 20);
    memblock.khoScratchOnly = true;
    const before = [...memblock.reserved];
    expect(extendScratch({ memblock, memory, geometry, walk: (callbacks) => tree.walk(callbacks) })).toBe(0);
    const scratch = [...memblock.memory].filter((region) => (region.flags & MEMBLOCK_KHO_SCRATCH) !== 0);
    expect(scratch.map(({ base, end }) => [base / GIB, end / GIB])).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
      [6, 8],
    ]);
    expect([...memblock.reserved]).toEqual(before);
  });

  test.each([
    { name: '1 PiB, two of them and one in the middle of them', log2Bytes: 50, starts: [2 ** 50, 2 ** 51], err: 0 },
    { name: '2^62 bytes', log2Bytes: 62, starts: [2 ** 62], err: -12 },
  ])('a block of nonsense size marks its gigabytes as long as memory lasts: $name', ({ log2Bytes, starts, err }) => {
    const { memory, memblock } = newKernel(page);
    const geometry = radixGeometry(page);
    const tree = new RadixTree(memory, geometry, new BumpAllocator(memory, 5 * GIB));
    tree.init();
    for (const start of starts) {
      tree.preserve((start / page.sizeBytes) as Pfn, (log2Bytes - page.shift) as Order);
      tree.preserve((start / page.sizeBytes + 1) as Pfn, 0 as Order);
    }
    memblock.markKhoScratch(GIB, 16 * 2 ** 20);
    memblock.khoScratchOnly = true;
    const before = [...memblock.reserved];
    expect(extendScratch({ memblock, memory, geometry, walk: (callbacks) => tree.walk(callbacks) })).toBe(err);
    const scratch = [...memblock.memory].filter((region) => (region.flags & MEMBLOCK_KHO_SCRATCH) !== 0);
    const handedOver = [[GIB, GIB + 16 * 2 ** 20]];
    const extended = [
      [0, 5 * GIB],
      [6 * GIB, 8 * GIB],
    ];
    expect(scratch.map(({ base, end }) => [base, end])).toEqual(err === 0 ? extended : handedOver);
    expect([...memblock.reserved]).toEqual(before);
  });

  test('without scratch for its second tree, scratch stays as it was', () => {
    const { memory, memblock } = newKernel(page);
    memblock.khoScratchOnly = true;
    const log: string[] = [];
    const err = extendScratch({
      memblock,
      memory,
      geometry: radixGeometry(page),
      log: { print: (_, text) => void log.push(text), warnOn: () => undefined, warnOnOnce: () => undefined },
      walk: () => 0,
    });
    expect(err).toBe(-12);
    expect(log).toEqual(['KHO: Failed to extend scratch: -12']);
    expect(memblock.memory.count).toBe(1);
  });
});

test('up to 7.1 the size of a block is an int', () => {
  expect([18, 19, 20].map((order) => retrievedBlockBytes(PAGE_4K, order, true))).toEqual([
    2 ** 30,
    2 ** 64 - 2 ** 31,
    1,
  ]);
  expect([19, 51, 52].map((order) => retrievedBlockBytes(PAGE_4K, order, false))).toEqual([2 ** 31, 2 ** 63, 1]);
});
