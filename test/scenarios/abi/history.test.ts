import { expect, test } from 'vitest';
import { RELEASES } from '../../../kernel/release.ts';
import { subjectByName } from '../../../scenarios/abi/subject.ts';
import { judge, type StaticVerdict } from '../../../scenarios/abi/verdict.ts';

function check(before: string, after: string): StaticVerdict {
  const [a, b] = [subjectByName(before), subjectByName(after)];
  if (a === undefined || b === undefined) throw new RangeError(`${before} or ${after}`);
  return judge(a, b);
}

/** A verdict in lines: every string that is not simply unchanged, and every change that is silent. */
function summary({ verdict, changes, strings }: StaticVerdict): string[] {
  return [
    verdict,
    ...strings
      .filter((string) => string.verdict !== 'compatible')
      .map(({ from, to, verdict: its, why }) => `${from} -> ${to}: ${its} (${why})`),
    ...changes
      .filter((change) => change.breaking && !change.bumped)
      .map(
        ({ path, from, to, pageSizes }) =>
          `silent: ${path}: ${from} -> ${to}${pageSizes ? ` at ${pageSizes.join(', ')}` : ''}`,
      ),
  ];
}

test('each pair of neighbouring releases gives the history that there was', () => {
  const pairs = RELEASES.slice(1).map((release, index) => [RELEASES[index]?.name ?? '', release.name] as const);
  const history = Object.fromEntries(pairs.map(([a, b]) => [`${a} -> ${b}`, summary(check(a, b))]));
  expect(history).toMatchInlineSnapshot(`
    {
      "6.16 -> 6.17.8": [
        "compatible",
      ],
      "6.17.8 -> 6.17.9": [
        "breaking-without-bump",
        "kho-v1 -> kho-v1: breaking-without-bump (map.bitmap.sizeBytes, map.PRESERVE_BITS changed, and it still says kho-v1)",
        "silent: map.bitmap.sizeBytes: 512 -> 4K: 4096, 16K: 16384, 64K: 65536",
        "silent: map.PRESERVE_BITS: 4096 -> 4K: 32768, 16K: 131072, 64K: 524288",
      ],
      "6.17.9 -> 6.18": [
        "breaking-without-bump",
        "kho-test-v1 -> kho-test-v1: breaking-without-bump (test.data.foliosInfo changed, and it still says kho-test-v1)",
        "silent: test.data.foliosInfo: folios_info (u64[]) -> folios_info (struct)",
      ],
      "6.18 -> 6.19": [
        "compatible",
      ],
      "6.19 -> 7.0": [
        "breaking-without-bump",
        "luo-v1 -> luo-v1: breaking-without-bump (luo.flb changed, and it still says luo-v1)",
        "silent: luo.flb: null -> luo-flb",
      ],
      "7.0 -> 7.1-rc5": [
        "breaking",
        "kho-v1 -> kho-v3: breaking (covers map.format, root.subtree.size, root.subtree.data)",
        "memfd-v1 -> memfd-v2: breaking (covers memfd.memfd_luo_ser.seals, memfd.memfd_luo_ser.flags, memfd.MEMFD_LUO_MAX_FOLIOS, memfd.MEMFD_LUO_ALL_SEALS and 3 more)",
      ],
      "7.1 -> 7.2": [
        "breaking",
        "kho-v3 -> kho-v4: bump-without-change (nothing that it covered moved; it now covers block-v4 too)",
        "luo-v1 -> luo-v5: breaking (covers flb.fdt, session.luo_session_header_ser, session.LUO_SESSION_PGCNT, session.LUO_SESSION_MAX and 6 more)",
        "luo-session-v2 -> null: breaking (covers session.luo_session_header_ser, session.LUO_SESSION_PGCNT, session.LUO_SESSION_MAX, session.LUO_FILE_PGCNT and 3 more)",
        "luo-flb-v1 -> null: breaking (covers flb.fdt)",
      ],
      "7.1-rc5 -> 7.1": [
        "breaking-without-bump",
        "kho-v3 -> kho-v3: breaking-without-bump (map.geometry.depth changed, and it still says kho-v3)",
        "silent: map.geometry.depth: 4K: 6, 16K: 4, 64K: 4 -> 4K: 6, 16K: 5, 64K: 4 at 16K",
      ],
      "7.2 -> 7.3": [
        "compatible",
      ],
    }
  `);
});

test('v3 to v4 is a bump under which nothing moved, for the sake of blocks', () => {
  const { verdict, strings, changes } = check('kho-v3', 'kho-v4');
  expect(verdict).toBe('bump-without-change');
  expect(strings).toMatchObject([{ from: 'kho-v3', to: 'kho-v4', verdict: 'bump-without-change' }]);
  expect(strings[0]?.why).toContain('block-v4');
  expect(changes.filter((change) => change.area === 'root' || change.area === 'map').map(({ path }) => path)).toEqual([
    'root.compatible',
    'map.geometry.depth',
    'map.name',
    'root.name',
  ]);
});

test('v1 to v3 and LUO v1 to v5 break with a bump', () => {
  expect(check('kho-v1', 'kho-v3').verdict).toBe('breaking');
  expect(check('luo-v1', 'luo-v5').verdict).toBe('breaking');
  expect(check('memfd-v1', 'memfd-v2').verdict).toBe('breaking');
});

test('the posted patch changed the map and its property, and kept the string', () => {
  expect(summary(check('6.17.8', 'kho-radix-rfc-v1'))).toMatchInlineSnapshot(`
    [
      "breaking-without-bump",
      "kho-v1 -> kho-v1: breaking-without-bump (map.format, root.root.map changed, and it still says kho-v1)",
      "silent: map.format: chunk-list -> radix-tree",
      "silent: root.root.map: preserved-memory-map (u64) -> preserved-page-radix-tree (u64)",
    ]
  `);
});

test('a string that several layouts share says so', () => {
  expect(subjectByName('kho-v1')?.notes).toMatchInlineSnapshot(`
    [
      "kho-v1 is shown as 7.0 writes it; under the same string 6.17.9, 6.17.8, 6.16, kho-radix-rfc-v1 write other bytes",
    ]
  `);
  expect(subjectByName('kho-v4')?.notes).toEqual([]);
});
