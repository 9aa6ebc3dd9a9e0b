import type { MemoryImage } from '../../../machine/image/memory-image.ts';
import { Random } from '../../../machine/random.ts';
import { explainPage, formatPageExplanation } from '../../../scenarios/inspect/explain.ts';
import { FINDING_CODES } from '../../../scenarios/inspect/finding-codes.ts';
import { formatInspect } from '../../../scenarios/inspect/format.ts';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import type { MetadataPage } from '../../../scenarios/inspect/memory-map.ts';
import { type Patch, patched } from './sparse-image.ts';

/** u64s that are edges of something. */
const EDGES = [
  0n,
  1n,
  8n,
  0x1000n,
  2n ** 31n - 1n,
  2n ** 32n - 1n,
  2n ** 52n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
];

/** One to eight bytes of metadata changed: at random, to an edge, or into a pointer to other metadata. */
function randomPatch(random: Random, metadata: readonly MetadataPage[]): Patch {
  const range = random.pick(metadata);
  // Every other change hits the front of a page, where headers and pointers are.
  const reach = random.below(2) === 0 ? Math.min(range.sizeBytes, 512) : range.sizeBytes;
  const phys = range.phys + random.below(reach);
  if (random.below(3) !== 0) {
    return { phys, bytes: Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256)) };
  }
  const value = random.below(2) === 0 ? random.pick(EDGES) : BigInt(random.pick(metadata).phys);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return { phys: phys - (phys % 8), bytes };
}

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
      nonsense.push(`0x${patch.phys.toString(16)}:${Buffer.from(patch.bytes).toString('hex')}: ${bad.join('; ')}`);
    }
    if (findings.length > 0) withFindings++;
  }
  return { withFindings, nonsense };
}
