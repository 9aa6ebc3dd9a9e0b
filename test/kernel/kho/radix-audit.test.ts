import { describe, expect, test } from 'vitest';
import type { RadixContract } from '../../../kernel/abi/contract.ts';
import { RADIX_V4 } from '../../../kernel/abi/radix.ts';
import { KernelHang } from '../../../kernel/failure.ts';
import { radixGeometry } from '../../../kernel/kho/geometry.ts';
import { type AuditMemory, auditRadixTree, type RadixFinding } from '../../../kernel/kho/radix-audit.ts';
import { RadixTree } from '../../../kernel/kho/radix-tree.ts';
import { RadixReader, STEPS_PER_KEY } from '../../../kernel/kho/radix-walk.ts';
import {
  MachineFault,
  type Order,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  PhysicalMemory,
  pfnOf,
  physAddr,
} from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

const RAM_BYTES = 2 ** 32;
const ROOT = 2 ** 31;

function setUp(page: PageSize) {
  const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: RAM_BYTES, nid: 0 }]);
  const tree = new RadixTree(memory, radixGeometry(page), new BumpAllocator(memory, ROOT));
  tree.init();
  for (const pfn of [3, 4, 5, 700]) tree.preserve(pfn as Pfn, 0 as Order);
  tree.preserve(512 as Pfn, 9 as Order);
  return memory;
}

function audit(memory: PhysicalMemory, maxSteps?: number, maxPages = Number.POSITIVE_INFINITY, root = ROOT) {
  const { page } = memory;
  let pages = 0;
  const foreign: AuditMemory = {
    // Whatever is no number is said to be RAM: nobody is to ask for that.
    inRam: (phys, sizeBytes) => !(phys + sizeBytes > RAM_BYTES),
    words: (phys) => (pages++ < maxPages ? memory.pageWords(pfnOf(page, phys)).slice() : undefined),
  };
  const findings: RadixFinding[] = [];
  const blocks: string[] = [];
  const result = auditRadixTree(foreign, radixGeometry(page), root >>> 0, Math.floor(root / 2 ** 32), {
    report: (finding) => findings.push(finding),
    visit: (lo, hi, order) => void blocks.push(`${hi * 2 ** 32 + lo} ${order}`),
    ...(maxSteps === undefined ? {} : { maxSteps }),
  });
  return { ...result, findings, blocks };
}

/** The first slot of a table that points somewhere. */
function usedSlot(memory: PhysicalMemory, table: number): number {
  for (let at = table; ; at += 8) if (memory.readU64(physAddr(at)) !== 0) return at;
}

