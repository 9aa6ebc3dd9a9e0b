import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { khosim } from './khosim.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'khosim-cli-abi-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

function proposal(name: string, text: string): string {
  const file = join(dir, name);
  writeFileSync(file, text);
  return file;
}

const DEPTH = '{ geometry: depth, set: "divRoundUp(KEY_WIDTH - 1 - BITMAP_LOG2, TABLE_LOG2) + 1" }';

test('list and show print the contract as JSON', async () => {
  const list = JSON.parse((await khosim('abi', 'list', '--json')).out);
  expect(list.schema).toBe(1);
  expect(list.releases).toHaveLength(12);
  const shown = JSON.parse((await khosim('abi', 'show', 'kho-v4', '--json', '--page-size', '16K')).out);
  expect(shown).toMatchObject({ schema: 1, name: 'kho-v4', pageSize: 16384 });
  const vmalloc = shown.contracts.find((contract: { area: string }) => contract.area === 'vmalloc');
  expect(vmalloc.structs[0]).toMatchObject({
    name: 'kho_vmalloc',
    size: 16,
    fields: [
      { name: 'first', offset: 0, size: 8, type: 'u64' },
      { name: 'total_pages', offset: 8, size: 4, type: 'u32' },
      { name: 'flags', offset: 12, size: 2, type: 'u16' },
      { name: 'order', offset: 14, size: 2, type: 'u16' },
    ],
  });
  expect(vmalloc.perPageSize['64K']).toMatchObject({ KHO_VMALLOC_SIZE: 8191 });
});

test('a silent break is exit code 1, with the handovers that show it', async () => {
  const file = proposal('silent.yaml', `base: kho-v4\nchanges:\n  - ${DEPTH}\n`);
  const { code, out } = await khosim('abi', 'check', 'kho-v4', file, '--json');
  expect(code).toBe(1);
  const result = JSON.parse(out);
  expect(result).toMatchObject({
    schema: 1,
    verdict: 'breaking-without-bump',
    changes: [{ path: 'map.geometry.depth', kind: 'changed', breaking: true, pageSizes: ['16K'], where: `${file}:3` }],
  });
  expect(result.handovers).toHaveLength(2);
  for (const run of result.handovers) {
    expect(run.pageSize).toBe(16384);
    expect(run.outcome).toMatch(/oops|corrupt/);
  }
  expect(result.atStake.pages).toBeGreaterThan(0);
});

test('the same change with a bump is exit code 0, and every handover a cold boot', async () => {
  const file = proposal('declared.yaml', `base: kho-v4\nbump: { kho-v4: kho-v5 }\nchanges:\n  - ${DEPTH}\n`);
  const { code, out } = await khosim('abi', 'check', 'kho-v4', file, '--json');
  const result = JSON.parse(out);
  expect([code, result.verdict]).toEqual([0, 'breaking']);
  expect(new Set(result.handovers.map((run: { outcome: string }) => run.outcome))).toEqual(new Set(['cold-boot']));
});

test('KTAP on request', async () => {
  const { code, out } = await khosim('abi', 'check', 'luo-v5', 'luo-v5', '--format', 'ktap');
  expect(code).toBe(0);
  expect(out).toMatch(/^KTAP version 1\n1\.\.\d+\nok 1 luo luo-v5: compatible\n/);
});

test('diff tells kinds, and a name that is nothing is exit code 2', async () => {
  const diff = JSON.parse((await khosim('abi', 'diff', '6.17.8', '6.17.9', '--json')).out);
  expect(diff.changes[0]).toMatchObject({ path: 'map.bitmap.sizeBytes', kind: 'changed', from: '512', breaking: true });
  const wrong = await khosim('abi', 'show', 'kho-v44');
  expect([wrong.code, wrong.out]).toEqual([2, '']);
  expect(wrong.err).toContain("did you mean 'kho-v4'?");
  const broken = await khosim(
    'abi',
    'check',
    'kho-v4',
    proposal('broken.yaml', 'base: kho-v4\nchanges:\n  - { struct: x }\n'),
  );
  expect(broken.code).toBe(2);
  expect(broken.err).toContain('broken.yaml:3: { struct } is no change');
});
