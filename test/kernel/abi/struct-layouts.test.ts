import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { abiOf, LATEST_RELEASE } from '../../../kernel/release.ts';
import { PAGE_4K } from '../../../machine/index.ts';

const lines = readFileSync(new URL('../../fixtures/struct-layouts.txt', import.meta.url), 'utf8').split('\n');

test('every struct of 7.3 has the size and the offsets that a C compiler gives it', () => {
  const abi = abiOf(LATEST_RELEASE, PAGE_4K);
  let checked = 0;
  for (const line of lines) {
    const size = /^(\w+)\s+sizeof=(\d+)$/.exec(line);
    if (size !== null) {
      expect([line, abi.struct(size[1] ?? '').sizeBytes]).toEqual([line, Number(size[2])]);
      checked++;
    }
    const field = /^(\w+)\s+(\w+)\s+off=\s*(\d+) size=(\d+)$/.exec(line);
    if (field !== null) {
      const { offset, sizeBytes } = abi.struct(field[1] ?? '').field(field[2] ?? '');
      expect([line, offset, sizeBytes]).toEqual([line, Number(field[3]), Number(field[4])]);
      checked++;
    }
  }
  expect(checked).toBe(35);
});
