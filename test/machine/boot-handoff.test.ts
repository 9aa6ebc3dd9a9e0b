import { describe, expect, test } from 'vitest';
import { readSetupData, SETUP_DATA_KHO_NODE_SIZE_BYTES, writeKhoSetupData } from '../../machine/boot-handoff.ts';
import type { BootHandoff } from '../../machine/machine.ts';
import { PAGE_SIZES } from '../../machine/page-size.ts';
import { PhysicalMemory } from '../../machine/physical-memory.ts';
import { physAddr } from '../../machine/units.ts';

const MIB = 2 ** 20;

describe.each(PAGE_SIZES)('the setup_data list, $name pages', (page) => {
  const memory = () => new PhysicalMemory(page, [{ base: physAddr(MIB), sizeBytes: 64 * MIB, nid: 0 }]);
  const handoff: BootHandoff = {
    fdt: { phys: physAddr(0x1_2345_6000), sizeBytes: page.sizeBytes },
    scratch: { phys: physAddr(0x3fff_0000), sizeBytes: 48 },
  };

  test('a node is 48 bytes: next, type 10, len 32, four little-endian numbers', () => {
    const ram = memory();
    const head = writeKhoSetupData(ram, physAddr(2 * MIB), physAddr(3 * MIB), handoff);
    expect(head).toBe(2 * MIB);
    const hex = Buffer.from(ram.readBytes(head, SETUP_DATA_KHO_NODE_SIZE_BYTES)).toString('hex');
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
    writeKhoSetupData(ram, physAddr(2 * MIB), physAddr(4 * MIB), handoff);
    ram.writeU64(physAddr(8 * MIB), 2 * MIB);
    ram.writeU32(physAddr(8 * MIB + 8), 9);
    expect(readSetupData(ram, physAddr(8 * MIB))).toEqual({
      nodes: [
        { phys: 8 * MIB, type: 9, lengthBytes: 0 },
        { phys: 2 * MIB, type: 10, lengthBytes: 32 },
        { phys: 4 * MIB, type: 1, lengthBytes: 100 },
      ],
      handoffs: [handoff],
      end: 'complete',
    });
  });

  test('an empty list has nothing', () => {
    expect(readSetupData(memory(), physAddr(0))).toEqual({ nodes: [], handoffs: [], end: 'complete' });
  });

  test('a cycle and a wild pointer end the walk and are named, with all 64 bits', () => {
    const ram = memory();
    writeKhoSetupData(ram, physAddr(2 * MIB), physAddr(2 * MIB), handoff);
    expect(readSetupData(ram, physAddr(2 * MIB))).toMatchObject({ end: 'cycle', endPointer: '0x200000' });
    ram.writeU64Big(physAddr(2 * MIB), 0xffff_8000_0000_0001n);
    const wild = readSetupData(ram, physAddr(2 * MIB));
    expect(wild).toMatchObject({ end: 'wild', endPointer: '0xffff800000000001', handoffs: [handoff] });
  });

  test('a node that begins in RAM and ends outside is wild', () => {
    const ram = memory();
    const last = physAddr(65 * MIB - 32);
    ram.writeU32(physAddr(last + 8), 10);
    expect(readSetupData(ram, last)).toMatchObject({ end: 'wild', handoffs: [] });
    expect(readSetupData(ram, physAddr(65 * MIB - 8))).toMatchObject({ end: 'wild', nodes: [] });
  });
});
