import { alignDown, alignUp, NUMA_NO_NODE, type PageSize, type Pfn, pfnOf } from '../../machine/index.ts';
import { NO_REGION, type RegionTable } from '../../machine/memblock/region-table.ts';
import { KernelPanic } from '../failure.ts';
import { pageblockOrder } from '../kho/scratch-size.ts';
import { PageFlag } from '../mm/page-states.ts';
import { defaultSectionBytes, type MemoryRegion } from '../mm/struct-page-init.ts';
import type { Boot } from './boot-state.ts';
import { allocateGiganticPages } from './huge-pages.ts';

/** Bytes of a struct page on both architectures. */
const STRUCT_PAGE_BYTES = 64;

/** The vmemmap of 4K kernels is mapped by blocks of 2 MiB, one for each section; larger pages take it page by page. */
const VMEMMAP_BLOCK_BYTES = 2 ** 21;

function* regionsOf(table: RegionTable): Generator<MemoryRegion> {
  for (let at = table.first(); at !== NO_REGION; at = table.next(at)) {
    yield { base: table.base(at), sizeBytes: table.end(at) - table.base(at), nid: table.nid(at) };
  }
}

function vmemmapAlign(page: PageSize): number {
  return page.shift === 12 ? VMEMMAP_BLOCK_BYTES : page.sizeBytes;
}

/**
 * Huge pages that the command line asks for, then sparse_init: the memory for struct pages, from memblock, on the node that it describes. It is by far the largest
 * early allocation, counts as kernel memory for the size of scratch, and in a KHO boot must come out of scratch.
 */
export function allocateMemoryMap(boot: Boot): void {
  allocateGiganticPages(boot);
  const { memblock, page, log } = boot.ctx;
  const sectionBytes = Math.max(defaultSectionBytes(page), page.sizeBytes);
  const sections = new Map<number, Set<number>>();
  for (const region of regionsOf(memblock.memory)) {
    const nid = Math.max(region.nid, 0);
    const set = sections.get(nid) ?? new Set<number>();
    sections.set(nid, set);
    const last = Math.floor((region.base + region.sizeBytes - 1) / sectionBytes);
    for (let section = Math.floor(region.base / sectionBytes); section <= last; section++) set.add(section);
  }
  const align = vmemmapAlign(page);
  const perSection = alignUp((sectionBytes / page.sizeBytes) * STRUCT_PAGE_BYTES, align);
  for (const nid of [...sections.keys()].sort((a, b) => a - b)) {
    const nrSections = sections.get(nid)?.size ?? 0;
    if (memblock.allocTryNidRaw(nrSections * perSection, align, 0, 0, nid) !== 0) continue;
    for (let i = 0; i < nrSections; i++) {
      if (memblock.allocTryNidRaw(perSection, page.sizeBytes, 0, 0, nid) !== 0) continue;
      log.err(`sparse_init_nid: node[${nid}] memory map backing failed. Some memory will not be available.`);
      break;
    }
  }
}

/** Hash tables, page tables and the like: kernel memory from memblock, as much as the kernel's description says. */
export function allocateEarlyTables(boot: Boot): void {
  const { memblock, page } = boot.ctx;
  if (boot.earlyBytes === 0) return;
  const sizeBytes = alignUp(boot.earlyBytes, page.sizeBytes);
  if (memblock.allocTryNidRaw(sizeBytes, page.sizeBytes, 0, 0, NUMA_NO_NODE) === 0) {
    throw new KernelPanic(`Failed to allocate ${sizeBytes} bytes of early tables`);
  }
}

/** memmap_init: every struct page that is not deferred. Scratch that was handed over becomes CMA here. */
export function initialiseStructPages(boot: Boot): void {
  const { ctx, kho, structPages } = boot;
  structPages.initMemory(regionsOf(ctx.memblock.memory));
  if (!kho.isKhoBoot) return;
  for (const area of kho.scratch) {
    for (const bank of ctx.map.banks) {
      const start = Math.max(area.base, bank.base);
      const end = Math.min(area.base + area.sizeBytes, bank.base + bank.sizeBytes);
      if (start >= end) continue;
      const first = pfnOf(ctx.page, start as typeof area.base);
      ctx.pages.setRange(first, Math.floor((end - start) / ctx.page.sizeBytes), PageFlag.cma);
    }
  }
}

/** memblock_free_all: what is not reserved goes to the page allocator, and is junk from then on. */
export function releaseMemory(boot: Boot): void {
  const { memblock, allocator, config, memory } = boot.ctx;
  memory.setWriter('free memory');
  memblock.freeAll(
    config.MAX_PAGE_ORDER,
    (pfn, order) => boot.structPages.release(pfn, order),
    (first, end, nid) => boot.structPages.initReserved(first, end, nid),
  );
  // Region arrays that were doubled into RAM hold their last state from here on.
  memory.setWriter('memblock');
  memblock.writeArrays(memory);
  memory.setWriter('free memory');
  boot.structPages.flush(allocator);
}

/** page_alloc_init_late: the deferred rest. */
export function releaseDeferredMemory(boot: Boot): void {
  boot.structPages.initLate(boot.ctx.allocator);
}

/**
 * The scratch that this kernel reserved becomes free CMA memory: movable pages may use it, preserved ones never will. That goes by
 * whole pageblocks. Up to 7.0 a size from the command line may end inside one; what lies behind it is then given
 * to the allocator too, whoever has it:
 *
 *     | pageblock | pageblock | pageblock |
 *     |<------- scratch ------->|  ^ free already, or in use
 */
export function releaseScratchAsCma(boot: Boot): void {
  const { page, config, allocator } = boot.ctx;
  const blockPages = 2 ** pageblockOrder(page, config.MAX_PAGE_ORDER);
  for (const area of boot.kho.scratch) {
    const first = pfnOf(page, area.base);
    const end = first + area.sizeBytes / page.sizeBytes;
    const tail = alignDown(end - first, blockPages);
    if (tail > 0 && badPageIn(boot, first, (first + tail) as Pfn)) {
      throw new KernelPanic('scratch that is free memory is freed a second time');
    }
    if (tail > 0) allocator.addFreeRange(first, tail, 'cma');
    if (first + tail < end) releasePartOfPageblock(boot, (first + tail) as Pfn, end as Pfn, blockPages);
  }
}

/** Whether the allocator finds, among pages that it is given, one that it has. It says so. */
function badPageIn({ ctx }: Boot, start: Pfn, end: Pfn): boolean {
  for (const run of ctx.pages.runs(start, end)) {
    if ((run.state.flags & PageFlag.free) === 0) continue;
    const pfn = run.start.toString(16).padStart(5, '0');
    ctx.log.print('emerg', `BUG: Bad page state in process swapper/0  pfn:${pfn}`);
    return true;
  }
  return false;
}

/** A pageblock that scratch ends in. The allocator finds free pages among those it is given, and gives the block up. */
function releasePartOfPageblock(boot: Boot, first: Pfn, end: Pfn, blockPages: number): void {
  const { allocator, memory, page } = boot.ctx;
  const block = { start: first * page.sizeBytes, sizeBytes: blockPages * page.sizeBytes };
  if (!memory.contains(block.start, block.sizeBytes)) {
    // Where RAM ends inside the block as well, there is nobody to take anything from.
    allocator.addFreeRange(first, end - first, 'cma');
    return;
  }
  if (badPageIn(boot, end, (first + blockPages) as Pfn)) return;
  allocator.addFreeRange(first, blockPages, 'cma');
}
