import {
  closeSync,
  cpSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deducePageSize, searchHandoff } from '../../../kernel/boot-handoff/search.ts';
import { ImageRam } from '../../../machine/image/image-ram.ts';
import { InputError } from '../../../scenarios/input-error.ts';
import { readDebugfsHandover } from '../../../scenarios/io/debugfs-dir.ts';
import { openImage } from '../../../scenarios/io/open-image.ts';
import { elfHeaders } from '../../machine/image/elf-builder.ts';
import { realImage } from '../../machine/image/real-images.ts';

const REAL = 'linux-7.3.4-arm64-4k';
const fixture = (path: string) => fileURLToPath(new URL(`../../fixtures/${path}`, import.meta.url));
let directory = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'khosim-image-'));
});

afterAll(() => {
  rmSync(directory, { recursive: true });
});

function memoryOf(path: string, options: Parameters<typeof openImage>[1] = {}) {
  const opened = openImage(path, options);
  if (opened.kind !== 'memory') throw new Error('not memory');
  return opened;
}

function messageOf(path: string, options: Parameters<typeof openImage>[1] = {}): string {
  try {
    openImage(path, options).close();
  } catch (error) {
    if (error instanceof InputError) return error.message.replaceAll(directory, '.');
    throw error;
  }
  return 'opened';
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

/** A sparse file of more than 4 GiB: the real image's RAM as two segments, one from 4.5 GiB on. */
function bigCore(): string {
  const image = realImage(REAL);
  const path = join(directory, 'big.core');
  const [bank] = image.banks;
  if (bank === undefined) throw new Error('no bank');
  const half = bank.sizeBytes / 2;
  const place = (phys: number) => (phys < bank.base + half ? 4.5 * 2 ** 30 : 8192 - half) + phys - bank.base;
  const segments = [bank.base + half, bank.base].map((phys) => ({
    phys: BigInt(phys),
    memoryBytes: BigInt(half),
    fileBytes: BigInt(half),
    offset: BigInt(place(phys)),
  }));
  const fd = openSync(path, 'w');
  ftruncateSync(fd, 4.5 * 2 ** 30 + half);
  writeSync(fd, elfHeaders({ segments }), 0, null, 0);
  for (const extent of image.extents) {
    const bytes = image.source.read(extent.offset, extent.storedBytes);
    writeSync(fd, bytes, 0, bytes.length, place(extent.phys));
  }
  closeSync(fd);
  return path;
}

describe('what a path may be', () => {
  test('a khosim-sparse-1 document, or the directory that it is in', () => {
    for (const path of [`${REAL}/image.json`, REAL]) {
      const { image } = memoryOf(fixture(path));
      expect([image.format, image.extents.length, image.handoff?.fdt.phys]).toEqual([
        'khosim-sparse-1',
        1360,
        0x4095_0000,
      ]);
    }
  });

  test('an ELF core of more than 4 GiB, in which the handover is found and of which little is read into memory', () => {
    const opened = memoryOf(bigCore());
    const ram = new ImageRam(opened.image);
    const found = searchHandoff(ram);
    expect(found.fdts.map((fdt) => fdt.phys)).toEqual([0x4095_0000]);
    expect(found.scratches.map((scratch) => [scratch.phys, scratch.sizeBytes])).toEqual([[0x5eff_0000, 48]]);
    expect(deducePageSize(ram, 0x4095_0000)?.page.name).toBe('4K');
    opened.close();
  });

  test('raw RAM with its base, also of a file that ends in .bin', () => {
    const opened = memoryOf(file('ram.bin', new Uint8Array(8192).fill(3)), { ramBase: 0x8000_0000 });
    expect(new ImageRam(opened.image).readU32(0x8000_1000)).toBe(0x03030303);
    opened.close();
  });

  test('a debugfs directory, its in side first', () => {
    const out = join(directory, 'kho', 'out');
    mkdirSync(join(out, 'sub_fdts'), { recursive: true });
    cpSync(fixture('fdt/v4_meta_luo.dtb'), join(out, 'fdt'));
    writeFileSync(join(out, 'sub_fdts', 'LUO'), 'luo-v5\0\0');
    writeFileSync(join(out, 'scratch_phys'), '0x5d000000\n0x5c000000\n');
    writeFileSync(join(out, 'scratch_len'), '0x2000000\n0x0\n');
    const opened = openImage(join(directory, 'kho'));
    expect(opened.kind === 'debugfs' && [opened.handover.side, opened.handover.fdt.length]).toEqual(['out', 285]);
    expect(opened.kind === 'debugfs' && [...opened.handover.subtrees.keys()]).toEqual(['LUO']);
    expect(opened.kind === 'debugfs' && opened.handover.scratch).toEqual([
      { phys: 0x5d00_0000, sizeBytes: 0x200_0000 },
      { phys: 0x5c00_0000, sizeBytes: 0 },
    ]);
    mkdirSync(join(directory, 'kho', 'in'));
    cpSync(fixture('fdt/v4_meta.dtb'), join(directory, 'kho', 'in', 'fdt'));
    expect(readDebugfsHandover(join(directory, 'kho'))).toMatchObject({ side: 'in', scratch: undefined });
    writeFileSync(join(out, 'scratch_len'), '0x2000000\n');
    expect(messageOf(out)).toContain('2 addresses in scratch_phys, 1 sizes in scratch_len');
    writeFileSync(join(out, 'scratch_len'), '0x2000000\n33554432\n');
    expect(messageOf(out)).toContain('scratch_len:2: not a hex number: 33554432');
  });
});

describe('what cannot be used is said with the file and a way out', () => {
  test('paths', () => {
    expect(messageOf(join(directory, 'absent.json'))).toBe('./absent.json: no such file or directory');
    mkdirSync(join(directory, 'empty'));
    expect(messageOf(join(directory, 'empty'))).toContain('neither image.json nor the `fdt`');
  });

  test('files of other kinds', () => {
    expect(messageOf(file('nothing', ''))).toBe('./nothing: is empty');
    expect(messageOf(file('noise', 'hello'))).toContain('if it is raw RAM, say where it begins: --ram-base ADDR');
    expect(messageOf(file('dump.gz', Uint8Array.of(0x1f, 0x8b, 8, 0)))).toContain('gunzip');
    expect(messageOf(file('dump', 'KDUMP   '))).toContain('dump-guest-memory without -z, -l or -s');
    expect(messageOf(file('root.dtb', Uint8Array.of(0xd0, 0x0d, 0xfe, 0xed)))).toContain('a bare devicetree');
    expect(messageOf(file('elf', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46)), { ramBase: 0 })).toContain(
      'leave out --ram-base',
    );
    expect(messageOf(file('cut.core', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46)))).toContain('inside the ELF header');
    expect(messageOf(file('raw', new Uint8Array(10)), { ramBase: 5 })).toContain('RAM begins at a page');
  });

  test('documents', () => {
    expect(messageOf(file('a.json', '{\n "format": "khosim-sparse-1",\n "ram": [}'))).toMatch(
      /^.\/a.json(:3)?: not JSON/,
    );
    expect(messageOf(file('b.json', '[]'))).toContain('b.json: format: is no object, not "khosim-sparse-1"');
    const document = {
      format: 'khosim-sparse-1',
      ram: [{ base: 0, size: 4096 }],
      data: 'd.gz',
      extents: [] as unknown[],
    };
    expect(messageOf(file('c.json', JSON.stringify(document)))).toContain('the data file d.gz is not there');
    file('d.gz', 'not gzip');
    expect(messageOf(join(directory, 'c.json'))).toContain('d.gz: cannot be unpacked');
    file('d.bin', 'abc');
    const extents = [{ phys: 0, size: 4096, stored: 4, offset: 0 }];
    const path = file('e.json', JSON.stringify({ ...document, data: 'd.bin', extents }));
    expect(messageOf(path)).toBe(
      './d.bin: the extent at 0x0: wants bytes 0 to 4 of the data, which has 3\n' +
        '  hint: the data file is truncated, or belongs to another document',
    );
  });
});
