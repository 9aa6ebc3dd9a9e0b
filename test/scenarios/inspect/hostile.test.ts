import { describe, expect, test } from 'vitest';
import { debugfsImage } from '../../../scenarios/inspect/image-source.ts';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import { loadFixture, type Patch, patched } from './sparse-image.ts';

const IMAGE = loadFixture('linux-7.3.4-arm64-4k');
const ROOT = 0x4094f000;

function u64s(phys: number, values: readonly (number | bigint)[]): Patch {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setBigUint64(i * 8, BigInt(value), true);
  return { phys, bytes };
}

function codes(patches: readonly Patch[]): string[] {
  const { findings } = inspectImage(patched(IMAGE, patches), { contents: false }).document;
  return [...new Set(findings.map(({ code }) => code))];
}

describe('memory that was made to hurt', () => {
  test('a table with every slot on itself is walked once', () => {
    expect(codes([u64s(ROOT, new Array(512).fill(ROOT))])).toContain('radix-node-shared');
  });

  test('tables that all lead to one node cost one visit', () => {
    const free = 0x48000000;
    const tables = [ROOT, free, free + 0x1000, free + 0x2000, free + 0x3000];
    const next = [...tables.slice(1), free + 0x4000];
    const found = codes([
      ...tables.map((table, i) => u64s(table, new Array(512).fill(next[i] ?? 0))),
      u64s(free + 0x4000, new Array(512).fill(2n ** 64n - 1n)),
    ]);
    expect(found).toContain('radix-node-shared');
  });

  test('findings of one kind are counted, not listed, beyond a few', () => {
    const { findings } = inspectImage(patched(IMAGE, [u64s(ROOT, new Array(512).fill(0x1234))])).document;
    const listed = findings.filter(({ code }) => code === 'radix-node-alignment');
    expect(listed).toHaveLength(17);
    expect(listed.at(-1)?.message).toBe('and 496 more of this kind');
  });

  test('a leaf full of bits is a finding for each kind of damage, and no more memory than its blocks', () => {
    const found = codes([u64s(0x40955000, new Array(512).fill(2n ** 64n - 1n))]);
    expect(found).toEqual(expect.arrayContaining(['preserved-overlap', 'radix-node-preserved', 'preserved-unowned']));
  });

  test('a chunk that follows itself ends there', () => {
    // The folio array of session "oracle-session" file 0x11: struct at 0x40a89000, vmalloc descriptor at +32.
    const { document } = inspectImage(patched(IMAGE, []), { contents: false });
    expect(document.findings).toEqual([]);
    const chunk = patched(IMAGE, []).memory.readBytes(0x40a89020, 8);
    const phys = Number(new DataView(chunk.buffer).getBigUint64(0, true));
    expect(codes([u64s(phys, [phys])])).toContain('vmalloc-chunk');
  });

  test.each([
    ['size', 0x40a89008, 2n ** 62n, ['memfd-hole', 'memfd-hash']],
    ['nr_folios', 0x40a89018, 2n ** 63n, ['memfd-folio-count']],
    ['vmalloc order', 0x40a89028, 0x003f_0001_0000_0001n, ['vmalloc-order']],
    ['vmalloc total_pages', 0x40a89028, 0x0000_0001_ffff_ffffn, ['vmalloc-count']],
    ['pos', 0x40a89000, 2n ** 64n - 1n, ['memfd-size']],
  ])('an absurd %s of a memfd costs nothing', (_, phys, value, expected) => {
    const { findings } = inspectImage(patched(IMAGE, [u64s(phys, [value])])).document;
    expect(findings.map(({ code }) => code)).toEqual(expect.arrayContaining(expected));
  });

  test('u64s beyond 2^53 are reported exactly', () => {
    const { luo } = inspectImage(patched(IMAGE, [u64s(0x40a89000, [2n ** 63n + 1n])])).document;
    expect(luo?.sessions[0]?.files[0]).toMatchObject({ pos: '0x8000000000000001' });
  });

  test('a handoff that leads nowhere is said to', () => {
    const image = patched(IMAGE, []);
    const nowhere = inspectImage({ ...image, fdt: { phys: 0x1000 }, scratch: undefined }).document;
    expect(nowhere.findings.map(({ code }) => code)).toEqual(['scratch-array-unreadable', 'fdt-unreadable']);
    const none = inspectImage({ ...image, fdt: undefined, scratch: undefined, pageSizeBytes: undefined }).document;
    expect(none.findings.map(({ code }) => code)).toEqual(['handoff-missing', 'page-size-deduced']);
    expect(none).toMatchObject({ compatible: null, fdt: null, memoryMap: null, subtrees: [], preserved: { count: 0 } });
  });
});

test('a compatible that nobody knows does not keep the rest from being read', () => {
  const fdt = inspectImage(patched(IMAGE, []), { contents: false }).document.fdt?.hex ?? '';
  const phys = 0x40950000 + fdt.indexOf(Buffer.from('kho-v4').toString('hex')) / 2 + 5;
  const { document } = inspectImage(patched(IMAGE, [{ phys, bytes: Buffer.from('9') }]));
  expect(document.compatible).toBe('kho-v9');
  expect(document.findings.map(({ code }) => code)).toEqual(['compatible-unknown']);
  expect(document.preserved.count).toBe(1329);
  expect(document.release.candidates).toEqual(['7.2', '7.3']);
});

test('of debugfs blobs everything is told that they tell, and nothing is an error', () => {
  const clean = inspectImage(patched(IMAGE, []));
  const { memory } = patched(IMAGE, []);
  const subtrees = new Map(
    clean.document.subtrees.map(({ name, phys, size }) => [name, memory.readBytes(Number(phys), Number(size))]),
  );
  const image = debugfsImage(
    { fdt: memory.readBytes(0x40950000, 4096), subtrees, scratch: [{ phys: 0x5d000000, sizeBytes: 0x2000000 }] },
    4096,
  );
  const { document } = inspectImage(image);
  expect(document.findings.filter(({ severity }) => severity !== 'note')).toEqual([]);
  expect(document).toMatchObject({
    compatible: 'kho-v4',
    subtrees: clean.document.subtrees,
    kexecMetadata: clean.document.kexecMetadata,
    scratch: [{ base: '0x5d000000', size: '0x2000000' }],
    memoryMap: null,
    luo: { compatible: 'luo-v5', liveupdateNumber: 1, sessions: [] },
  });
  expect(document.reserveMem).toEqual([{ ...clean.document.reserveMem?.[0], sha256: null }]);
});
