import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EINVAL, ENOMEM, ENOSPC } from '../../../kernel/errno.ts';
import { BLOCK_SITE } from '../../../kernel/fault-sites.ts';
import { KHO_MAX_BLOCKS, KhoBlockSet } from '../../../kernel/liveupdate/block-set.ts';
import { PAGE_4K, PAGE_SIZES, type PageSize, type PhysAddr } from '../../../machine/index.ts';
import { FakeKernel, type FakeOptions } from '../fake-kernel.ts';

const SESSION_BYTES = 80;
const FILE_BYTES = 64;

function setOf(kernel: FakeKernel, entryBytes = FILE_BYTES): KhoBlockSet {
  const header = kernel.abi.struct('kho_block_header_ser');
  const { memory, kho, log, page, faults } = kernel;
  return new KhoBlockSet({ memory, kho, log, faults, header, blockSizeBytes: page.sizeBytes }, entryBytes);
}

function boot(page: PageSize, options?: FakeOptions): FakeKernel {
  return new FakeKernel(page, { nrPages: 2048, ...options });
}

/** Fills `count` entries, each with its index as a u64. */
function fill(kernel: FakeKernel, set: KhoBlockSet, count: number): void {
  expect(set.grow(count)).toBe(0);
  const cursor = set.cursor();
  for (let i = 0; i < count; i++) kernel.memory.writeU64(cursor.reserve() as PhysAddr, i);
}

function readAll(kernel: FakeKernel, set: KhoBlockSet): number[] {
  const out: number[] = [];
  const cursor = set.cursor();
  for (let entry = cursor.read(); entry !== undefined; entry = cursor.read()) out.push(kernel.memory.readU64(entry));
  return out;
}

describe.each(PAGE_SIZES)('a block set with $name pages', (page) => {
  it('holds as many entries in a block as the kernel says', () => {
    const kernel = boot(page);
    const expected = { '4K': [51, 63], '16K': [204, 255], '64K': [819, 1023] }[page.name];
    expect([setOf(kernel, SESSION_BYTES).countPerBlock, setOf(kernel).countPerBlock]).toEqual(expected);
  });

  it('survives a jump with every entry, in order, and leaves nothing behind', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), (count) => {
        const old = boot(page);
        const set = setOf(old);
        fill(old, set, count);
        expect(old.kho.blocks.size).toBe(Math.ceil(count / set.countPerBlock));

        const kernel = old.kexec();
        const found = setOf(kernel);
        expect(found.restore(set.head)).toBe(0);
        expect(readAll(kernel, found)).toEqual(Array.from({ length: count }, (_, i) => i));
        found.destroy();
        expect(kernel.kho.incoming.size).toBe(0);
        expect(kernel.log.warnings).toBe(0);
      }),
      { numRuns: 5, seed: 1 },
    );
  });

  it('grows and shrinks by whole blocks, and links them', () => {
    const kernel = boot(page);
    const set = setOf(kernel);
    const n = set.countPerBlock;
    expect(set.grow(2 * n + 1)).toBe(0);
    const [a, b, c] = set.blocks as [PhysAddr, PhysAddr, PhysAddr];
    expect([kernel.memory.readU64(a), kernel.memory.readU64(b), kernel.memory.readU64(c)]).toEqual([b, c, 0]);
    set.shrink(2 * n);
    expect(kernel.memory.readU64(b)).toBe(0);
    expect(set.blocks).toEqual([a, b]);
    set.shrink(n + 1);
    expect(set.blocks).toEqual([a, b]);
    set.shrink(0);
    expect([set.head, set.isEmpty, kernel.kho.blocks.size]).toEqual([0, true, 0]);
  });

  it('is empty until it has a block', () => {
    const set = setOf(boot(page));
    expect(set.isEmpty).toBe(true);
    set.grow(1);
    expect(set.isEmpty).toBe(false);
    set.destroy();
    expect([set.isEmpty, set.head]).toEqual([true, 0]);
  });

  it('gives back all its blocks when it is abandoned', () => {
    const kernel = boot(page);
    const set = setOf(kernel);
    set.grow(3 * set.countPerBlock);
    set.abandon();
    expect([set.isEmpty, kernel.kho.blocks.size]).toEqual([true, 0]);
  });

  it('cleared, has zeros in every entry, and touches nothing behind its blocks', () => {
    const kernel = boot(page);
    const set = setOf(kernel);
    fill(kernel, set, set.countPerBlock);
    const behind = (set.head + page.sizeBytes) as PhysAddr;
    kernel.memory.writeU64(behind, 0x1234);
    set.clear();
    expect(kernel.memory.readU64((set.head + 8) as PhysAddr)).toBe(0);
    const entries = kernel.memory.readBytes((set.head + 16) as PhysAddr, page.sizeBytes - 16);
    expect(entries.every((byte) => byte === 0)).toBe(true);
    expect(kernel.memory.readU64(behind)).toBe(0x1234);
  });

  it('without memory for a block is -ENOMEM', () => {
    const kernel = boot(page);
    const set = setOf(kernel);
    kernel.faults.arm(BLOCK_SITE, 2);
    expect(set.grow(2 * set.countPerBlock)).toBe(ENOMEM);
    expect([set.isEmpty, kernel.kho.blocks.size]).toEqual([true, 0]);
  });

  it('needs no fault injector', () => {
    const { memory, kho, log, abi } = boot(page);
    const header = abi.struct('kho_block_header_ser');
    const set = new KhoBlockSet({ memory, kho, log, header, blockSizeBytes: page.sizeBytes }, FILE_BYTES);
    expect(set.grow(1)).toBe(0);
  });

  it('warns of entries that no block can hold', () => {
    const kernel = boot(page);
    const set = setOf(kernel, page.sizeBytes);
    expect([set.countPerBlock, kernel.log.warnings]).toEqual([0, 1]);
    set.shrink(0);
    expect(set.isEmpty).toBe(true);
    setOf(kernel, page.sizeBytes - 16);
    expect(kernel.log.warnings).toBe(1);
  });

  it('gives back what it took when memory runs out while it grows', () => {
    const kernel = boot(page);
    const set = setOf(kernel);
    expect(set.grow(1)).toBe(0);
    kernel.faults.arm('kho.preserve', 3);
    expect(set.grow(4 * set.countPerBlock)).toBe(ENOMEM);
    expect([set.blocks.length, kernel.kho.blocks.size]).toEqual([1, 1]);
    expect(kernel.memory.readU64(set.head)).toBe(0);
  });
});

