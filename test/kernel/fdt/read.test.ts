import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fdtErrName, isFdtErr } from '../../../kernel/fdt/error.ts';
import { fdtOffDtStrings, HEADER, setBe32 } from '../../../kernel/fdt/layout.ts';
import {
  fdtAt,
  fdtCheckHeader,
  fdtFirstSubnode,
  fdtGetName,
  fdtGetprop,
  fdtNextSubnode,
  fdtNodeCheckCompatible,
  fdtNumMemRsv,
  fdtPathOffset,
  fdtSubnodeOffset,
} from '../../../kernel/fdt/read.ts';
import { textOfBytes } from '../../../kernel/fdt/text.ts';
import {
  fdtBeginNode,
  fdtCreate,
  fdtEndNode,
  fdtFinish,
  fdtFinishReservemap,
  fdtPropertyString,
} from '../../../kernel/fdt/write.ts';
import { buildEmpty } from './generations.ts';

const dtb = (name: string) => Uint8Array.from(readFileSync(new URL(`../../fixtures/fdt/${name}.dtb`, import.meta.url)));

/** A copy with one header field changed. */
function withField(field: keyof typeof HEADER, value: number): Uint8Array {
  const fdt = dtb('v4_meta_luo');
  setBe32(fdt, HEADER[field], value);
  return fdt;
}

describe('the header check a kernel makes', () => {
  test.each([
    ['a good blob', withField('bootCpuidPhys', 5), 0],
    ['a wrong magic', withField('magic', 0xd00dfeee), -9],
    ['an unfinished blob', withField('magic', 0x2ff20112), -9],
    ['version 16, which is fine', withField('version', 16), 0],
    ['version 18, which is fine as it is compatible', withField('version', 18), 0],
    ['version 1', withField('version', 1), -10],
    ['a last compatible version that is too new', withField('lastCompVersion', 18), -10],
    ['a version below its last compatible one', withField('version', 15), -10],
    ['a totalsize below the header', withField('totalsize', 39), -8],
    ['a totalsize below the blocks', withField('totalsize', 60), -8],
    ['a totalsize above INT_MAX', withField('totalsize', 0x8000_0000), -8],
    ['a totalsize that is too big but possible', withField('totalsize', 0x7fff_ffff), 0],
    ['a reserve map in the header', withField('offMemRsvmap', 32), -8],
    ['a reserve map that is not aligned', withField('offMemRsvmap', 44), -19],
    ['a structure block that is not aligned', withField('offDtStruct', 58), -19],
    ['a structure block past the end', withField('sizeDtStruct', 0xffff_fff0), -8],
    ['strings past the end', withField('sizeDtStrings', 58), -8],
    ['an address that is not aligned', fdtAt(0x1004, dtb('v4_meta_luo')), -19],
    ['an aligned address', fdtAt(0x1008, dtb('v4_meta_luo')), 0],
    ['nothing', new Uint8Array(0), -9],
  ])('%s', (_, fdt, expected) => {
    expect(fdtCheckHeader(fdt)).toBe(expected);
  });

  test('before 7.1 it does not look at the alignment of blocks', () => {
    expect(fdtCheckHeader(withField('offMemRsvmap', 44), { checkBlockAlignment: false })).toBe(0);
  });
});

