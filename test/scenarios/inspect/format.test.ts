import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { explainFinding, explainPage, formatPageExplanation } from '../../../scenarios/inspect/explain.ts';
import { FINDING_CODES } from '../../../scenarios/inspect/finding-codes.ts';
import { formatInspect } from '../../../scenarios/inspect/format.ts';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import { loadFixture, patched } from './sparse-image.ts';

const SOURCES = resolve(import.meta.dirname, '../../../scenarios/inspect');

test('a real handover is shown on one screen', () => {
  expect(formatInspect(inspectImage(patched(loadFixture('linux-7.3.4-arm64-4k'), [])))).toMatchInlineSnapshot(`
    "good: nothing is wrong with it
    a kho-v4 handover, 4K pages, arm64 (khosim-sparse-1)
    fits 7.2, 7.3; written by 7.3.4, handover 1

        0x40000000 |+.+.........+...........................sssssss+| 512 MiB
             s scratch  # preserved  + a little  m memory map  . other RAM

    scratch  [0] 0x5d000000        32 MiB  low memory
             [1] 0x5c000000        16 MiB  global
             [2] 0x5b000000        16 MiB  node area 0

    map      radix tree at 0x4094f000, depth 6, 30 nodes (120 KiB)
             L5 1, L4 3, L3 6, L2 6, L1 6, L0 8
             1329 blocks, 9.4 MiB preserved
             order 0: 1320, order 1: 4, order 3: 1, order 4: 1, order 5: 1,
             order 9: 2

    subtrees memblock             0x40a42000     214 B
             LUO                  0x40a40000     32 B
             kho_test             0x409f8000     240 B
             kexec-metadata       0x40956000     73 B

    LUO      luo-v5, live update 1
             session "oracle-session", 3 files
               0x11  memfd-v2  17 B, position 5, 1 folio
                 sha256 f53e26931697e298...
               0x22  memfd-v2  12 KiB, 3 folios
                 sha256 acebf9643f060936...  sealed: SHRINK GROW
               0x33  memfd-v2  5 MiB, position 4096, 1280 folios
                 sha256 bb5e07401df6fa51...
             session "second", 3 files
               0xdeadbeefcafe0044  memfd-v2  128 KiB, 1 folio
                 sha256 8ee574a7d761866b...
               0x55  memfd-v2  0 B, 0 folios
                 sha256 e3b0c44298fc1c14...
               0x66  memfd-v2  16 KiB, 4 folios
                 sha256 c5c182cfd37e9c9e...
             FLB liveupdate-test-flb-v0  0xfeedf00dcafebee0, 6 files
             FLB liveupdate-test-flb-v1  0xfeedf00dcafebee1, 6 files
             FLB liveupdate-test-flb-v2  0xfeedf00dcafebee2, 6 files

    regions  khosim_rm  0x5f400000  2 MiB  sha256 a65bdd7b...

    test_kho 8 folios, checksum 59eb0400
    "
  `);
});

test('of a broken one the verdict comes first and the findings last', () => {
  const patches = [{ phys: 0x40a95700, bytes: Uint8Array.of(1) }];
  const lines = formatInspect(inspectImage(patched(loadFixture('linux-7.3.4-arm64-4k'), patches))).split('\n');
  expect(lines[0]).toBe('NOT GOOD: 1 error, 1 warning');
  expect(lines.slice(-7)).toMatchInlineSnapshot(`
    [
      "",
      "findings error preserved-in-scratch (0x5b800000): a block of order 0 lies in",
      "           scratch[2]",
      "         warning preserved-unowned (0x5b800000): nothing points at a block of",
      "           0x1000 bytes",
      "         (khosim explain --finding CODE says what a kernel does)",
      "",
    ]
  `);
});

describe.each(['linux-6.17.8-arm64-4k', 'linux-6.19.11-arm64-4k', 'linux-7.3.4-arm64-4k', 'linux-7.3.4-arm64-64k'])(
  'what people are shown of %s',
  (name) => {
    test('fits 80 columns', () => {
      const result = inspectImage(patched(loadFixture(name), []), { contents: false });
      const pages = [...result.metadata.map(({ phys }) => phys), result.preserved.at(0).phys];
      const text = [
        formatInspect(result),
        ...pages.map((phys) => formatPageExplanation(explainPage(result, phys))),
      ].join('');
      expect(text.split('\n').filter((line) => line.length > 80 || line.endsWith(' '))).toEqual([]);
    });
  },
);

test('every finding code can be explained in 80 columns, and is used', () => {
  const sources = readdirSync(SOURCES)
    .filter((file) => file !== 'finding-codes.ts')
    .map((file) => readFileSync(join(SOURCES, file), 'utf8'))
    .join('\n');
  for (const code of Object.keys(FINDING_CODES)) {
    const text = explainFinding(code) ?? '';
    expect(text.split('\n')[0]).toMatch(new RegExp(`^${code} \\((error|warning|note)\\)$`));
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(sources, code).toContain(`'${code}'`);
  }
  expect(explainFinding('no-such-code')).toBeUndefined();
  expect(explainFinding('toString')).toBeUndefined();
});
