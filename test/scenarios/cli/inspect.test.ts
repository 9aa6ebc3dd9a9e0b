import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FIXTURES } from '../inspect/sparse-image.ts';
import { khosim } from './khosim.ts';

const IMAGE = join(FIXTURES, 'linux-6.18.15-arm64-4k/image.json');

test('inspect prints the contract as JSON, with the walk only when asked for', async () => {
  const short = await khosim('inspect', IMAGE, '--json');
  expect(short.code).toBe(0);
  const document = JSON.parse(short.out);
  expect(document).toMatchObject({ schema: 1, compatible: 'kho-v1', preserved: { count: 14 } });
  expect(document.preserved).not.toHaveProperty('walkOrder');
  const long = JSON.parse((await khosim('inspect', IMAGE, '--json', '--list')).out);
  expect(long.preserved.walkOrder).toHaveLength(14);
});

test('findings of severity error are exit code 1, and what else is wrong with memory is 0', async () => {
  // The magic of the root FDT; then only what firmware passes for its length.
  expect((await khosim('inspect', IMAGE, '--patch', '0x4099b000:d00dfeee')).code).toBe(1);
  const odd = await khosim('inspect', IMAGE, '--fdt-len', '40');
  expect(odd.code).toBe(0);
  expect(odd.out).toContain('handoff-fdt-length');
});

test.each([
  [['inspect', '/nowhere/image.json'], /nowhere/],
  [['inspect', IMAGE, '--patch', 'zero'], /--patch/],
  [['inspect', IMAGE, '--page-size', '5K'], /5K/],
  [['explain', IMAGE], /either --page ADDR or --finding CODE/],
  [['explain', IMAGE, '--finding', 'radix-nonsense'], /radix-key/],
  [['explain', '--page', '0x1000'], /needs an image or a scenario/],
  [['explain', 'kho-off-nowhere.yaml', '--page', '0x1000'], /kho-off-nowhere/],
])('bad input is exit code 2 and says how to mend it: %j', async (argv, message) => {
  const { code, out, err } = await khosim(...argv);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toMatch(message);
});

test('explain tells of a page and of a finding', async () => {
  const page = JSON.parse((await khosim('explain', IMAGE, '--page', '0x40a60000', '--json')).out);
  expect(page).toMatchObject({
    schema: 1,
    page: '0x40a60000',
    blocks: [{ order: 5, owners: [{ kind: 'test-folio' }] }],
  });
  const finding = await khosim('explain', '--finding', 'radix-key');
  expect(finding).toMatchObject({ code: 0, err: '' });
  expect(finding.out).toContain('What a kernel does');
});

test('explain looks into what a scenario leaves at its last jump', async () => {
  const { code, out } = await khosim('explain', 'overlapping-orders', '--finding', 'preserved-overlap', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    code: 'preserved-overlap',
    severity: 'error',
    findings: [{ where: expect.stringMatching(/^0x/) }],
  });
});
