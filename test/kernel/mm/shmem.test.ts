import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENOMEM, EPERM } from '../../../kernel/errno.ts';
import { isCma } from '../../../kernel/mm/folio.ts';
import { FolioFlag } from '../../../kernel/mm/page-cache.ts';
import { Seal, ShmemFile } from '../../../kernel/mm/shmem.ts';
import { pmdOrder } from '../../../kernel/mm/vmalloc-area.ts';
import { type Order, PAGE_4K, PAGE_SIZES, type Pfn, pattern, ZERO_FILL } from '../../../machine/index.ts';
import { runningMm } from './set-up.ts';

describe.each(PAGE_SIZES)('a shmem file with $name pages', (page) => {
  const size = page.sizeBytes;
  const block = 2 ** page.defaultMaxPageOrder;

  test('holes read as zeroes, and what was written comes back across page borders', () => {
    const mm = runningMm(page, block);
    const file = new ShmemFile(mm, 'a');
    expect(file.truncate(4 * size)).toBe(0);
    expect(file.write(size - 2, Uint8Array.of(1, 2, 3, 4))).toBe(0);
    expect([...file.read(size - 3, 6)]).toEqual([0, 1, 2, 3, 4, 0]);
    expect(file.cache.nrFolios).toBe(2);
    expect(file.read(4 * size - 1, 10)).toHaveLength(1);
  });

  test('fallocated folios hold junk that nobody sees: zeroes are read, and the first write clears the folio', () => {
    const mm = runningMm(page, block);
    const file = new ShmemFile(mm, 'a');
    file.fallocate(0, 2 * size);
    const folio = file.cache.find(1);
    expect(folio?.flags).toBe(0);
    expect(mm.memory.holdsFill(folio?.pfn as Pfn, ZERO_FILL)).toBe(false);
    expect(file.read(0, 2 * size).every((byte) => byte === 0)).toBe(true);
    file.write(size + 5, Uint8Array.of(7));
    expect(file.cache.find(1)?.flags).toBe(FolioFlag.uptodate | FolioFlag.dirty);
    expect([...file.read(size + 4, 3)]).toEqual([0, 7, 0]);
    expect(file.cache.find(0)?.flags).toBe(0);
  });

  test('a fill is the content of each frame, and costs one entry for neighbours', () => {
    const mm = runningMm(page, 2 * block);
    const file = new ShmemFile(mm, 'a');
    file.fill(0, block + 3, pattern(9));
    expect(file.sizeBytes).toBe((block + 3) * size);
    expect([...file.cache.runs()]).toHaveLength(1);
    for (const at of [0, block + 2]) {
      expect(mm.memory.holdsFill(file.cache.find(at)?.pfn as Pfn, pattern(9))).toBe(true);
    }
    expect(file.cache.nrFolios).toBe(block + 3);
  });

  test('reclaim takes clean folios, and none of a file that is preserved', () => {
    const mm = runningMm(page, block);
    const file = new ShmemFile(mm, 'a');
    file.truncate(4 * size);
    expect(file.pin()).toBe(0);
    file.write(size, Uint8Array.of(1));
    file.frozen = true;
    expect(file.reclaim()).toBe(0);
    file.frozen = false;
    const free = mm.allocator.nrFreePages();
    expect(file.reclaim()).toBe(3);
    expect(mm.allocator.nrFreePages()).toBe(free + 3);
    expect([...file.cache.folios()].map(({ index }) => index)).toEqual([1]);
  });

  test('pinning ends when there is no room for more folios', () => {
    const mm = runningMm(page, block);
    const file = new ShmemFile(mm, 'a');
    file.truncate(2 ** 50);
    expect(file.pin(3)).toBe(0);
    expect(file.cache.nrFolios).toBe(3);
    expect(file.pin()).toBe(ENOMEM);
  });

  test('seals and the freeze forbid what they name', () => {
    const mm = runningMm(page, block);
    const file = new ShmemFile(mm, 'a');
    file.write(0, new Uint8Array(2 * size));
    expect(file.addSeals(Seal.GROW)).toBe(0);
    expect([file.truncate(3 * size), file.fallocate(0, 3 * size), file.write(2 * size, Uint8Array.of(1))]).toEqual([
      EPERM,
      EPERM,
      EPERM,
    ]);
    expect(file.write(0, Uint8Array.of(1))).toBe(0);
    expect(file.addSeals(Seal.SHRINK | Seal.WRITE)).toBe(0);
    expect([file.truncate(size), file.write(0, Uint8Array.of(1)), file.punchHole(0, size)]).toEqual([
      EPERM,
      EPERM,
      EPERM,
    ]);
    expect(file.addSeals(Seal.SEAL)).toBe(0);
    expect(file.addSeals(Seal.EXEC)).toBe(EPERM);
    const frozen = new ShmemFile(mm, 'b');
    frozen.write(0, new Uint8Array(size));
    frozen.frozen = true;
    expect([frozen.truncate(0), frozen.truncate(2 * size), frozen.fallocate(0, 1)]).toEqual([EPERM, EPERM, EPERM]);
    expect(frozen.write(0, Uint8Array.of(1))).toBe(0);
  });

  test('sealing the mode of an executable file seals its content', () => {
    const mm = runningMm(page, block);
    const file = new ShmemFile(mm, 'a');
    file.addSeals(Seal.EXEC);
    expect(file.seals).toBe(0x3e);
    const plain = new ShmemFile(mm, 'b', { executable: false });
    plain.addSeals(Seal.EXEC);
    expect(plain.seals).toBe(Seal.EXEC);
  });

  test('truncation frees the folios behind the end and zeroes the rest of the last page', () => {
    const mm = runningMm(page, block);
    const file = new ShmemFile(mm, 'a');
    file.write(0, new Uint8Array(3 * size).fill(1));
    file.truncate(size + 1);
    expect(file.cache.nrFolios).toBe(2);
    expect(mm.allocator.nrFreePages()).toBe(block - 2);
    file.truncate(3 * size);
    expect([...file.read(size, 3)]).toEqual([1, 0, 0]);
  });

  test('folios are movable, and pinning moves them out of CMA memory with their content', () => {
    const mm = runningMm(page, block, 2 * block);
    const file = new ShmemFile(mm, 'a');
    file.truncate(5 * size);
    file.write(0, Uint8Array.of(1, 2, 3));
    file.fill(2, 2, pattern(4));
    expect([...file.pinnedFolios()].every((folio) => isCma(mm.pages, folio))).toBe(true);
    const before = file.read(0, 5 * size);
    expect(file.pin()).toBe(0);
    expect([...file.pinnedFolios()].map((folio) => folio.index)).toEqual([0, 1, 2, 3, 4]);
    expect([...file.pinnedFolios()].some((folio) => isCma(mm.pages, folio))).toBe(false);
    expect(Buffer.compare(file.read(0, 5 * size), before)).toBe(0);
    expect(mm.allocator.nrFreePages('cma')).toBe(2 * block);
  });

  test('pinning fails when no memory outside CMA is left', () => {
    const mm = runningMm(page, block, 2 * block);
    const file = new ShmemFile(mm, 'a');
    file.write(0, Uint8Array.of(1));
    mm.allocator.allocPages(page.defaultMaxPageOrder as Order);
    expect(file.pin()).toBe(ENOMEM);
    expect([...file.read(0, 1)]).toEqual([1]);
  });

  test('a large folio may reach behind the end of the file', () => {
    const order = pmdOrder(page);
    const mm = runningMm(page, 2 * block);
    const file = new ShmemFile(mm, 'a', { folioOrder: order });
    file.write(0, new Uint8Array(2 * size).fill(5));
    expect([...file.pinnedFolios()].map((folio) => [folio.index, folio.order])).toEqual([[0, order]]);
    expect(mm.pages.order(file.cache.find(1)?.pfn as Pfn)).toBe(order);
    file.release();
    expect(mm.allocator.nrFreePages()).toBe(2 * block);
  });

  test('a file without enough memory gets -ENOMEM, and gives all back when it goes', () => {
    const mm = runningMm(page, block);
    const file = new ShmemFile(mm, 'a');
    expect(file.fill(0, block + 1, pattern(1))).toBe(ENOMEM);
    file.fill(0, 7, pattern(1));
    file.release();
    expect(mm.allocator.nrFreePages()).toBe(block);
  });
});

