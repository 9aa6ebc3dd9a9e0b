import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  copiedFill,
  DeadMachineError,
  fillUnderPage,
  junk,
  MachineFault,
  PAGE_SIZES,
  type Pfn,
  PhysicalMemory,
  pattern,
  physAddr,
  ZERO_FILL,
} from '../../machine/index.ts';

const GIB = 2 ** 30;

describe.each(PAGE_SIZES)('physical memory with $name pages', (page) => {
  const make = () =>
    new PhysicalMemory(page, [
      { base: physAddr(GIB), sizeBytes: GIB, nid: 0 },
      { base: physAddr(4 * GIB), sizeBytes: 2 ** 40, nid: 1 },
    ]);

  test('reads zero until something is written, and costs nothing until then', () => {
    const memory = make();
    expect(memory.readU64(physAddr(2 ** 40))).toBe(0);
    expect(memory.committedBytes).toBeLessThan(10_000);
  });

  test('keeps values of each width at any byte address, across page borders too', () => {
    const memory = make();
    const at = physAddr(GIB + page.sizeBytes - 3);
    memory.writeU64(at, 0x1f_ffff_ffff_ff01);
    expect(memory.readU64(at)).toBe(0x1f_ffff_ffff_ff01);
    expect(memory.readU8(at)).toBe(1);
    memory.writeU64Big(at, 0xfedc_ba98_7654_3210n);
    expect(memory.readU64Hex(at)).toBe('0xfedcba9876543210');
    expect(memory.readU16(physAddr(at + 2))).toBe(0x7654);
  });

  test('faults outside RAM, in holes, and before a byte past the end', () => {
    const memory = make();
    expect(() => memory.readU8(physAddr(0))).toThrow(MachineFault);
    expect(() => memory.writeU8(physAddr(3 * GIB), 1)).toThrow(MachineFault);
    expect(() => memory.readBytes(physAddr(2 * GIB - 4), 8)).toThrow(MachineFault);
  });

  test('a fill gives each page content of its own, and a write keeps the rest of it', () => {
    const memory = make();
    const first = GIB / page.sizeBytes;
    memory.fillPages(first as Pfn, 1000, pattern(7));
    const a = memory.readBytes(physAddr(GIB), page.sizeBytes);
    const b = memory.readBytes(physAddr(GIB + page.sizeBytes), page.sizeBytes);
    expect(a).not.toEqual(b);
    expect(memory.holdsFill(first as Pfn, pattern(7))).toBe(true);
    memory.writeU8(physAddr(GIB + 5), (a[5] ?? 0) ^ 1);
    expect(memory.holdsFill(first as Pfn, pattern(7))).toBe(false);
    memory.writeU8(physAddr(GIB + 5), a[5] ?? 0);
    expect(memory.holdsFill(first as Pfn, pattern(7))).toBe(true);
    expect(memory.holdsFill(first as Pfn, junk(7))).toBe(false);
  });

  test('versions go back and forth, and name the pages that changed', () => {
    const memory = make();
    const frame = (4 * GIB) / page.sizeBytes + 12345;
    const at = physAddr(frame * page.sizeBytes);
    memory.writeU32(at, 1);
    const before = memory.mark();
    memory.writeU32(at, 2);
    memory.fillPages((frame + 1) as Pfn, 3, junk(1));
    const after = memory.mark();
    memory.restore(before);
    expect(memory.readU32(at)).toBe(1);
    memory.restore(after);
    expect(memory.readU32(at)).toBe(2);
    expect(memory.changedPages(before, after)).toEqual([frame, frame + 1, frame + 2, frame + 3]);
  });

  test('after the jump the old object throws and the new one has the bytes', () => {
    const memory = make();
    memory.writeU32(physAddr(GIB), 42);
    const next = memory.transfer();
    expect(next.readU32(physAddr(GIB))).toBe(42);
    expect(() => memory.readU32(physAddr(GIB))).toThrow(DeadMachineError);
    expect(() => memory.fillPages((GIB / page.sizeBytes) as Pfn, 1, junk(1))).toThrow(DeadMachineError);
  });

  test('agrees with a plain array under any sequence of writes, fills, marks and restores', () => {
    const sizeBytes = 128 * page.sizeBytes;
    const step = fc.oneof(
      fc.record({ op: fc.constant('write' as const), at: fc.nat(sizeBytes - 9), value: fc.nat(0xffff_ffff) }),
      fc.record({ op: fc.constant('fill' as const), at: fc.nat(100), count: fc.integer({ min: 1, max: 28 }) }),
      fc.record({ op: fc.constant('mark' as const) }),
      fc.record({ op: fc.constant('restore' as const), which: fc.nat(9) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes, nid: 0 }]);
        let naive = new Uint8Array(sizeBytes);
        const versions: [ReturnType<PhysicalMemory['mark']>, Uint8Array<ArrayBuffer>][] = [];
        for (const s of steps) {
          if (s.op === 'write') {
            memory.writeU32(physAddr(s.at), s.value);
            new DataView(naive.buffer).setUint32(s.at, s.value, true);
          } else if (s.op === 'fill') {
            memory.fillPages(s.at as Pfn, s.count, junk(3));
            for (let p = s.at; p < s.at + s.count; p++) {
              naive.set(memory.readBytes(physAddr(p * page.sizeBytes), page.sizeBytes), p * page.sizeBytes);
            }
          } else if (s.op === 'mark') {
            versions.push([memory.mark(), naive.slice()]);
          } else {
            const version = versions[s.which % Math.max(1, versions.length)];
            if (version !== undefined) {
              memory.restore(version[0]);
              naive = version[1].slice();
            }
          }
        }
        return Buffer.compare(memory.readBytes(physAddr(0), sizeBytes), naive) === 0;
      }),
      { numRuns: page.shift === 16 ? 8 : 40, seed: 1 },
    );
  });
});

