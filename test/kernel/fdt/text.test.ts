import { expect, test } from 'vitest';
import { fdtErrName, isFdtErr } from '../../../kernel/fdt/error.ts';
import { be32, be64, headerSizeOf, setBe32, setBe64, tagAlign } from '../../../kernel/fdt/layout.ts';
import { bytesOfText, cString, findNul, textOfBytes } from '../../../kernel/fdt/text.ts';

test('names are UTF-8, from one byte a character to four', () => {
  const text = ['\0\x7f', '\x80\u07ff', '\u0800\uffff', '\u{10000}\u{10ffff}', 'aé€😀'];
  for (const each of text) expect([...bytesOfText(each)]).toEqual([...new TextEncoder().encode(each)]);
  expect([...cString('ab')]).toEqual([0x61, 0x62, 0]);
});

test('foreign bytes are shown so that no two look alike', () => {
  expect(textOfBytes(Uint8Array.of(0x1f, 0x20, 0x41, 0x5c, 0x7e, 0x7f, 0x80, 0x0a))).toBe(
    '\\x1f A\\\\~\\x7f\\x80\\x0a',
  );
});

test('a NUL counts up to the end, not there', () => {
  const bytes = Uint8Array.of(0, 1, 2, 0, 5);
  expect([findNul(bytes, 0, 5), findNul(bytes, 1, 5), findNul(bytes, 1, 4)]).toEqual([0, 3, 3]);
  expect([findNul(bytes, 1, 3), findNul(bytes, 4, 5)]).toEqual([-1, -1]);
});

test('numbers are big-endian, and what is missing of one reads as 0', () => {
  const bytes = new Uint8Array(13);
  setBe64(bytes, 0, 0x0123_4567_89ab_cdefn);
  setBe32(bytes, 8, 0xfedc_ba98);
  expect([...bytes.subarray(0, 12)]).toEqual([1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98]);
  expect([be64(bytes, 0), be32(bytes, 8), be32(bytes, 4)]).toEqual([0x0123_4567_89ab_cdefn, 0xfedc_ba98, 0x89ab_cdef]);
  const short = Uint8Array.of(0x81, 0x82, 0x83, 0x84);
  expect([1, 2, 3, 4].map((at) => be32(short, at))).toEqual([0x8283_8400, 0x8384_0000, 0x8400_0000, 0]);
});

test('older versions have shorter headers', () => {
  expect([1, 2, 3, 16, 17, 18].map(headerSizeOf)).toEqual([28, 32, 36, 36, 40, 40]);
  expect([0, 1, 4, 5].map(tagAlign)).toEqual([0, 4, 4, 8]);
});

test('errors of libfdt are negative numbers with names', () => {
  expect([-1, -19, 0, 1, '-1', undefined, null, { length: -1 }].map(isFdtErr)).toEqual([
    ...[true, true],
    ...[false, false, false, false, false, false],
  ]);
  expect([fdtErrName(-3), fdtErrName(-8), fdtErrName(-77)]).toEqual(['FDT_ERR_NOSPACE', 'FDT_ERR_TRUNCATED', '-77']);
});
