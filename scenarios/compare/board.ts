import type { PageSize, PhysAddr, RamBank } from '../../machine/index.ts';
import { Machine } from '../../machine/index.ts';
import { type BootRequest, SimulatedKernel } from '../run/simulator.ts';

/*
 * Kernels for measurements that no scenario file describes: those that fill whole machines with single pages.
 */

/** As a production kernel is built: no tests that preserve memory of their own. */
const CONFIG = { TEST_KEXEC_HANDOVER: false, LIVEUPDATE_TEST: false } as const;

export const RELEASE = '7.3';
export const ARCH = 'arm64';

export interface BoardRequest {
  readonly page: PageSize;
  readonly seed: number;
  /** [base, bytes] */
  readonly banks: readonly (readonly [number, number])[];
  readonly cmdline?: string;
  readonly onStep?: BootRequest['onStep'];
}

/** What starts each kernel on a board. */
export function bootRequest(cmdline = 'kho=on', onStep?: BootRequest['onStep']): BootRequest {
  return { release: RELEASE, cmdline, config: CONFIG, onStep };
}

/** Switches a board on and boots the old kernel. */
export function bootBoard({ page, seed, banks, cmdline, onStep }: BoardRequest): SimulatedKernel {
  const ram: RamBank[] = banks.map(([base, sizeBytes]) => ({ base: base as PhysAddr, sizeBytes, nid: 0 }));
  return SimulatedKernel.boot(Machine.powerOn({ arch: ARCH, page, banks: ram, seed }), bootRequest(cmdline, onStep));
}
