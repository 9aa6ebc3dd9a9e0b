import { type FuzzFinding, type ShrinkTask, shrinkTask } from './shrink.ts';
import { type Trial, trySeeds } from './try-plan.ts';

/** What a campaign has its workers do. */
export type FuzzTask =
  | { readonly kind: 'try'; readonly first: number; readonly count: number }
  | ({ readonly kind: 'shrink' } & ShrinkTask);

export type FuzzAnswer = { readonly trials: readonly Trial[] } | { readonly finding: FuzzFinding };

/** One task of a campaign, in a worker or in the main thread. */
export function doTask(task: FuzzTask): FuzzAnswer {
  return task.kind === 'try' ? { trials: trySeeds(task) } : { finding: shrinkTask(task) };
}
