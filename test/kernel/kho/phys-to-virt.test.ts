import { describe, expect, test } from 'vitest';
import { physToVirt } from '../../../kernel/kho/phys-to-virt.ts';
import { MachineFault } from '../../../machine/index.ts';

describe('where a kernel reads that follows an address', () => {
  test.each(['arm64', 'x86_64'] as const)('%s: an address of RAM is itself', (arch) => {
    for (const phys of [0x1000, 0x40a4_0010, 2 ** 52 - 4096]) expect(physToVirt(arch, phys)).toBe(phys);
  });

  test('arm64 loses bits 63:52, and keeps 51:48', () => {
    expect(physToVirt('arm64', 2 ** 52 + 0x4000_1000)).toBe(0x4000_1000);
    expect(physToVirt('arm64', 2 ** 64 - 2 ** 52 + 0x4000_1000)).toBe(0x4000_1000);
    expect(physToVirt('arm64', 0xfff0_0000_4000_1001n)).toBe(0x4000_1001);
    expect(physToVirt('arm64', 2 ** 51 + 0x4000_1000)).toBe(2 ** 51 + 0x4000_1000);
  });

  test('x86_64 keeps them all', () => {
    expect(physToVirt('x86_64', 2 ** 52 + 0x4000_1000)).toBe(2 ** 52 + 0x4000_1000);
    expect(() => physToVirt('x86_64', 0xdead_beef_dead_beefn)).toThrow(
      new MachineFault('read', 0xdead_beef_dead_beefn),
    );
  });

  test('arm64: nothing but lost bits is no address', () => {
    expect(() => physToVirt('arm64', 2 ** 60)).toThrow(MachineFault);
  });
});