describe('a cursor', () => {
  it('steps back over a block border, and not before the start', () => {
    const kernel = boot(PAGE_4K);
    const set = setOf(kernel);
    fill(kernel, set, set.countPerBlock + 1);
    const cursor = set.cursor();
    const seen: PhysAddr[] = [];
    for (let entry = cursor.read(); entry !== undefined; entry = cursor.read()) seen.push(entry);
    for (const entry of seen.toReversed()) expect(cursor.prev()).toBe(entry);
    expect(cursor.prev()).toBeUndefined();
  });

  it('over no block finds nothing, forwards or backwards', () => {
    const set = setOf(boot(PAGE_4K));
    const cursor = set.cursor();
    expect([cursor.reserve(), cursor.read(), cursor.prev()]).toEqual([undefined, undefined, undefined]);
  });

  it('finds no room in a full set', () => {
    const kernel = boot(PAGE_4K);
    const set = setOf(kernel);
    set.grow(1);
    const cursor = set.cursor();
    for (let i = 0; i < set.countPerBlock; i++) expect(cursor.reserve()).toBe(set.head + 16 + i * FILE_BYTES);
    expect(cursor.reserve()).toBeUndefined();
  });

  it('writes the count of a block as it reserves', () => {
    const kernel = boot(PAGE_4K);
    const set = setOf(kernel);
    set.grow(2);
    const cursor = set.cursor();
    cursor.reserve();
    cursor.reserve();
    expect(kernel.memory.readU64((set.head + 8) as PhysAddr)).toBe(2);
    set.clear();
    expect(readAll(kernel, set)).toEqual([]);
  });
});

