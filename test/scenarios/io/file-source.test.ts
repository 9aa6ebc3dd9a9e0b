import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FileSource } from '../../../scenarios/io/file-source.ts';

/** No multiple of a sector: the last direct read ends at the end of the file. */
const SIZE_BYTES = 0x10_0000 + 1234;
let directory = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'khosim-source-'));
});

afterAll(() => {
  rmSync(directory, { recursive: true });
});

/** 1 MiB and a bit, with data at some places and everywhere else holes or zeros. */
function content(): Uint8Array {
  const bytes = new Uint8Array(SIZE_BYTES);
  for (const [at, length] of [
    [100, 50],
    [0x1_0ffe, 4],
    [0x8_0000, 5000],
    [SIZE_BYTES - 3, 3],
  ] as const) {
    for (let i = 0; i < length; i++) bytes[at + i] = 1 + ((at + i) % 255);
  }
  return bytes;
}

function sparseFile(path: string): void {
  const bytes = content();
  const fd = openSync(path, 'w');
  ftruncateSync(fd, SIZE_BYTES);
  for (let at = 0; at < SIZE_BYTES; at += 4096) {
    const page = bytes.subarray(at, Math.min(at + 4096, SIZE_BYTES));
    if (page.some((byte) => byte !== 0)) writeSync(fd, page, 0, page.length, at);
  }
  closeSync(fd);
}

describe.each(['sparse', 'whole'])('of a %s file', (kind) => {
  test('what is passed by is what is read, wherever it begins and ends', () => {
    const path = join(directory, kind);
    if (kind === 'sparse') sparseFile(path);
    else writeFileSync(path, content());
    const source = new FileSource(path);
    const bytes = content();
    const check = (offset: number, length: number) => {
      const wanted = Buffer.from(bytes.subarray(offset, offset + length));
      expect(Buffer.from(source.pass(offset, length)).equals(wanted)).toBe(true);
      expect(Buffer.from(source.read(offset, length)).equals(wanted)).toBe(true);
    };
    check(0, SIZE_BYTES);
    check(SIZE_BYTES - 5, 5);
    check(0x1_0fff, 2);
    fc.assert(
      fc.property(fc.nat(SIZE_BYTES - 1), fc.nat(0x2_0000), (offset, length) =>
        check(offset, Math.min(length, SIZE_BYTES - offset)),
      ),
      { numRuns: 30, seed: 1 },
    );
    source.close();
  });
});
