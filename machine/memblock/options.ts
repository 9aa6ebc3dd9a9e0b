import type { PageSize } from '../page-size.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import type { MemblockStop } from './reports.ts';

/** What memblock is told about the kernel it belongs to. Everything but the page size has a default. */
export interface MemblockOptions {
  readonly page: PageSize;
  /** RAM. With it, allocations that zero do zero, and a doubled array is written; without, only the tables change. */
  readonly memory?: PhysicalMemory;
  /** CONFIG_NUMA: without it no region has a nid of its own, all read as 0. Default true. */
  readonly numa?: boolean;
  /** MAX_NUMNODES: 1024 by default, 1 without NUMA. */
  readonly maxNumnodes?: number;
  /** Sizes of the static arrays, 128 each by default, at least 1 (arm64 has more for `reserved` with EFI). */
  readonly initMemoryRegions?: number;
  readonly initReservedRegions?: number;
  /** The architecture's low limit (ARCH_LOW_ADDRESS_LIMIT), the last byte below 4 GiB by default. */
  readonly lowAddressLimit?: number;
  /** The kernel's log lines; `info` ones only with `debug` (`memblock=debug`). */
  readonly log?: (level: 'err' | 'warn' | 'info', text: string) => void;
  readonly debug?: boolean;
  /** Asked when an array is to be doubled: true for no memory for it. */
  readonly failsDoubling?: () => boolean;
  /** Told of each WARN, with the kernel's function that hit it. They are counted in any case. */
  readonly warn?: (functionName: string) => void;
  /** Called where memblock stops the kernel; may throw something of its own. Else the MemblockStop itself is thrown. */
  readonly stop?: (stop: MemblockStop) => void;
}
