import { expect, test } from 'vitest';
import { fdtAddSubnode, fdtDelNode, fdtDelprop, fdtOpenInto, fdtPack, fdtSetprop } from '../../../kernel/fdt/edit.ts';
import { fdtTotalsize } from '../../../kernel/fdt/layout.ts';
import { fdtSubnodeOffset } from '../../../kernel/fdt/read.ts';
import {
  fdtBeginNode,
  fdtCreate,
  fdtEndNode,
  fdtFinish,
  fdtFinishReservemap,
  fdtPropertyCells,
  fdtPropertyString,
} from '../../../kernel/fdt/write.ts';
import { fromDump, rows } from './hexdump.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);

/** A blob with a property and a node, in a buffer of 192 bytes that held 0xee. */
function small(): Uint8Array {
  const fdt = new Uint8Array(192).fill(0xee);
  fdtCreate(fdt);
  fdtFinishReservemap(fdt);
  fdtBeginNode(fdt, '');
  fdtPropertyString(fdt, 'compatible', 'abc');
  fdtBeginNode(fdt, 'n');
  fdtPropertyCells(fdt, 'x', 7);
  fdtEndNode(fdt);
  fdtEndNode(fdt);
  fdtFinish(fdt);
  return fdt;
}

test('the sequential writer: reserve map at 48, strings in reverse order, and their first copy at the end of the buffer', () => {
  const expected = `
    d00dfeed 00000089 00000040 0000007c  # magic, totalsize 137, structure at 64, strings at 124
    00000030 00000011 00000010 00000000  # reserve map at 48, version 17, compatible with 16, boot cpu 0
    0000000d 0000003c 00000000 00000000  # 13 bytes of strings, 60 of structure; unused
    00000000 00000000 00000000 00000000  # the reserve map's terminator
    00000001 00000000                    # begin ''
    00000003 00000004 00000002 61626300  #   property 'compatible' (at 2): "abc"
    00000001 6e000000                    #   begin 'n'
    00000003 00000004 00000000 00000007  #     property 'x' (at 0): 7
    00000002                             #   end
    00000002                             # end
    00000009                             # the end of the structure
    7800 636f6d70 61746962 6c6500        # 'x', 'compatible'
    000000                               # untouched: ...
    00000000 00000000 00000000 00000000
    00000000 00000000 00000000 00000000
    00000000 000000
    7800 636f6d70 61746962 6c6500        # ... up to where the strings grew downwards
  `;
  expect(rows(small())).toEqual(rows(fromDump(expected)));
});

test('editing: the new node and the new property come first, strings are appended, packing moves the reserve map to 40', () => {
  const fdt = small();
  fdtOpenInto(fdt, fdt);
  expect(fdtTotalsize(fdt)).toBe(192);
  const node = fdtAddSubnode(fdt, 0, 'new');
  fdtSetprop(fdt, node, 'x', bytes(1));
  fdtSetprop(fdt, node, 'y', bytes(2, 3));
  fdtPack(fdt);
  const expected = `
    d00dfeed 000000af 00000038 000000a0  # totalsize 175, structure at 56, strings at 160
    00000028 00000011 00000010 00000000  # reserve map at 40
    0000000f 00000068                    # 15 bytes of strings, 104 of structure
    00000000 00000000 00000000 00000000  # the reserve map's terminator
    00000001 00000000                    # begin ''
    00000003 00000004 00000002 61626300  #   property 'compatible' (at 2): "abc"
    00000001 6e657700                    #   begin 'new'
    00000003 00000002 0000000d 02036e00  #     property 'y' (at 13): 2 3, and padding that was there before
    00000003 00000001 00000000 01000000  #     property 'x' (at 0): 1
    00000002                             #   end
    00000001 6e000000                    #   begin 'n'
    00000003 00000004 00000000 00000007  #     property 'x' (at 0): 7
    00000002                             #   end
    00000002                             # end
    00000009                             # the end of the structure
    7800 636f6d70 61746962 6c6500 7900   # 'x', 'compatible', 'y'
  `;
  const actual = rows(fdt.subarray(0, fdtTotalsize(fdt)));
  const wanted = fromDump(expected);
  // The padding of a property is whatever the bytes that moved away left there.
  wanted.set(fdt.subarray(102, 104), 102);
  wanted.set(fdt.subarray(117, 120), 117);
  expect(actual).toEqual(rows(wanted));
});

test('removing gives back the structure, never the strings', () => {
  const fdt = small();
  fdtOpenInto(fdt, fdt);
  fdtDelprop(fdt, 0, 'compatible');
  fdtDelNode(fdt, fdtSubnodeOffset(fdt, 0, 'n'));
  fdtPack(fdt);
  const expected = `
    d00dfeed 00000055 00000038 00000048  # totalsize 85
    00000028 00000011 00000010 00000000
    0000000d 00000010                    # 13 bytes of strings, 16 of structure
    00000000 00000000 00000000 00000000
    00000001 00000000                    # begin ''
    00000002                             # end
    00000009
    7800 636f6d70 61746962 6c6500        # strings that nobody uses
  `;
  expect(rows(fdt.subarray(0, 85))).toEqual(rows(fromDump(expected)));
});
