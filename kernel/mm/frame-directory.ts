import { MachineFault, type Pfn } from '../../machine/index.ts';

/*
 * A small number (a state) for every frame, at the price of what differs. A directory over each span of frames says which
 * state a frame is in; an entry at any level is
 *
 *      <= 0   all frames below are in state -entry
 *       > 0   the next level: group (top), or chunk number (group)
 *
 *      frame's index in its span
 *      31                14 13            4 3      0
 *     +--------------------+---------------+--------+
 *     |     group (top)    |     chunk     |  frame |
 *     +--------------------+---------------+--------+
 *
 * Chunks are small because preserved frames are scattered: a million of them in 1 TiB touch a million chunks of 64
 * bytes. Groups and chunks carry the epoch in which they were made; `mark` starts a new one, and a change to something
 * older copies it first.
 */

const CHUNK_SHIFT = 4;
const CHUNK_FRAMES = 1 << CHUNK_SHIFT;
const GROUP_SHIFT = 14;
const GROUP_FRAMES = 1 << GROUP_SHIFT;
const GROUP_CHUNKS = 1 << (GROUP_SHIFT - CHUNK_SHIFT);
const SLAB_CHUNKS_LOG2 = 14;
const SLAB_CHUNKS = 1 << SLAB_CHUNKS_LOG2;

interface Group {
  readonly epoch: number;
  readonly chunks: Int32Array;
}

interface Span {
  readonly firstPfn: number;
  readonly nrPages: number;
  top: (Group | number)[];
}

/** A version of a directory that can be gone back to. */
export interface FrameDirectoryVersion {
  readonly tops: readonly (readonly (Group | number)[])[];
}

/** Neighbouring frames in one state. */
export interface StateRun {
  readonly start: Pfn;
  readonly nrPages: number;
  readonly state: number;
}

/** Told of each change: `nrPages` frames went from one state to another. */
export type StateChange = (before: number, after: number, nrPages: number) => void;

/**
 * The state, a whole number from 0 to 2^31 - 1, of every frame of some ranges; 0 at first. Frames outside them throw
 * MachineFault('pfn_to_page').
 */
export class FrameDirectory {
  readonly #spans: Span[];
  #last: Span;
  readonly #onChange: StateChange;
  #epoch = 1;
  #slabs: Int32Array[] = [];
  #chunkEpochs = new Uint32Array(256);
  #nrChunks = 1;

