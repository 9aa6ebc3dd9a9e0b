import { type BankView, type MemoryModel, type PageState, STATE_KINDS } from './model.ts';

/*
 * RAM as runs of pages in one state. Banks are laid end to end, holes left out: a page's place in that row is its
 * `slot`. A frame holds only what differs from the frame before, as a text of numbers:
 *
 *     skip, length, state,   skip, length, state, ...
 *
 * so many slots as before, then so many in this state. Each number is written with 5 bits to a character, lowest first.
 */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const VALUES = new Uint8Array(128).map((_, code) => Math.max(ALPHABET.indexOf(String.fromCharCode(code)), 0));

/** Writes whole numbers from 0 up to 2^53 as text. */
export function encodeNumbers(numbers: Iterable<number>): string {
  let out = '';
  for (const number of numbers) {
    let rest = number;
    while (rest >= 32) {
      out += ALPHABET[(rest % 32) + 32];
      rest = Math.floor(rest / 32);
    }
    out += ALPHABET[rest];
  }
  return out;
}

/** Reads what `encodeNumbers` wrote. */
export function decodeNumbers(text: string): number[] {
  const out: number[] = [];
  let value = 0;
  let unit = 1;
  for (let i = 0; i < text.length; i++) {
    const digit = VALUES[text.charCodeAt(i) & 127] as number;
    value += (digit % 32) * unit;
    if (digit >= 32) {
      unit *= 32;
      continue;
    }
    out.push(value);
    value = 0;
    unit = 1;
  }
  return out;
}

/** All slots of RAM: run `i` begins at `starts[i]`, ends where the next begins, and is in state `states[i]`. */
export interface Runs {
  readonly starts: readonly number[];
  readonly states: readonly number[];
  readonly nrSlots: number;
}

/** RAM full of state 0. */
export function emptyRuns(nrSlots: number): Runs {
  return { starts: [0], states: [0], nrSlots };
}

/** Puts runs together, merging neighbours in one state. */
export class RunBuilder {
  readonly #starts: number[] = [];
  readonly #states: number[] = [];
  #at = 0;

  /** Appends `length` slots. */
  add(length: number, state: number): void {
    if (length <= 0) return;
    if (this.#states.at(-1) !== state) {
      this.#starts.push(this.#at);
      this.#states.push(state);
    }
    this.#at += length;
  }

  get nrSlots(): number {
    return this.#at;
  }

