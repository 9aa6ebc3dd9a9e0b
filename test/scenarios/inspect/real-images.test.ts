import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import { FIXTURES, loadFixture, patched } from './sparse-image.ts';

const IMAGES: readonly { name: string; candidates: readonly string[]; notes: readonly string[] }[] = [
  { name: 'linux-6.17.8-arm64-4k', candidates: ['6.17.8'], notes: [] },
  { name: 'linux-6.18.15-arm64-4k', candidates: ['6.18'], notes: [] },
  { name: 'linux-6.19.11-arm64-4k', candidates: ['6.19'], notes: ['luo-flb-node'] },
  { name: 'linux-7.1.13-arm64-4k', candidates: ['7.1-rc5', '7.1'], notes: [] },
  { name: 'linux-7.3.4-arm64-4k', candidates: ['7.2', '7.3'], notes: [] },
  { name: 'linux-7.3.4-arm64-64k', candidates: ['7.2', '7.3'], notes: [] },
];

describe.each(IMAGES)('what $name left in memory', ({ name, candidates, notes }) => {
  const expected: Record<string, unknown> = JSON.parse(readFileSync(join(FIXTURES, name, 'expected.json'), 'utf8'));

  test('equals what an independent reader found, field by field', () => {
    const { document } = inspectImage(patched(loadFixture(name), []), { list: true });
    const { image, release, findings, ...found } = JSON.parse(JSON.stringify(document));
    expect(found).toEqual(expected);
    expect(image.pageSize).toBe(expected['pageSize']);
    expect(release.candidates).toEqual(candidates);
    expect(findings.map((finding: { code: string }) => finding.code)).toEqual(notes);
  });
});
