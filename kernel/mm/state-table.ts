/**
 * Distinct states of struct page, each of four 32-bit words, numbered in the order in which they were first seen.
 * There are few: the frames of a machine differ in a handful of flags, counts and orders. State 0 is all zeroes.
 */
export interface StateTable {
  /** Four words per state. */
  words: Uint32Array;
  nrStates: number;
  /** Open addressing: state number + 1, 0 for an empty bucket. A power of two long, at most half full. */
  buckets: Uint32Array;
}

/** A table that knows one state: all zero, number 0. */
export function makeStateTable(): StateTable {
  const table = { words: new Uint32Array(4 * 64), nrStates: 0, buckets: new Uint32Array(128) };
  internState(table, 0, 0, 0, 0);
  return table;
}

function hash(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul((h ^ (h >>> 15)) + b, 0xc2b2ae35);
  h = Math.imul((h ^ (h >>> 13)) + c, 0x27d4eb2f);
  h = Math.imul((h ^ (h >>> 15)) + d, 0x165667b1);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The number of a state, given when it is new. All words unsigned. */
export function internState(table: StateTable, a: number, b: number, c: number, d: number): number {
  const mask = table.buckets.length - 1;
  const words = table.words;
  let bucket = hash(a, b, c, d) & mask;
  for (let id = table.buckets[bucket] as number; id !== 0; id = table.buckets[bucket] as number) {
    const at = (id - 1) * 4;
    if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return id - 1;
    bucket = (bucket + 1) & mask;
  }
  const id = table.nrStates++;
  table.buckets[bucket] = id + 1;
  if (table.words.length < table.nrStates * 4) {
    table.words = new Uint32Array(words.length * 2);
    table.words.set(words);
  }
  table.words.set([a, b, c, d], id * 4);
  if (table.nrStates * 2 > table.buckets.length) rehash(table);
  return id;
}

function rehash(table: StateTable): void {
  const buckets = new Uint32Array(table.buckets.length * 2);
  const mask = buckets.length - 1;
  for (let id = 0; id < table.nrStates; id++) {
    const at = id * 4;
    const words = table.words;
    let bucket =
      hash(words[at] as number, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number) & mask;
    while (buckets[bucket] !== 0) bucket = (bucket + 1) & mask;
    buckets[bucket] = id + 1;
  }
  table.buckets = buckets;
}
