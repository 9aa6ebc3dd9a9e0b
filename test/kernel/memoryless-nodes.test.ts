import { describe, expect, test } from 'vitest';
import { Kernel, RELEASES } from '../../kernel/index.ts';
import { Machine, PAGE_SIZES, physAddr } from '../../machine/index.ts';

const GIB = 2 ** 30;

/** Memory on nodes 0 and 2; node 1 has processors only. */
function boot(release: (typeof RELEASES)[number], cmdline: string, config = {}) {
  const banks = [
    { base: physAddr(GIB), sizeBytes: GIB, nid: 0 },
    { base: physAddr(8 * GIB), sizeBytes: GIB, nid: 2 },
  ];
  const [page] = PAGE_SIZES;
  if (page === undefined) throw new Error('no page size');
  const machine = Machine.powerOn({ arch: 'arm64', page, banks, memorylessNodes: [1], seed: 1 });
  return Kernel.boot(machine, { release, cmdline, config: { TEST_KEXEC_HANDOVER: false, ...config } });
}

const WITH_MEMORY = new Set(['6.19', '7.0', '7.1-rc5', '7.1', '7.2', '7.3']);

describe.each(RELEASES.map((release) => ({ release, name: release.name })))('$name', ({ release, name }) => {
  test.each([['kho=on kho_scratch=16M,16M,16M'], ['kho=on']])('a node without memory and %s', (cmdline) => {
    const kernel = boot(release, cmdline);
    const off = kernel.ctx.log.lines.some(
      (line) => line.text === 'KHO: Failed to reserve scratch area, disabling kexec handover',
    );
    expect({ on: kernel.kho.enabled, off, areas: kernel.kho.scratch.length }).toEqual(
      WITH_MEMORY.has(name) ? { on: true, off: false, areas: 4 } : { on: false, off: true, areas: 0 },
    );
  });

  test('without NUMA nobody knows of it', () => {
    expect(boot(release, 'kho=on kho_scratch=16M,16M,16M', { NUMA: false }).kho.scratch).toHaveLength(3);
  });
});

test('a node either has memory or has none', () => {
  const banks = [{ base: physAddr(GIB), sizeBytes: GIB, nid: 1 }];
  const [page] = PAGE_SIZES;
  if (page === undefined) throw new Error('no page size');
  expect(() => Machine.powerOn({ arch: 'arm64', page, banks, memorylessNodes: [1], seed: 1 })).toThrow(
    'node 1 has memory',
  );
});
