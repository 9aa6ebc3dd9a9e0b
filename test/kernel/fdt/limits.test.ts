import { describe, expect, test } from 'vitest';
import { fdtAppendpropAddrrange, fdtOpenInto, fdtPack, fdtSetprop } from '../../../kernel/fdt/edit.ts';
import { isFdtErr } from '../../../kernel/fdt/error.ts';
import {
  FDT_BEGIN_NODE as BEGIN,
  FDT_END_NODE as END,
  FDT_END,
  fdtSizeDtStrings,
  fdtTotalsize,
  fdtVersion,
  HEADER,
  FDT_PROP as PROP,
  setBe32,
} from '../../../kernel/fdt/layout.ts';
import { parseFdt } from '../../../kernel/fdt/parse.ts';
import {
  fdtAt,
  fdtCheckHeader,
  fdtCheckNodeOffset,
  fdtFirstSubnode,
  fdtGetMemRsv,
  fdtGetName,
  fdtGetprop,
  fdtGetpropByOffset,
  fdtNextPropertyOffset,
  fdtNextTag,
  fdtNodeCheckCompatible,
  fdtNumMemRsv,
  fdtSubnodeOffset,
} from '../../../kernel/fdt/read.ts';
import {
  fdtAddReservemapEntry,
  fdtBeginNode,
  fdtCreate,
  fdtEndNode,
  fdtFinish,
  fdtFinishReservemap,
  fdtPropertyCells,
} from '../../../kernel/fdt/write.ts';
import { type BlobParts, blob, type Token } from './blobs.ts';

const ROOT: readonly Token[] = [BEGIN, '', END, FDT_END];

/** A blob in a larger page, with header fields changed. */
function page(parts: BlobParts, fields: Partial<Record<keyof typeof HEADER, number>> = {}, sizeBytes = 512) {
  const bytes = new Uint8Array(sizeBytes);
  bytes.set(blob(parts));
  for (const [field, value] of Object.entries(fields)) setBe32(bytes, HEADER[field as keyof typeof HEADER], value);
  return bytes;
}

describe('the header', () => {
  test.each([
    ['version 1, compatible with itself', { version: 1, lastCompVersion: 1 }, -10],
    ['version 2, compatible with itself', { version: 2, lastCompVersion: 2 }, 0],
    ['version 18, compatible with 18 only', { version: 18, lastCompVersion: 18 }, -10],
    ['a totalsize below the header, whatever the blocks', { totalsize: 39, offMemRsvmap: 41 }, -8],
    [
      'a header alone with empty blocks behind it',
      { totalsize: 40, offDtStruct: 40, offDtStrings: 40, offMemRsvmap: 40, sizeDtStruct: 0, sizeDtStrings: 0 },
      0,
    ],
  ])('%s', (_what, fields, expected) => {
    expect(fdtCheckHeader(page({ structure: ROOT }, fields))).toBe(expected);
  });

  test('look-ups refuse a totalsize of INT_MAX, and a blob that is not aligned', () => {
    expect(fdtSubnodeOffset(page({ structure: ROOT }, { totalsize: 0x7fff_ffff }), 0, 'a')).toBe(-8);
    expect(fdtSubnodeOffset(fdtAt(4, blob({ structure: ROOT })), 0, 'a')).toBe(-19);
    expect(fdtGetName(fdtAt(4, blob({ structure: ROOT })), 0)).toBe(-19);
  });
});

