import { LATEST_RELEASE } from '../../kernel/release.ts';
import { InputError } from '../input-error.ts';
import type { Scenario } from '../run/load.ts';
import { formatBytes, formatQuantity } from '../run/quantity.ts';
import { measureScenario } from './measure-scenario.ts';
import type { Measurement } from './measurement.ts';
import type { CompareNote } from './result.ts';

/** Scratch of this share of RAM or more is worth a word. */
const MUCH_SCRATCH = 1 / 10;

/** MAX_PAGE_ORDER for smaller blocks: scratch areas of 32 MiB at 64K, as arm64's 16K kernels have them. */
const BLOCK_BYTES = 32 * 2 ** 20;

function scratchOf({ jump }: Measurement): number {
  return jump?.scratch.reduce((sum, area) => sum + area.sizeBytes, 0) ?? 0;
}

function percent(share: number): string {
  return `${Math.round(share * 1000) / 10} %`;
}

/** What each page size cannot do with this workload, and what to do about it: with what a run with the remedy gave. */
export function notesOf(
  measurements: readonly Measurement[],
  scenario: Scenario | undefined,
  seed: number | undefined,
): CompareNote[] {
  const notes: CompareNote[] = [];
  for (const of of measurements) {
    const column = of.page.name;
    if (!of.works) notes.push({ column, kind: 'limit', text: `does not come through: ${of.reason ?? of.outcome}` });
    const share = scratchOf(of) / of.ramBytes;
    if (share < MUCH_SCRATCH && of.works) continue;
    notes.push({
      column,
      kind: 'limit',
      text:
        `scratch areas are aligned to, and rounded up to, ${formatBytes(of.scratchAlignBytes)} ` +
        `(a block of MAX_PAGE_ORDER)` +
        (of.works ? `: ${formatBytes(scratchOf(of))} of ${formatBytes(of.ramBytes)}, ${percent(share)} of RAM` : ''),
    });
    if (scenario !== undefined && scenario.spec.kernel.release === LATEST_RELEASE.name)
      notes.push(...remedies(of, scenario, seed));
  }
  return notes;
}

function remedies(of: Measurement, scenario: Scenario, seed: number | undefined): CompareNote[] {
  const one = `kho_scratch=${formatQuantity(of.scratchAlignBytes)},0,0`;
  const order = Math.log2(BLOCK_BYTES / of.page.sizeBytes);
  const tries = [
    { what: `${one} (one area)`, options: { cmdline: one } },
    { what: `a kernel with MAX_PAGE_ORDER ${order} (ARCH_FORCE_MAX_ORDER)`, options: { maxPageOrder: order } },
  ];
  return tries.map(({ what, options }) => {
    const got = attempt(of, scenario, { seed, ...options });
    const text =
      got === undefined || !got.works
        ? `${what}: does not come through either${got?.reason ? ` (${got.reason})` : ''}`
        : `${what}: comes through with ${formatBytes(scratchOf(got))} of scratch, ${percent(scratchOf(got) / got.ramBytes)} of RAM`;
    return { column: of.page.name, kind: 'remedy', text };
  });
}

function attempt(
  of: Measurement,
  scenario: Scenario,
  options: Parameters<typeof measureScenario>[2],
): Measurement | undefined {
  try {
    return measureScenario(scenario, of.page, options);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}
