import { expect, test } from 'vitest';
import { InputError } from '../../../scenarios/input-error.ts';
import { parseLiteral, parseTrace } from '../../../scenarios/replay/trace.ts';

test('C literals are unsigned, and negative ones wrap', () => {
  expect(['0x10', '16', '020', '0', '16UL'].map(parseLiteral)).toEqual([16n, 16n, 16n, 0n, 16n]);
  expect(parseLiteral('-1')).toBe(0xffff_ffff_ffff_ffffn);
  expect(parseLiteral('0xffffffffffffffff')).toBe(0xffff_ffff_ffff_ffffn);
  expect(['', '0x', '08', '1.5', 'ten', '0x10000000000000000'].map(parseLiteral)).toEqual(Array(6).fill(undefined));
});

test('lines are counted with comments and blanks', () => {
  expect(parseTrace('# a\n\nadd 1 0x2 3\n  walk\r\n', { add: 2, walk: 0 })).toEqual([
    { line: 3, name: 'add', operands: [1n, 2n, 3n] },
    { line: 4, name: 'walk', operands: [] },
  ]);
});

test('every mistake is named with its line', () => {
  const parse = () => parseTrace('add 1\nfly\nadd 1 x\ntoString\n', { add: 2 }, 'bad.trace');
  expect(parse).toThrow(InputError);
  expect(parse).toThrow(
    [
      'bad.trace:1: add needs 2 operands, not 1',
      "bad.trace:2: unknown operation 'fly'",
      "bad.trace:3: 'x' is not a number\n  hint: a C literal of at most 64 bits",
      "bad.trace:4: unknown operation 'toString'",
    ].join('\n'),
  );
});