describe('offsets', () => {
  // Two bytes into the value there are tags, where no tag can be.
  const tags = Uint8Array.of(0, 0, 0, 0, 0, BEGIN, 0, 0, 0, 0, 0, 0, 0, PROP, 0, 0, 0, 0, 0, 0, 0, 0);
  const fdt = blob({ structure: [BEGIN, '', PROP, tags.length, 0, tags, END, FDT_END], strings: 'x\0' });
  const value = 8 + 12;

  test('that are no multiple of 4 are refused even where a token could be read', () => {
    expect([fdtNextTag(fdt, value + 2).tag, fdtNextTag(fdt, value + 10).tag]).toEqual([BEGIN, PROP]);
    expect(fdtCheckNodeOffset(fdt, value + 2)).toBe(-4);
    expect(fdtNextPropertyOffset(fdt, value + 10)).toBe(-4);
    expect(fdtGetpropByOffset(fdt, value + 10)).toBe(-4);
  });

  test('before the structure block are refused even where a token could be read', () => {
    const before = blob({ reservations: [[BigInt(BEGIN), 2n ** 64n - 1n]], structure: ROOT });
    const at = -28;
    expect(fdtNextTag(before, at)).toEqual({ tag: FDT_END, next: -8 });
    expect(fdtCheckNodeOffset(before, at)).toBe(-4);
    expect([fdtNextPropertyOffset(before, -4), fdtGetpropByOffset(before, -4)]).toEqual([-4, -4]);
  });

  test('of -1 stand for before the root, whose first child is the root', () => {
    expect([fdtFirstSubnode(fdt, -1), fdtFirstSubnode(fdt, 0)]).toEqual([0, -1]);
  });
});

test('a child is found by the bytes of its name too', () => {
  const fdt = blob({ structure: [BEGIN, '', BEGIN, 'ab', END, END, FDT_END] });
  expect(fdtSubnodeOffset(fdt, 0, Uint8Array.of(0x61, 0x62))).toBe(8);
  expect(fdtSubnodeOffset(fdt, 0, Uint8Array.of(0x61))).toBe(-1);
});

test('what lies in the padding behind a list is no string of it', () => {
  const structure = [BEGIN, '', PROP, 3, 0, Uint8Array.of(0x61, 0x62, 0, 0x78), END, FDT_END];
  const fdt = blob({ structure, strings: 'compatible\0' });
  expect([fdtNodeCheckCompatible(fdt, 0, 'ab'), fdtNodeCheckCompatible(fdt, 0, 'x')]).toEqual([0, 1]);
});

describe('the reserve map', () => {
  const last: BlobParts = { structure: ROOT, reservations: [[1n, 2n]], order: ['structure', 'strings', 'reserveMap'] };

  test('may end with the blob, and not beyond the bytes there are', () => {
    const fdt = blob(last);
    expect([fdtNumMemRsv(fdt), fdtGetMemRsv(fdt, 0)]).toEqual([1, { address: 1n, size: 2n }]);
    expect(fdtNumMemRsv(fdt.subarray(0, fdt.length - 1))).toBe(-8);
    expect(fdtGetMemRsv(fdt, 2)).toBe(-4);
  });
});

