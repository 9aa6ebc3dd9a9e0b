import {
  type Arch,
  alignDown,
  alignUp,
  type LoadedSegment,
  type MemoryMap,
  type PageSize,
  type PhysAddr,
} from '../../machine/index.ts';
import type { SegmentRequest } from '../kexec/segments.ts';

const MIB = 2 ** 20;

/** How large the parts of a kernel image are in memory; what they hold is the machine's junk. */
export interface KernelImage {
  readonly kernelBytes: number;
  readonly initrdBytes: number;
  /**
   * What the kernel allocates early beside the memory map: hash tables, page tables of the direct map, per-CPU areas, CMA. It
   * counts for the default sizes of scratch. 0 by default: khosim's kernels have none of these.
   */
  readonly earlyBytes?: number;
}

/** Kernel and initrd of the size that test kernels have: 16 MiB together. */
export const DEFAULT_IMAGE: KernelImage = { kernelBytes: 12 * MIB, initrdBytes: 4 * MIB };

/** Room for the boot DT (arm64) or the zero page with its setup_data (x86). */
const BOOT_PARAMS_BYTES = 0x10000;

/**
 * Where firmware and boot loader put things on a cold boot: QEMU's boards, since those are what KHO is tested on.
 *
 *     arm64 virt   RAM base + 2 MiB: kernel; + 128 MiB (or half of RAM): initrd; behind it, 2 MiB aligned: boot DT
 *     x86_64 pc    64 KiB: zero page; 16 MiB: kernel; top of low memory: initrd
 *
 * @returns the segments, those that fit; a machine too small for its kernel gets what room there is.
 */
export function coldBootSegments(arch: Arch, map: MemoryMap, image: KernelImage, page: PageSize): LoadedSegment[] {
  const segments: LoadedSegment[] = [];
  const bank = map.banks.reduce((best, each) => (holds(each, 16 * MIB) && !holds(best, 16 * MIB) ? each : best));
  const end = bank.base + bank.sizeBytes;
  const place = (name: string, base: number, sizeBytes: number) => {
    const size = alignUp(sizeBytes, page.sizeBytes);
    const at = alignDown(base, page.sizeBytes);
    if (size > 0 && at >= bank.base && at + size <= end) segments.push({ name, base: at as PhysAddr, sizeBytes: size });
  };
  if (arch === 'arm64') {
    const initrd = bank.base + Math.min(alignDown(bank.sizeBytes / 2, 2 * MIB), 128 * MIB);
    place('kernel', bank.base + 2 * MIB, image.kernelBytes);
    place('initrd', initrd, image.initrdBytes);
    place('boot-dt', alignUp(initrd + image.initrdBytes, 2 * MIB), BOOT_PARAMS_BYTES);
  } else {
    const lowEnd = Math.min(end, 2 ** 32);
    place('kernel', Math.max(16 * MIB, bank.base), image.kernelBytes);
    place('initrd', alignDown(lowEnd - image.initrdBytes, MIB), image.initrdBytes);
  }
  return segments;
}

function holds(bank: { readonly sizeBytes: number }, sizeBytes: number): boolean {
  return bank.sizeBytes >= sizeBytes;
}

/**
 * The segments that kexec_file_load adds behind the scratch array, in its order: arm64 kernel and initrd bottom up
 * (2 MiB aligned kernel), boot DT top down; x86 zero page top down, kernel bottom up above 1 MiB, initrd top down.
 */
export function kexecRequests(arch: Arch, image: KernelImage): SegmentRequest[] {
  const parts: SegmentRequest[] =
    arch === 'arm64'
      ? [
          { name: 'kernel', sizeBytes: image.kernelBytes, alignBytes: 2 * MIB, topDown: false },
          { name: 'initrd', sizeBytes: image.initrdBytes, alignBytes: 0, topDown: false },
          { name: 'boot-dt', sizeBytes: BOOT_PARAMS_BYTES, alignBytes: 2 * MIB, topDown: true },
        ]
      : [
          { name: 'boot-params', sizeBytes: BOOT_PARAMS_BYTES, alignBytes: 16, topDown: true, minAddr: 0x3000 },
          { name: 'kernel', sizeBytes: image.kernelBytes, alignBytes: 2 * MIB, topDown: false, minAddr: MIB },
          { name: 'initrd', sizeBytes: image.initrdBytes, alignBytes: 0, topDown: true },
        ];
  return parts.filter((part) => part.sizeBytes > 0);
}
