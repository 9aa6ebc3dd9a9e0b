import { describe, expect, test } from 'vitest';
import { DEFAULT_IMAGE } from '../../kernel/boot/image-layout.ts';
import { Kernel, type KernelConfig, RELEASES, type Release } from '../../kernel/index.ts';
import { Machine, PAGE_4K, physAddr, type RamBank } from '../../machine/index.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const LATEST = RELEASES.at(-1) as Release;

/** Sizes in MiB of the areas that a kernel on `banks` reserves for `kho=on`, with 35 MiB of hash and page tables. */
function areas(banks: readonly RamBank[], config: Partial<KernelConfig>, release = LATEST): number[] {
  const machine = Machine.powerOn({ arch: 'arm64', page: PAGE_4K, banks, seed: 1 });
  const kernel = Kernel.boot(machine, {
    release,
    cmdline: 'kho=on',
    config: { TEST_KEXEC_HANDOVER: false, ...config },
    image: { ...DEFAULT_IMAGE, earlyBytes: 35 * MIB },
  });
  return kernel.kho.scratch.map((area) => area.sizeBytes / MIB);
}

describe('default sizes of a machine of 6 GiB', () => {
  const above4G = [{ base: physAddr(4 * GIB), sizeBytes: 6 * GIB, nid: 0 }];
  const fromOne = [{ base: physAddr(GIB), sizeBytes: 6 * GIB, nid: 0 }];

  test('without NUMA and without a low limit: 264, 0 and 792 MiB, as on a real one', () => {
    expect(areas(above4G, { NUMA: false })).toEqual([264, 0, 792]);
  });

  test('with NUMA the node counts what was allocated for it alone: its memory map', () => {
    // Hash tables, the scratch array and lowmem have no node.
    expect(areas(above4G, { NUMA: true })).toEqual([264, 0, 192]);
  });

  test('with a low limit what lies above it makes the global area', () => {
    expect(areas(fromOne, { NUMA: false })).toEqual([0, 264, 528 + 264]);
  });

  test('two nodes: each counts its own memory map', () => {
    const two = [
      { base: physAddr(4 * GIB), sizeBytes: 4 * GIB, nid: 0 },
      { base: physAddr(8 * GIB), sizeBytes: 2 * GIB, nid: 1 },
    ];
    expect(areas(two, { NUMA: true })).toEqual([264, 0, 128, 64]);
  });
});
