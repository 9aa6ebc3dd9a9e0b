import {
  type DirectorySpan,
  type DirectoryVersion,
  MachineFault,
  PageDirectory,
  type Pfn,
} from '../../machine/index.ts';

/** A version of a directory that can be gone back to. */
export type FrameDirectoryVersion = DirectoryVersion;

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
 * MachineFault('pfn_to_page'). Kept in a page directory as numbers from 0 downwards: those cost nothing where neighbours
 * share them. (`0 - state`: of 0 that is 0, where `-state` is -0.)
 */
export class FrameDirectory {
  readonly #pages: PageDirectory;
  readonly #onChange: StateChange;

  /** @param ranges frames [start, end), ascending and apart; at least one. */
  constructor(ranges: readonly { readonly start: number; readonly end: number }[], onChange: StateChange) {
    this.#onChange = onChange;
    this.#pages = new PageDirectory(ranges.map(({ start, end }) => ({ firstPfn: start, nrPages: end - start })));
  }

  has(pfn: number): boolean {
    return this.#pages.find(pfn) !== undefined;
  }

  spans(): { readonly start: Pfn; readonly nrPages: number }[] {
    return this.#pages.spans.map(({ firstPfn, nrPages }) => ({ start: firstPfn as Pfn, nrPages }));
  }

  #spanOf(pfn: number): DirectorySpan {
    const span = this.#pages.find(pfn);
    if (span === undefined) throw new MachineFault('pfn_to_page', pfn);
    return span;
  }

  /** The state of a frame. */
  get(pfn: number): number {
    const span = this.#spanOf(pfn);
    return 0 - this.#pages.valueAt(span, pfn - span.firstPfn);
  }

  /** Takes a frame from the state that it is in to another. */
  set(pfn: number, before: number, after: number): void {
    const span = this.#spanOf(pfn);
    this.#pages.setCell(this.#pages.cellForWrite(span, pfn - span.firstPfn), 0 - after);
    this.#onChange(before, after, 1);
  }

  /**
   * Changes the state of every frame of a range to what `changed` makes of it; called for pieces of frames alike, and
   * maybe again for parts of such a piece.
   * @throws MachineFault at the first frame outside, with those before it done.
   */
  update(start: number, nrPages: number, changed: (state: number) => number): void {
    const changedValue = (value: number) => 0 - changed(0 - value);
    const onChange = (before: number, after: number, nr: number) => this.#onChange(0 - before, 0 - after, nr);
    let at = start;
    const end = start + nrPages;
    while (at < end) {
      const span = this.#spanOf(at);
      const stop = Math.min(end, span.firstPfn + span.nrPages);
      this.#pages.update(span, at - span.firstPfn, stop - span.firstPfn, changedValue, onChange);
      at = stop;
    }
  }

  // --- looking on -------------------------------------------------------------------------------------------------

  /** The frames of [start, end) that are in the ranges, as runs of equal state, ascending. */
  *runs(start: number, end: number): Generator<StateRun> {
    for (const span of this.#pages.spans) {
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
        at = Math.min(this.#pieceEnd(span, at), stop);
      }
      yield { start: runStart as Pfn, nrPages: stop - runStart, state };
    }
  }

  /** The state that all frames of [start, end) are in, -1 where they differ. @throws MachineFault outside. */
  uniformState(start: number, end: number): number {
    const span = this.#spanOf(start);
    if (end > span.firstPfn + span.nrPages) return -1;
    const state = this.get(start);
    for (let at = start; at < end; at = this.#pieceEnd(span, at)) {
      if (this.get(at) !== state) return -1;
    }
    return state;
  }

  /** The frame behind the piece around a frame of a span whose frames are surely in one state. */
  #pieceEnd(span: DirectorySpan, pfn: number): number {
    return span.firstPfn + this.#pages.pieceAround(span, pfn - span.firstPfn)[1];
  }

  /** The first frame of the piece around a frame whose frames are surely in one state. */
  pieceStart(pfn: number): number {
    const span = this.#spanOf(pfn);
    return span.firstPfn + this.#pages.pieceAround(span, pfn - span.firstPfn)[0];
  }

  /** Bytes that the directory takes beside its top level. */
  get committedBytes(): number {
    return this.#pages.committedBytes;
  }

  // --- versions ---------------------------------------------------------------------------------------------------

  /** Remembers the present state. Costs a copy of the top-level directory; later changes copy what they touch. */
  mark(): FrameDirectoryVersion {
    return this.#pages.mark();
  }

  /** Goes back to a version that `mark` of this object gave. */
  restore(version: FrameDirectoryVersion): void {
    this.#pages.restore(version);
  }
}
