import type { PageSize, PhysAddr } from '../../machine/index.ts';
import type { Memblock } from '../../machine/memblock/memblock.ts';

/** Objects of the pool (CONFIG_KFENCE_NUM_OBJECTS), each a page between guard pages. */
const NR_OBJECTS = 255;

/**
 * KFENCE: a pool of guarded pages from which some allocations of small objects are served in place of slab, to catch
 * accesses out of bounds. It comes out of memblock early in the boot, so after a handover it lies in scratch.
 *
 *     | guard | guard | object 0 | guard | object 1 | guard | ...
 *
 * A timer lets one allocation through each 100 ms. Virtual time stands still once a kernel is up, so here it is the
 * first that asks.
 */
export class KfencePool {
  readonly #page: PageSize;
  #base = 0;
  #open = false;

  constructor(page: PageSize) {
    this.#page = page;
  }

  /** kfence_alloc_pool: reserves the pool. Without memory for it KFENCE stays off. */
  allocate(memblock: Memblock): void {
    this.#base = memblock.alloc((NR_OBJECTS + 1) * 2 * this.#page.sizeBytes, this.#page.sizeBytes);
    this.#open = this.#base !== 0;
  }

  /** A place for a small object, undefined when slab is to serve it. */
  sample(): PhysAddr | undefined {
    if (!this.#open) return undefined;
    this.#open = false;
    return (this.#base + 2 * this.#page.sizeBytes) as PhysAddr;
  }

  /** Whether an object is the pool's. */
  owns(phys: PhysAddr): boolean {
    return this.#base !== 0 && phys >= this.#base && phys < this.#base + (NR_OBJECTS + 1) * 2 * this.#page.sizeBytes;
  }
}
