import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { check, checkJson } from '../../../scenarios/abi/check.ts';
import { presentCheck } from '../../../scenarios/abi/present.ts';
import { findSubject } from '../../../scenarios/abi/proposal.ts';
import type { HandoverProver } from '../../../scenarios/abi/prover.ts';
import { checkJunit, checkKtap } from '../../../scenarios/abi/test-formats.ts';
import { InputError } from '../../../scenarios/input-error.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'khosim-abi-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

async function checkPair(before: string, after: string, golden?: string, prover?: HandoverProver) {
  return check(await findSubject(before), await findSubject(after), { golden, ...(prover ? { prover } : {}) });
}

test('a silent break is not ok, and the page says which line of the proposal did it', async () => {
  const file = join(dir, 'proposal.yaml');
  writeFileSync(
    file,
    'name: flags\nbase: kho-v4\nchanges:\n  - { struct: kho_block_header_ser, add: { name: flags, type: u32 } }\n',
  );
  const result = await checkPair('kho-v4', file);
  expect(result.ok).toBe(false);
  expect(presentCheck(result).replaceAll(dir, '')).toMatchInlineSnapshot(`
    "kho-v4 -> flags

    BREAKING WITHOUT BUMP: bytes moved under a string that stayed. Kernels accept
    what they misread.

    Version strings

      kho-v4 (unchanged): breaking-without-bump
          block.kho_block_header_ser.flags, block.kho_block_header_ser changed, and
          it still says kho-v4

    Changes   ! breaks   ^ version string   . reaches no reader

      ! added     block.kho_block_header_ser.flags  (/proposal.yaml:4)
                  (nothing) -> u32 at 16
                  the old writer never wrote it, and the old reader does not know of
                  it
      ! moved     block.kho_block_header_ser
                  16 bytes -> 20 bytes
                  whatever follows it, or embeds it, lies elsewhere

    HANDOVERS NOT RUN: no handover was run: the verdict is from the contracts alone.
    "
  `);
});

test('without a machine, it says loudly that no handover was run', async () => {
  const result = await checkPair('7.2', '7.3');
  expect(presentCheck(result)).toContain('HANDOVERS NOT RUN');
  expect(checkJson(result)).toMatchObject({ verdict: 'compatible', handovers: [], atStake: null });
});

test('what a prover finds is told, and adds up to what is at stake', async () => {
  const prover: HandoverProver = {
    prove: async (before, after) => ({
      runs: [
        {
          old: before.name,
          new: after.name,
          pageSize: 4096,
          workload: 'core',
          outcome: 'corrupt',
          detail: 'order 0 lost',
          pagesLost: 3,
          pagesPhantom: 1,
          clientsBroken: ['kho_test'],
        },
      ],
    }),
  };
  const result = await checkPair('6.17.9', '6.17.8', undefined, prover);
  expect(result.atStake).toEqual({ pages: 4, bytes: 16384 });
  expect(presentCheck(result)).toContain('4K  6.17.9 -> 6.17.8: corrupt (core; 3 pages lost, 1 phantom)');
  expect(checkKtap(result)).toContain('handover 6.17.9 to 6.17.8, 4K, core: corrupt');
});

test('KTAP and JUnit: one test for each string', async () => {
  const result = await checkPair('6.19', '7.0');
  expect(checkKtap(result)).toMatchInlineSnapshot(`
    "KTAP version 1
    1..8
    ok 1 root kho-v1: compatible
    # luo.flb changed, and it still says luo-v1
    # covers luo-v1b
    # luo.flb: null -> luo-flb: the new reader fails without this node, and the old writer does not make it
    not ok 2 luo luo-v1: breaking-without-bump
    ok 3 session luo-session-v2: compatible
    ok 4 memfd memfd-v1: compatible
    ok 5 memblock memblock-v1: compatible
    ok 6 reserve-mem reserve-mem-v1: compatible
    ok 7 test kho-test-v1: compatible
    ok 8 handovers both ways # SKIP no handover was run: the verdict is from the contracts alone
    # Totals: pass:6 fail:1 skip:1
    "
  `);
  const junit = checkJunit(result);
  expect(junit).toContain('<testsuites tests="8" failures="1" skipped="1">');
  expect(junit).toContain('<testcase classname="khosim.abi" name="luo luo-v1: breaking-without-bump">');
});

test('golden files are recorded, then compared, and tell in words what moved', async () => {
  const golden = join(dir, 'golden');
  const first = await checkPair('7.3', '7.3', golden);
  expect(new Set(first.golden.map(({ status }) => status))).toEqual(new Set(['recorded']));
  expect(readdirSync(golden)).toHaveLength(13);
  expect((await checkPair('7.3', '7.3', golden)).golden.every(({ status }) => status === 'same')).toBe(true);

  const file = join(dir, 'proposal.yaml');
  writeFileSync(
    file,
    'base: kho-v4\nbump: { kho-v4: kho-v5 }\nchanges:\n  - { struct: kho_vmalloc, move: order, before: flags }\n',
  );
  const moved = await checkPair('kho-v4', file, golden);
  expect(moved.verdict).toBe('breaking');
  expect(moved.ok).toBe(false);
  const told = Object.fromEntries(moved.golden.map(({ contract, differences }) => [contract, differences]));
  expect(told['vmalloc-v2']).toEqual([
    'vmalloc.kho_vmalloc.flags: was u16 at 12, is u16 at 14',
    'vmalloc.kho_vmalloc.order: was u16 at 14, is u16 at 12',
    ...['4K', '16K', '64K'].map((page) => `bytes of kho_vmalloc at ${page} differ from offset 12 on`),
  ]);
  expect(told['radix-v4']).toEqual([]);
});

test('a folder that holds something else is bad input', async () => {
  writeFileSync(join(dir, 'kho-v4.json'), '{}');
  await expect(checkPair('kho-v4', 'kho-v4', dir)).rejects.toThrow(InputError);
});

test('a module gets the draft of its base', async () => {
  const file = join(dir, 'proposal.mjs');
  writeFileSync(
    file,
    `export const base = 'kho-v4';
export function propose(draft) {
  draft.root.compatible = 'kho-v5';
  draft.map.geometry.depth = 'divRoundUp(KEY_WIDTH - 1 - BITMAP_LOG2, TABLE_LOG2) + 1';
}
`,
  );
  const result = await checkPair('kho-v4', file);
  expect(result.verdict).toBe('breaking');
  expect(result.changes.map(({ path }) => path)).toEqual(['root.compatible', 'map.geometry.depth']);
});

test.each([
  ['export const base = 1;', 'exports no `base` and `propose`'],
  ["export const base = 'kho-v4'; export function propose() { throw new Error('mine'); }", 'propose threw: mine'],
  [
    "export const base = 'kho-v4'; export function propose(draft) { draft.map.geometry.depth = 'x'; }",
    'cannot be compiled',
  ],
  ['not javascript', 'cannot be loaded'],
])('a module that is wrong is bad input: %s', async (text, message) => {
  const file = join(dir, 'wrong.mjs');
  writeFileSync(file, text);
  await expect(findSubject(file)).rejects.toThrow(message);
  await expect(findSubject(file)).rejects.toThrow(InputError);
});

test('a name that is nothing, and a file that is not there', async () => {
  await expect(findSubject('kho-v7')).rejects.toThrow('did you mean');
  await expect(findSubject('./no.yaml')).rejects.toThrow('cannot be read: ENOENT');
});
