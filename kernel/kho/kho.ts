import type { Order, Pfn, PhysAddr } from '../../machine/index.ts';
import type { Errno } from '../errno.ts';

/** A naturally aligned block of pages that is handled as one. */
export interface Folio {
  readonly pfn: Pfn;
  readonly order: Order;
}

/** A subtree as its client finds it: an FDT or a raw blob, wherever the root FDT says. */
export interface SubtreeLocation {
  readonly phys: PhysAddr;
  /** Undefined before 7.1, whose ABI first carries the size. */
  readonly sizeBytes: number | undefined;
}

/**
 * What a KHO client may call: the exported functions of kernel/liveupdate/kexec_handover.c, under their names in
 * TypeScript's case. Numbers below 0 are errnos.
 */
export interface Kho {
  /** kho_is_enabled: the `kho=` parameter, and nothing went wrong so far. */
  readonly enabled: boolean;
  /** is_kho_boot: this kernel accepted a handover. */
  readonly isKhoBoot: boolean;

  preserveFolio(folio: Folio): 0 | Errno;
  unpreserveFolio(folio: Folio): void;
  preservePages(pfn: Pfn, nrPages: number): 0 | Errno;
  unpreservePages(pfn: Pfn, nrPages: number): void;
  /** A zeroed block of get_order(sizeBytes), preserved. -EINVAL for 0, -E2BIG above MAX_PAGE_ORDER, -ENOMEM. */
  allocPreserve(sizeBytes: number): PhysAddr | Errno;
  /** Undoes allocPreserve: unpreserves and frees. */
  unpreserveFree(phys: PhysAddr, sizeBytes: number): void;
  /** Restores a block that a predecessor got from allocPreserve, and frees it. */
  restoreFree(phys: PhysAddr): void;
  /** Undefined (with a WARN) when the magic is not there. */
  restoreFolio(phys: PhysAddr): Folio | undefined;
  /** The first frame, undefined when a page of the range was not preserved. */
  restorePages(phys: PhysAddr, nrPages: number): Pfn | undefined;
  addSubtree(name: string, phys: PhysAddr, sizeBytes: number): 0 | Errno;
  removeSubtree(phys: PhysAddr): void;
  /** Where the kernel reads that dereferences an address which a predecessor wrote; see phys-to-virt.ts. */
  physToVirt(phys: number | bigint): PhysAddr;
  /** Where the blob of a subtree of the incoming FDT can be read, and its size: -ENOENT without a handover or without the node, -EINVAL for bad properties. */
  retrieveSubtree(name: string): SubtreeLocation | Errno;
}