describe('a chain that a predecessor left broken', () => {
  function jump(blocks: number, damage: (kernel: FakeKernel, set: KhoBlockSet) => void) {
    const old = boot(PAGE_4K);
    const set = setOf(old);
    fill(old, set, blocks * set.countPerBlock);
    damage(old, set);
    const kernel = old.kexec();
    return { kernel, found: setOf(kernel), head: set.head };
  }

  it.each([
    ['a block that is its own successor', 1, 0, 0],
    ['a last block that leads to the first', 3, 2, 0],
    ['a last block that leads into the middle', 4, 3, 1],
  ])('is refused: %s', (_what, blocks, from, to) => {
    const { kernel, found, head } = jump(blocks, (old, set) => {
      old.memory.writeU64(set.blocks[from] as PhysAddr, set.blocks[to] as PhysAddr);
    });
    expect(found.restore(head)).toBe(EINVAL);
    expect(kernel.lines).toEqual(['luo: Block set is corrupted']);
    expect(found.head).toBe(0);
  });

  it.each([
    [0n, '0'],
    [64n, '64'],
    [2n ** 64n - 1n, '18446744073709551615'],
  ])('is refused and freed whole: a count of %s', (count, text) => {
    const { kernel, found, head } = jump(3, (old, set) => {
      old.memory.writeU64Big(((set.blocks[1] as PhysAddr) + 8) as PhysAddr, count);
    });
    expect(found.restore(head)).toBe(EINVAL);
    expect(kernel.lines).toEqual([`luo: Block contains invalid entry count: ${text}`]);
    expect(kernel.kho.incoming.size).toBe(0);
  });

  it('faults where a link leads out of RAM', () => {
    const { found, head } = jump(2, (old, set) => {
      old.memory.writeU64Big(set.blocks[1] as PhysAddr, 0xdead_beef_0000_0000n);
    });
    expect(() => found.restore(head)).toThrow(expect.objectContaining({ name: 'MachineFault' }));
  });

  it('is refused when it has too many blocks', () => {
    const old = new FakeKernel(PAGE_4K, { nrPages: 12_000 });
    const set = setOf(old);
    expect(set.grow(KHO_MAX_BLOCKS * set.countPerBlock)).toBe(0);
    for (const block of set.blocks) old.memory.writeU64((block + 8) as PhysAddr, 1);
    expect(set.grow(KHO_MAX_BLOCKS * set.countPerBlock + 1)).toBe(ENOSPC);
    expect(old.kho.blocks.size).toBe(KHO_MAX_BLOCKS);
    const extra = old.kho.allocPreserve(4096) as PhysAddr;
    old.memory.writeU64((extra + 8) as PhysAddr, 1);
    old.memory.writeU64(set.blocks.at(-1) as PhysAddr, extra);
    const kernel = old.kexec();
    expect(setOf(kernel).restore(set.head)).toBe(ENOSPC);
    expect(kernel.kho.incoming.size).toBe(0);
  });

  // Two links a round, KHO_MAX_BLOCKS rounds: the search for a cycle reads headers only, so they may lie side by side.
  it.each([
    ['20000 blocks are no cycle, but too many', 2 * KHO_MAX_BLOCKS, ENOSPC, []],
    ['20001 blocks count as a cycle', 2 * KHO_MAX_BLOCKS + 1, EINVAL, ['luo: Block set is corrupted']],
  ])('%s', (_what, blocks, err, lines) => {
    const kernel = boot(PAGE_4K);
    const head = 0x4010_0000;
    for (let i = 0; i < blocks; i++) {
      const at = head + i * 16;
      kernel.memory.writeU64(at as PhysAddr, i + 1 < blocks ? at + 16 : 0);
      kernel.memory.writeU64((at + 8) as PhysAddr, 1);
    }
    const set = setOf(kernel);
    expect(set.restore(head as PhysAddr)).toBe(err);
    expect(kernel.lines.filter((line) => line.startsWith('luo:'))).toEqual(lines);
    expect(set.isEmpty).toBe(true);
  });

  it('is no chain at all when its head is 0', () => {
    const kernel = boot(PAGE_4K);
    const set = setOf(kernel);
    expect([set.restore(0 as PhysAddr), set.isEmpty, kernel.lines]).toEqual([0, true, []]);
  });

  it("of this kernel cannot be grown once it is a predecessor's", () => {
    const { kernel, found, head } = jump(1, () => {});
    found.restore(head);
    expect(found.grow(1000)).toBe(EINVAL);
    expect(kernel.log.warnings).toBe(1);
  });
});
