import { expect, test } from 'vitest';
import { formatBytes } from '../../scenarios/picture/bytes.ts';
import { MemoryLine, pickHandover } from '../../scenarios/picture/memory-line.ts';
import { wrap } from '../../scenarios/picture/wrap.ts';

test('a bank of RAM is drawn by how much of each column is what', () => {
  const line = new MemoryLine({ base: 0x1000, sizeBytes: 0x8000 }, 8);
  line.add('scratch', 0x1000, 0x1800);
  line.add('preserved', 0x3000, 0x1000);
  line.add('preserved', 0x4000, 0x10);
  line.add('map', 0x5000, 0x10);
  line.add('scratch', 0x6ff0, 0x10);
  line.add('wrong', 0x8fff, 1);
  line.add('preserved', 0x9000, 0x1000);
  line.add('preserved', 0, 0x1000);
  expect(line.render(pickHandover)).toMatchInlineSnapshot(`"ss#+ms.!"`);
});

test('a single page shows in a column of gigabytes', () => {
  const line = new MemoryLine({ base: 0, sizeBytes: 2 ** 44 }, 16);
  line.add('preserved', 2 ** 43, 4096);
  expect(line.render(pickHandover)).toBe('........+.......');
});

test('sizes are said in the unit that keeps them short', () => {
  expect([0, 73, 4096, 9863168, 2 ** 40, 2 ** 63].map(formatBytes)).toEqual([
    '0 B',
    '73 B',
    '4 KiB',
    '9.4 MiB',
    '1 TiB',
    '8 EiB',
  ]);
});

test('lines break at spaces, and words that are longer than a line are cut', () => {
  expect(wrap('one two three abcdefghijkl', 8)).toEqual(['one two', 'three', 'abcdefgh', 'ijkl']);
});
