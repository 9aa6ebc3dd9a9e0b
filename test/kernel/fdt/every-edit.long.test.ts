import { expect, test } from 'vitest';
import { everyEdit } from './every-edit.ts';

test('every sequence of four edits of a small tree does what lists of nodes and properties do', () => {
  const { calls, results, trees } = everyEdit(4);
  expect({ calls, results, trees: trees.size }).toEqual({
    calls: 134_850,
    results: { 0: 48_638, [-1]: 82_602, [-2]: 1666, [-3]: 1944 },
    trees: 2609,
  });
});
