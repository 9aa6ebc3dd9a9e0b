import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PAGE_4K } from '../../../machine/page-size.ts';
import { physAddr } from '../../../machine/units.ts';
import { OptionValues } from '../../../scenarios/cli/options.ts';
import { InputError } from '../../../scenarios/input-error.ts';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import { openCapturedMemory, openInspectable } from '../../../scenarios/io/captured-memory.ts';
import { imageOptionsOf, parsePatch } from '../../../scenarios/io/image-options.ts';
import { expectedOf, REAL_IMAGES, realDocument, realImage } from '../../machine/image/real-images.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));
let directory = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'khosim-captured-'));
});

afterAll(() => {
  rmSync(directory, { recursive: true });
});

/** The real image with some fields of its document left out. */
function without(name: string, ...fields: string[]): string {
  const document = realDocument(name);
  for (const field of fields) delete document[field];
  document['data'] = `${name}.bin`;
  const { source } = realImage(name);
  writeFileSync(join(directory, `${name}.bin`), source.read(0, source.sizeBytes));
  const path = join(directory, `${name}.json`);
  writeFileSync(path, JSON.stringify(document));
  return path;
}

describe.each(REAL_IMAGES)('%s', (name) => {
  test('is found out about by itself when its document says nothing but where RAM is', () => {
    const opened = openCapturedMemory(without(name, 'handoff', 'pageSize', 'arch'));
    const real = realImage(name);
    expect([opened.fdt, opened.scratch, opened.handoffFrom]).toEqual([
      real.handoff?.fdt,
      real.handoff?.scratch,
      'search',
    ]);
    expect([opened.page, opened.bootPage]).toEqual([undefined, real.page]);
    expect(opened.notes).toHaveLength(3);
    const { document } = inspectImage(opened.handover, { contents: false });
    expect(document.compatible).toBe(expectedOf(name).compatible);
    expect(document.pageSize).toBe(real.page?.sizeBytes);
    opened.close();
  });
});

test('options come before the image, lengths before both', () => {
  const options = imageOptionsOf(
    new OptionValues({
      fdt: '0x40000000',
      scratch: '0x50000000,32',
      pageSize: '64K',
      fdtLen: '40',
      scratchLen: '16',
      patch: ['0x40950000:ff', '1083506689:0a0B'],
    }),
  );
  const opened = openCapturedMemory(fixture('linux-7.3.4-arm64-4k'), options);
  expect(opened.handoff).toEqual({
    fdt: { phys: 0x4000_0000, sizeBytes: 40 },
    scratch: { phys: 0x5000_0000, sizeBytes: 16 },
  });
  expect([opened.handoffFrom, opened.page?.name]).toEqual(['options', '64K']);
  expect(opened.ram.readU32(0x4095_0000)).toBe(0xed0b_0aff);
  expect(opened.load().readU32(physAddr(0x4095_0000))).toBe(0xed0b_0aff);
});

test('an FDT given without a length has the length that kexec passes: a page', () => {
  const options = imageOptionsOf(new OptionValues({ fdt: '0x40950000' }));
  expect(openCapturedMemory(fixture('linux-7.3.4-arm64-4k'), options).fdt?.sizeBytes).toBe(4096);
});

test('each load is RAM of its own', () => {
  const opened = openCapturedMemory(fixture('linux-7.3.4-arm64-4k'));
  const [one, two] = [opened.load(), opened.load()];
  one.writeU32(physAddr(0x4095_0000), 0);
  expect([two.readU32(physAddr(0x4095_0000)), opened.ram.readU32(0x4095_0000)]).toEqual([0xedfe_0dd0, 0xedfe_0dd0]);
});

test('blobs of debugfs can be inspected, not booted', () => {
  const blobs = join(directory, 'in');
  mkdirSync(join(blobs, 'sub_fdts'), { recursive: true });
  cpSync(fixture('fdt/v4_meta_luo.dtb'), join(blobs, 'fdt'));
  const opened = openInspectable(blobs, { page: PAGE_4K });
  const { document } = inspectImage(opened.handover);
  expect([document.image.format, document.compatible, document.subtrees.map((each) => each.name)]).toEqual([
    'debugfs',
    'kho-v4',
    ['LUO', 'kexec-metadata'],
  ]);
  expect(() => openCapturedMemory(blobs)).toThrow('has blobs, but no RAM around them');
  expect(() => openInspectable(blobs, { patches: [parsePatch('0:00')] })).toThrow('have nothing to point into');
});

describe('what makes no sense is refused', () => {
  const messageOf = (values: Record<string, unknown>) => {
    try {
      openCapturedMemory(fixture('linux-7.3.4-arm64-4k'), imageOptionsOf(new OptionValues(values)));
    } catch (error) {
      if (error instanceof InputError) return error.message;
      throw error;
    }
    return 'opened';
  };

  test.each([
    [{ patch: ['0x40950000'] }, "--patch: '0x40950000' is not PHYS:HEX"],
    [{ patch: ['0x40950000:abc'] }, 'is not PHYS:HEX'],
    [{ patch: ['here:00'] }, "'here' is not a whole number"],
    [{ patch: ['0x1000:00'] }, '1 bytes at 0x1000 are not in RAM'],
    [{ patch: ['0x5fffffff:0000'] }, '2 bytes at 0x5fffffff are not in RAM'],
    [{ scratch: '0x5eff0000' }, "--scratch: '0x5eff0000' has no length"],
    [{ scratch: '0x5eff0000,48,1' }, 'is not ADDR,LEN'],
    [{ fdt: 'x' }, "--fdt: 'x' is not a whole number"],
    [{ ramBase: '0x1000' }, 'leave out --ram-base'],
  ])('%o', (values, expected) => {
    expect(messageOf(values)).toContain(expected);
  });

  test('a patch is an address and whole bytes', () => {
    expect(parsePatch('0x10:00ff')).toEqual({ phys: 16, bytes: Uint8Array.of(0, 255) });
    expect(() => parsePatch('4095abcd:00')).toThrow("'4095abcd' is not a whole number");
  });
});
