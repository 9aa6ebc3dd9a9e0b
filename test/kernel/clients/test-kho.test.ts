import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { csumPartial } from '../../../kernel/clients/checksum.ts';
import { TestKho } from '../../../kernel/clients/test-kho.ts';
import { EINVAL, ENOMEM } from '../../../kernel/errno.ts';
import { RELEASES } from '../../../kernel/release.ts';
import {
  ARCHES,
  type Arch,
  PAGE_4K,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  pattern,
  ramp,
  ZERO_FILL,
} from '../../../machine/index.ts';
import { FakeKernel } from '../fake-kernel.ts';

/** csum_partial as each architecture defines it, over bytes, with big numbers: slow, and obviously right. */
function slowChecksum(arch: Arch, bytes: Uint8Array, csum: bigint): bigint {
  const fold = (value: bigint, bits: bigint): bigint => {
    const mask = (1n << bits) - 1n;
    while (value > mask) value = (value >> bits) + (value & mask);
    return value;
  };
  const unit = arch === 'arm64' ? 2 : 8;
  let sum = arch === 'arm64' ? 0n : csum;
  for (let at = 0; at < bytes.length; at += unit) {
    let word = 0n;
    for (let i = unit - 1; i >= 0; i--) word = (word << 8n) | BigInt(bytes[at + i] ?? 0);
    sum = fold(sum + word, arch === 'arm64' ? 16n : 64n);
  }
  return arch === 'arm64' ? fold(sum + csum, 32n) : fold(sum, 32n);
}

describe.each(ARCHES)('the checksum of %s', (arch) => {
  it('is that of a slow one, for any content and any sum so far', () => {
    const page = PAGE_4K;
    const memory = new PhysicalMemory(page, [{ base: 0 as PhysAddr, sizeBytes: 4 * page.sizeBytes, nid: 0 }]);
    const word = fc.constantFrom(0, 1, 0xffff, 0x1_0000, 0xffff_0000, 0xffff_fffe, 0xffff_ffff);
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 20 }),
        word,
        fc.constantFrom(pattern, ramp, () => ZERO_FILL),
        (words, csum, fill) => {
          memory.fillPages(0 as Pfn, 2, fill(csum));
          for (const [i, value] of words.entries()) memory.writeU32((4 * i) as PhysAddr, value);
          const bytes = memory.readBytes(0 as PhysAddr, 2 * page.sizeBytes);
          expect(BigInt(csumPartial(arch, memory, 0 as Pfn, 2, csum))).toBe(slowChecksum(arch, bytes, BigInt(csum)));
        },
      ),
      { numRuns: 40, seed: 2 },
    );
  });
});

function saved(page: PageSize, arch: Arch, release = RELEASES.at(-1), maxBytes = 64 * page.sizeBytes) {
  const options = { arch, cmdline: `test_kho.max_mem=${maxBytes}`, ...(release === undefined ? {} : { release }) };
  const kernel = new FakeKernel(page, options);
  const test = new TestKho(kernel);
  expect(test.init()).toBe(0);
  expect(test.finalize()).toBe(0);
  return { kernel, test };
}

const CASES = PAGE_SIZES.flatMap((page) => ARCHES.map((arch) => ({ page, arch, name: `${arch} ${page.name}` })));

describe.each(CASES)('test_kho on $name', ({ page, arch }) => {
  it.each(RELEASES.filter(({ test }) => test !== undefined).map((release) => [release.name, release] as const))(
    'hands its data over from %s to itself, and saves none for a second time',
    (_name, release) => {
      const { kernel: old, test } = saved(page, arch, release);
      expect(test.folios.reduce((sum, { order }) => sum + 2 ** order, 0)).toBe(64);
      const kernel = old.kexec();
      const next = new TestKho(kernel);
      expect([next.init(), next.verdict]).toEqual([0, 'ok']);
      expect(kernel.lines).toEqual(['test_kho: KHO restore succeeded']);
      expect(kernel.kho.subtrees.size).toBe(0);
      // The FDT stays.
      expect(kernel.kho.incoming.size).toBe(1);
    },
  );
});

describe('test_kho', () => {
  it('fails when a byte of its data changes', () => {
    const { kernel: old, test } = saved(PAGE_4K, 'arm64');
    const [folio] = test.folios;
    const at = ((folio?.pfn ?? 0) * 4096 + 100) as PhysAddr;
    old.memory.writeU8(at, old.memory.readU8(at) ^ 1);
    const kernel = old.kexec();
    const next = new TestKho(kernel);
    expect([next.init(), next.verdict]).toEqual([EINVAL, 'failed']);
    expect(kernel.lines).toEqual(['test_kho: KHO restore failed']);
  });

  it('fails when a folio was lost, with a warning', () => {
    const { kernel: old, test } = saved(PAGE_4K, 'x86_64');
    old.kho.blocks.delete(test.folios.at(-1)?.pfn ?? 0);
    const kernel = old.kexec();
    expect(new TestKho(kernel).init()).toBe(EINVAL);
    expect(kernel.lines).toEqual(['WARNING: at kho_restore_page', 'test_kho: KHO restore failed']);
  });

  it('is silent about damage up to 6.18', () => {
    const release = RELEASES.find(({ name }) => name === '6.18');
    const { kernel: old, test } = saved(PAGE_4K, 'arm64', release);
    old.kho.blocks.delete(test.folios[0]?.pfn ?? 0);
    const kernel = old.kexec();
    expect(new TestKho(kernel).init()).toBe(EINVAL);
    expect(kernel.lines).toEqual(['WARNING: at kho_restore_page']);
  });

  it('does not mind a number of folios that is too large: what is behind the list is no folio, and the sum is right', () => {
    const { kernel: old } = saved(PAGE_4K, 'arm64', undefined, 4096);
    const fdt = old.kho.subtrees.get('kho_test')?.phys ?? 0;
    const blob = Buffer.from(old.memory.readBytes(fdt as PhysAddr, 240));
    // nr_folios is the first property of the data node: tag, length, name, value.
    const value = blob.indexOf('data\0\0\0\0', 0, 'latin1') + 8 + 12;
    expect(blob.readUInt32LE(value)).toBe(1);
    old.memory.writeU32((fdt + value) as PhysAddr, 2);
    expect(new TestKho(old.kexec()).init()).toBe(0);
  });

  it.each([1, 2, 3, 4, 5, 6])('gives everything back when preserving fails the %i. time', (nth) => {
    const kernel = new FakeKernel(PAGE_4K, { cmdline: 'test_kho.max_mem=16384' });
    kernel.faults.arm('kho.preserve', nth);
    const result = new TestKho(kernel).init();
    if (result === 0) return;
    expect(result).toBe(ENOMEM);
    expect(kernel.kho.blocks.size).toBe(0);
    expect(kernel.kho.subtrees.size).toBe(0);
  });

  it('does nothing with KHO off', () => {
    const kernel = new FakeKernel(PAGE_4K, { khoEnabled: false });
    expect(new TestKho(kernel).init()).toBe(0);
    expect(kernel.lines).toEqual([]);
  });
});