describe('RAM under another page size', () => {
  const pairs = PAGE_SIZES.flatMap((from) => PAGE_SIZES.filter((to) => to !== from).map((to) => [from, to] as const));
  const sizeBytes = 2 ** 20;
  const bank = { base: physAddr(GIB), sizeBytes, nid: 0 };

  test.each(pairs)('holds the same bytes: %o to %o', (from, to) => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('write' as const), at: fc.nat(sizeBytes - 4), value: fc.nat(0xffff_ffff) }),
      fc.record({ op: fc.constant('fill' as const), at: fc.nat(200), count: fc.integer({ min: 1, max: 64 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const memory = new PhysicalMemory(from, [bank]);
        const nrPages = sizeBytes / from.sizeBytes;
        for (const s of steps) {
          if (s.op === 'write') memory.writeU32(physAddr(GIB + s.at), s.value);
          else {
            const first = s.at % nrPages;
            const count = Math.min(s.count, nrPages - first);
            memory.fillPages((GIB / from.sizeBytes + first) as Pfn, count, s.at % 3 === 0 ? ZERO_FILL : pattern(s.at));
          }
        }
        const before = memory.readBytes(physAddr(GIB), sizeBytes);
        const other = memory.transferTo(to);
        const across = other.readBytes(physAddr(GIB), sizeBytes);
        const back = other.transferTo(from);
        return (
          Buffer.compare(before, across) === 0 && Buffer.compare(before, back.readBytes(physAddr(GIB), sizeBytes)) === 0
        );
      }),
      { numRuns: 8, seed: 1 },
    );
  });

  test.each(pairs)(
    'keeps fills for what they are, writers too, wherever whole pages have them: %o to %o',
    (from, to) => {
      const memory = new PhysicalMemory(from, [bank]);
      const first = GIB / from.sizeBytes;
      memory.setWriter('somebody');
      memory.fillPages(first as Pfn, 2 ** 18 / from.sizeBytes, pattern(7));
      memory.setWriter('else');
      memory.writeU32(physAddr(GIB + 2 ** 19), 1);
      const other = memory.transferTo(to);
      expect(() => memory.readU8(physAddr(GIB))).toThrow(DeadMachineError);
      const pfn = (GIB / to.sizeBytes) as Pfn;
      expect(other.backing(pfn)).toMatchObject({ kind: 'fill', writer: 'somebody' });
      expect(other.holdsFill(pfn, fillUnderPage(pattern(7), from, to))).toBe(true);
      expect(other.holdsFill(pfn, pattern(7))).toBe(false);
      expect(other.backing(((GIB + 2 ** 19) / to.sizeBytes) as Pfn).writer).toBe('else');
      // A copy holds what the page that it was made of holds, by name and by byte.
      const fill = other.backing(pfn);
      if (fill.kind !== 'fill') throw new Error('no fill');
      const copy = (pfn + 2 ** 18 / to.sizeBytes + 1) as Pfn;
      other.fillPages(copy, 1, copiedFill(fill.fill, copy - pfn, to));
      const bytesOf = (at: Pfn) => other.readBytes(physAddr(at * to.sizeBytes), to.sizeBytes);
      expect(Buffer.compare(bytesOf(copy), bytesOf(pfn))).toBe(0);
      const again = other.transferTo(from);
      expect(again.holdsFill(first as Pfn, pattern(7))).toBe(true);
    },
  );

  test('of a bank that is no whole number of such pages stays with its kernel', () => {
    const [small, , large] = PAGE_SIZES;
    if (small === undefined || large === undefined) throw new Error('three page sizes');
    const memory = new PhysicalMemory(small, [{ ...bank, sizeBytes: sizeBytes + small.sizeBytes }]);
    expect(() => memory.transferTo(large)).toThrow(RangeError);
    expect(memory.alive).toBe(true);
  });
});
