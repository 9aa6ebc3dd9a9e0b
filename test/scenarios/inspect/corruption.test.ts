import { describe, expect, test } from 'vitest';
import { Random } from '../../../machine/random.ts';
import { explainPage, formatPageExplanation } from '../../../scenarios/inspect/explain.ts';
import { FINDING_CODES } from '../../../scenarios/inspect/finding-codes.ts';
import { formatInspect } from '../../../scenarios/inspect/format.ts';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import { loadFixture, type Patch, patched } from './sparse-image.ts';

/** Bytes of a page that matter most: pointers and counts at the front. */
function somewhereIn(random: Random, sizeBytes: number): number {
  return random.below(random.below(2) === 0 ? Math.min(sizeBytes, 512) : sizeBytes);
}

const NASTY = [
  0n,
  1n,
  8n,
  0x1000n,
  0x7fff_ffffn,
  0xffff_ffffn,
  1n << 52n,
  1n << 53n,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
];

describe.each([
  { name: 'linux-6.17.8-arm64-4k', runs: 60 },
  { name: 'linux-6.19.11-arm64-4k', runs: 80 },
  { name: 'linux-7.3.4-arm64-4k', runs: 300 },
  { name: 'linux-7.3.4-arm64-64k', runs: 60 },
])('$name with $runs random corruptions of its metadata', ({ name, runs }) => {
  test('ends with findings or without, and never with an exception', () => {
    const image = loadFixture(name);
    const clean = inspectImage(patched(image, []));
    const metadata = clean.metadata;
    const random = new Random(20260701);
    const texts: string[] = [];
    let withFindings = 0;
    for (let run = 0; run < runs; run++) {
      let patch: Patch;
      const range = random.pick(metadata);
      const at = range.phys + somewhereIn(random, range.sizeBytes);
      if (random.below(3) === 0) {
        const value = random.below(2) === 0 ? random.pick(NASTY) : BigInt(random.pick(metadata).phys);
        const bytes = new Uint8Array(8);
        new DataView(bytes.buffer).setBigUint64(0, value, true);
        patch = { phys: at - (at % 8), bytes };
      } else {
        const bytes = Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256));
        patch = { phys: at, bytes };
      }
      const result = inspectImage(patched(image, [patch]), { list: run % 16 === 0, contents: run % 16 === 0 });
      for (const { code, severity, message, where } of result.document.findings) {
        if (!Object.hasOwn(FINDING_CODES, code)) expect(code).toBe('a documented code');
        texts.push(`${severity} ${message} ${where}`);
      }
      if (result.document.findings.length > 0) withFindings++;
      if (run % 8 === 0) texts.push(formatInspect(result), formatPageExplanation(explainPage(result, at)));
    }
    expect(texts.filter((text) => /undefined|NaN|\[object|null/.test(text))).toEqual([]);
    expect(withFindings).toBeGreaterThan(runs / 4);
  });
});
