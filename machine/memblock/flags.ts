/*
 * What a region can be marked with (`enum memblock_flags`, 7.3): the first four on memory, the RSRV ones on reserved
 * regions, KHO_SCRATCH on memory. RSRV_NOINIT came in 6.2, RSRV_KERN and KHO_SCRATCH in 6.16, RSRV_HUGETLB in 7.3.
 */

export const MEMBLOCK_NONE = 0x0;
/** Memory that may be unplugged: skipped with `movable_node`. */
export const MEMBLOCK_HOTPLUG = 0x1;
/** Mirrored memory, which the kernel prefers for itself. */
export const MEMBLOCK_MIRROR = 0x2;
/** Not in the kernel's direct map: never allocated. */
export const MEMBLOCK_NOMAP = 0x4;
/** Added and removed by a driver: never allocated. */
export const MEMBLOCK_DRIVER_MANAGED = 0x8;
/** The struct pages of this reserved range are not to be initialised: they hold what KHO wrote. */
export const MEMBLOCK_RSRV_NOINIT = 0x10;
/** Reserved by the kernel for itself: what the default scratch sizes are computed from. */
export const MEMBLOCK_RSRV_KERN = 0x20;
/** Scratch: the only memory that a KHO boot allocates from until the preserved ranges are reserved. */
export const MEMBLOCK_KHO_SCRATCH = 0x40;
/** Huge pages reserved at boot: not counted for scratch sizes. */
export const MEMBLOCK_RSRV_HUGETLB = 0x80;

/**
 * PHYS_ADDR_MAX, all 64 bits set. A double cannot hold it, so memblock writes 2^64 for it: an end, limit or size of
 * 2^64 means 2^64 - 1. Addresses below it are exact up to 2^53, and above that in the steps that a double has.
 */
export const PHYS_ADDR_MAX = 2 ** 64;

/** `end` of an allocation: up to the current limit. */
export const MEMBLOCK_ALLOC_ACCESSIBLE = 0;
/** Like ACCESSIBLE; the kernel's leak tracer is told nothing. */
export const MEMBLOCK_ALLOC_NOLEAKTRACE = 1;
/** The low limit of architectures that set none (ARCH_LOW_ADDRESS_LIMIT): the last byte below 4 GiB. */
export const DEFAULT_LOW_ADDRESS_LIMIT = 0xffff_ffff;
/** What alignment 0 becomes (SMP_CACHE_BYTES). */
export const SMP_CACHE_BYTES = 64;
/** Bytes of a region in the kernel's array: base u64, size u64, flags u32, nid s32 (padding without NUMA). */
export const MEMBLOCK_REGION_BYTES = 24;
/** -ENOMEM, as memblock returns it. */
export const MEMBLOCK_ENOMEM = -12;
