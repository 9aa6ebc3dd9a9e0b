import { describe, expect, test } from 'vitest';
import { readSetupData, writeKhoSetupData } from '../../../kernel/boot-handoff/setup-data.ts';
import { Kernel } from '../../../kernel/kernel.ts';
import { abiOf, LATEST_RELEASE } from '../../../kernel/release.ts';
import { type BootHandoff, Machine } from '../../../machine/machine.ts';
import { PAGE_4K, PAGE_SIZES } from '../../../machine/page-size.ts';
import { PhysicalMemory } from '../../../machine/physical-memory.ts';
import { type PhysAddr, physAddr } from '../../../machine/units.ts';

const MIB = 2 ** 20;

describe.each(PAGE_SIZES)('the setup_data list, $name pages', (page) => {
  const abi = abiOf(LATEST_RELEASE, page);
  const memory = () => new PhysicalMemory(page, [{ base: physAddr(MIB), sizeBytes: 64 * MIB, nid: 0 }]);
  const handoff: BootHandoff = {
    fdt: { phys: physAddr(0x1_2345_6000), sizeBytes: page.sizeBytes },
    scratch: { phys: physAddr(0x3fff_0000), sizeBytes: 48 },
  };

  test('a node is 48 bytes: next, type 10, len 32, four little-endian numbers', () => {
    const ram = memory();
    const head = writeKhoSetupData(ram, abi, physAddr(2 * MIB), physAddr(3 * MIB), handoff);
    expect(head).toBe(2 * MIB);
    const hex = Buffer.from(ram.readBytes(head, 48)).toString('hex');
    const size = page.sizeBytes.toString(16).padStart(6, '0').match(/../g)?.reverse().join('');
    expect(hex.match(/.{16}/g)).toEqual([
      '0000300000000000',
      '0a00000020000000',
      '0060452301000000',
      `${size}0000000000`,
      '0000ff3f00000000',
      '3000000000000000',
    ]);
  });

  test('what was written is found, before or behind nodes of other types', () => {
    const ram = memory();
    ram.writeU32(physAddr(4 * MIB + 8), 1);
    ram.writeU32(physAddr(4 * MIB + 12), 100);
    writeKhoSetupData(ram, abi, physAddr(2 * MIB), physAddr(4 * MIB), handoff);
    ram.writeU64(physAddr(8 * MIB), 2 * MIB);
    ram.writeU32(physAddr(8 * MIB + 8), 9);
    expect(readSetupData(ram, abi, physAddr(8 * MIB))).toEqual({
      nodes: [
        { phys: 8 * MIB, type: 9, lengthBytes: 0 },
        { phys: 2 * MIB, type: 10, lengthBytes: 32, handoff },
        { phys: 4 * MIB, type: 1, lengthBytes: 100 },
      ],
      end: 'complete',
    });
  });

  test('an empty list has nothing', () => {
    expect(readSetupData(memory(), abi, physAddr(0))).toEqual({ nodes: [], end: 'complete' });
  });

  test('a cycle and a wild pointer end the walk and are named, with all 64 bits', () => {
    const ram = memory();
    writeKhoSetupData(ram, abi, physAddr(2 * MIB), physAddr(2 * MIB), handoff);
    expect(readSetupData(ram, abi, physAddr(2 * MIB))).toMatchObject({ end: 'cycle', endPointer: '0x200000' });
    ram.writeU64Big(physAddr(2 * MIB), 0xffff_8000_0000_0001n);
    const wild = readSetupData(ram, abi, physAddr(2 * MIB));
    expect(wild).toMatchObject({ end: 'wild', endPointer: '0xffff800000000001', nodes: [{ handoff }] });
  });

  test('a node that begins in RAM and ends outside is wild', () => {
    const ram = memory();
    const last = physAddr(65 * MIB - 32);
    ram.writeU32(physAddr(last + 8), 10);
    expect(readSetupData(ram, abi, last).nodes).toEqual([{ phys: last, type: 10, lengthBytes: 0 }]);
    expect(readSetupData(ram, abi, physAddr(65 * MIB - 8))).toMatchObject({ end: 'wild', nodes: [] });
  });
});

