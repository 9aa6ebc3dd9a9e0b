import { NUMA_NO_NODE } from '../units.ts';
import {
  DEFAULT_LOW_ADDRESS_LIMIT,
  MEMBLOCK_ALLOC_ACCESSIBLE,
  MEMBLOCK_MIRROR,
  MEMBLOCK_NONE,
  MEMBLOCK_RSRV_HUGETLB,
  MEMBLOCK_RSRV_KERN,
  SMP_CACHE_BYTES,
} from './flags.ts';
import type { MemblockOptions } from './options.ts';
import { RegionArrays } from './region-arrays.ts';
import { hexPa } from './u64.ts';
import { zeroPhysicalRange } from './zero.ts';

/** Every form in which memblock allocates: how they treat limits, nodes and kinds of memory differs. */
export class MemblockAllocations extends RegionArrays {
  /** kho_scratch_overlap, which huge pages must avoid (7.3 on); set once the scratch areas are known. */
  scratchOverlap: ((base: number, sizeBytes: number) => boolean) | undefined;
  readonly #lowAddressLimit: number;

  constructor(options: MemblockOptions) {
    super(options);
    this.#lowAddressLimit = options.lowAddressLimit ?? DEFAULT_LOW_ADDRESS_LIMIT;
  }

  /** Takes a range out of what can be allocated, on no node and without flags. 0 or -ENOMEM. */
  reserve(base: number, sizeBytes: number): number {
    return this.reserveNode(base, sizeBytes, NUMA_NO_NODE, MEMBLOCK_NONE);
  }

  /** Reserves for the kernel: what the default scratch sizes count. */
  reserveKern(base: number, sizeBytes: number): number {
    return this.reserveNode(base, sizeBytes, NUMA_NO_NODE, MEMBLOCK_RSRV_KERN);
  }

  /**
   * Allocates from [start, end), on a node if one is given, elsewhere too unless `exactNid`. Size 0 "succeeds" and
   * reserves nothing; alignment 0 counts as 64. Only a search that the node satisfied records the node.
   * @returns the address, 0 for none.
   */
  allocRangeNid(
    sizeBytes: number,
    align: number,
    start: number,
    end: number,
    nid: number = NUMA_NO_NODE,
    exactNid = false,
  ): number {
    if (align === 0) align = SMP_CACHE_BYTES;
    let flags = this.chooseFlags();
    for (;;) {
      let found = this.findInRangeNode(sizeBytes, align, start, end, nid, flags);
      if (found !== 0 && this.reserveNode(found, sizeBytes, nid, MEMBLOCK_RSRV_KERN) === 0) return found;
      if (this.isValidNode(nid) && !exactNid) {
        found = this.findInRangeNode(sizeBytes, align, start, end, NUMA_NO_NODE, flags);
        if (found !== 0 && this.reserveKern(found, sizeBytes) === 0) return found;
      }
      if ((flags & MEMBLOCK_MIRROR) === 0) return 0;
      flags &= ~MEMBLOCK_MIRROR;
      this.warnNotMirrored(sizeBytes);
    }
  }

  /** Allocates from [start, end); `end` 0 is the current limit (`memblock_phys_alloc_range`). */
  physAllocRange(sizeBytes: number, align: number, start: number, end: number): number {
    this.#debugAlloc('memblock_phys_alloc_range', sizeBytes, align, undefined, start, end);
    return this.allocRangeNid(sizeBytes, align, start, end);
  }

  /** Anywhere below the current limit. */
  physAlloc(sizeBytes: number, align: number): number {
    return this.physAllocRange(sizeBytes, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE);
  }

  /** Below the current limit, preferably on that node. */
  physAllocTryNid(sizeBytes: number, align: number, nid: number): number {
    return this.allocRangeNid(sizeBytes, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, nid, false);
  }

