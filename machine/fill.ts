import type { PageSize } from './page-size.ts';
import { mix32 } from './random.ts';

/**
 * What an unwritten page holds, without storing it. The content depends on (kind, seed, pfn) alone, so no two pages of
 * a fill are alike, and a page can be told from its neighbour after a mix-up.
 *
 * - `zero`: what the power button leaves.
 * - `ones`: every bit set.
 * - `junk`: what a kernel's free page is filled with, so that a missing reservation shows up as damage.
 * - `pattern`: content that a scenario wants back after the handover.
 * - `ramp`: words that rise in even steps from a random start: content whose sum is known without looking.
 * - `image`: what a memory image says, fetched when somebody looks; `seed` tells several sources apart.
 */
export interface Fill {
  readonly kind: 'zero' | 'ones' | 'junk' | 'pattern' | 'ramp' | 'image';
  readonly seed: number;
  /** Where an `image` comes from. */
  readonly source?: PageSource;
  /** For pages that were copied whole: each holds what the fill gives the page `shift` further on (of its own pages). */
  readonly shift?: number;
  /** log2 of the bytes of the pages that it was made for, where the memory it lies in has others now. */
  readonly pageShift?: number;
}

/** Content of pages that is kept elsewhere, too large to be copied. */
export interface PageSource {
  /** Writes the content of page `pfn` into `words`, all of them. */
  readPage(pfn: number, words: Uint32Array): void;
}

export const ZERO_FILL: Fill = Object.freeze({ kind: 'zero', seed: 0 });

/** Every bit set. */
export const ONES_FILL: Fill = Object.freeze({ kind: 'ones', seed: 0 });

/** Junk as the kernel with this seed leaves it. */
export function junk(seed: number): Fill {
  return { kind: 'junk', seed };
}

/** Content of a scenario, unique to (seed, pfn). */
export function pattern(seed: number): Fill {
  return { kind: 'pattern', seed };
}

/** Content for whoever checks it by a sum, unique to (seed, pfn). */
export function ramp(seed: number): Fill {
  return { kind: 'ramp', seed };
}

/** What pages that `fill` gave their content hold after a copy to `distance` pages further on, in memory of such pages. */
export function copiedFill(fill: Fill, distance: number, page: PageSize): Fill {
  if (fill.kind === 'zero') return fill;
  const own = fill.pageShift === undefined ? distance : distance * 2 ** (page.shift - fill.pageShift);
  return { ...fill, shift: (fill.shift ?? 0) - own };
}

/** What a fill of memory with pages of one size is called in memory with pages of another: the same bytes. */
export function fillUnderPage(fill: Fill, from: PageSize, to: PageSize): Fill {
  const { pageShift = from.shift, ...same } = fill;
  return fill.kind === 'zero' || pageShift === to.shift ? same : { ...same, pageShift };
}

/** Whether two fills give every page the same content. */
export function sameFill(a: Fill, b: Fill): boolean {
  return a.kind === b.kind && a.seed === b.seed && (a.shift ?? 0) === (b.shift ?? 0) && a.pageShift === b.pageShift;
}

/** Whether only a look at the bytes tells what two fills that are not the same have in common. */
export function maybeSameBytes(a: Fill, b: Fill): boolean {
  return a.kind === 'image' || b.kind === 'image' || a.pageShift !== b.pageShift;
}

/** The content that a source has for each page. */
export function imageFill(source: PageSource, seed: number): Fill {
  return { kind: 'image', seed, source };
}

/**
 * Writes the content that `fill` gives page `pfn` into `words` (the page as 32-bit little-endian words). Eight bytes
 * of it may be zero by chance, a page never is, save under `zero`.
 */
export function generatePage(fill: Fill, pfn: number, words: Uint32Array): void {
  if (fill.kind === 'zero' || fill.kind === 'ones') {
    words.fill(fill.kind === 'zero' ? 0 : 0xffff_ffff);
    return;
  }
  if (fill.pageShift !== undefined) {
    generateAcross(fill, fill.pageShift, pfn, words);
    return;
  }
  const of = pfn + (fill.shift ?? 0);
  if (fill.source !== undefined) {
    fill.source.readPage(of, words);
    return;
  }
  if (fill.kind === 'ramp') {
    const { start, step } = rampOf(fill.seed, of);
    for (let i = 0, word = start; i < words.length; i++, word += step) words[i] = word;
    return;
  }
  let state = mix32(fill.seed ^ (fill.kind === 'junk' ? 0x6a75_6e6b : 0x7061_7474));
  state = mix32(state ^ (of >>> 0)) ^ mix32(Math.floor(of / 0x1_0000_0000) + 0x9e37);
  if (state === 0) state = 0x6b68_6f21;
  const quarter = words.length >>> 2;
  if (words.length % 4 !== 0 || quarter < SHORTEST_LANE) {
    for (let i = 0; i < words.length; i++) words[i] = state = xorshift(state);
    return;
  }
  // The four quarters of the sequence side by side: a processor does their steps at the same time.
  const leap = leapOf(quarter);
  let a = state;
  let b = jumped(leap, a);
  let c = jumped(leap, b);
  let d = jumped(leap, c);
  for (let i = 0; i < quarter; i++) {
    words[i] = a = xorshift(a);
    words[quarter + i] = b = xorshift(b);
    words[2 * quarter + i] = c = xorshift(c);
    words[3 * quarter + i] = d = xorshift(d);
  }
}

