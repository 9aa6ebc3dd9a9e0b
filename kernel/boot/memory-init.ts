import { alignUp, NUMA_NO_NODE, type PageSize, type Pfn, pfnOf } from '../../machine/index.ts';
import { NO_REGION, type RegionTable } from '../../machine/memblock/region-table.ts';
import { KernelPanic } from '../failure.ts';
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

/** The scratch that this kernel reserved becomes free CMA memory: movable pages may use it, preserved ones never will. */
export function releaseScratchAsCma(boot: Boot): void {
  const { page, allocator } = boot.ctx;
  for (const area of boot.kho.scratch) {
    const nrPages = area.sizeBytes / page.sizeBytes;
    if (nrPages > 0) allocator.addFreeRange(pfnOf(page, area.base) as Pfn, nrPages, 'cma');
  }
}
