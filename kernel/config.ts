import type { PageSize } from '../machine/index.ts';

/** The build options that change what a KHO kernel does, under the kernel's own names. */
export interface KernelConfig {
  /** Overlap of preserved memory with scratch is a WARN and -EINVAL. */
  readonly KEXEC_HANDOVER_DEBUG: boolean;
  /** Struct pages beyond the first section are initialised late. */
  readonly DEFERRED_STRUCT_PAGE_INIT: boolean;
  readonly NUMA: boolean;
  /** The largest buddy order; with it the alignment of scratch. */
  readonly MAX_PAGE_ORDER: number;
  /** Three test FLBs ride on every session with files. */
  readonly LIVEUPDATE_TEST: boolean;
  /**
   * Every free page is filled with junk. Kernels usually run without; khosim's scenarios run with it, so that a missing
   * reservation shows up as damage.
   */
  readonly PAGE_POISONING: boolean;
  /** A pool of guarded objects comes out of early memory, and some small allocations out of the pool. */
  readonly KFENCE: boolean;
  /** test_kho is built in. */
  readonly TEST_KEXEC_HANDOVER: boolean;
}

/** No architecture's Kconfig lets MAX_PAGE_ORDER be more: a block has to fit into a memory section. */
export const LARGEST_MAX_PAGE_ORDER = 20;

/** The configuration of the kernels that the memory images were taken from. */
export function defaultConfig(page: PageSize): KernelConfig {
  return {
    KEXEC_HANDOVER_DEBUG: true,
    DEFERRED_STRUCT_PAGE_INIT: false,
    NUMA: true,
    MAX_PAGE_ORDER: page.defaultMaxPageOrder,
    LIVEUPDATE_TEST: true,
    PAGE_POISONING: true,
    KFENCE: false,
    TEST_KEXEC_HANDOVER: true,
  };
}