describe('a shmem file against a plain array', () => {
  const page = PAGE_4K;
  const size = page.sizeBytes;
  const offset = fc.oneof(
    fc.nat(12 * size),
    fc.nat(12).map((n) => n * size),
  );
  const step = fc.oneof(
    fc.record({ op: fc.constantFrom('write' as const, 'truncate' as const), at: offset, nr: fc.nat(2 * size) }),
    fc.record({ op: fc.constantFrom('fallocate' as const, 'punch' as const), at: offset, nr: fc.nat(4 * size) }),
    fc.record({ op: fc.constant('pin' as const), at: offset, nr: fc.nat(1) }),
  );

  test.each([0, 2])('any sequence of writes, truncations, holes and pins agrees, folios of order %i', (order) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const mm = runningMm(page, 1024, 2048);
        const file = new ShmemFile(mm, 'a', { folioOrder: order as Order });
        const naive = new Uint8Array(20 * size);
        let end = 0;
        for (const [i, s] of steps.entries()) {
          if (s.op === 'write') {
            const bytes = new Uint8Array(s.nr).fill(i + 1);
            expect(file.write(s.at, bytes)).toBe(0);
            naive.set(bytes, s.at);
            if (s.nr > 0) end = Math.max(end, s.at + s.nr);
          } else if (s.op === 'truncate') {
            expect(file.truncate(s.at)).toBe(0);
            naive.fill(0, s.at);
            end = s.at;
          } else if (s.op === 'fallocate' && s.nr > 0) {
            expect(file.fallocate(s.at, s.nr)).toBe(0);
            end = Math.max(end, s.at + s.nr);
          } else if (s.op === 'punch' && s.nr > 0) {
            expect(file.punchHole(s.at, s.nr)).toBe(0);
            naive.fill(0, s.at, Math.min(end, s.at + s.nr));
          } else if (s.op === 'pin') {
            expect(file.pin()).toBe(0);
          }
          expect(file.sizeBytes).toBe(end);
        }
        return Buffer.compare(file.read(0, 20 * size), naive.subarray(0, end)) === 0;
      }),
      { numRuns: 60, seed: 3 },
    );
  });
});