describe('edits', () => {
  test('make a newer, compatible version 17', () => {
    const fdt = page({ version: 18, lastCompVersion: 17, structure: ROOT }, { totalsize: 512 });
    expect(fdtSetprop(fdt, 0, 'x', Uint8Array.of(1))).toBe(0);
    expect(fdtVersion(fdt)).toBe(17);
  });

  test('append a name although stale bytes behind the strings spell it', () => {
    const fdt = page({ structure: ROOT, strings: 'a\0' }, { totalsize: 512 });
    const end = blob({ structure: ROOT, strings: 'a\0' }).length;
    fdt.set([0x62, 0x62, 0], end);
    expect(fdtSetprop(fdt, 0, 'bb', new Uint8Array(0))).toBe(0);
    expect(fdtSizeDtStrings(fdt)).toBe(5);
    expect(fdtSetprop(fdt, 0, 'b', new Uint8Array(0))).toBe(0);
    expect(fdtSizeDtStrings(fdt)).toBe(5);
  });

  describe('opening a blob whose blocks are in another order', () => {
    const parts: BlobParts = {
      structure: [BEGIN, '', PROP, 1, 0, Uint8Array.of(9), END, FDT_END],
      strings: 'x\0',
      order: ['strings', 'structure', 'reserveMap'],
    };
    const packed = 40 + 16 + 32 + 2;

    test('into a buffer of its own needs room for what it holds, once', () => {
      const fdt = blob(parts);
      expect(fdtOpenInto(fdt, new Uint8Array(packed - 1))).toBe(-3);
      const buffer = new Uint8Array(packed);
      expect(fdtOpenInto(fdt, buffer)).toBe(0);
      expect(fdtTotalsize(buffer)).toBe(packed);
      const found = fdtGetprop(buffer, 0, 'x');
      expect(isFdtErr(found) ? found : [...found.value]).toEqual([9]);
    });

    test('into memory that both share, room behind the old one where they overlap', () => {
      const fdt = blob(parts);
      const memory = new Uint8Array(1024);
      const open = (from: number, to: number, sizeBytes: number) => {
        memory.fill(0);
        memory.set(fdt, from);
        return fdtOpenInto(memory.subarray(from, from + fdt.length), memory.subarray(to, to + sizeBytes));
      };
      const both = fdt.length + packed;
      // Over each other: the new one is built behind the old one, then moved.
      expect([open(256, 256, both - 1), open(256, 256, both)]).toEqual([-3, 0]);
      const inPlace = parseFdt(memory.subarray(256));
      expect(inPlace.kind === 'tree' && inPlace.root.properties[0]?.value[0]).toBe(9);
      // Side by side, even touching, no more room is needed than for the new one.
      expect([open(0, 512, packed), open(512, 0, packed), open(256, 160, packed)]).toEqual([0, 0, 0]);
      expect(open(256, 256 + 8 * Math.ceil(fdt.length / 8), packed)).toBe(0);
      // The end of one over the beginning of the other.
      expect(open(256, 256 - 88, packed)).toBe(-3);
    });
  });

  test.each([
    [1, 1, 0xffff_f000n, 0x1000n, 0],
    [1, 1, 0xffff_f000n, 0x1001n, -15],
    [1, 1, 0x1_0000_0000n, 0n, -15],
    [2, 1, 0x1_0000_0000n, 0xffff_ffffn, 0],
    [2, 1, 0n, 0x1_0000_0000n, -15],
    [2, 2, 2n ** 64n - 1n, 2n ** 64n - 1n, 0],
    [3, 1, 0n, 0n, -14],
    [1, 0, 0n, 0n, -14],
    [2, 3, 0n, 0n, -14],
    [0, 1, 0n, 0n, -14],
    [5, 1, 0n, 0n, -14],
    [1, 5, 0n, 0n, -14],
  ])('a range in %s and %s cells: %s, %s gives %s', (addressCells, sizeCells, address, size, expected) => {
    const structure = [BEGIN, '', PROP, 4, 0, addressCells, PROP, 4, 15, sizeCells, END, FDT_END];
    const fdt = page({ structure, strings: '#address-cells\0#size-cells\0' }, { totalsize: 512 });
    expect(fdtAppendpropAddrrange(fdt, 0, 0, 'reg', address, size)).toBe(expected);
    const found = fdtGetprop(fdt, 0, 'reg');
    expect(isFdtErr(found) ? found : found.length).toBe(expected === 0 ? 4 * (addressCells + sizeCells) : -1);
  });
});

describe('the sequential writer', () => {
  test('says of what is no blob at all that its magic is wrong', () => {
    const garbage = new Uint8Array(256).fill(1);
    expect([fdtBeginNode(garbage, 'n'), fdtAddReservemapEntry(garbage, 1n, 2n), fdtFinish(garbage)]).toEqual([
      -9, -9, -9,
    ]);
  });

  test('writes cells one behind the other', () => {
    const fdt = new Uint8Array(256);
    fdtCreate(fdt);
    fdtFinishReservemap(fdt);
    fdtBeginNode(fdt, '');
    fdtPropertyCells(fdt, 'x', 1, 2, 0x8000_0003);
    fdtEndNode(fdt);
    fdtFinish(fdt);
    const found = fdtGetprop(fdt, 0, 'x');
    expect(isFdtErr(found) ? found : [...found.value]).toEqual([0, 0, 0, 1, 0, 0, 0, 2, 0x80, 0, 0, 3]);
  });

  test('finds a damaged structure when it finishes', () => {
    const fdt = new Uint8Array(256);
    fdtCreate(fdt);
    fdtFinishReservemap(fdt);
    fdtBeginNode(fdt, '');
    setBe32(fdt, 64, 77);
    fdtEndNode(fdt);
    expect(fdtFinish(fdt)).toBe(-11);
  });
});

test('packing a blob twice changes nothing', () => {
  const fdt = page({ structure: ROOT, reservations: [[1n, 2n]] }, { totalsize: 512 });
  fdtPack(fdt);
  const once = fdt.slice();
  fdtPack(fdt);
  expect(fdt).toEqual(once);
});
