import { expect, test } from 'vitest';
import { EDITS, everyEdit } from './every-edit.ts';

test('every sequence of three edits of a small tree does what lists of nodes and properties do', () => {
  const { calls, results, trees } = everyEdit(3);
  expect({ edits: EDITS.length, calls, results, trees: trees.size }).toEqual({
    edits: 50,
    calls: 8650,
    // Done; no such node or property; a node of that name; no room.
    results: { 0: 2696, [-1]: 5766, [-2]: 64, [-3]: 124 },
    trees: 429,
  });
});
