import { FaultInjector } from '../../../kernel/fault-injection.ts';
import { KernelLog } from '../../../kernel/log.ts';
import { BuddyAllocator } from '../../../kernel/mm/buddy.ts';
import { PageStates } from '../../../kernel/mm/page-states.ts';
import { type PageSize, type Pfn, PhysicalMemory, physAddr, VirtualClock } from '../../../machine/index.ts';

/** Free memory of a running kernel: normal pages from the first frame on, CMA ones behind them. */
export function runningMm(page: PageSize, normalPages: number, cmaPages = 0, firstPfn = 0) {
  const nrPages = normalPages + cmaPages;
  const banks = [{ base: physAddr(firstPfn * page.sizeBytes), sizeBytes: nrPages * page.sizeBytes, nid: 0 }];
  const memory = new PhysicalMemory(page, banks);
  const pages = new PageStates(page, banks);
  const log = new KernelLog(new VirtualClock());
  const faults = new FaultInjector();
  const allocator = new BuddyAllocator({ page, banks, memory, pages, junkSeed: 5, log, faults });
  pages.initRange(firstPfn as Pfn, nrPages, 0);
  allocator.addFreeRange(firstPfn as Pfn, normalPages);
  allocator.addFreeRange((firstPfn + normalPages) as Pfn, cmaPages, 'cma');
  return { memory, pages, allocator, log, faults };
}
