import { ENOENT } from '../../kernel/errno.ts';
import type { Evidence, Jump, Symptom } from './evidence.ts';

/*
 * What the contracts of two releases say about a jump between them, before anything is looked at: whether the new kernel
 * takes the handover over, and with which words it refuses.
 */

/** How a jump has to end. */
export type Prediction =
  | { readonly start: 'handover' }
  /** `says` is in the reason; empty when a kernel that finds nothing says nothing. */
  | { readonly start: 'cold-boot'; readonly says: string }
  | { readonly start: 'panic'; readonly says: string };

/** What LUO of 7.0 says when its predecessor left no FLB node (6.19), under a string that is the same. */
const NO_FLB_NODE = 'The incoming tree failed to initialize properly [-2]';

/** Whether LUO's part was left by a release without FLBs for one that cannot do without. */
export function lacksFlbNode({ old, next, oldLuo, readsLuo }: Jump): boolean {
  return oldLuo && readsLuo && old.luo !== undefined && old.flb === undefined && next.flb !== undefined;
}

/** Whether the memory map may have been left at 0: only a kernel that finalises between load and jump can do that. */
function mayLackMap({ old }: Jump): boolean {
  return old.quirks.finalize === 'before-jump';
}

/** Predicts a jump whose handover nobody changed. Several predictions: which one it is, is for the run's steps to decide. */
export function predict(jump: Jump): readonly Prediction[] {
  if (!jump.handed) return [{ start: 'cold-boot', says: '' }];
  const { old, next } = jump;
  if (old.root.compatible !== next.root.compatible) {
    return [{ start: 'cold-boot', says: `is incompatible with '${next.root.compatible}'` }];
  }
  const all: Prediction[] = [];
  if (mayLackMap(jump) && next.quirks.populateChecksMap) {
    // The property is there, and 0: nothing is said but that there will be no revival.
    all.push({ start: 'cold-boot', says: next.messages.disablingRevival.replace('%d', `${ENOENT}`) });
  }
  all.push(lacksFlbNode(jump) ? { start: 'panic', says: NO_FLB_NODE } : { start: 'handover' });
  return all;
}

/** The jumps that came to another end than the contracts say. A kernel that fell over is a symptom already. */
export function wrongStarts({ jumps }: Evidence): Symptom[] {
  const symptoms: Symptom[] = [];
  for (const jump of jumps) {
    if (jump.corrupted.length > 0) continue;
    const predictions = predict(jump);
    const isRight = predictions.some(
      (each) => each.start === jump.outcome && (each.start === 'handover' || jump.reason.includes(each.says)),
    );
    const fell = jump.outcome === 'panic' || jump.outcome === 'oops';
    const mustFall = predictions.every(({ start }) => start === 'panic');
    if (isRight || (fell && !mustFall && predictions.some(({ start }) => start === 'handover'))) continue;
    const wanted = predictions
      .map((each) => ('says' in each ? `${each.start} (${each.says})` : each.start))
      .join(' or ');
    const text = `kernel ${jump.to}: ${jump.outcome} (${jump.reason}) where the contracts say ${wanted}`;
    symptoms.push({ kind: 'start', kernel: jump.to, text });
  }
  return symptoms;
}
