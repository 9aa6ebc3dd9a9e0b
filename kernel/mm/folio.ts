import { copiedFill, type Fill, type Order, type Pfn, type PhysicalMemory, sameFill } from '../../machine/index.ts';
import type { Folio } from '../kho/kho.ts';
import type { KernelLog } from '../log.ts';
import type { AllocOptions, BulkPageAllocator } from './page-allocator.ts';
import { PageFlag, type PageStates } from './page-states.ts';

/** What code that owns pages works with. */
export interface MmContext {
  readonly memory: PhysicalMemory;
  readonly pages: PageStates;
  readonly allocator: BulkPageAllocator;
  readonly log?: KernelLog;
}

/** A compound page of 2^order frames, refcount 1; undefined without memory. Unmovable and junk unless asked otherwise. */
export function allocFolio(mm: MmContext, order: Order, options: AllocOptions = {}): Folio | undefined {
  const pfn = mm.allocator.allocPages(order, { ...options, compound: true });
  return pfn === undefined ? undefined : { pfn, order };
}

/** page_folio: the folio that a frame belongs to, itself one of order 0 unless it is in a compound page. */
export function folioOf(pages: PageStates, pfn: Pfn): Folio {
  const head = pages.headOf(pfn);
  return { pfn: head, order: pages.compound(head) === 'head' ? pages.order(head) : (0 as Order) };
}

/** One reference more. */
export function folioGet(pages: PageStates, folio: Folio): void {
  pages.setRefcount(folio.pfn, pages.refcount(folio.pfn) + 1);
}

/**
 * One reference less; the last one frees the folio. With none left to drop, the kernel's count would go below zero,
 * which it calls a bad page: said in the log, nothing freed.
 * @returns whether it was freed.
 */
export function folioPut(mm: MmContext, folio: Folio): boolean {
  const count = mm.pages.refcount(folio.pfn);
  if (count === 0) {
    mm.log?.err(`BUG: Bad page state in process khosim  pfn:${folio.pfn.toString(16).padStart(5, '0')}`);
    return false;
  }
  mm.pages.setRefcount(folio.pfn, count - 1);
  if (count > 1) return false;
  mm.allocator.freePages(folio.pfn, folio.order);
  return true;
}

/** Whether a folio lies in CMA memory, which a new kernel overwrites when it is scratch: pinning moves it out. */
export function isCma(pages: PageStates, folio: Folio): boolean {
  return pages.has(folio.pfn, PageFlag.cma);
}

/** Copies whole frames. What a fill gave its content stays free of charge. */
function copyFrames(memory: PhysicalMemory, from: Pfn, to: Pfn, nrPages: number): void {
  let done = 0;
  while (done < nrPages) {
    const source = (from + done) as Pfn;
    const backing = memory.backing(source);
    if (backing.kind === 'fill') {
      let end = done + 1;
      while (end < nrPages && isFilledWith(memory, (from + end) as Pfn, backing.fill)) end++;
      memory.fillPages((to + done) as Pfn, end - done, copiedFill(backing.fill, to - from, memory.page));
      done = end;
      continue;
    }
    const frame = memory.frameForOverwrite((to + done) as Pfn);
    memory.frameWords(frame).set(memory.pageWords(source), memory.frameWordOffset(frame));
    memory.generation++;
    done++;
  }
}

function isFilledWith(memory: PhysicalMemory, pfn: Pfn, fill: Fill): boolean {
  const backing = memory.backing(pfn);
  return backing.kind === 'fill' && sameFill(backing.fill, fill);
}

/**
 * Moves a folio to memory that unmovable allocations may have, content included, and frees the old one: what pinning
 * for long does to a folio in CMA. @returns the new folio, undefined (and nothing changed) without memory.
 */
export function migrateFolio(mm: MmContext, folio: Folio, options: AllocOptions = {}): Folio | undefined {
  const target = allocFolio(mm, folio.order, { ...options, migratetype: 'unmovable' });
  if (target === undefined) return undefined;
  copyFrames(mm.memory, folio.pfn, target.pfn, 2 ** folio.order);
  mm.pages.setRefcount(target.pfn, mm.pages.refcount(folio.pfn));
  mm.allocator.freePages(folio.pfn, folio.order);
  return target;
}
