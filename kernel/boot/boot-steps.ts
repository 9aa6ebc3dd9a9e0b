import type { Release } from '../release.ts';
import type { Boot } from './boot-state.ts';
import { device, early, fs, late } from './initcalls.ts';
import { earlyParameters, khoMemoryInit, khoMemoryInitEarly } from './kho-init.ts';
import { allocateEarlyTables, allocateMemoryMap, initialiseStructPages, releaseMemory } from './memory-init.ts';
import { addMemory, findHandoff, reserveImage } from './setup-arch.ts';

/** One step of the boot, under the kernel's name for it. */
export interface BootStep {
  readonly name: string;
  /** Virtual microseconds that the step takes. */
  readonly microseconds: number;
  readonly run: (boot: Boot) => void;
}

/** The boot order, as a list that one can read top to bottom. */
export function bootSteps(release: Release): readonly BootStep[] {
  const parametersFirst = release.quirks.initcall === 'late';
  const steps: BootStep[] = [
    { name: 'setup_arch: handoff', microseconds: 10, run: findHandoff },
    { name: 'setup_arch: memory', microseconds: 100, run: addMemory },
    { name: 'setup_arch: image', microseconds: 20, run: reserveImage },
    { name: 'mm_core_init_early: KHO', microseconds: 10, run: khoMemoryInitEarly },
    { name: 'mm_core_init_early: memory map', microseconds: 500, run: allocateMemoryMap },
    { name: 'mm_core_init_early: struct pages', microseconds: 1000, run: initialiseStructPages },
    { name: 'parse_args', microseconds: 10, run: earlyParameters },
    { name: 'vfs_caches_init_early', microseconds: 0, run: allocateEarlyTables },
    { name: 'mm_core_init: KHO', microseconds: 10, run: khoMemoryInit },
    { name: 'mm_core_init: memblock_free_all', microseconds: 1000, run: releaseMemory },
    { name: 'early_initcall', microseconds: 1000, run: early },
    { name: 'fs_initcall', microseconds: 1000, run: parametersFirst ? () => {} : fs },
    { name: 'device_initcall', microseconds: 1000, run: device },
    { name: 'late_initcall', microseconds: 1000, run: parametersFirst ? lateWithKho : late },
  ];
  return steps;
}

/** Up to 6.18 KHO itself comes up at the last level, before its clients there. */
function lateWithKho(boot: Boot): void {
  fs(boot);
  late(boot);
}
