import type { MemoryImage } from '../../../machine/image/memory-image.ts';
import { Random } from '../../../machine/random.ts';
import { patchText, randomPatch } from '../../../scenarios/fuzz/corruption.ts';
import { explainPage, formatPageExplanation } from '../../../scenarios/inspect/explain.ts';
import { FINDING_CODES } from '../../../scenarios/inspect/finding-codes.ts';
import { formatInspect } from '../../../scenarios/inspect/format.ts';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import { patched } from './sparse-image.ts';

/** What came of many corruptions. */
export interface CorruptionSummary {
  /** Runs that had a finding. */
  readonly withFindings: number;
  /** What was printed that no user should see, with the patch that led to it. */
  readonly nonsense: readonly string[];
}

/**
 * Corrupts the metadata of an image `runs` times, each time starting from the clean image, and inspects it. Contents are
 * hashed and people's output is made every few runs.
 * @throws whatever inspecting throws, which is nothing.
 */
export function corruptAndInspect(image: MemoryImage, runs: number, seed: number): CorruptionSummary {
  const { metadata } = inspectImage(patched(image, []), { contents: false });
  const random = new Random(seed);
  const nonsense: string[] = [];
  let withFindings = 0;
  for (let run = 0; run < runs; run++) {
    const patch = randomPatch(random, metadata);
    const result = inspectImage(patched(image, [patch]), { list: run % 16 === 0, contents: run % 16 === 0 });
    const { findings } = result.document;
    const shown = run % 8 === 0 ? [formatInspect(result), formatPageExplanation(explainPage(result, patch.phys))] : [];
    const texts = [...findings.map(({ severity, message, where }) => `${severity} ${message} ${where}`), ...shown];
    const bad = [
      ...texts.filter((text) => /undefined|NaN|\[object|null/.test(text)),
      ...shown.filter((text) => /.{81}/.test(text)),
    ];
    if (bad.length > 0 || findings.some(({ code }) => !Object.hasOwn(FINDING_CODES, code))) {
      nonsense.push(`${patchText(patch)}: ${bad.join('; ')}`);
    }
    if (findings.length > 0) withFindings++;
  }
  return { withFindings, nonsense };
}
