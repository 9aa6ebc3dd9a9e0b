import { describe, expect, test } from 'vitest';
import { explainPage } from '../../../scenarios/inspect/explain.ts';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import { loadFixture, patched } from './sparse-image.ts';

const IMAGES = [
  'linux-6.17.8-arm64-4k',
  'linux-6.18.15-arm64-4k',
  'linux-6.19.11-arm64-4k',
  'linux-7.1.13-arm64-4k',
  'linux-7.3.4-arm64-4k',
  'linux-7.3.4-arm64-64k',
];

describe.each(IMAGES)('every block that %s preserved', (name) => {
  test('has exactly one owner', () => {
    const { preserved, owners } = inspectImage(patched(loadFixture(name), []), { contents: false });
    const orphans: string[] = [];
    for (let i = 0; i < preserved.count; i++) {
      const block = preserved.at(i);
      if (owners.ownersOf(block).length !== 1) orphans.push(`0x${block.phys.toString(16)}`);
    }
    expect(orphans).toEqual([]);
    expect(owners.nrOwned).toBe(preserved.count);
  });
});

describe('a page of the real 7.3.4 image', () => {
  const explain = (addr: number) =>
    explainPage(inspectImage(patched(loadFixture('linux-7.3.4-arm64-4k'), []), { contents: false }), addr);

  test('is told by its owner, key and way through the tree', () => {
    const page = explain(0x41c00123);
    expect(page.page).toBe('0x41c00000');
    expect(page.blocks).toHaveLength(1);
    expect(page.blocks[0]).toMatchObject({ phys: '0x41c00000', order: 9, key: '0x8000000020e', walkIndex: 0 });
    expect(page.blocks[0]?.path?.map(({ level, index }) => [level, index])).toEqual([
      [5, 0],
      [4, 2],
      [3, 0],
      [2, 0],
      [1, 0],
      [0, 0x20e],
    ]);
    expect(page.summary).toMatchInlineSnapshot(
      `"preserved (block 0x41c00000 of order 9): memfd folio of LUO / session "second" / file 0xdeadbeefcafe0044, page index 0"`,
    );
  });

  test.each([
    [0x40950000, 'root FDT; preserved (block 0x40950000 of order 0): the root FDT'],
    [0x4094f000, 'radix table, level 5 at 0x4094f000'],
    [0x5eff0000, 'scratch array; scratch[0]'],
    [0x40a87010, 'preserved (block 0x40a87000 of order 0): sessions of LUO, entry 0'],
    [0x40956000, 'preserved (block 0x40956000 of order 0): subtree kexec-metadata'],
    [0x5f500000, 'preserved (block 0x5f400000 of order 9): reserve_mem region memblock / "khosim_rm"'],
    [0x50000000, 'ordinary RAM: free for the next kernel'],
    [0x10000000, 'not RAM'],
  ])('address %i is known for what it is', (addr, summary) => {
    expect(explain(addr).summary).toBe(summary);
  });
});

test('a page of a chunk list is told by its chunk, bitmap and bit', () => {
  const result = inspectImage(patched(loadFixture('linux-6.17.8-arm64-4k'), []), { contents: false });
  expect(explainPage(result, 0x40888000).blocks[0]?.chunk).toEqual({
    phys: '0x4081c000',
    entry: 0,
    bitmap: '0x40973400',
    bit: (0x40888000 - 0x40000000) / 0x4000,
  });
});

test('a block that two clients claim has both as owners, and a finding', () => {
  const image = loadFixture('linux-7.3.4-arm64-4k');
  const clean = inspectImage(patched(image, []), { contents: false });
  // memblock's subtree is said to lie where LUO's does.
  const offset = (clean.document.fdt?.hex ?? '').indexOf('0020a44000000000') / 2;
  const patch = { phys: 0x40950000 + offset, bytes: Uint8Array.of(0, 0, 0xa4, 0x40) };
  const { document, owners, preserved } = inspectImage(patched(image, [patch]), { contents: false });
  expect(document.subtrees[0]).toMatchObject({ name: 'memblock', phys: '0x40a40000' });
  expect(document.findings).toContainEqual({
    severity: 'error',
    code: 'preserved-twice-owned',
    where: '0x40a40000',
    message: 'subtree memblock and subtree LUO',
  });
  const block = preserved.exact(0x40a40000, 0);
  expect(block && owners.ownersOf(block)).toHaveLength(2);
});
