import { describe, expect, test } from 'vitest';
import {
  FDT_BEGIN_NODE as BEGIN,
  FDT_END_NODE as END,
  FDT_END,
  HEADER,
  FDT_NOP as NOP,
  FDT_PROP as PROP,
  setBe32,
} from '../../../kernel/fdt/layout.ts';
import { childOf, FDT_MAX_DEPTH, type FdtTreeNode, parseFdt, propertyOf } from '../../../kernel/fdt/parse.ts';
import { type BlobParts, blob } from './blobs.ts';

const ROOT = [BEGIN, '', END, FDT_END];

function outcome(bytes: Uint8Array): string {
  const result = parseFdt(bytes);
  return result.kind === 'tree' ? 'tree' : `${result.code} at ${result.offset}: ${result.message}`;
}

function treeOf(bytes: Uint8Array) {
  const result = parseFdt(bytes);
  if (result.kind === 'error') throw new Error(outcome(bytes));
  return result;
}

/** `name{property=bytes,...; child child}` */
function picture(node: FdtTreeNode): string {
  const properties = node.properties.map((property) => `${property.name}=${[...property.value].join('.')}`);
  return `${node.name}{${properties.join()};${node.children.map(picture).join(' ')}}`;
}

function changed(parts: BlobParts, field: keyof typeof HEADER, change: (value: number) => number): Uint8Array {
  const bytes = blob(parts);
  const view = new DataView(bytes.buffer);
  setBe32(bytes, HEADER[field], change(view.getUint32(HEADER[field])));
  return bytes;
}

describe('the header', () => {
  test('an empty tree of 72 bytes is a tree; its page may go on behind it', () => {
    const bytes = blob({ structure: ROOT });
    expect(bytes).toHaveLength(72);
    const tree = treeOf(bytes);
    expect([tree.totalsizeBytes, tree.bootCpuid, tree.reservations, picture(tree.root)]).toEqual([72, 3, [], '{;}']);
    const page = new Uint8Array(4096).fill(0xee);
    page.set(bytes);
    expect(treeOf(page).totalsizeBytes).toBe(72);
  });

  test.each([
    [16, 16, 'tree'],
    [17, 17, 'tree'],
    [17, 2, 'tree'],
    [18, 17, 'tree'],
    [15, 2, 'bad-version at 20: version 15, compatible back to 2'],
    [16, 17, 'bad-version at 20: version 16, compatible back to 17'],
    [18, 18, 'bad-version at 20: version 18, compatible back to 18'],
    [17, 1, 'bad-version at 20: version 17, compatible back to 1'],
  ])('version %s, compatible back to %s: %s', (version, lastCompVersion, expected) => {
    expect(outcome(blob({ version, lastCompVersion, structure: ROOT }))).toBe(expected);
  });

  test.each([
    ["short at 39: 39 bytes are fewer than the header's 40", blob({ structure: ROOT }).subarray(0, 39)],
    ['bad-magic at 0: magic is 0x000dfeed, not 0xd00dfeed', changed({ structure: ROOT }, 'magic', () => 0xd_feed)],
    ['bad-totalsize at 4: totalsize is 39, of 72 bytes at hand', changed({ structure: ROOT }, 'totalsize', () => 39)],
    ['bad-totalsize at 4: totalsize is 73, of 72 bytes at hand', changed({ structure: ROOT }, 'totalsize', () => 73)],
  ])('%s', (expected, bytes) => {
    expect(outcome(bytes)).toBe(expected);
  });

  test('a totalsize of the header alone leaves no room for a reserve map', () => {
    const bytes = changed({ structure: ROOT }, 'totalsize', () => 40);
    expect(outcome(bytes)).toBe('bad-reserve-map at 40: the reserve map has no terminator');
    expect(outcome(bytes.subarray(0, 40))).toBe('bad-reserve-map at 40: the reserve map has no terminator');
  });
});