  /** The virtual-address forms: never above the current limit, and the minimum is dropped when it cannot be met. */
  #allocInternal(size: number, align: number, min: number, max: number, nid: number, exactNid: boolean): number {
    max = Math.min(max, this.currentLimit);
    const found = this.allocRangeNid(size, align, min, max, nid, exactNid);
    if (found !== 0 || min === 0) return found;
    return this.allocRangeNid(size, align, 0, max, nid, exactNid);
  }

  /** On that node or not at all; not zeroed. */
  allocExactNidRaw(sizeBytes: number, align: number, min: number, max: number, nid: number): number {
    this.#debugAlloc('memblock_alloc_exact_nid_raw', sizeBytes, align, nid, min, max);
    return this.#allocInternal(sizeBytes, align, min, max, nid, true);
  }

  /** Preferably on that node; not zeroed. */
  allocTryNidRaw(sizeBytes: number, align: number, min: number, max: number, nid: number): number {
    this.#debugAlloc('memblock_alloc_try_nid_raw', sizeBytes, align, nid, min, max);
    return this.#allocInternal(sizeBytes, align, min, max, nid, false);
  }

  /**
   * Preferably on that node; zeroed.
   * @throws MachineFault when the memory is not RAM after all.
   */
  allocTryNid(sizeBytes: number, align: number, min: number, max: number, nid: number): number {
    this.#debugAlloc('memblock_alloc_try_nid', sizeBytes, align, nid, min, max);
    const found = this.#allocInternal(sizeBytes, align, min, max, nid, false);
    if (found !== 0 && this.physicalMemory !== undefined) {
      zeroPhysicalRange(this.physicalMemory, found, found + sizeBytes);
    }
    return found;
  }

  /** Anywhere below the current limit; zeroed. */
  alloc(sizeBytes: number, align: number): number {
    return this.allocTryNid(sizeBytes, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, NUMA_NO_NODE);
  }

  /** Anywhere below the current limit; not zeroed. */
  allocRaw(sizeBytes: number, align: number): number {
    return this.allocTryNidRaw(sizeBytes, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, NUMA_NO_NODE);
  }

  /** Preferably above a minimum; zeroed. */
  allocFrom(sizeBytes: number, align: number, min: number): number {
    return this.allocTryNid(sizeBytes, align, min, MEMBLOCK_ALLOC_ACCESSIBLE, NUMA_NO_NODE);
  }

  /** Below the low limit. */
  allocLow(sizeBytes: number, align: number): number {
    return this.allocTryNid(sizeBytes, align, 0, this.#lowAddressLimit, NUMA_NO_NODE);
  }

  /** Below the current limit, preferably on that node; zeroed. */
  allocNode(sizeBytes: number, align: number, nid: number): number {
    return this.allocTryNid(sizeBytes, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, nid);
  }

  /**
   * A huge page, aligned to its size, never mirrored, never in scratch; marked so that scratch sizes do not count it
   * (`memblock_alloc_hugetlb`, 7.3).
   */
  allocHugetlb(sizeBytes: number, nid: number, exactNid: boolean): number {
    const flags = this.chooseFlags() & ~MEMBLOCK_MIRROR;
    let start = 0;
    let end = MEMBLOCK_ALLOC_ACCESSIBLE;
    for (;;) {
      const found = this.findInRangeNode(sizeBytes, sizeBytes, start, end, nid, flags);
      if (found === 0) {
        if (!this.isValidNode(nid) || exactNid) return 0;
        nid = NUMA_NO_NODE;
        start = 0;
        end = MEMBLOCK_ALLOC_ACCESSIBLE;
      } else if (this.scratchOverlap?.(found, sizeBytes) === true) {
        if (this.bottomUp) start = found + sizeBytes;
        else end = found;
      } else {
        return this.reserveNode(found, sizeBytes, nid, MEMBLOCK_RSRV_KERN | MEMBLOCK_RSRV_HUGETLB) === 0 ? found : 0;
      }
    }
  }

  #debugAlloc(name: string, size: number, align: number, nid: number | undefined, from: number, max: number): void {
    if (!this.options.debug) return;
    const node = nid === undefined ? '' : ` nid=${nid}`;
    const range = `from=${hexPa(from)} max_addr=${hexPa(max)}`;
    this.options.log?.('info', `${name}: ${size} bytes align=0x${align.toString(16)}${node} ${range}`);
  }
}
