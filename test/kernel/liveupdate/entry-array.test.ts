import { describe, expect, it } from 'vitest';
import { ENOMEM, ENOSPC } from '../../../kernel/errno.ts';
import { EntryArray } from '../../../kernel/liveupdate/entry-array.ts';
import { PAGE_SIZES, type PhysAddr } from '../../../machine/index.ts';
import { FakeKernel } from '../fake-kernel.ts';

const ENTRY_BYTES = 56;

describe.each(PAGE_SIZES)('the one piece of entries before 7.2, with $name pages', (page) => {
  const sizeBytes = 2 * page.sizeBytes;
  const capacity = Math.floor(sizeBytes / ENTRY_BYTES);

  function boot() {
    const kernel = new FakeKernel(page, { nrPages: 256 });
    return { kernel, array: new EntryArray(kernel, ENTRY_BYTES, sizeBytes) };
  }

  it('is made for the first entry, and is big enough for all there may be', () => {
    const { kernel, array } = boot();
    expect([array.capacity, array.isEmpty, array.head]).toEqual([capacity, true, 0]);
    expect(array.grow(1)).toBe(0);
    const head = array.head;
    expect([array.isEmpty, kernel.kho.blocks.get(head / page.sizeBytes)]).toEqual([false, 1]);
    expect([array.grow(capacity), array.head, kernel.kho.blocks.size]).toEqual([0, head, 1]);
    expect(array.grow(capacity + 1)).toBe(ENOSPC);
  });

  it('without memory is -ENOMEM, and stays without a piece', () => {
    const { kernel, array } = boot();
    kernel.faults.arm('kho.preserve', 1);
    expect([array.grow(1), array.isEmpty, kernel.kho.blocks.size]).toEqual([ENOMEM, true, 0]);
  });

  it('goes back with the last entry, not before', () => {
    const { kernel, array } = boot();
    array.shrink(0);
    array.grow(2);
    array.shrink(1);
    expect(array.isEmpty).toBe(false);
    array.shrink(0);
    expect([array.isEmpty, kernel.kho.blocks.size]).toEqual([true, 0]);
    array.destroy();
    expect(kernel.log.warnings).toBe(0);
  });

  it('is filled from its beginning to its end', () => {
    const { array } = boot();
    const cursor = array.cursor();
    expect(cursor.reserve()).toBeUndefined();
    array.grow(1);
    for (let i = 0; i < capacity; i++) expect(cursor.reserve()).toBe(array.head + i * ENTRY_BYTES);
    expect(cursor.reserve()).toBeUndefined();
    expect(cursor.prev()).toBe(array.head + (capacity - 1) * ENTRY_BYTES);
  });

  it('is read by the count that came with it, and backwards to the first entry', () => {
    const { kernel, array } = boot();
    array.grow(3);
    const next = kernel.kexec();
    const found = new EntryArray(next, ENTRY_BYTES, sizeBytes);
    expect(found.restore(array.head, 3)).toBe(0);
    const cursor = found.cursor();
    const addresses = [0, 1, 2].map((i) => array.head + i * ENTRY_BYTES);
    expect([cursor.read(), cursor.read(), cursor.read(), cursor.read()]).toEqual([...addresses, undefined]);
    expect([cursor.prev(), cursor.prev(), cursor.prev(), cursor.prev()]).toEqual([...addresses.reverse(), undefined]);
  });

  it("a predecessor's is restored to be freed; its own is unpreserved", () => {
    const { kernel, array } = boot();
    array.grow(1);
    array.destroy();
    expect([array.isEmpty, kernel.kho.blocks.size]).toEqual([true, 0]);
    array.grow(1);
    const next = kernel.kexec();
    const found = new EntryArray(next, ENTRY_BYTES, sizeBytes);
    found.restore(array.head, 1);
    found.shrink(0);
    expect(next.kho.incoming.size).toBe(1);
    found.destroy();
    expect([found.isEmpty, next.kho.incoming.size, next.log.warnings]).toEqual([true, 0, 0]);
  });

  it('is left where it is when it is abandoned', () => {
    const { kernel, array } = boot();
    array.grow(1);
    array.abandon();
    expect([array.isEmpty, kernel.kho.blocks.size]).toEqual([false, 1]);
  });

  it('cleared, is all zeros', () => {
    const { kernel, array } = boot();
    array.clear();
    array.grow(1);
    const end = (array.head + sizeBytes) as PhysAddr;
    kernel.memory.writeU64(array.head, 1);
    kernel.memory.writeU64((end - 8) as PhysAddr, 2);
    kernel.memory.writeU64(end, 3);
    array.clear();
    expect(kernel.memory.readBytes(array.head, sizeBytes).every((byte) => byte === 0)).toBe(true);
    expect(kernel.memory.readU64(end)).toBe(3);
  });
});
