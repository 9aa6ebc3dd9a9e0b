import type { RunState } from '../run/run-state.ts';

/** Which object of a scenario a page belongs to, as the scenario remembers it. */
export class ObjectOwners {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #names: string[] = [];

  constructor(run: RunState) {
    const ranges: { start: number; end: number; name: string }[] = [];
    for (const object of run.objects.objects.values()) {
      if (object.state === 'freed' || object.state === 'gone') continue;
      const { starts, nrPagesEach } = object.blocks;
      for (const start of starts) ranges.push({ start, end: start + nrPagesEach, name: object.name });
    }
    for (const session of run.sessions.sessions.values()) {
      if (session.state === 'lost' || session.state === 'finished') continue;
      for (const file of session.files)
        addFile(ranges, file.content.frames(run.unit), `${session.name}, file ${file.token}`);
    }
    ranges.sort((a, b) => a.start - b.start);
    for (const { start, end, name } of ranges) {
      this.#starts.push(start);
      this.#ends.push(end);
      this.#names.push(name);
    }
  }

  /** The object's name; '' for a page of nobody's. */
  ownerOf(pfn: number): string {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= pfn) low = middle + 1;
      else high = middle;
    }
    return low > 0 && pfn < (this.#ends[low - 1] as number) ? (this.#names[low - 1] as string) : '';
  }
}

/** The pages of a file, neighbours as one range. */
function addFile(ranges: { start: number; end: number; name: string }[], pages: Iterable<number>, name: string): void {
  let open: { start: number; end: number; name: string } | undefined;
  for (const pfn of pages) {
    if (open !== undefined && open.end === pfn) open.end++;
    else ranges.push((open = { start: pfn, end: pfn + 1, name }));
  }
}
