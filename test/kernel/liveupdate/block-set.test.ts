import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EINVAL, ENOMEM, ENOSPC } from '../../../kernel/errno.ts';
import { KHO_MAX_BLOCKS, KhoBlockSet } from '../../../kernel/liveupdate/block-set.ts';
import { PAGE_4K, PAGE_SIZES, type PageSize, type PhysAddr } from '../../../machine/index.ts';
import { FakeKernel, type FakeOptions } from '../fake-kernel.ts';

const SESSION_BYTES = 80;
const FILE_BYTES = 64;

function setOf(kernel: FakeKernel, entryBytes = FILE_BYTES): KhoBlockSet {
  const header = kernel.abi.struct('kho_block_header_ser');
  const { memory, kho, log, page } = kernel;
  return new KhoBlockSet({ memory, kho, log, header, blockSizeBytes: page.sizeBytes }, entryBytes);
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

  it("of this kernel cannot be grown once it is a predecessor's", () => {
    const { kernel, found, head } = jump(1, () => {});
    found.restore(head);
    expect(found.grow(1000)).toBe(EINVAL);
    expect(kernel.log.warnings).toBe(1);
  });
});
