import { mix32 } from './random.ts';

/**
 * What an unwritten page holds, without storing it. The content depends on (kind, seed, pfn) alone, so no two pages of
 * a fill are alike, and a page can be told from its neighbour after a mix-up.
 *
 * - `zero`: what the power button leaves.
 * - `junk`: what a kernel's free page is filled with, so that a missing reservation shows up as damage.
 * - `pattern`: content that a scenario wants back after the handover.
 * - `image`: what a memory image says, fetched when somebody looks; `seed` tells several sources apart.
 */
export interface Fill {
  readonly kind: 'zero' | 'junk' | 'pattern' | 'image';
  readonly seed: number;
  /** Where an `image` comes from. */
  readonly source?: PageSource;
}

/** Content of pages that is kept elsewhere, too large to be copied. */
export interface PageSource {
  /** Writes the content of page `pfn` into `words`, all of them. */
  readPage(pfn: number, words: Uint32Array): void;
}

export const ZERO_FILL: Fill = Object.freeze({ kind: 'zero', seed: 0 });

/** Junk as the kernel with this seed leaves it. */
export function junk(seed: number): Fill {
  return { kind: 'junk', seed };
}

/** Content of a scenario, unique to (seed, pfn). */
export function pattern(seed: number): Fill {
  return { kind: 'pattern', seed };
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
  if (fill.kind === 'zero') {
    words.fill(0);
    return;
  }
  if (fill.source !== undefined) {
    fill.source.readPage(pfn, words);
    return;
  }
  let state = mix32(fill.seed ^ (fill.kind === 'junk' ? 0x6a75_6e6b : 0x7061_7474));
  state = mix32(state ^ (pfn >>> 0)) ^ mix32(Math.floor(pfn / 0x1_0000_0000) + 0x9e37);
  if (state === 0) state = 0x6b68_6f21;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
}
