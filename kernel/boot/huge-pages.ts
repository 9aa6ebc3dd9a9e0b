import { NUMA_NO_NODE } from '../../machine/index.ts';
import { memparse } from '../command-line.ts';
import type { Boot } from './boot-state.ts';

const GIB = 2 ** 30;

/**
 * hugetlb_bootmem_alloc: gigantic pages (`hugepagesz=1G hugepages=N`) come out of memblock, before anything of KHO. They stay
 * hugetlb's. From 7.3 on they are marked, so that scratch sizes leave them out, and never lie in scratch; before, a kernel
 * behind a handover has nothing but scratch to take them from. Smaller ones come out of the page allocator later,
 * and are left out here.
 */
export function allocateGiganticPages({ ctx }: Boot): void {
  const { cmdline, memblock, release, log } = ctx;
  let wanted = 0;
  let sizeBytes = 0;
  for (const [name, value] of cmdline.parameters) {
    if (name === 'hugepagesz' || name === 'default_hugepagesz') sizeBytes = memparse(value ?? '')?.value ?? 0;
    if (name === 'hugepages' && sizeBytes === GIB && /^[0-9]+$/.test(value ?? '')) wanted = Number(value);
  }
  for (let got = 0; got < wanted; got++) {
    const phys = release.quirks.scratchIgnoresHugetlb
      ? memblock.allocHugetlb(GIB, NUMA_NO_NODE, false)
      : memblock.allocTryNidRaw(GIB, GIB, 0, 0, NUMA_NO_NODE);
    if (phys !== 0) continue;
    log.warn(`HugeTLB: allocating ${wanted} of page size 1.00 GiB failed.  Only allocated ${got} hugepages.`);
    return;
  }
}
