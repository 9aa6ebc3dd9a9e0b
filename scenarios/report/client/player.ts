import type { Frame, ImageView, PatchView, RunView } from './model.ts';
import { applyRuns, emptyRuns, nrSlotsOf, type Runs, ranksOf, stateAt } from './runs.ts';

/** A point in a page's life. */
export interface HistoryEntry {
  readonly frame: number;
  /** Number of its state from here on. */
  readonly state: number;
}

/**
 * Plays a report's frames, forwards and backwards: RAM at any of them, and the control state of the kernel that ran
 * then. Going back undoes patches with their inverses, as the simulator itself would.
 */
export class Player {
  readonly view: RunView | ImageView;
  readonly ranks: Float64Array;
  readonly #runs: Runs[] = [];
  #index = 0;
  #control: unknown = null;
  /** Control states that a new kernel replaced, to go back to. */
  readonly #replaced: unknown[] = [];

  constructor(view: RunView | ImageView) {
    this.view = view;
    this.ranks = ranksOf(view.memory);
    let runs = emptyRuns(nrSlotsOf(view.memory.banks));
    for (const frame of view.frames) {
      runs = applyRuns(runs, frame.runs);
      this.#runs.push(runs);
    }
    const first = view.frames[0];
    if (first?.control.kind === 'state') this.#control = first.control.state;
  }

  get index(): number {
    return this.#index;
  }

  get frame(): Frame {
    return this.frameAt(this.#index);
  }

  frameAt(index: number): Frame {
    const frame = this.view.frames[index];
    if (frame === undefined) throw new RangeError(`there is no frame ${index}`);
    return frame;
  }

  /** Control state of the kernel that runs in the present frame. */
  get control(): unknown {
    return this.#control;
  }

  /** RAM at a frame. */
  runsAt(index: number): Runs {
    return this.#runs[Math.min(Math.max(index, 0), this.#runs.length - 1)] as Runs;
  }

  /** Goes to a frame, one by one through those between. */
  goTo(index: number): void {
    const target = Math.min(Math.max(index, 0), this.view.frames.length - 1);
    while (this.#index < target) this.#forward();
    while (this.#index > target) this.#backward();
  }

  #forward(): void {
    const { control } = this.frameAt(++this.#index);
    if (control.kind === 'state') {
      this.#replaced.push(this.#control);
      this.#control = control.state;
    } else this.#control = applyPatches(this.#control, control.patches);
  }

  #backward(): void {
    const { control } = this.frameAt(this.#index--);
    if (control.kind === 'state') this.#control = this.#replaced.pop();
    else this.#control = applyPatches(this.#control, control.inverse);
  }

  /** The frame of the first thing that went wrong; -1 when nothing did. */
  get firstBad(): number {
    return this.view.frames.findIndex((frame) => frame.bad.length > 0 || !frame.ok);
  }

  /** When a page changed its state. */
  historyOf(slot: number): HistoryEntry[] {
    const out: HistoryEntry[] = [];
    for (const [frame, runs] of this.#runs.entries()) {
      const state = stateAt(runs, slot);
      if (out.at(-1)?.state !== state) out.push({ frame, state });
    }
    return out;
  }
}

/** Applies immer's patches to plain JSON; what they do not touch is shared with the state before. */
export function applyPatches(state: unknown, patches: readonly PatchView[]): unknown {
  let result = state;
  for (const patch of patches) result = applyAt(result, patch, 0);
  return result;
}

function applyAt(state: unknown, patch: PatchView, depth: number): unknown {
  const key = patch.path[depth];
  if (key === undefined) return patch.value;
  const last = depth === patch.path.length - 1;
  if (Array.isArray(state)) {
    const copy: unknown[] = state.slice();
    if (key === 'length') copy.length = Number(patch.value);
    else if (!last) copy[Number(key)] = applyAt(copy[Number(key)], patch, depth + 1);
    else if (patch.op === 'add') copy.splice(Number(key), 0, patch.value);
    else if (patch.op === 'remove') copy.splice(Number(key), 1);
    else copy[Number(key)] = patch.value;
    return copy;
  }
  const copy: Record<string, unknown> = { ...(state as Record<string, unknown>) };
  if (!last) copy[String(key)] = applyAt(copy[String(key)], patch, depth + 1);
  else if (patch.op === 'remove') delete copy[String(key)];
  else copy[String(key)] = patch.value;
  return copy;
}
