import fc from 'fast-check';
import { releaseByName } from '../../kernel/release.ts';
import { fieldOf, type PlanStep, stepOf } from './plan.ts';

/*
 * Lost writes for a random scenario: from some step on, what the kernel writes to some part of what it leaves never reaches
 * RAM. Drawn apart from the steps, so that it can be aimed at what they make.
 */

/** Where, and at what. */
export interface LostWrite {
  readonly at: number;
  readonly which: number;
  /** A cache line in place of all: its number; 0 for all. */
  readonly line: number;
}

export const lostWrite: fc.Arbitrary<LostWrite> = fc.record({
  at: fc.nat(99),
  which: fc.nat(99),
  line: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 16 })),
});

const CACHE_LINE_BYTES = 64;

/** What may be aimed at in a kernel of a release, given the steps of the whole scenario. */
function targetsOf(steps: readonly PlanStep[], release: string): readonly PlanStep[] {
  const isTree = releaseByName(release)?.map.format === 'radix-tree';
  const map = isTree ? ['tree-leaf', 'tree-leaf', 'tree-node', 'tree-root'] : ['bitmap', 'bitmap', 'chunk'];
  const targets: PlanStep[] = [...map, 'fdt', 'scratch-array'].map((what) => ({ what }));
  for (const step of steps) {
    const { verb, spec } = stepOf(step);
    const name = fieldOf(spec, 'name');
    const files = fieldOf(spec, 'files');
    if (verb === 'add subtree') targets.push({ what: 'subtree', name });
    if (verb === 'session' && Array.isArray(files) && files.length > 0) targets.push({ what: 'session-files', name });
  }
  return targets;
}

/** The steps with a lost write among them; a jump has to come behind them. @param release of the first kernel. */
export function withLostWrite(steps: readonly PlanStep[], lost: LostWrite, release: string): readonly PlanStep[] {
  const at = lost.at % (steps.length + 1);
  let now = release;
  for (const step of steps.slice(0, at)) {
    const to = fieldOf(stepOf(step).spec, 'release');
    if (stepOf(step).verb === 'kexec' && typeof to === 'string') now = to;
  }
  const targets = targetsOf(steps, now);
  const target = targets[lost.which % targets.length];
  const line = lost.line === 0 ? {} : { offset: (lost.line - 1) * CACHE_LINE_BYTES, size: CACHE_LINE_BYTES };
  return [...steps.slice(0, at), { corrupt: { ...target, stale: true, ...line } }, ...steps.slice(at)];
}
