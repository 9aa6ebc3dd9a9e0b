import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { PAGE_4K, pageSizeByName } from '../../../machine/index.ts';
import { InputError } from '../../../scenarios/input-error.ts';
import { replayRadix } from '../../../scenarios/replay/radix.ts';

const folder = resolve(dirname(fileURLToPath(import.meta.url)), '../../fixtures/traces');

interface ManifestEntry {
  readonly name: string;
  readonly kind: string;
  readonly args: readonly string[];
}

const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as ManifestEntry[];
const traces = manifest.filter((entry) => entry.kind === 'radix');

test('there are traces to replay', () => {
  expect(traces.length).toBeGreaterThan(12);
});

test.each(traces)('what the real 7.3.4 code printed for $name is printed byte for byte', ({ name, args }) => {
  const page = pageSizeByName(args[args.indexOf('--page-size') + 1] ?? '');
  if (page === undefined) throw new Error(`no page size in the arguments of ${name}`);
  const text = replayRadix(readFileSync(join(folder, `${name}.trace`), 'utf8'), {
    page,
    results: args.includes('--results'),
    digestsOnly: args.includes('--digests-only'),
  });
  const expected = readFileSync(join(folder, `${name}.expect`), 'utf8');
  // Compared in pieces: the differ is quadratic and these texts are long.
  const lines = text.split('\n');
  const wrong = expected.split('\n').findIndex((line, i) => line !== lines[i]);
  expect(wrong < 0 ? '' : `line ${wrong + 1}: ${lines[wrong]}`).toBe('');
  expect(text === expected).toBe(true);
});

function replay(text: string): string {
  return replayRadix(text, { page: PAGE_4K, results: true, file: 'mine.trace' });
}

describe('operations that no trace of the real code has', () => {
  test('a fault abandons its operation, and the run goes on', () => {
    const out = replay(
      'preserve_folio 0x100 0\npoke 0x40000010 0x8000000000001000\nwalk\nencode 0x1000 0\npeek 0x100000000000',
    );
    expect(out).toContain('fault line=3 FAULT sig=11 phys=0x8000000000001000\nencode 0x1000 0 = 0x10000000000001\n');
    expect(out).toContain('fault line=5 FAULT sig=11 phys=0x100000000000\n');
    expect(out).toMatch(/ops 5\n$/);
  });

  test('without a root everything is a WARN and -EINVAL, and nothing is listed at the end', () => {
    expect(replay('noroot\npreserve_folio 1 0\nunpreserve_folio 1 0\nwalk')).toMatchInlineSnapshot(`
      "consts page_shift=12 key_width=53 table_log2=9 bitmap_log2=15 depth=6
      op 1 0
      op 2 -22 warn=1
      op 3 0 warn=1
      walk 0 ret=-22
      kdigest e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
      ops 4
      "
    `);
  });

  test('a range of 2^31 pages from frame 0 loses what comes after its first block; from elsewhere it has no end', () => {
    const out = replay('preserve_pages 0 0x80000001\nwalk');
    expect(out).toContain('op 1 0\nwalk 1 ret=0\nk 0x0 31\n');
    expect(replay('preserve_pages 0x80000000 0x80000000')).toContain('fault line=1 BUG ');
  });

  test('shift counts wrap, negative numbers too', () => {
    const out = replay('decode 0\npreserve_folio -1 0\npreserve_pages -1 1\nwalk');
    expect(out).toContain('decode 0x0 = 0x0 53 sz=0x2\n');
    expect(out).toContain('walk 1 ret=0\nk 0xfffffffffffff000 0\n');
  });

  test('a range beyond 64 bits of address is checked against scratch where its address wraps to', () => {
    // Frame 2^52 of 4 KiB is address 2^64, which is 0.
    const text = replay('scratch 0x10000 0x1000\npreserve_pages 0x10000000000000 0x10\n');
    expect(text).toContain('op 2 0\n');
    expect(replay('scratch 0x8000 0x1000\npreserve_pages 0x10000000000000 0x10\n')).toContain('op 2 -22 warn=1\n');
  });

  test('a tree that leads into itself everywhere is given up', () => {
    const links = Array.from({ length: 512 }, (_, i) => `poke ${0x4000_0000 + 8 * i} 0x40000000`).join('\n');
    expect(replay(`root\n${links}\nwalk`)).toContain('fault line=514 BUG ');
  });
});

test('bad input names file and line', () => {
  expect(() => replay('walk\npreserve_folios 1 2\nadd_key\nadd_key x')).toThrow(InputError);
  expect(() => replay('walk\npreserve_folios 1 2')).toThrow(/mine\.trace:2: /);
});
