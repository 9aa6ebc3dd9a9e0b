import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { packageRoot } from '../../../scenarios/package-root.ts';
import { FIXTURES } from '../inspect/sparse-image.ts';
import { khosim } from './khosim.ts';

/*
 * What other programs may rely on: the fields of each --json document, by name and kind. What stands in them is tested where
 * it is made; run, boot and compare have files of their own. Fields may be added, so more of them is fine.
 */

const IMAGE = join(FIXTURES, 'linux-7.3.4-arm64-4k');
const HEX = expect.stringMatching(/^0x[0-9a-f]+$/);
const NUMBER = expect.any(Number);
const TEXT = expect.any(String);
const LIST = expect.any(Array);

async function json(...argv: string[]) {
  const { out, err } = await khosim(...argv, '--json');
  expect(err).toBe('');
  return JSON.parse(out);
}

test('inspect', async () => {
  const document = await json('inspect', IMAGE, '--patch', '0x40a88010:00', '--list');
  expect(document).toMatchObject({
    schema: 1,
    image: {
      format: 'khosim-sparse-1',
      arch: 'arm64',
      pageSize: 4096,
      ram: [{ base: '0x40000000', size: '0x20000000' }],
      handoff: { fdt: { phys: '0x40950000', size: 4096 }, scratch: { phys: '0x5eff0000', size: 48 } },
    },
    release: { candidates: ['7.2', '7.3'] },
    scratch: [{ base: HEX, size: HEX }, {}, {}],
    compatible: 'kho-v4',
    pageSize: 4096,
    fdt: { totalsize: 405, hex: TEXT },
    memoryMap: { kind: 'radix-tree', root: HEX, depth: 6, nodesPerLevel: { 0: 8, 5: 1 } },
    preserved: { count: 1329, bytes: 9863168, byOrder: { 0: 1320, 9: 2 } },
    kexecMetadata: { version: 1, previousRelease: '7.3.4', kexecCount: 1 },
    luo: { compatible: 'luo-v5', liveupdateNumber: 1, sessions: LIST, flbs: LIST },
    khoTest: { folios: LIST, csumHex: TEXT },
  });
  expect(document.findings[0]).toEqual({ severity: 'error', code: 'file-compatible', message: TEXT, where: TEXT });
  expect(document.preserved.walkOrder[0]).toEqual([HEX, NUMBER]);
  expect(document.subtrees.map((each: { name: string }) => each.name)).toEqual([
    'memblock',
    'LUO',
    'kho_test',
    'kexec-metadata',
  ]);
});

test('what an image has no node for is absent', async () => {
  const document = await json('inspect', join(FIXTURES, 'linux-6.17.8-arm64-4k'));
  for (const absent of ['kexecMetadata', 'luo']) expect(document).not.toHaveProperty(absent);
  expect(document.memoryMap).toMatchObject({
    kind: 'chunk-list',
    bitmapBytes: 512,
    first: HEX,
    chunks: expect.arrayContaining([{ phys: HEX, order: 0, entries: [{ physStart: HEX, bitmap: HEX }] }]),
  });
});

describe('explain', () => {
  test('--page', async () => {
    expect(await json('explain', IMAGE, '--page', '0x40950000')).toMatchObject({ schema: 1, page: '0x40950000' });
  });

  test('--finding', async () => {
    expect(await json('explain', '--finding', 'block-cycle')).toMatchObject({ schema: 1, code: 'block-cycle' });
  });
});

test('list', async () => {
  const { scenarios } = await json('list');
  expect(scenarios[0]).toMatchObject({ scenario: 'default', name: TEXT, pageSizes: [4096, 16384, 65536] });
});

test('matrix', () => {
  // Its workers are built JavaScript.
  const main = join(packageRoot(), 'dist/scenarios/cli/main.js');
  const argv = ['matrix', '--releases', '7.3', '--page-sizes', '16K', '--jobs', '1', '--json'];
  const { stdout, stderr, status } = spawnSync(process.execPath, [main, ...argv], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  const document = JSON.parse(stdout);
  expect(document).toMatchObject({ schema: 1, workload: 'core' });
  const found = {
    old: '7.3',
    new: '7.3',
    pageSize: 16384,
    outcome: 'handover',
    detail: TEXT,
    pagesLost: 0,
    pagesPhantom: 0,
  };
  expect(document.cells).toMatchObject([found]);
});

test('abi', async () => {
  expect(await json('abi', 'show', 'memfd-v2')).toMatchObject({
    schema: 1,
    name: 'memfd-v2',
    contracts: [
      {
        name: 'memfd-v2',
        compatible: 'memfd-v2',
        constants: expect.any(Object),
        structs: [{ name: TEXT, size: NUMBER, fields: LIST }, {}],
        properties: LIST,
        perPageSize: expect.any(Object),
      },
    ],
  });
  const { changes } = await json('abi', 'diff', '7.1', '7.2');
  expect(changes[0]).toMatchObject({ path: TEXT, kind: TEXT, breaking: true, why: TEXT });
  expect(Object.keys(changes[0])).toEqual(expect.arrayContaining(['from', 'to']));
});

test('replay has lines, which as text are the trace’s', async () => {
  const argv = ['replay', 'radix', join(FIXTURES, 'traces/corrupt1.trace'), '--page-size', '4K'];
  const { lines } = await json(...argv);
  expect((await khosim(...argv)).out).toBe(`${lines.join('\n')}\n`);
});

test('every command has --json, --help, --seed, --quiet and --log-level', async () => {
  for (const name of ['run', 'list', 'inspect', 'boot', 'replay', 'matrix', 'compare', 'fuzz', 'explain', 'abi show']) {
    const { code, out } = await khosim(...name.split(' '), '--help');
    expect(code).toBe(0);
    for (const option of ['--json', '--seed', '--quiet', '--log-level', '--help']) expect(out).toContain(option);
    expect(out.split('\n').filter((line) => line.length > 80)).toEqual([]);
  }
});
