import type { NodeAllocator } from '../../../kernel/kho/tree-tables.ts';
import { type Pfn, type PhysAddr, type PhysicalMemory, physAddr, ZERO_FILL } from '../../../machine/index.ts';

/** Hands out zeroed pages upwards from an address, freed ones first (last in, first out); fails on demand. */
export class BumpAllocator implements NodeAllocator {
  readonly #memory: PhysicalMemory;
  readonly #free: PhysAddr[] = [];
  #next: number;
  /** Pages handed out and not given back. */
  live = 0;
  /** Allocations that still succeed before one fails. */
  failAfter = Number.POSITIVE_INFINITY;

  constructor(memory: PhysicalMemory, base: number) {
    this.#memory = memory;
    this.#next = base;
  }

  allocNode(): PhysAddr | undefined {
    if (this.failAfter-- === 0) return undefined;
    const { page } = this.#memory;
    let phys = this.#free.pop();
    if (phys === undefined) {
      phys = physAddr(this.#next);
      this.#next += page.sizeBytes;
    }
    this.#memory.fillPages((phys / page.sizeBytes) as Pfn, 1, ZERO_FILL);
    this.live++;
    return phys;
  }

  freeNode(phys: PhysAddr): void {
    this.#free.push(phys);
    this.live--;
  }
}