  finish(): Runs {
    return { starts: this.#starts, states: this.#states, nrSlots: this.#at };
  }
}

/** How `after` differs from `before`. */
export function diffRuns(before: Runs, after: Runs): string {
  const numbers: number[] = [];
  let b = 0;
  let a = 0;
  let at = 0;
  let unchangedFrom = 0;
  let from = -1;
  let state = -1;
  const flush = (): void => {
    if (from < 0) return;
    numbers.push(from - unchangedFrom, at - from, state);
    unchangedFrom = at;
    from = -1;
  };
  while (at < after.nrSlots) {
    const was = before.states[b] as number;
    const is = after.states[a] as number;
    const endB = before.starts[b + 1] ?? before.nrSlots;
    const endA = after.starts[a + 1] ?? after.nrSlots;
    if (was === is || (from >= 0 && is !== state)) flush();
    if (was !== is && from < 0) {
      from = at;
      state = is;
    }
    at = Math.min(endA, endB);
    if (at === endA) a++;
    if (at === endB) b++;
  }
  flush();
  return encodeNumbers(numbers);
}

/** Applies what `diffRuns` wrote. */
export function applyRuns(before: Runs, diff: string): Runs {
  const numbers = decodeNumbers(diff);
  const builder = new RunBuilder();
  let b = 0;
  const copyTo = (end: number): void => {
    while (builder.nrSlots < end) {
      while ((before.starts[b + 1] ?? before.nrSlots) <= builder.nrSlots) b++;
      const stop = Math.min(end, before.starts[b + 1] ?? before.nrSlots);
      builder.add(stop - builder.nrSlots, before.states[b] as number);
    }
  };
  for (let i = 0; i < numbers.length; i += 3) {
    copyTo(builder.nrSlots + (numbers[i] as number));
    builder.add(numbers[i + 1] as number, numbers[i + 2] as number);
  }
  copyTo(before.nrSlots);
  return builder.finish();
}

/** Index of the run that a slot lies in. */
export function runAt(runs: Runs, slot: number): number {
  let low = 0;
  let high = runs.starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((runs.starts[middle] as number) <= slot) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The state number of a slot. */
export function stateAt(runs: Runs, slot: number): number {
  return runs.states[runAt(runs, slot)] as number;
}

/** How bad a state is: of the pages of a column, the worst one shows. Among equal kinds the higher order. */
export function rankOf(state: PageState | undefined): number {
  return state === undefined ? -1 : STATE_KINDS.indexOf(state.kind) * 128 + state.order + 1;
}

/** `rankOf` of all states. */
export function ranksOf(model: MemoryModel): Float64Array {
  return Float64Array.from(model.states, rankOf);
}

/**
 * What each of `width` columns shows of the slots [from, to): the state of the worst page in it, or -1 beyond RAM.
 * Costs the runs in view and the columns, not the pages.
 */
export function columnStates(runs: Runs, ranks: Float64Array, from: number, to: number, width: number): Int32Array {
  const out = new Int32Array(width).fill(-1);
  const perColumn = (to - from) / width;
  if (!(perColumn > 0)) return out;
  for (let r = runAt(runs, Math.max(0, Math.floor(from))); r < runs.starts.length; r++) {
    const start = runs.starts[r] as number;
    const end = runs.starts[r + 1] ?? runs.nrSlots;
    if (start >= to) break;
    const state = runs.states[r] as number;
    const first = Math.max(0, Math.floor((start - from) / perColumn));
    const last = Math.min(width - 1, Math.ceil((end - from) / perColumn) - 1);
    for (let column = first; column <= last; column++) {
      const have = out[column] as number;
      if (have < 0 || (ranks[state] as number) > (ranks[have] as number)) out[column] = state;
    }
  }
  return out;
}

/** How many pages are in each state. */
export function countStates(runs: Runs, nrStates: number): Float64Array {
  const counts = new Float64Array(nrStates);
  for (const [i, state] of runs.states.entries()) {
    const length = (runs.starts[i + 1] ?? runs.nrSlots) - (runs.starts[i] as number);
    counts[state] = (counts[state] as number) + length;
  }
  return counts;
}

/** The first slot at or behind `from` whose state passes; from the start again when there is none; -1 for none at all. */
export function findSlot(runs: Runs, from: number, passes: (state: number) => boolean): number {
  const first = runAt(runs, Math.min(Math.max(from, 0), runs.nrSlots - 1));
  for (let i = 0; i < runs.starts.length + 1; i++) {
    const r = (first + i) % runs.starts.length;
    if (!passes(runs.states[r] as number)) continue;
    const start = runs.starts[r] as number;
    const end = runs.starts[r + 1] ?? runs.nrSlots;
    if (i === 0 && from < end) return Math.max(from, start);
    return start;
  }
  return -1;
}

/** Slots of all banks together. */
export function nrSlotsOf(banks: readonly BankView[]): number {
  return banks.reduce((sum, bank) => sum + bank.nrPages, 0);
}

/** The slot of a page frame; -1 outside RAM. */
export function slotOfPfn(banks: readonly BankView[], pfn: number): number {
  let before = 0;
  for (const bank of banks) {
    if (pfn >= bank.pfn && pfn < bank.pfn + bank.nrPages) return before + pfn - bank.pfn;
    before += bank.nrPages;
  }
  return -1;
}

/** The page frame at a slot. */
export function pfnOfSlot(banks: readonly BankView[], slot: number): number {
  let rest = slot;
  for (const bank of banks) {
    if (rest < bank.nrPages) return bank.pfn + rest;
    rest -= bank.nrPages;
  }
  return -1;
}
