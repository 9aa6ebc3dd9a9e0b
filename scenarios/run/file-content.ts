import type { ShmemFile } from '../../kernel/mm/shmem.ts';
import { type Fill, generatePage, type PageSize, type Pfn, ZERO_FILL } from '../../machine/index.ts';

/** Neighbouring pages of a file whose content was made for neighbouring frames. */
interface WrittenRun {
  readonly index: number;
  readonly pfn: number;
  nrPages: number;
}

/**
 * What is in a file, as the program that wrote it remembers: pages of a fill, each as it was made for the frame that it lay in then, and
 * pages that were written to byte by byte later. All else is a hole, which costs nothing, however large the file is.
 */
export class FileContent {
  readonly #page: PageSize;
  readonly #fill: Fill;
  /** Ascending by index. */
  readonly #runs: WrittenRun[] = [];
  readonly #patched = new Map<number, Uint8Array>();

  constructor(page: PageSize, fill: Fill) {
    this.#page = page;
    this.#fill = fill;
  }

  /** Page `index` was filled while it lay in frame `pfn`. Pages come in ascending order. */
  filled(index: number, pfn: Pfn): void {
    const last = this.#runs.at(-1);
    if (last !== undefined && last.index + last.nrPages === index && last.pfn + last.nrPages === pfn) last.nrPages++;
    else this.#runs.push({ index, pfn, nrPages: 1 });
  }

  /** Bytes were written over what was there. */
  patch(offset: number, bytes: Uint8Array): void {
    const size = this.#page.sizeBytes;
    for (let done = 0; done < bytes.length; ) {
      const index = Math.floor((offset + done) / size);
      const within = (offset + done) % size;
      const part = Math.min(size - within, bytes.length - done);
      const page = this.pageAt(index);
      page.set(bytes.subarray(done, done + part), within);
      this.#patched.set(index, page);
      done += part;
    }
  }

  /** The bytes that page `index` must have: a copy. */
  pageAt(index: number): Uint8Array {
    const patched = this.#patched.get(index);
    if (patched !== undefined) return patched.slice();
    const words = new Uint32Array(this.#page.sizeBytes / 4);
    const run = this.#runs.find((each) => index >= each.index && index < each.index + each.nrPages);
    if (run !== undefined) generatePage(this.#fill, run.pfn + index - run.index, words);
    return new Uint8Array(words.buffer);
  }

  /** The frames that the filled pages lay in, counted in pages of `unit`. */
  *frames(unit: PageSize): Generator<number> {
    const units = this.#page.sizeBytes / unit.sizeBytes;
    for (const run of this.#runs) for (let i = 0; i < run.nrPages * units; i++) yield run.pfn * units + i;
  }

  /**
   * Compares with a file, byte for byte: wherever something was written, and wherever the file has a page.
   * @param page of the kernel that has the file.
   * @returns the first byte that differs, undefined when none does.
   */
  firstDifference(file: ShmemFile, page: PageSize): number | undefined {
    const size = this.#page.sizeBytes;
    let runAt = 0;
    for (const [first, end] of this.#rangesToRead(file, page)) {
      for (let index = first; index < end; index++) {
        let run = this.#runs[runAt];
        while (run !== undefined && run.index + run.nrPages <= index) run = this.#runs[++runAt];
        const isFilled = run !== undefined && run.index <= index;
        const frame = run !== undefined && isFilled ? run.pfn + index - run.index : 0;
        const isWhole = page === this.#page && (index + 1) * size <= file.sizeBytes && !this.#patched.has(index);
        if (isWhole && file.pageHoldsFill(index, isFilled ? this.#fill : ZERO_FILL, frame as Pfn)) continue;
        const expected = this.pageAt(index);
        const at = file.read(index * size, size).findIndex((byte, i) => byte !== expected[i]);
        if (at >= 0) return index * size + at;
      }
    }
    return undefined;
  }

  /** [first page, end) of all that may hold something, ascending and apart; the end of the file is not looked at. */
  #rangesToRead(file: ShmemFile, page: PageSize): (readonly [number, number])[] {
    const units = page.sizeBytes / this.#page.sizeBytes;
    const ranges = [
      ...this.#runs.map((run) => [run.index, run.index + run.nrPages] as const),
      ...[...this.#patched.keys()].map((index) => [index, index + 1] as const),
      ...[...file.cache.runs()].map((run) => {
        const end = run.index + run.nrFolios * 2 ** run.order;
        return [Math.floor(run.index * units), Math.ceil(end * units)] as const;
      }),
    ].sort((a, b) => a[0] - b[0]);
    const merged: [number, number][] = [];
    for (const [first, end] of ranges) {
      const last = merged.at(-1);
      if (last !== undefined && first <= last[1]) last[1] = Math.max(last[1], end);
      else merged.push([first, end]);
    }
    return merged;
  }
}
