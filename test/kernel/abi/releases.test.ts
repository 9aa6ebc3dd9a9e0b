import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { radixNumbersOf } from '../../../kernel/abi/contract.ts';
import { abiOf, contractsOf, RELEASES, releaseByName, UNRELEASED } from '../../../kernel/release.ts';
import { PAGE_SIZES } from '../../../machine/index.ts';

test('a kernel version stands for the release whose bytes it writes', () => {
  const answers = Object.fromEntries(
    [
      '6.15.3',
      '6.16.0',
      '6.16.12',
      '6.17.0',
      '6.17.8',
      '6.17.9',
      '6.17.12',
      '6.18.15',
      '6.19.11-arm64',
      '7.0.2',
      '7.1-rc1',
      '7.1.0-rc5+',
      '7.1-rc6',
      '7.1.13',
      '7.2.12',
      '7.3.4-200.fc44.aarch64',
      '7.4',
      'kho-v2',
      'kho-radix-rfc-v1',
      'nonsense',
    ].map((name) => [name, releaseByName(name)?.name ?? null]),
  );
  expect(answers).toMatchInlineSnapshot(`
    {
      "6.15.3": null,
      "6.16.0": "6.16",
      "6.16.12": "6.16",
      "6.17.0": "6.17.8",
      "6.17.12": "6.17.9",
      "6.17.8": "6.17.8",
      "6.17.9": "6.17.9",
      "6.18.15": "6.18",
      "6.19.11-arm64": "6.19",
      "7.0.2": "7.0",
      "7.1-rc1": "7.1-rc5",
      "7.1-rc6": "7.1",
      "7.1.0-rc5+": "7.1-rc5",
      "7.1.13": "7.1",
      "7.2.12": "7.2",
      "7.3.4-200.fc44.aarch64": "7.3",
      "7.4": null,
      "kho-radix-rfc-v1": "kho-radix-rfc-v1",
      "kho-v2": "kho-v2",
      "nonsense": null,
    }
  `);
});

test('each release names contracts that compile for every page size', () => {
  for (const release of [...RELEASES, ...UNRELEASED]) {
    for (const page of PAGE_SIZES) {
      const abi = abiOf(release, page);
      for (const contract of contractsOf(release)) {
        for (const spec of contract.structs) expect(abi.struct(spec.name).sizeBytes).toBeGreaterThan(0);
      }
    }
  }
});

test('contracts are plain data: they survive JSON, and nobody can change them', () => {
  for (const release of [...RELEASES, ...UNRELEASED]) {
    for (const contract of contractsOf(release)) {
      const copy: unknown = JSON.parse(JSON.stringify(contract));
      expect({ compatible: undefined, ...(copy as object) }).toEqual(contract);
      expect(() => Object.assign(contract.constants, { x: 1 })).toThrow(TypeError);
    }
  }
});

test('each release writes what the list of commits says', () => {
  const rows = [...RELEASES, ...UNRELEASED].map((release) => {
    const { map } = release;
    const shape = PAGE_SIZES.map((page) =>
      map.format === 'radix-tree'
        ? `tree of ${radixNumbersOf(map, page).depth}`
        : `bitmaps of ${abiOf(release, page).constant('map', 'BITMAP_BYTES')}`,
    );
    const strings = contractsOf(release).flatMap((contract) => contract.compatible ?? []);
    return `${release.name}: ${shape.join(', ')}; ${strings.join(' ')}`;
  });
  expect(`\n${rows.join('\n')}\n`).toMatchInlineSnapshot(`
    "
    6.16: bitmaps of 512, bitmaps of 512, bitmaps of 512; kho-v1 memblock-v1 reserve-mem-v1
    6.17.8: bitmaps of 512, bitmaps of 512, bitmaps of 512; kho-v1 memblock-v1 reserve-mem-v1 kho-test-v1
    6.17.9: bitmaps of 4096, bitmaps of 16384, bitmaps of 65536; kho-v1 memblock-v1 reserve-mem-v1 kho-test-v1
    6.18: bitmaps of 4096, bitmaps of 16384, bitmaps of 65536; kho-v1 memblock-v1 reserve-mem-v1 kho-test-v1
    6.19: bitmaps of 4096, bitmaps of 16384, bitmaps of 65536; kho-v1 luo-v1 luo-session-v2 memfd-v1 memblock-v1 reserve-mem-v1 kho-test-v1
    7.0: bitmaps of 4096, bitmaps of 16384, bitmaps of 65536; kho-v1 luo-v1 luo-session-v2 luo-flb-v1 memfd-v1 memblock-v1 reserve-mem-v1 kho-test-v1
    7.1-rc5: tree of 6, tree of 4, tree of 4; kho-v3 1 luo-v1 luo-session-v2 luo-flb-v1 memfd-v2 memblock-v1 reserve-mem-v1 kho-test-v1
    7.1: tree of 6, tree of 5, tree of 4; kho-v3 1 luo-v1 luo-session-v2 luo-flb-v1 memfd-v2 memblock-v1 reserve-mem-v1 kho-test-v1
    7.2: tree of 6, tree of 5, tree of 4; kho-v4 1 luo-v5 memfd-v2 memblock-v1 reserve-mem-v1 kho-test-v1
    7.3: tree of 6, tree of 5, tree of 4; kho-v4 1 luo-v5 memfd-v2 memblock-v1 reserve-mem-v1 kho-test-v1
    kho-v2: tree of 6, tree of 4, tree of 4; kho-v2 luo-v1 luo-session-v2 luo-flb-v1 memfd-v1 memblock-v1 reserve-mem-v1 kho-test-v1
    kho-radix-rfc-v1: tree of 6, tree of 5, tree of 4; kho-v1 memblock-v1 reserve-mem-v1 kho-test-v1
    "
  `);
});

test('only kernel/release.ts compares releases: all other code asks for a quirk or a contract', () => {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const comparing = ['machine', 'kernel', 'scenarios'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder, name))
      .filter((file) => file.endsWith('.ts') && file !== join('kernel', 'release.ts'))
      .filter((file) => /(===|!==|startsWith\(|includes\()\s*'\d\.\d/.test(readFileSync(join(root, file), 'utf8'))),
  );
  expect(comparing).toEqual([]);
});
