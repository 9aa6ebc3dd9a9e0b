import type { BankView, PageState } from '../report/client/model.ts';
import { nrSlotsOf, RunBuilder, type Runs } from '../report/client/runs.ts';

/** Numbers the states of pages: equal states have one number. State 0 is free memory. */
export class StateNumbers {
  readonly states: PageState[] = [];
  readonly #numbers = new Map<string, number>();

  constructor() {
    this.numberOf({ kind: 'free', order: -1, owner: '', writer: '' });
  }

  numberOf(state: PageState): number {
    const key = `${state.kind}|${state.order}|${state.owner}|${state.writer}`;
    const have = this.#numbers.get(key);
    if (have !== undefined) return have;
    const number = this.states.push(state) - 1;
    this.#numbers.set(key, number);
    return number;
  }
}

/** Ranges of page frames to be painted, each in a state. They may come in any order; of overlapping ones the later wins. */
export class Layer {
  readonly pfns: number[] = [];
  readonly lengths: number[] = [];
  readonly states: number[] = [];
  readonly #units: number;

  /** @param units how many frames of the picture is one of those that are added. */
  constructor(units = 1) {
    this.#units = units;
  }

  add(pfn: number, nrPages: number, state: number): void {
    if (nrPages <= 0) return;
    this.pfns.push(pfn * this.#units);
    this.lengths.push(nrPages * this.#units);
    this.states.push(state);
  }
}

/**
 * RAM as runs, layer over layer.
 *
 *     free        ..............................
 *     scratch        sssssss
 *     preserved           ##   #     ####
 *     result      ...sssss##...#.....####.......
 *
 * A layer costs its ranges and the runs that are there, not pages.
 */
export class Painter {
  readonly banks: readonly BankView[];
  #runs: Runs;

  constructor(banks: readonly BankView[]) {
    this.banks = banks;
    this.#runs = { starts: [0], states: [0], nrSlots: nrSlotsOf(banks) };
  }

  get runs(): Runs {
    return this.#runs;
  }

  /**
   * Paints a layer over what is there.
   * @param over asked with the state below and the layer's: the state that is to show. The layer's, left out.
   */
  paint(layer: Layer, over?: (below: number, above: number) => number): void {
    const pieces = this.#piecesOf(layer);
    if (pieces.length === 0) return;
    const below = this.#runs;
    const builder = new RunBuilder();
    let run = 0;
    const take = (end: number, above: number | undefined): void => {
      while (builder.nrSlots < end) {
        while ((below.starts[run + 1] ?? below.nrSlots) <= builder.nrSlots) run++;
        const stop = Math.min(end, below.starts[run + 1] ?? below.nrSlots);
        const under = below.states[run] as number;
        const state = above === undefined ? under : over === undefined ? above : over(under, above);
        builder.add(stop - builder.nrSlots, state);
      }
    };
    for (const { start, end, state } of pieces) {
      take(start, undefined);
      take(end, state);
    }
    take(below.nrSlots, undefined);
    this.#runs = builder.finish();
  }

  /** The layer in slots, sorted and apart from each other. */
  #piecesOf(layer: Layer): Piece[] {
    const pieces: Piece[] = [];
    let before = 0;
    for (const bank of this.banks) {
      for (const [i, pfn] of layer.pfns.entries()) {
        const start = Math.max(pfn, bank.pfn);
        const end = Math.min(pfn + (layer.lengths[i] as number), bank.pfn + bank.nrPages);
        if (start >= end) continue;
        const state = layer.states[i] as number;
        pieces.push({ start: before + start - bank.pfn, end: before + end - bank.pfn, state, rank: i });
      }
      before += bank.nrPages;
    }
    pieces.sort((a, b) => a.start - b.start || a.rank - b.rank);
    return apart(pieces);
  }
}

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly state: number;
  readonly rank: number;
}

/** Cuts sorted pieces that overlap, so that of two the later painted shows. */
function apart(pieces: readonly Piece[]): Piece[] {
  const out: Piece[] = [];
  for (let i = 0; i < pieces.length; ) {
    // A cluster: pieces that overlap one another, directly or in a chain. Mostly a single one.
    let end = (pieces[i] as Piece).end;
    let next = i + 1;
    for (let piece = pieces[next]; piece !== undefined && piece.start < end; piece = pieces[next]) {
      end = Math.max(end, piece.end);
      next++;
    }
    if (next === i + 1) out.push(pieces[i] as Piece);
    else cutCluster(pieces.slice(i, next), out);
    i = next;
  }
  return out;
}

/** Paints the later pieces first, and of each earlier one what they leave: the gaps are kept as linked skips. */
function cutCluster(cluster: readonly Piece[], out: Piece[]): void {
  const cuts = [...new Set(cluster.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  const at = new Map(cuts.map((cut, i) => [cut, i]));
  const shown = new Array<Piece | undefined>(cuts.length).fill(undefined);
  // skip[i]: the first stretch from i on that nobody has painted yet.
  const skip = cuts.map((_, i) => i);
  const free = (from: number): number => {
    let to = from;
    while (skip[to] !== to && skip[to] !== undefined) to = skip[to] as number;
    for (let i = from; i !== to; ) {
      const following = skip[i] as number;
      skip[i] = to;
      i = following;
    }
    return to;
  };
  for (const piece of [...cluster].sort((a, b) => b.rank - a.rank)) {
    const end = at.get(piece.end) ?? 0;
    for (let i = free(at.get(piece.start) ?? 0); i < end; i = free(i)) {
      shown[i] = piece;
      skip[i] = i + 1;
    }
  }
  for (const [i, piece] of shown.entries()) {
    if (piece !== undefined) out.push({ ...piece, start: cuts[i] as number, end: cuts[i + 1] as number });
  }
}

/**
 * Makes runs coarser until there are no more than `maxRuns`: ever larger grains, each in the state of its worst page.
 * @param rankOf how bad a state is.
 * @returns the runs and the pages of a grain.
 */
export function coarsen(
  runs: Runs,
  maxRuns: number,
  rankOf: (state: number) => number,
): { readonly runs: Runs; readonly grainPages: number } {
  let grainPages = 1;
  let coarse = runs;
  while (coarse.starts.length > maxRuns) {
    grainPages *= 4;
    coarse = coarsenTo(runs, grainPages, rankOf);
  }
  return { runs: coarse, grainPages };
}

/** Runs in which each grain of so many pages is in the state of its worst page. */
export function coarsenTo(runs: Runs, grain: number, rankOf: (state: number) => number): Runs {
  const builder = new RunBuilder();
  let open = -1;
  let worst = 0;
  const close = (upTo: number): void => {
    if (open >= 0) builder.add(Math.min(upTo, runs.nrSlots) - builder.nrSlots, worst);
    open = -1;
  };
  for (const [i, start] of runs.starts.entries()) {
    const end = runs.starts[i + 1] ?? runs.nrSlots;
    const state = runs.states[i] as number;
    const first = Math.floor(start / grain);
    const last = Math.floor((end - 1) / grain);
    if (open >= 0 && open !== first) close((open + 1) * grain);
    if (open < 0) {
      open = first;
      worst = state;
    } else if (rankOf(state) > rankOf(worst)) worst = state;
    if (last > first) {
      close((first + 1) * grain);
      builder.add(last * grain - builder.nrSlots, state);
      open = last;
      worst = state;
    }
  }
  close(runs.nrSlots);
  return builder.finish();
}
