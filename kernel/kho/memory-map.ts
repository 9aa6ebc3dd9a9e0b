import type { Order, Pfn, PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import type { Errno } from '../errno.ts';

/**
 * What a kernel keeps of the pages that are to survive, whatever its format: a radix tree (7.1 on) or bitmaps that are
 * serialised into a chunk list (6.16 to 7.0).
 */
export interface OutgoingMap {
  readonly kind: 'radix-tree' | 'chunk-list';
  /** Records one block of 2^order pages. 0, or -ENOMEM, -ERANGE. Recording a block twice is success. */
  preserve(pfn: Pfn, order: Order): 0 | Errno;
  /**
   * Records `count` blocks of one order that lie one behind the other, as so many calls of `preserve` would, in less
   * time. 0, or the error of the first that could not be recorded; those before it stay. Absent where there is no
   * shorter way.
   */
  preserveRun?(pfn: Pfn, order: Order, count: number): 0 | Errno;
  /** Forgets one block; what was never recorded is ignored (a WARN where the kernel has one). */
  unpreserve(pfn: Pfn, order: Order): void;
  /**
   * The value of the root FDT's map property: final from the start for a tree, built by this very call for a chunk
   * list (0 when nothing is preserved), or -ENOMEM.
   */
  finalize(): PhysAddr | Errno;
  /** Takes back what `finalize` built (chunk list: frees the chunks). Nothing for a tree. */
  abort(): void;
  /** Every block recorded, in the order in which the next kernel will meet them. */
  forEach(visit: BlockVisitor): void;
}

/**
 * Called for each preserved block. The address comes in 32-bit halves and the order as an unsigned 32-bit number,
 * because foreign memory can hold keys that decode to nonsense (addresses beyond 2^53, orders above 64).
 */
export type BlockVisitor = (physLo: number, physHi: number, order: number) => void;

/** Called for each page of metadata that a reader walks over: tree nodes, chunks, bitmaps. */
export type MetadataVisitor = (phys: PhysAddr, sizeBytes: number) => void;

/** The reading side of the same formats, as the kernel reads: it validates nothing, and may fault. */
export interface IncomingMap {
  readonly kind: 'radix-tree' | 'chunk-list';
  /**
   * Walks the map at `root` (the map property's value).
   * @throws MachineFault where the kernel would oops, KernelHang where it would not come back.
   */
  walk(memory: PhysicalMemory, root: PhysAddr, visit: BlockVisitor, visitMetadata?: MetadataVisitor): void;
}