describe('an x86 kernel with several nodes, or odd ones', () => {
  const page = PAGE_4K;
  const abi = abiOf(LATEST_RELEASE, page);
  const ROOT_FDT_NODE = 64 * MIB;
  const OTHER_NODE = ROOT_FDT_NODE + 4096;

  /** A machine right after a kexec of a kernel with KHO: its handoff, and RAM that a list can be put into. */
  function afterKexec() {
    const banks = [{ base: physAddr(0), sizeBytes: 512 * MIB, nid: 0 }];
    const machine = Machine.powerOn({ arch: 'x86_64', page, banks, seed: 1 });
    const options = { release: LATEST_RELEASE, cmdline: 'kho=on kho_scratch=32M,16M,16M' };
    const old = Kernel.boot(machine, options);
    const loaded = old.load('kho=on');
    if (!loaded.ok || typeof loaded.value === 'number') throw new Error('not loaded');
    old.jump(loaded.value);
    const { registers, memory } = machine;
    if (registers.kind !== 'setup-data') throw new Error(registers.kind);
    const handoff = readSetupData(memory, abi, registers.phys).nodes[0]?.handoff;
    if (handoff === undefined) throw new Error('no handoff');
    const boot = (head: number) => {
      machine.registers = { kind: 'setup-data', phys: head as PhysAddr };
      const kernel = Kernel.boot(machine, options);
      return {
        kernel,
        kho: kernel.ctx.log.lines
          .map(({ text }) => text)
          .filter((text) => /KHO: (found|dis|setup)|setup: |WARN/.test(text)),
      };
    };
    return { memory, handoff, boot };
  }

  test('both are looked at; a refused one does not undo an accepted one', () => {
    const { memory, handoff, boot } = afterKexec();
    const wrong: BootHandoff = { ...handoff, fdt: { ...handoff.fdt, phys: physAddr(80 * MIB) } };
    writeKhoSetupData(memory, abi, physAddr(OTHER_NODE), physAddr(0), wrong);
    writeKhoSetupData(memory, abi, physAddr(ROOT_FDT_NODE), physAddr(OTHER_NODE), handoff);
    const { kernel, kho } = boot(ROOT_FDT_NODE);
    expect(kho).toEqual([
      'KHO: found kexec handover data.',
      'KHO: setup: handover FDT (0x5000000) is invalid: -9',
      'KHO: disabling KHO revival',
    ]);
    expect([kernel.kho.isKhoBoot, kernel.kho.incoming?.fdt.phys]).toEqual([true, handoff.fdt.phys]);
  });

  test('of two that are accepted the last one counts', () => {
    const { memory, handoff, boot } = afterKexec();
    const copy = physAddr(80 * MIB);
    memory.writeBytes(copy, memory.readBytes(handoff.fdt.phys, 4096));
    writeKhoSetupData(memory, abi, physAddr(OTHER_NODE), physAddr(0), {
      ...handoff,
      fdt: { phys: copy, sizeBytes: 4096 },
    });
    writeKhoSetupData(memory, abi, physAddr(ROOT_FDT_NODE), physAddr(OTHER_NODE), handoff);
    const { kernel, kho } = boot(ROOT_FDT_NODE);
    expect(kho).toEqual(['KHO: found kexec handover data.', 'KHO: found kexec handover data.']);
    expect(kernel.kho.incoming?.fdt.phys).toBe(copy);
  });

  test.each([
    [0, 'setup: failed to memremap kho data (0x4000010, 0x0)'],
    [0x4_0001, 'setup: failed to memremap kho data (0x4000010, 0x40001)'],
    [0xffff_fff8, 'setup: failed to memremap kho data (0x4000010, 0xfffffffffffffff8)'],
  ])('a length of %d cannot be mapped: a cold boot', (length, line) => {
    const { memory, handoff, boot } = afterKexec();
    writeKhoSetupData(memory, abi, physAddr(ROOT_FDT_NODE), physAddr(0), handoff);
    memory.writeU32(physAddr(ROOT_FDT_NODE + 12), length);
    const { kernel, kho } = boot(ROOT_FDT_NODE);
    expect(kho).toEqual(['WARNING: at __early_ioremap', line]);
    expect([kernel.outcome.kind, kernel.kho.isKhoBoot]).toEqual(['running', false]);
  });

  test('a length that is too short does no harm while the rest lies in the same page', () => {
    const { memory, handoff, boot } = afterKexec();
    writeKhoSetupData(memory, abi, physAddr(ROOT_FDT_NODE), physAddr(0), handoff);
    memory.writeU32(physAddr(ROOT_FDT_NODE + 12), 1);
    expect(boot(ROOT_FDT_NODE).kernel.kho.isKhoBoot).toBe(true);
  });

  test('and is an oops where it does not', () => {
    const { memory, handoff, boot } = afterKexec();
    const node = ROOT_FDT_NODE + 4096 - 32;
    writeKhoSetupData(memory, abi, physAddr(node), physAddr(0), handoff);
    memory.writeU32(physAddr(node + 12), 8);
    expect(boot(node).kernel.outcome.kind).toBe('oops');
  });

  test('a list that never ends hangs, and one that leads out of RAM is an oops, behind what it had', () => {
    for (const [next, kind, reason] of [
      [ROOT_FDT_NODE, 'oops', /hangs/],
      [2 ** 40, 'oops', /0x10000000000/],
    ] as const) {
      const { memory, handoff, boot } = afterKexec();
      writeKhoSetupData(memory, abi, physAddr(ROOT_FDT_NODE), physAddr(next), handoff);
      const { kernel, kho } = boot(ROOT_FDT_NODE);
      expect(kernel.outcome).toMatchObject({ kind, reason: expect.stringMatching(reason) });
      expect(kho).toEqual(['KHO: found kexec handover data.']);
    }
  });

  test('nodes of types that nobody knows are passed over', () => {
    const { memory, handoff, boot } = afterKexec();
    writeKhoSetupData(memory, abi, physAddr(ROOT_FDT_NODE), physAddr(0), handoff);
    memory.writeU64(physAddr(OTHER_NODE), ROOT_FDT_NODE);
    memory.writeU32(physAddr(OTHER_NODE + 8), 0x7fff_ffff);
    expect(boot(OTHER_NODE).kernel.kho.isKhoBoot).toBe(true);
  });
});