describe('the blocks', () => {
  const parts: BlobParts = {
    reservations: [
      [1n, 0n],
      [0n, 2n],
    ],
    structure: [BEGIN, '', PROP, 1, 0, Uint8Array.of(7), END, FDT_END],
    strings: 'x\0',
  };

  test.each([
    [['reserveMap', 'structure', 'strings']],
    [['strings', 'structure', 'reserveMap']],
    [['structure', 'strings', 'reserveMap']],
    [['strings', 'reserveMap', 'structure']],
  ] as const)('may come in the order %s, in version 16 too', (order) => {
    for (const version of [16, 17]) {
      const tree = treeOf(blob({ ...parts, order: [...order], version }));
      expect(picture(tree.root)).toBe('{x=7;}');
      expect(tree.reservations).toEqual([
        { address: 1n, size: 0n },
        { address: 0n, size: 2n },
      ]);
    }
  });

  test('version 16 has a header of 36 bytes, into which a block may reach', () => {
    const strings36 = (version: number) => {
      const bytes = blob({ structure: ROOT, version });
      setBe32(bytes, HEADER.offDtStrings, 36);
      setBe32(bytes, HEADER.sizeDtStrings, 4);
      return outcome(bytes);
    };
    expect(strings36(16)).toBe('tree');
    expect(strings36(17)).toBe('bad-block at 12: the strings block, 36 to 40, is not inside the blob');
  });

  // Reserve map 40 to 88, structure 88 to 120, strings 120 to 122.
  test.each([
    ['offMemRsvmap', 44, 'bad-block at 16: the reserve map block at 44 is not 8-byte aligned'],
    ['offMemRsvmap', 32, 'bad-block at 16: the reserve map block, 32 to 32, is not inside the blob'],
    ['offMemRsvmap', 128, 'bad-block at 16: the reserve map block, 128 to 128, is not inside the blob'],
    ['offMemRsvmap', 112, 'bad-reserve-map at 112: the reserve map has no terminator'],
    ['offDtStruct', 90, 'bad-block at 8: the structure block at 90 is not 4-byte aligned'],
    ['offDtStruct', 92, 'bad-block at 8: the structure block, 92 to 124, is not inside the blob'],
    ['offDtStruct', 84, 'overlapping-blocks at 84: the reserve map and the structure block overlap'],
    ['sizeDtStruct', 34, 'overlapping-blocks at 120: the structure and the strings block overlap'],
    ['sizeDtStruct', 35, 'bad-block at 8: the structure block, 88 to 123, is not inside the blob'],
    ['offDtStrings', 119, 'overlapping-blocks at 119: the structure and the strings block overlap'],
    ['offDtStrings', 121, 'bad-block at 12: the strings block, 121 to 123, is not inside the blob'],
    ['offDtStrings', 39, 'bad-block at 12: the strings block, 39 to 41, is not inside the blob'],
    ['sizeDtStrings', 3, 'bad-block at 12: the strings block, 120 to 123, is not inside the blob'],
  ] as const)('%s = %s: %s', (field, value, expected) => {
    expect(outcome(changed(parts, field, () => value))).toBe(expected);
  });

  test('of version 16: the structure goes on to the strings behind it, else to the end', () => {
    const endless: BlobParts = { version: 16, structure: [BEGIN, '', END], strings: 'x\0' };
    expect(outcome(blob(endless))).toBe('truncated at 68: the structure block ends without FDT_END');
    const last = blob({ ...endless, order: ['reserveMap', 'strings', 'structure'] });
    expect(outcome(last)).toBe('truncated at 72: the structure block ends without FDT_END');
    const beyond = changed(endless, 'offDtStruct', () => 400);
    expect(outcome(beyond)).toBe('bad-block at 8: the structure block, 400 to 400, is not inside the blob');
  });

  test('an empty strings block may lie anywhere between', () => {
    const bytes = blob({ structure: ROOT });
    setBe32(bytes, HEADER.offDtStrings, 56);
    expect(outcome(bytes)).toBe('tree');
  });
});