  /** @param ranges frames [start, end), ascending and apart; at least one. */
  constructor(ranges: readonly { readonly start: number; readonly end: number }[], onChange: StateChange) {
    this.#onChange = onChange;
    this.#spans = ranges.map(({ start, end }) => ({
      firstPfn: start,
      nrPages: end - start,
      top: new Array<Group | number>(Math.ceil((end - start) / GROUP_FRAMES)).fill(0),
    }));
    const first = this.#spans[0];
    if (first === undefined) throw new RangeError('a machine needs at least one bank of RAM');
    this.#last = first;
  }

  has(pfn: number): boolean {
    return this.#find(pfn) !== undefined;
  }

  spans(): { readonly start: Pfn; readonly nrPages: number }[] {
    return this.#spans.map((span) => ({ start: span.firstPfn as Pfn, nrPages: span.nrPages }));
  }

  #find(pfn: number): Span | undefined {
    const last = this.#last;
    if (pfn >= last.firstPfn && pfn < last.firstPfn + last.nrPages) return last;
    for (const span of this.#spans) {
      if (pfn >= span.firstPfn && pfn < span.firstPfn + span.nrPages) {
        this.#last = span;
        return span;
      }
    }
    return undefined;
  }

  #spanOf(pfn: number): Span {
    const span = this.#find(pfn);
    if (span === undefined) throw new MachineFault('pfn_to_page', pfn);
    return span;
  }

  /** The state of a frame. */
  get(pfn: number): number {
    const span = this.#spanOf(pfn);
    const index = pfn - span.firstPfn;
    const group = span.top[Math.floor(index / GROUP_FRAMES)] as Group | number;
    if (typeof group === 'number') return -group;
    const chunk = group.chunks[(index >>> CHUNK_SHIFT) & (GROUP_CHUNKS - 1)] as number;
    if (chunk <= 0) return -chunk;
    const slab = this.#slabs[chunk >>> SLAB_CHUNKS_LOG2] as Int32Array;
    return slab[((chunk & (SLAB_CHUNKS - 1)) << CHUNK_SHIFT) + (index & (CHUNK_FRAMES - 1))] as number;
  }

  /** Takes a frame from the state that it is in to another. */
  set(pfn: number, before: number, after: number): void {
    const span = this.#spanOf(pfn);
    const index = pfn - span.firstPfn;
    const group = this.#writableGroup(span, Math.floor(index / GROUP_FRAMES));
    const chunk = this.#writableChunk(group, (index >>> CHUNK_SHIFT) & (GROUP_CHUNKS - 1));
    const slab = this.#slabs[chunk >>> SLAB_CHUNKS_LOG2] as Int32Array;
    slab[((chunk & (SLAB_CHUNKS - 1)) << CHUNK_SHIFT) + (index & (CHUNK_FRAMES - 1))] = after;
    this.#onChange(before, after, 1);
  }

  /**
   * Changes the state of every frame of a range to what `changed` makes of it; called once per piece of frames alike.
   * @throws MachineFault at the first frame outside, with those before it done.
   */
  update(start: number, nrPages: number, changed: (state: number) => number): void {
    let at = start;
    const end = start + nrPages;
    while (at < end) {
      const span = this.#spanOf(at);
      const stop = Math.min(end, span.firstPfn + span.nrPages) - span.firstPfn;
      this.#updateSpan(span, at - span.firstPfn, stop, changed);
      at = span.firstPfn + stop;
    }
  }

  #updateSpan(span: Span, from: number, end: number, changed: (id: number) => number): void {
    let index = from;
    while (index < end) {
      const groupIndex = Math.floor(index / GROUP_FRAMES);
      const groupStart = groupIndex * GROUP_FRAMES;
      const groupEnd = Math.min(end, groupStart + GROUP_FRAMES);
      const entry = span.top[groupIndex] as Group | number;
      if (typeof entry === 'number') {
        const after = changed(-entry);
        if (after === -entry) {
          index = groupEnd;
          continue;
        }
        if (index === groupStart && groupEnd === Math.min(span.nrPages, groupStart + GROUP_FRAMES)) {
          this.#onChange(-entry, after, groupEnd - index);
          span.top[groupIndex] = -after;
          index = groupEnd;
          continue;
        }
      }
      const group = this.#writableGroup(span, groupIndex);
      while (index < groupEnd) {
        const chunkIndex = (index >>> CHUNK_SHIFT) & (GROUP_CHUNKS - 1);
        const inChunk = index & (CHUNK_FRAMES - 1);
        const nr = Math.min(CHUNK_FRAMES - inChunk, groupEnd - index);
        const old = group.chunks[chunkIndex] as number;
        if (old <= 0) {
          const after = changed(-old);
          if (after === -old) {
            index += nr;
            continue;
          }
          if (nr === CHUNK_FRAMES) {
            this.#onChange(-old, after, nr);
            group.chunks[chunkIndex] = -after;
            index += nr;
            continue;
          }
        }
        this.#updateChunk(group, chunkIndex, inChunk, nr, changed);
        index += nr;
      }
    }
  }

  #updateChunk(group: Group, chunkIndex: number, from: number, nr: number, changed: (id: number) => number): void {
    const chunk = this.#writableChunk(group, chunkIndex);
    const slab = this.#slabs[chunk >>> SLAB_CHUNKS_LOG2] as Int32Array;
    const base = (chunk & (SLAB_CHUNKS - 1)) << CHUNK_SHIFT;
    for (let at = base + from; at < base + from + nr; at++) {
      const before = slab[at] as number;
      const after = changed(before);
      if (after === before) continue;
      slab[at] = after;
      this.#onChange(before, after, 1);
    }
    // A chunk whose frames are all alike again needs no frames of its own. (The pool keeps it: versions may use it.)
    const first = slab[base] as number;
    for (let at = base + 1; at < base + CHUNK_FRAMES; at++) if (slab[at] !== first) return;
    if (nr === CHUNK_FRAMES) group.chunks[chunkIndex] = -first;
  }

  #writableGroup(span: Span, groupIndex: number): Group {
    const entry = span.top[groupIndex] as Group | number;
    if (typeof entry !== 'number') {
      if (entry.epoch === this.#epoch) return entry;
      const copy = { epoch: this.#epoch, chunks: entry.chunks.slice() };
      span.top[groupIndex] = copy;
      return copy;
    }
    const chunks = new Int32Array(GROUP_CHUNKS);
    if (entry !== 0) chunks.fill(entry);
    const fresh = { epoch: this.#epoch, chunks };
    span.top[groupIndex] = fresh;
    return fresh;
  }

  /** The number of a chunk that may be written. */
  #writableChunk(group: Group, chunkIndex: number): number {
    const old = group.chunks[chunkIndex] as number;
    if (old > 0 && this.#chunkEpochs[old] === this.#epoch) return old;
    const chunk = this.#nrChunks++;
    if (chunk >= this.#chunkEpochs.length) {
      const next = new Uint32Array(this.#chunkEpochs.length * 2);
      next.set(this.#chunkEpochs);
      this.#chunkEpochs = next;
    }
    this.#chunkEpochs[chunk] = this.#epoch;
    const slabIndex = chunk >>> SLAB_CHUNKS_LOG2;
    while (slabIndex >= this.#slabs.length) this.#slabs.push(new Int32Array(SLAB_CHUNKS * CHUNK_FRAMES));
    const slab = this.#slabs[slabIndex] as Int32Array;
    const at = (chunk & (SLAB_CHUNKS - 1)) << CHUNK_SHIFT;
    if (old > 0) {
      const from = (old & (SLAB_CHUNKS - 1)) << CHUNK_SHIFT;
      slab.set((this.#slabs[old >>> SLAB_CHUNKS_LOG2] as Int32Array).subarray(from, from + CHUNK_FRAMES), at);
    } else if (old < 0) {
      slab.fill(-old, at, at + CHUNK_FRAMES);
    } else {
      slab.fill(0, at, at + CHUNK_FRAMES);
    }
    group.chunks[chunkIndex] = chunk;
    return chunk;
  }

  // --- looking on -------------------------------------------------------------------------------------------------

  /** The frames of [start, end) that are in the ranges, as runs of equal state, ascending. */
  *runs(start: number, end: number): Generator<StateRun> {
    for (const span of this.#spans) {
      let runStart = Math.max(start, span.firstPfn);
      const stop = Math.min(end, span.firstPfn + span.nrPages);
      if (runStart >= stop) continue;
      let state = this.get(runStart);
      let at = runStart;
      while (at < stop) {
        const here = this.get(at);
        if (here !== state) {
          yield { start: runStart as Pfn, nrPages: at - runStart, state };
          runStart = at;
          state = here;
        }
        at = span.firstPfn + Math.min(this.#uniformEnd(span, at - span.firstPfn), stop - span.firstPfn);
      }
      yield { start: runStart as Pfn, nrPages: stop - runStart, state };
    }
  }

  /** The state that all frames of [start, end) are in, -1 where they differ. @throws MachineFault outside. */
  uniformState(start: number, end: number): number {
    const span = this.#spanOf(start);
    if (end > span.firstPfn + span.nrPages) return -1;
    const state = this.get(start);
    for (let at = start; at < end; at = span.firstPfn + this.#uniformEnd(span, at - span.firstPfn)) {
      if (this.get(at) !== state) return -1;
    }
    return state;
  }

  /** Index behind the piece around `index` whose frames are surely in one state. */
  #uniformEnd(span: Span, index: number): number {
    const groupIndex = Math.floor(index / GROUP_FRAMES);
    const group = span.top[groupIndex] as Group | number;
    if (typeof group === 'number') return (groupIndex + 1) * GROUP_FRAMES;
    const chunk = group.chunks[(index >>> CHUNK_SHIFT) & (GROUP_CHUNKS - 1)] as number;
    return chunk <= 0 ? index - (index & (CHUNK_FRAMES - 1)) + CHUNK_FRAMES : index + 1;
  }

  /** The first frame of the piece around a frame whose frames are surely in one state. */
  pieceStart(pfn: number): number {
    const span = this.#spanOf(pfn);
    const index = pfn - span.firstPfn;
    const group = span.top[Math.floor(index / GROUP_FRAMES)] as Group | number;
    if (typeof group === 'number') return pfn - (index % GROUP_FRAMES);
    const chunk = group.chunks[(index >>> CHUNK_SHIFT) & (GROUP_CHUNKS - 1)] as number;
    return chunk <= 0 ? pfn - (index & (CHUNK_FRAMES - 1)) : pfn;
  }

  /** Bytes that the directory and its chunks take, roughly. */
  get committedBytes(): number {
    let bytes = this.#slabs.length * SLAB_CHUNKS * CHUNK_FRAMES * 4 + this.#chunkEpochs.byteLength;
    for (const span of this.#spans) {
      bytes += span.top.length * 8;
      for (const entry of span.top) if (typeof entry !== 'number') bytes += entry.chunks.byteLength;
    }
    return bytes;
  }

  // --- versions ---------------------------------------------------------------------------------------------------

  /** Remembers the present state. Costs a copy of the top-level directory; later changes copy what they touch. */
  mark(): FrameDirectoryVersion {
    this.#epoch++;
    return { tops: this.#spans.map((span) => span.top.slice()) };
  }

  /** Goes back to a version that `mark` of this object gave. */
  restore(version: FrameDirectoryVersion): void {
    this.#epoch++;
    for (const [i, span] of this.#spans.entries()) span.top = (version.tops[i] as (Group | number)[]).slice();
  }
}
