import type { Arch, MemoryMap, PageSize, PhysicalMemory, Random } from '../machine/index.ts';
import type { Memblock } from '../machine/memblock/memblock.ts';
import type { CompiledAbi } from './abi/contract.ts';
import type { CommandLine } from './command-line.ts';
import type { KernelConfig } from './config.ts';
import type { ControlStore } from './control.ts';
import type { FaultInjector } from './fault-injection.ts';
import type { Kho } from './kho/kho.ts';
import type { KernelLog } from './log.ts';
import type { BuddyAllocator } from './mm/buddy.ts';
import type { KfencePool } from './mm/kfence.ts';
import type { PageStates } from './mm/page-states.ts';
import type { Release } from './release.ts';

/**
 * What the parts of one running kernel share. Each part asks for the fields it uses (`Pick`), so that it can be tested
 * with those alone. All of it dies with the kernel.
 */
export interface KernelContext {
  readonly release: Release;
  /** The release's contracts, compiled for the page size. */
  readonly abi: CompiledAbi;
  readonly arch: Arch;
  readonly page: PageSize;
  readonly config: KernelConfig;
  readonly cmdline: CommandLine;
  /** What firmware says about RAM. */
  readonly map: MemoryMap;
  readonly memory: PhysicalMemory;
  readonly memblock: Memblock;
  readonly pages: PageStates;
  readonly allocator: BuddyAllocator;
  readonly kfence: KfencePool;
  readonly log: KernelLog;
  readonly faults: FaultInjector;
  readonly random: Random;
  readonly control: ControlStore;
  readonly kho: Kho;
}

/** What the rest of the kernel gives KHO; the context without KHO itself. */
export type KhoContext = Omit<KernelContext, 'kho'>;
