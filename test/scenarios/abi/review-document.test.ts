import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { reviewDocument } from '../../../scenarios/abi/review-document.ts';

const FILE = new URL('../../../docs/review-of-the-radix-patch.md', import.meta.url);

test('the review of the radix patch is what contracts and runs say today', () => {
  const text = reviewDocument();
  expect(readFileSync(FILE, 'utf8'), 'run `npm run docs` and look at what changed').toBe(text);
  expect(text.match(/^\| \d+ \|/gm)).toHaveLength(21);
  expect(text).toMatch(/kho-radix-rfc-v1 → 6\.18 \| 4K \| corrupt/);
  expect(text).toMatch(/kho-v2 \| 4 \| order 0: (\d+) of \1/);
  for (const page of ['4K', '16K', '64K']) {
    expect(text).toContain(`| kho-radix-rfc-v1 → kho-radix-rfc-v1 | ${page} | handover | 0 | everything came back |`);
  }
});
