import {
  type Order,
  type PageSize,
  type Pfn,
  type PhysAddr,
  type PhysicalMemory,
  pfnOf,
  physOf,
  Random,
} from '../../machine/index.ts';
import type { KfencePool } from '../mm/kfence.ts';
import type { PageAllocator } from '../mm/page-allocator.ts';

/** Where bitmaps come from. Both kinds give zeroed memory. */
export interface BitmapAllocator {
  /** Undefined when there is no memory. */
  alloc(): PhysAddr | undefined;
  free(phys: PhysAddr): void;
}

/** A page for each bitmap: get_zeroed_page. */
export class PageBitmaps implements BitmapAllocator {
  readonly #page: PageSize;
  readonly #allocator: PageAllocator;

  constructor(page: PageSize, allocator: PageAllocator) {
    this.#page = page;
    this.#allocator = allocator;
  }

  alloc(): PhysAddr | undefined {
    const pfn = this.#allocator.allocPages(0 as Order, { zero: true });
    return pfn === undefined ? undefined : physOf(this.#page, pfn);
  }

  free(phys: PhysAddr): void {
    this.#allocator.freePages(pfnOf(this.#page, phys), 0 as Order);
  }
}

/** Objects that SLUB would put in one slab of this size: 16 KiB worth, and at least a page. */
const SLAB_BYTES = 16384;

/**
 * A kmalloc cache: objects share pages with whatever else the kernel keeps in objects of that size.
 *
 *     slab of 2^order pages
 *    +--------+--------+--------+--------+--------+--------+ ...
 *    | other  | bitmap | free   | other  | bitmap | other  |
 *    +--------+--------+--------+--------+--------+--------+ ...
 *
 * The neighbours matter: a reader that takes an object for larger than it is reads them. They hold what kernel objects
 * hold, mostly pointers, small numbers and zeroes, and free ones a link to the next free object. Which slots are free
 * for bitmaps is random, as it is in a kernel that has run for a while.
 */
export class SlabBitmaps implements BitmapAllocator {
  readonly #memory: PhysicalMemory;
  readonly #page: PageSize;
  readonly #allocator: PageAllocator;
  readonly #objectBytes: number;
  readonly #order: Order;
  readonly #random: Random;
  readonly #kfence: Pick<KfencePool, 'sample' | 'owns'> | undefined;
  /** Free slots; the last is given out next. */
  readonly #free: PhysAddr[] = [];

  /**
   * @param objectBytes a divisor of the page size.
   * @param kfence serves an object now and then.
   */
  constructor(
    memory: PhysicalMemory,
    allocator: PageAllocator,
    objectBytes: number,
    seed: number,
    kfence?: Pick<KfencePool, 'sample' | 'owns'>,
  ) {
    this.#kfence = kfence;
    this.#memory = memory;
    this.#page = memory.page;
    this.#allocator = allocator;
    this.#objectBytes = objectBytes;
    this.#order = Math.max(0, Math.log2(SLAB_BYTES / memory.page.sizeBytes)) as Order;
    this.#random = new Random(seed);
  }

  alloc(): PhysAddr | undefined {
    const sampled = this.#kfence?.sample();
    if (sampled === undefined && this.#free.length === 0 && !this.#newSlab()) return undefined;
    const phys = sampled ?? this.#free.pop();
    if (phys === undefined) return undefined;
    this.#memory.writeBytes(phys, new Uint8Array(this.#objectBytes));
    return phys;
  }

  /** The object goes back to its slab, which stays: other objects live in it. */
  free(phys: PhysAddr): void {
    if (this.#kfence?.owns(phys) === true) return;
    this.#link(phys);
    this.#free.push(phys);
  }

  #newSlab(): boolean {
    const first = this.#allocator.allocPages(this.#order);
    if (first === undefined) return false;
    const nrPages = 2 ** this.#order;
    for (let i = 0; i < nrPages; i++) this.#fillPage((first + i) as Pfn);
    const nrObjects = (nrPages * this.#page.sizeBytes) / this.#objectBytes;
    const base = physOf(this.#page, first);
    for (let i = 0; i < nrObjects; i++) {
      if (this.#random.below(2) === 0) continue;
      const phys = (base + i * this.#objectBytes) as PhysAddr;
      this.#free.splice(this.#random.below(this.#free.length + 1), 0, phys);
      this.#link(phys);
    }
    if (this.#free.length === 0) this.#free.push(base);
    return true;
  }

  #fillPage(pfn: Pfn): void {
    const words = new Uint32Array(this.#page.sizeBytes / 4);
    fillWithObjects(words, this.#random);
    this.#memory.writeBytes(physOf(this.#page, pfn), new Uint8Array(words.buffer));
  }

  /** The free list's link, in the middle of the object, as hardened kernels store it: scrambled. */
  #link(phys: PhysAddr): void {
    const at = (phys + this.#objectBytes / 2) as PhysAddr;
    this.#memory.writeU32(at, this.#random.u32());
    this.#memory.writeU32((at + 4) as PhysAddr, this.#random.u32());
  }
}

/** What kernel objects look like from the outside: pointers, small numbers, flags, zeroes. */
export function fillWithObjects(words: Uint32Array, random: Random): void {
  for (let i = 0; i + 1 < words.length; i += 2) {
    const kind = random.below(4);
    if (kind === 0) {
      words[i] = random.u32() & ~7;
      words[i + 1] = 0xffff_0000;
    } else if (kind === 1) {
      words[i] = random.below(4096);
    } else if (kind === 2) {
      words[i] = random.u32();
      words[i + 1] = random.u32();
    }
  }
}
