import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { RADIX_V2, RADIX_V4 } from '../../../kernel/abi/radix.ts';
import { PAGE_4K, PAGE_SIZES, pageSizeByName } from '../../../machine/index.ts';
import { geometryTable, keyPicture } from '../../../scenarios/abi/picture.ts';
import { abiList, presentList } from '../../../scenarios/abi/present.ts';
import { presentKernelDoc, presentTable } from '../../../scenarios/abi/present-show.ts';
import { show } from '../../../scenarios/abi/show.ts';
import { knownNames, type Subject, subjectByName } from '../../../scenarios/abi/subject.ts';

function subject(name: string): Subject {
  const found = subjectByName(name);
  if (found === undefined) throw new RangeError(name);
  return found;
}

test('the key at 4K', () => {
  expect(`\n${keyPicture(RADIX_V4, PAGE_4K).join('\n')}\n`).toMatchInlineSnapshot(`
    "
    Radix key, 4K pages: 53 bits, 6 levels

     63   60 59   51 50   42 41   33 32   24 23   15 14          0
    +-------+-------+-------+-------+-------+-------+-------------+
    |   0   |  L5   |  L4   |  L3   |  L2   |  L1   |  leaf bit   |
    +-------+-------+-------+-------+-------+-------+-------------+

      order  0  bit 52 set, phys >> 12 below it
      order  9  bit 43 set, phys >> 21 below it
      order 18  bit 34 set, phys >> 30 below it
      order 52  bit  0 set, nothing below: the only block
    "
  `);
});

test('the tree that lacks a level at 16K says what that does', () => {
  expect(`\n${geometryTable(RADIX_V2).join('\n')}\n`).toMatchInlineSnapshot(`
    "
    Tree geometry

                                 4K       16K       64K
      key width                  53        51        49  bits
      table                     512      2048      8192  physical addresses
      leaf                    32768    131072    524288  bits
      depth                       6         4         4  levels, the leaf included
      index bits                 60        50        58  of it that the levels cover
      leaf reach, order 0   128 MiB     2 GiB    32 GiB
      one lone block         24 KiB    64 KiB   256 KiB  of tree

      16K: keys have 51 bits, the levels cover 50: keys that differ
      only above those bits share a path, and one cannot be told from the other
    "
  `);
});

test('what is shown for 7.3 has the sizes and constants that a C compiler gives', () => {
  const vectors = readFileSync(new URL('../../fixtures/struct-layouts.txt', import.meta.url), 'utf8');
  const { contracts } = show(subject('7.3'), PAGE_4K);
  const structs = new Map(contracts.flatMap((contract) => contract.structs.map((struct) => [struct.name, struct])));
  const sizes = [...vectors.matchAll(/^(\w+)\s+sizeof=(\d+)$/gm)];
  expect(sizes.length).toBeGreaterThan(10);
  for (const [, name = '', size] of sizes) expect([name, structs.get(name)?.size]).toEqual([name, Number(size)]);
  for (const [, shift, keyWidth, table, bitmap, depth, slots] of vectors.matchAll(
    /^PS=(\d+) keyw=(\d+) tab=(\d+) bm=(\d+) depth=(\d+) vmslots=(\d+)$/gm,
  )) {
    const page = PAGE_SIZES.find((candidate) => candidate.shift === Number(shift)) ?? PAGE_4K;
    const constants = Object.assign({}, ...show(subject('7.3'), page).contracts.map((contract) => contract.constants));
    expect(constants).toMatchObject({
      KHO_RADIX_KEY_WIDTH: Number(keyWidth),
      KHO_TABLE_SIZE_LOG2: Number(table),
      KHO_BITMAP_SIZE_LOG2: Number(bitmap),
      KHO_TREE_MAX_DEPTH: Number(depth),
      KHO_VMALLOC_SIZE: Number(slots),
    });
  }
});

describe.each(['4K', '16K', '64K'])('at %s', (name) => {
  const page = pageSizeByName(name) ?? PAGE_4K;

  test('every name can be shown, as a table of at most 80 columns and as kernel-doc', () => {
    for (const known of knownNames()) {
      const table = presentTable(subject(known), page);
      expect(table.split('\n').filter((line) => line.length > 80)).toEqual([]);
      expect(presentKernelDoc(subject(known), page)).toContain('/**');
    }
  });
});

test('kernel-doc of a block header', () => {
  expect(presentKernelDoc(subject('block-v4'), PAGE_4K)).toMatchInlineSnapshot(`
    "/**
     * DOC: linked serialization blocks
     *
     * Versioned by "kho-v4".
     */

    /* Bytes of a block, header included. */
    #define KHO_BLOCK_SIZE PAGE_SIZE

    /* Blocks of a chain; a longer one is refused. */
    #define KHO_MAX_BLOCKS 10000

    /**
     * struct kho_block_header_ser - The start of a block; the entries follow it
     *     without a gap.
     * @next: Physical address of the next block, 0 at the end.
     * @count: Entries in this block: 1 to as many as fit.
     */
    struct kho_block_header_ser {
    	u64 next;
    	u64 count;
    } __packed;
    "
  `);
});

test('the list names every release and contract', () => {
  const { releases, contracts } = abiList();
  expect(releases.map(({ name }) => name)).toHaveLength(12);
  expect(contracts.every(({ releases: users }) => users.length > 0)).toBe(true);
  expect(presentList()).toContain('7.1-rc5 (candidate): radix tree, depth 6/4/4 at 4K/16K/64K');
});