describe('the structure block', () => {
  const property = [PROP, 1, 0, Uint8Array.of(7)];
  const deep = (depth: number) => [
    ...Array.from({ length: depth }, (_, i) => [BEGIN, i === 0 ? '' : 'n']).flat(),
    ...Array.from({ length: depth }, () => END),
    FDT_END,
  ];

  test('NOPs are nothing, wherever they are', () => {
    const structure = [NOP, BEGIN, '', NOP, ...property, NOP, BEGIN, 'n', END, NOP, END, NOP, FDT_END];
    expect(picture(treeOf(blob({ structure, strings: 'x\0' })).root)).toBe('{x=7;n{;}}');
  });

  test('what follows FDT_END is not looked at', () => {
    expect(outcome(blob({ structure: [...ROOT, 0xdead_beef] }))).toBe('tree');
  });

  test.each([
    ['tree', deep(FDT_MAX_DEPTH)],
    [`too-deep at ${56 + 8 * FDT_MAX_DEPTH}: deeper than 64 nodes`, deep(FDT_MAX_DEPTH + 1)],
    ['unbalanced at 56: there is no root node', [FDT_END]],
    ['unbalanced at 56: an end without a beginning', [END, FDT_END]],
    ['unbalanced at 72: 2 nodes are still open', [BEGIN, '', BEGIN, 'n', FDT_END]],
    ['unbalanced at 68: there is a second root node', [BEGIN, '', END, BEGIN, '', END, FDT_END]],
    ['bad-tag at 68: 0x00000005 is not a token', [BEGIN, '', END, 5]],
    ['bad-node-name at 68: a node below the root has no name', [BEGIN, '', BEGIN, '', END, END, FDT_END]],
    ['bad-node-name at 60: the name of the node does not end', [BEGIN, 0x6161_6161]],
    ['bad-property at 56: a property outside of any node', [...property, BEGIN, '', END, FDT_END]],
    ['bad-property at 68: a property outside of any node', [BEGIN, '', END, ...property, FDT_END]],
    ['bad-property at 76: a property after a child node', [BEGIN, '', BEGIN, 'n', END, ...property, END, FDT_END]],
    ['bad-property at 64: a value of 0 bytes sticks out of the structure block', [BEGIN, '', PROP, 0]],
    ['bad-property at 64: a value of 5 bytes sticks out of the structure block', [BEGIN, '', PROP, 5, 0, 0]],
    ['truncated at 80: the structure block ends without FDT_END', [BEGIN, '', PROP, 4, 0, 0]],
    ['truncated at 76: the structure block ends without FDT_END', [BEGIN, '', PROP, 0, 0]],
    [
      'bad-property-name at 72: the name of the property is not in the strings block',
      [BEGIN, '', PROP, 0, 2, END, FDT_END],
    ],
    [
      'bad-property-name at 72: the name of the property is not in the strings block',
      [BEGIN, '', PROP, 0, 0xffff_fff0, END, FDT_END],
    ],
  ])('%s', (expected, structure) => {
    expect(outcome(blob({ structure, strings: 'x\0' }))).toBe(expected);
  });

  test('a name that is not text shows its bytes', () => {
    const tree = treeOf(blob({ structure: [BEGIN, 'r', BEGIN, '\x01\\é', END, END, FDT_END] }));
    expect(picture(tree.root)).toBe('r{;\\x01\\\\\\xc3\\xa9{;}}');
  });

  test('the end of a longer string is a name too, and values say where they are', () => {
    const structure = [BEGIN, '', PROP, 3, 1, Uint8Array.of(1, 2, 3), PROP, 0, 0, BEGIN, 'n', END, END, FDT_END];
    const { root } = treeOf(blob({ structure, strings: 'abc\0' }));
    expect(picture(root)).toBe('{bc=1.2.3,abc=;n{;}}');
    expect([propertyOf(root, 'bc')?.offset, propertyOf(root, 'abc')?.offset, propertyOf(root, 'c')]).toEqual([
      76,
      92,
      undefined,
    ]);
    expect([childOf(root, 'n')?.offset, childOf(root, 'm')]).toEqual([92, undefined]);
  });
});
