import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FIXTURES } from '../inspect/sparse-image.ts';
import { khosim } from './khosim.ts';

const TRACES = join(FIXTURES, 'traces');

test.each([
  ['radix', 'corrupt1', ['--page-size', '4K', '--results']],
  ['radix', 'radix_64k_100_s1_edge', ['--page-size', '64K', '--results']],
  ['memory', 'kho_overlap_orders', ['--page-size', '4K', '--results']],
])('replay %s prints what the real code printed for %s', async (kind, name, args) => {
  const { code, out } = await khosim('replay', kind, join(TRACES, `${name}.trace`), ...args);
  expect(code).toBe(0);
  expect(out).toBe(readFileSync(join(TRACES, `${name}.expect`), 'utf8'));
});

test('a kernel without NUMA has one node', async () => {
  const trace = join(TRACES, 'numa_restore_bug.trace');
  const text = (await khosim('replay', 'memory', trace, '--page-size', '4K', '--no-numa')).out;
  expect(text).toContain('MAX_NUMNODES=1 numa=0');
});

test.each([
  [['replay', 'radish', 'x.trace', '--page-size', '4K'], /radix or memory/],
  [['replay', 'radix', '/nowhere/x.trace', '--page-size', '4K'], /\/nowhere\/x\.trace: there is no such file/],
  [['replay', 'radix', join(TRACES, 'corrupt1.trace')], /--page-size 4K/],
  [['replay', 'radix', join(TRACES, 'kho_overlap_orders.trace'), '--page-size', '4K'], /kho_overlap_orders\.trace:6: /],
])('bad input is exit code 2 and says how to mend it: %j', async (argv, message) => {
  const { code, out, err } = await khosim(...argv);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toMatch(message);
});