describe('look-ups', () => {
  test('children by name, in the order of the blob', () => {
    const fdt = dtb('v4_meta_luo');
    const luo = fdtSubnodeOffset(fdt, 0, 'LUO');
    expect([luo, fdtSubnodeOffset(fdt, 0, 'kexec-metadata'), fdtSubnodeOffset(fdt, 0, 'kexec')]).toEqual([48, 100, -1]);
    expect([fdtFirstSubnode(fdt, 0), fdtNextSubnode(fdt, 48), fdtNextSubnode(fdt, 100)]).toEqual([48, 100, -1]);
    const name = fdtGetName(fdt, luo);
    expect(isFdtErr(name) ? name : textOfBytes(name)).toBe('LUO');
    expect(fdtPathOffset(fdt, '//LUO/')).toBe(48);
    expect([fdtPathOffset(fdt, '/'), fdtPathOffset(fdt, '/LUO/x'), fdtPathOffset(fdt, 'LUO')]).toEqual([0, -1, -5]);
    expect(fdtNumMemRsv(fdt)).toBe(0);
  });

  test('an offset that is not a node gives -4, and an error given as an offset comes back', () => {
    const fdt = dtb('v4_meta_luo');
    for (const offset of [2, 8, 4000]) expect(fdtSubnodeOffset(fdt, offset, 'LUO')).toBe(-4);
    expect(fdtGetprop(fdt, 8, 'compatible')).toBe(-4);
    expect(fdtSubnodeOffset(fdt, -3, 'LUO')).toBe(-3);
  });

  test('a name without a unit address finds the node that has one, not the other way round', () => {
    const fdt = new Uint8Array(256);
    fdtCreate(fdt);
    fdtFinishReservemap(fdt);
    fdtBeginNode(fdt, '');
    fdtBeginNode(fdt, 'memory@40000000');
    fdtEndNode(fdt);
    fdtEndNode(fdt);
    fdtFinish(fdt);
    expect(fdtSubnodeOffset(fdt, 0, 'memory')).toBe(8);
    expect(fdtSubnodeOffset(fdt, 0, 'memory@40000000')).toBe(8);
    expect(fdtSubnodeOffset(fdt, 0, 'memory@4')).toBe(-1);
    expect(fdtSubnodeOffset(fdt, 0, 'memor')).toBe(-1);
  });

  test('a property with its length, as a window that writes through', () => {
    const fdt = dtb('v4_meta_luo');
    const size = fdtGetprop(fdt, 48, 'blob-size');
    if (isFdtErr(size)) throw new Error(fdtErrName(size));
    expect([size.length, size.valueIndex, [...size.value]]).toEqual([8, 124, [32, 0, 0, 0, 0, 0, 0, 0]]);
    size.value[0] = 33;
    expect(fdt[124]).toBe(33);
    expect(fdtGetprop(fdt, 48, 'fdt')).toBe(-1);
    expect(fdtGetprop(fdt, 48, 'size')).toBe(-1);
  });

  test('a damaged structure says so, and a string outside its block is a property without a name', () => {
    const fdt = dtb('v4_meta_luo');
    setBe32(fdt, 56 + 48, 77);
    expect(fdtSubnodeOffset(fdt, 0, 'LUO')).toBe(-11);
    const other = dtb('v4_meta_luo');
    setBe32(other, 56 + 8 + 8, 4000);
    expect(fdtOffDtStrings(other)).toBe(228);
    expect(fdtGetprop(other, 0, 'compatible')).toBe(-1);
    expect(fdtGetprop(withField('sizeDtStruct', 60), 0, 'absent')).toBe(-1);
    expect(fdtSubnodeOffset(withField('sizeDtStruct', 60), 0, 'kexec-metadata')).toBe(-11);
    expect(fdtSubnodeOffset(withField('sizeDtStruct', 56), 0, 'kexec-metadata')).toBe(-8);
  });
});

describe('compatible', () => {
  const blob = (value: Uint8Array | string) => {
    const fdt = new Uint8Array(256);
    fdtCreate(fdt);
    fdtFinishReservemap(fdt);
    fdtBeginNode(fdt, '');
    if (typeof value === 'string') fdtPropertyString(fdt, 'compatible', value);
    fdtEndNode(fdt);
    fdtFinish(fdt);
    return fdt;
  };

  test('0 for a string of the list, 1 for another, -1 without the property', () => {
    expect(fdtNodeCheckCompatible(dtb('v4_meta'), 0, 'kho-v4')).toBe(0);
    expect(fdtNodeCheckCompatible(dtb('v4_meta'), 0, 'kho-v3')).toBe(1);
    expect(fdtNodeCheckCompatible(dtb('v4_meta'), 0, 'kho-v')).toBe(1);
    expect(fdtNodeCheckCompatible(blob('kho-v3\0kho-v4'), 0, 'kho-v4')).toBe(0);
    expect(fdtNodeCheckCompatible(blob(new Uint8Array(0)), 0, 'kho-v4')).toBe(-1);
    expect(fdtNodeCheckCompatible(dtb('v4_meta'), 48, 'kho-v4')).toBe(-1);
  });

  test('a list cut before its last NUL still matches, as the padding is zero; cut shorter it does not', () => {
    const fdt = new Uint8Array(4096);
    buildEmpty(fdt, 'kho-v4', 0);
    setBe32(fdt, 64 + 12, 6);
    expect(fdtNodeCheckCompatible(fdt, 0, 'kho-v4')).toBe(0);
    setBe32(fdt, 64 + 12, 5);
    expect(fdtNodeCheckCompatible(fdt, 0, 'kho-v4')).toBe(1);
  });
});
