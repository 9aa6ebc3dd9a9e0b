import type { BootHandoff, BootRegisters, LoadedSegment } from '../../machine/index.ts';
import type { KernelContext } from '../context.ts';
import type { KhoCore } from '../kho/kho-core.ts';
import type { StructPageInit } from '../mm/struct-page-init.ts';
import type { Sabotage } from './sabotage.ts';

/** A part of the kernel that comes up through initcalls; each hook is called at its level, in the order of the list. */
export interface BootClient {
  readonly name: string;
  /** Command-line parameters that need memblock (`reserve_mem=`). */
  readonly earlyParameters?: () => void;
  readonly early?: () => void;
  /** Right after KHO's own initialisation. */
  readonly khoInit?: () => void;
  readonly device?: () => void;
  readonly late?: () => void;
}

/** What the boot steps work on. */
export interface Boot {
  readonly ctx: KernelContext;
  readonly kho: KhoCore;
  readonly structPages: StructPageInit;
  readonly registers: BootRegisters;
  readonly segments: readonly LoadedSegment[];
  readonly clients: readonly BootClient[];
  readonly sabotage: Sabotage;
  /** See KernelImage. */
  readonly earlyBytes: number;
  /** What firmware or the loader passed, read while it is gone through; nothing on a cold boot. */
  handoffs: Iterable<BootHandoff>;
}