/** The page that `generateAcross` made last: whoever reads small pages out of a large one comes again. */
const lastWhole = { fill: undefined as Fill | undefined, at: -1, words: new Uint32Array(0) };

/** As `generatePage`, for a page that is put together of parts of pages of another size. */
function generateAcross(fill: Fill, pageShift: number, pfn: number, words: Uint32Array): void {
  const { pageShift: _, shift = 0, ...plain } = fill;
  const wholeWords = 2 ** pageShift / 4;
  // Powers of two: exact.
  let at = (pfn * words.length) / wholeWords + shift;
  for (let done = 0; done < words.length; ) {
    const whole = Math.floor(at);
    const within = (at - whole) * wholeWords;
    const part = Math.min(wholeWords - within, words.length - done);
    words.set(wholePage(fill, plain, whole, wholeWords).subarray(within, within + part), done);
    done += part;
    at += part / wholeWords;
  }
}

function wholePage(fill: Fill, plain: Fill, at: number, nrWords: number): Uint32Array {
  if (lastWhole.at === at && lastWhole.fill !== undefined && sameFill(lastWhole.fill, fill)) return lastWhole.words;
  const words = new Uint32Array(nrWords);
  generatePage(plain, at, words);
  // Not of what is kept elsewhere: it would be kept alive.
  if (fill.source === undefined) Object.assign(lastWhole, { fill, at, words });
  return words;
}

/** A ramp of 2^14 words, what the largest page has, stays below 2^32. */
function rampOf(seed: number, pfn: number): { readonly start: number; readonly step: number } {
  const low = mix32(mix32(seed ^ 0x7261_6d70) ^ (pfn >>> 0));
  const high = mix32(mix32(seed ^ 0x7374_6570) ^ mix32(pfn >>> 0) ^ Math.floor(pfn / 0x1_0000_0000));
  return { start: low >>> 1, step: (high >>> 16) | 1 };
}

/**
 * The sum of the `nrWords` 32-bit words (at most 2^14) that `fill` gives page `pfn`, exact; undefined where they would
 * have to be looked at.
 */
export function sumOfFill(fill: Fill, pfn: number, nrWords: number): number | undefined {
  if (fill.kind === 'zero') return 0;
  if (fill.kind !== 'ramp' || fill.pageShift !== undefined) return undefined;
  const { start, step } = rampOf(fill.seed, pfn + (fill.shift ?? 0));
  return nrWords * start + step * ((nrWords * (nrWords - 1)) / 2);
}

/** Below this many words a lane is not worth its start. */
const SHORTEST_LANE = 64;

/** The next state of a generator that runs through all u32 but 0. */
function xorshift(state: number): number {
  let x = state;
  x ^= x << 13;
  x ^= x >>> 17;
  return x ^ (x << 5);
}

/** `leapOf` by length: there is one for each page size. */
const LEAPS = new Map<number, Int32Array>();

/**
 * Where so many steps lead, as a table: a step is linear over bits, so the way of a state is the sum of the ways of its
 * bytes, 256 entries for each.
 */
function leapOf(steps: number): Int32Array {
  const known = LEAPS.get(steps);
  if (known !== undefined) return known;
  const table = new Int32Array(4 * 256);
  for (let bit = 0; bit < 32; bit++) {
    let state = 1 << bit;
    for (let i = 0; i < steps; i++) state = xorshift(state);
    const base = (bit >>> 3) * 256;
    for (let byte = 0; byte < 256; byte++) {
      if ((byte & (1 << (bit & 7))) !== 0) table[base + byte] = (table[base + byte] as number) ^ state;
    }
  }
  LEAPS.set(steps, table);
  return table;
}

function jumped(leap: Int32Array, state: number): number {
  return (
    (leap[state & 255] as number) ^
    (leap[256 + ((state >>> 8) & 255)] as number) ^
    (leap[512 + ((state >>> 16) & 255)] as number) ^
    (leap[768 + (state >>> 24)] as number)
  );
}
