import { describe, expect, test } from 'vitest';
import { parseProposal } from '../../../scenarios/abi/proposal.ts';
import { subjectByName } from '../../../scenarios/abi/subject.ts';
import { judge } from '../../../scenarios/abi/verdict.ts';
import { InputError } from '../../../scenarios/input-error.ts';

function check(text: string, base = 'kho-v4') {
  const before = subjectByName(base);
  if (before === undefined) throw new RangeError(base);
  const after = parseProposal(text, 'proposal.yaml');
  const verdict = judge(before, after);
  return { ...verdict, where: verdict.changes.map((change) => [change.path, after.whereOf?.(change.path) ?? null]) };
}

function messages(text: string): string[] {
  try {
    parseProposal(text, 'p.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.message.split('\n');
  }
}

test('a wider counter in a block header, under the same string, is breaking-without-bump', () => {
  const { verdict, changes, where } = check(`
base: kho-v4
changes:
  - struct: kho_block_header_ser
    add: { name: flags, type: u64 }
    before: count
`);
  expect(verdict).toBe('breaking-without-bump');
  expect(changes.map(({ path, kind, from, to }) => [path, kind, from, to])).toEqual([
    ['block.kho_block_header_ser.flags', 'added', null, 'u64 at 8'],
    ['block.kho_block_header_ser.count', 'moved', 'u64 at 8', 'u64 at 16'],
    ['block.kho_block_header_ser', 'moved', '16 bytes', '24 bytes'],
  ]);
  expect(where[0]).toEqual(['block.kho_block_header_ser.flags', 'proposal.yaml:4']);
});

test('with the bump it is breaking, as declared', () => {
  expect(
    check(`
base: kho-v4
bump: { kho-v4: kho-v5 }
changes:
  - struct: kho_block_header_ser
    field: count
    set: { type: u32 }
`).verdict,
  ).toBe('breaking');
});

test('a bump alone is bump-without-change, and nothing at all is compatible', () => {
  expect(check('base: kho-v4\nbump: { kho-v4: kho-v5 }\n').verdict).toBe('bump-without-change');
  expect(check('base: kho-v4\n').verdict).toBe('compatible');
  expect(
    check('base: kho-v4\nchanges:\n  - { struct: kho_vmalloc, field: first, set: { name: head, doc: x } }\n').verdict,
  ).toBe('compatible');
});

test('a change that shows at one page size names it', () => {
  const { verdict, changes } = check(`
base: kho-v4
changes:
  - { geometry: depth, set: "divRoundUp(KEY_WIDTH - 1 - BITMAP_LOG2, TABLE_LOG2) + 1" }
`);
  expect(verdict).toBe('breaking-without-bump');
  expect(changes).toMatchObject([{ path: 'map.geometry.depth', pageSizes: ['16K'] }]);
});

describe('every kind of change', () => {
  test.each([
    ['{ struct: kho_vmalloc, remove: order }', 'vmalloc.kho_vmalloc.order'],
    ['{ struct: kho_vmalloc, move: order, before: flags }', 'vmalloc.kho_vmalloc.order'],
    ['{ constant: KHO_MAX_BLOCKS, set: 20000 }', 'block.KHO_MAX_BLOCKS'],
    ['{ property: blob-size, set: { type: u32 } }', 'root.subtree.size'],
    ['{ node: subtree, add: { name: flags, type: u32, required: true } }', 'root.subtree.flags'],
    ['{ node: subtree, remove: blob-size }', 'root.subtree.size'],
    ['{ encoding: addressShift, set: PAGE_SHIFT }', 'map.encoding.addressShift'],
  ])('%s', (change, path) => {
    const { verdict, changes } = check(`base: kho-v4\nchanges:\n  - ${change}\n`);
    expect(verdict).toBe('breaking-without-bump');
    expect(changes.map((it) => it.path)).toContain(path);
  });
});

test('a mistake is told with its line and a way out', () => {
  expect(
    messages(`base: kho-v4
changes:
  - struct: kho_vmaloc
    field: first
    set: { type: u32 }
  - struct: kho_vmalloc
    field: fist
    set: { type: u32 }
  - struct: kho_vmalloc
    field: first
    set: { type: u31 }
  - { constant: KHO_MAX_BLOCKS, to: 7 }
`),
  ).toMatchInlineSnapshot(`
    [
      "p.yaml:3: the base has no struct 'kho_vmaloc'",
      "  hint: did you mean 'kho_vmalloc'?",
      "p.yaml:6: the base has no field in struct kho_vmalloc called 'fist'",
      "  hint: did you mean 'first'?",
      "p.yaml:11: changes.2.set.type: Invalid option: expected one of "u8"|"u16"|"u32"|"u64"|"char"|"struct"",
      "p.yaml:12: { constant, to } is no change",
      "  hint: one of { struct, field, set }, { struct, add }, { struct, remove }, { struct, move }, { constant, set }, { property, set }, { node, add }, { node, remove }, { node, set }, { geometry, set }, { encoding, set }, { bitmap, set }",
    ]
  `);
  expect(messages('base: kho-v9\n')).toMatchInlineSnapshot(`
    [
      "p.yaml:1: no contract, release or proposal file is called 'kho-v9'",
      "  hint: did you mean 'kho-v2'? \`khosim abi list\` names them all",
    ]
  `);
  expect(messages('base: kho-v4\nbump: { kho-v3: kho-v5 }\n')).toMatchInlineSnapshot(`
    [
      "p.yaml:2: the base has no version string 'kho-v3'",
      "  hint: did you mean 'kho-v4'?",
    ]
  `);
  expect(messages('base: kho-v4\nchanges:\n  - { geometry: depth, set: "KEY +" }\n')).toMatchInlineSnapshot(`
    [
      "p.yaml:2: what comes out cannot be compiled: unknown name KEY in "KEY +"",
    ]
  `);
  expect(messages('base: [kho-v4\n')).toMatchInlineSnapshot(`
    [
      "p.yaml:2: not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]",
    ]
  `);
  expect(messages('base: kho-v4\nchanges:\n  - { geometry: depth, set: 1 }\n')).toMatchInlineSnapshot(`
    [
      "p.yaml:2: what comes out cannot be compiled: radix-v4 makes no tree of 4K pages: a depth of 1 leaves no table",
    ]
  `);
});