describe.each(PAGE_SIZES)('an audit of a tree of $name pages', (page) => {
  test('of a sound tree finds nothing, and sees what the kernel walks', () => {
    const memory = setUp(page);
    const { findings, blocks, nodes, keys } = audit(memory);
    const walked: string[] = [];
    const pages: number[] = [];
    new RadixReader(radixGeometry(page)).walk(
      memory,
      physAddr(ROOT),
      (lo, hi, order) => void walked.push(`${hi * 2 ** 32 + lo} ${order}`),
      (phys) => void pages.push(phys),
    );
    expect(findings).toEqual([]);
    expect(blocks).toEqual(walked);
    expect([...nodes.keys()]).toEqual(pages);
    expect(keys).toBe(5);
  });

  test('names the slot that leads outside RAM, where the kernel faults', () => {
    const memory = setUp(page);
    const slot = usedSlot(memory, ROOT);
    memory.writeU64Big(physAddr(slot), 0xdead_0000_0000_0000n);
    const { findings } = audit(memory);
    expect(findings).toMatchObject([{ code: 'outside-ram', where: slot }]);
    expect(findings[0]?.message).toContain('0xdead000000000000');
    const walk = () => new RadixReader(radixGeometry(page)).walk(memory, physAddr(ROOT), () => {});
    expect(walk).toThrow(new MachineFault('read', '0xdead000000000000'));
  });

  test('names what is above RAM, as a slot or as the root', () => {
    const memory = setUp(page);
    const slot = usedSlot(memory, ROOT);
    memory.writeU64(physAddr(slot), RAM_BYTES);
    expect(audit(memory).findings).toMatchObject([{ code: 'outside-ram', where: slot }]);
    const { findings, nodes, blocks } = audit(memory, undefined, undefined, RAM_BYTES);
    expect(findings).toMatchObject([{ code: 'outside-ram', where: undefined }]);
    expect([nodes.size, blocks]).toEqual([0, []]);
  });

  test('names a slot at address 0 too', () => {
    const memory = setUp(page);
    memory.writeU64(physAddr(0), RAM_BYTES);
    expect(audit(memory, undefined, undefined, 0).findings).toMatchObject([{ code: 'outside-ram', where: 0 }]);
  });

  test('sees the keys of a leaf once, however many slots lead there', () => {
    const memory = setUp(page);
    const { depth } = radixGeometry(page);
    let slot = usedSlot(memory, ROOT);
    for (let level = depth - 2; level > 0; level--) slot = usedSlot(memory, memory.readU64(physAddr(slot)));
    const before = audit(memory);
    memory.writeU64(physAddr(slot + 8), memory.readU64(physAddr(slot)));
    const after = audit(memory);
    expect(after.findings).toMatchObject([{ code: 'shared', where: slot + 8 }]);
    expect([after.keys, after.blocks, after.nodesPerLevel]).toEqual([before.keys, before.blocks, before.nodesPerLevel]);
  });

  test('names the slot of the first page that is not to be read', () => {
    const memory = setUp(page);
    const { findings, nodes } = audit(memory, undefined, 1);
    expect(findings[0]).toMatchObject({ code: 'budget', where: usedSlot(memory, ROOT) });
    expect(nodes.size).toBe(1);
  });

  test('counts a word of a page as one step and a key as many', () => {
    const memory = setUp(page);
    const { nodes, keys } = audit(memory);
    const steps = (nodes.size * page.sizeBytes) / 4 + STEPS_PER_KEY * keys;
    expect(audit(memory, steps).findings).toEqual([]);
    expect(audit(memory, (nodes.size * page.sizeBytes) / 4 - 1).findings).toMatchObject([{ code: 'budget' }]);
  });

  test('needs nobody to look at the blocks, and does not swallow what a looker throws', () => {
    const memory = setUp(page);
    const foreign: AuditMemory = {
      inRam: (phys, sizeBytes) => memory.contains(phys, sizeBytes),
      words: (phys) => memory.pageWords(pfnOf(page, phys)).slice(),
    };
    const report = () => {};
    expect(auditRadixTree(foreign, radixGeometry(page), ROOT, 0, { report }).keys).toBe(5);
    const visit = () => {
      throw new RangeError('enough');
    };
    expect(() => auditRadixTree(foreign, radixGeometry(page), ROOT, 0, { report, visit })).toThrow('enough');
  });

  test('names links into a page and to a page that was seen, and follows neither', () => {
    const memory = setUp(page);
    const slot = usedSlot(memory, ROOT);
    memory.writeU64(physAddr(slot), memory.readU64(physAddr(slot)) + 8);
    expect(audit(memory).findings).toMatchObject([{ code: 'alignment', where: slot }]);
    memory.writeU64(physAddr(slot), ROOT);
    expect(audit(memory).findings).toMatchObject([{ code: 'shared', where: slot }]);
  });

  test('names keys without an order', () => {
    const memory = setUp(page);
    const { keyWidth, levelShifts, depth } = radixGeometry(page);
    const wide = 2 ** (keyWidth - (levelShifts[depth - 1] ?? 0));
    const used = usedSlot(memory, ROOT);
    const link = memory.readU64(physAddr(used));
    memory.writeU64(physAddr(used), 0);
    memory.writeU64(physAddr(ROOT + 8 * wide), link);
    const leaf = [...audit(memory).nodes.keys()].at(-1) ?? 0;
    memory.writeU32(physAddr(leaf + 84), 0x100);
    const { findings } = audit(memory);
    expect(findings).toMatchObject([
      { code: 'key', where: leaf },
      { code: 'key', where: leaf + 85 },
    ]);
  });

  test('comes to an end where the kernel does not: every slot leads to the root', () => {
    const memory = setUp(page);
    const { slots } = radixGeometry(page);
    for (let i = 0; i < slots; i++) memory.writeU64(physAddr(ROOT + 8 * i), ROOT);
    const { findings, nodes } = audit(memory);
    expect(nodes.size).toBe(1);
    expect(findings).toHaveLength(slots);
    const reader = new RadixReader(radixGeometry(page), { maxSteps: 1e6 });
    expect(() => reader.walk(memory, physAddr(ROOT), () => {})).toThrow(KernelHang);
  });

  test('stops at its budget with a finding', () => {
    expect(audit(setUp(page), page.sizeBytes).findings).toMatchObject([{ code: 'budget', where: undefined }]);
  });

  test('the words of a page that RAM ends within are walked before the fault', () => {
    const memory = setUp(page);
    const slot = usedSlot(memory, ROOT);
    memory.writeU64(physAddr(slot), RAM_BYTES - 8);
    const walk = () => new RadixReader(radixGeometry(page)).walk(memory, physAddr(ROOT), () => {});
    expect(walk).toThrow(new MachineFault('read', RAM_BYTES));
  });

  test('a proposal with other slots and other keys is a tree like any other', () => {
    const contract: RadixContract = {
      ...RADIX_V4,
      entry: { type: 'u64', byteOrder: 'big' },
      geometry: { ...RADIX_V4.geometry, keyWidth: '58', depth: 'divRoundUp(58 - BITMAP_LOG2, TABLE_LOG2) + 1' },
      encoding: { orderBit: '57 - ORDER', addressShift: 'PAGE_SHIFT + ORDER' },
    };
    const geometry = radixGeometry(page, contract);
    const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: RAM_BYTES, nid: 0 }]);
    const tree = new RadixTree(memory, geometry, new BumpAllocator(memory, ROOT));
    tree.init();
    for (const pfn of [3, 4, 700]) tree.preserve(pfn as Pfn, 0 as Order);
    tree.preserve(512 as Pfn, 9 as Order);
    tree.unpreserve(4 as Pfn, 0 as Order);
    expect(memory.readU32(physAddr(usedSlot(memory, ROOT)))).toBe(0);
    const seen: string[] = [];
    new RadixReader(geometry).walk(
      memory.transfer(),
      tree.finalize(),
      (lo, hi, order) => void seen.push(`${(hi * 2 ** 32 + lo) / page.sizeBytes} ${order}`),
    );
    expect(seen).toEqual(['512 9', '3 0', '700 0']);
  });
});
