import type { PageStates } from '../../kernel/mm/page-states.ts';
import {
  type Fill,
  type Order,
  type PageSize,
  type Pfn,
  type PhysAddr,
  type PhysicalMemory,
  pattern,
  physOf,
  type RamBank,
  ZERO_FILL,
} from '../../machine/index.ts';
import { mix32 } from '../../machine/random.ts';
import { checkObject, type MemoryFindings } from '../check/check-memory.ts';
import { ExpectedObject, type ObjectKind, type ObjectState } from '../check/expected-object.ts';
import { PageRanges, ramParts } from '../check/ranges.ts';
import { type Intervals, subtract, union } from '../handover/intervals.ts';
import { MAX_OWNED_PAGES, type Placed } from './placement.ts';
import type { Amount, ObjectResult } from './result.ts';

/** What became of the objects during the life of one kernel. */
export interface KernelLedger {
  preservedPages: number;
  restoredPages: number;
  untestedPages: number;
  readonly damaged: PageRanges;
  readonly lost: PageRanges;
  readonly leaked: PageRanges;
  readonly wrongState: PageRanges;
  wrongStateDetail: string;
  /** All that was found, object by object, as often as somebody looked. */
  readonly found: {
    readonly kind: 'damaged' | 'lost' | 'leaked' | 'wrongState';
    readonly object: ExpectedObject;
    /** What the object was at that time. */
    readonly state: ObjectState;
    readonly pages: PageRanges;
  }[];
  /** What happened to the first page that went wrong, by kind; in the order in which it was found. */
  readonly events: {
    readonly kind: 'damaged' | 'lost' | 'leaked' | 'wrongState';
    readonly pfn: number;
    readonly text: string;
  }[];
}

/** The ledger of a kernel that has done nothing yet. */
export function emptyLedger(): KernelLedger {
  return {
    preservedPages: 0,
    restoredPages: 0,
    untestedPages: 0,
    damaged: new PageRanges(),
    lost: new PageRanges(),
    leaked: new PageRanges(),
    wrongState: new PageRanges(),
    wrongStateDetail: '',
    found: [],
    events: [],
  };
}

interface ObjectHistory {
  readonly damaged: PageRanges;
  readonly lost: PageRanges;
  readonly leaked: PageRanges;
  readonly wrongState: PageRanges;
  /** Pages in its blocks that were somebody else's. */
  notOwned: readonly Pfn[];
  crossings: number;
  verified: number;
  untested: boolean;
}

/** Says what is known about how a page came to be as it is. */
export type PageTeller = (pfn: Pfn, kind: 'damaged' | 'lost' | 'leaked' | 'wrongState') => string;

/**
 * All that the scenario asked to preserve, and what became of it. Stands outside all kernels, like the checks that it
 * calls (check/check-memory.ts says what those verify).
 */
export class ObjectLedger {
  readonly objects = new Map<string, ExpectedObject>();
  readonly #histories = new Map<ExpectedObject, ObjectHistory>();
  readonly #page: PageSize;
  readonly #seed: number;
  #unnamed = 0;

  /** @param page the page size in which frames are counted. */
  constructor(page: PageSize, seed: number) {
    this.#page = page;
    this.#seed = seed;
  }

  /**
   * Remembers a new object; what it is filled with is its own.
   * @param name left out, it gets one such as `folios-2`.
   * @param page of the kernel in which it was placed.
   */
  add(
    kind: ObjectKind,
    name: string | undefined,
    placed: Placed,
    page: PageSize,
    fill: 'pattern' | 'zero' | undefined,
  ): ExpectedObject {
    const index = this.objects.size;
    const units = page.sizeBytes / this.#page.sizeBytes;
    const { starts, nrPagesEach } = placed.blocks;
    const blocks = { starts: starts.map((start) => start * units), nrPagesEach: nrPagesEach * units };
    const object = new ExpectedObject({
      name: name ?? `${kind}-${++this.#unnamed}`,
      kind,
      order: placed.order < 0 ? placed.order : ((placed.order + Math.log2(units)) as Order),
      blocks,
      page,
      fill: fill === 'zero' ? ZERO_FILL : pattern(mix32(this.#seed ^ mix32(index + 1))),
      sizeBytes: starts.length * blocks.nrPagesEach * this.#page.sizeBytes,
    });
    this.objects.set(object.name, object);
    this.#histories.set(object, {
      damaged: new PageRanges(),
      lost: new PageRanges(),
      leaked: new PageRanges(),
      wrongState: new PageRanges(),
      notOwned: placed.notOwned.flatMap((pfn) => Array.from({ length: units }, (_, i) => (pfn * units + i) as Pfn)),
      crossings: 0,
      verified: 0,
      untested: fill === 'zero',
    });
    return object;
  }

  get(name: string): ExpectedObject {
    const object = this.objects.get(name);
    if (object === undefined) throw new Error(`no object is called ${name}`);
    return object;
  }

  #history(object: ExpectedObject): ObjectHistory {
    const history = this.#histories.get(object);
    if (history === undefined) throw new Error(`${object.name} is not in the ledger`);
    return history;
  }

  /** The jump: whatever is preserved is the next kernel's to find; the rest is gone. */
  cross(): void {
    for (const object of this.objects.values()) {
      if (object.state === 'preserved') {
        object.state = 'crossed';
        this.#history(object).crossings++;
      } else if (object.state !== 'freed') object.state = 'gone';
    }
  }

  /** The next kernel did not take the handover over: all that crossed is lost, content and all. */
  loseAll(ledger: KernelLedger): void {
    for (const object of this.objects.values()) {
      if (object.state !== 'crossed') continue;
      object.state = 'gone';
      this.#addAll(object, this.#history(object).lost);
      this.#addAll(object, ledger.lost);
    }
  }

  #addAll(object: ExpectedObject, ranges: PageRanges): void {
    for (const start of object.blocks.starts) ranges.add(start, object.blocks.nrPagesEach);
  }

  /**
   * Looks at everything that crossed into the present kernel or was restored by it.
   * @param final the kernel's life is at its end: what is not restored by now never will be.
   */
  check(
    memory: PhysicalMemory,
    pages: PageStates | undefined,
    banks: readonly RamBank[],
    ledger: KernelLedger,
    final: boolean,
    tell: PageTeller,
  ): void {
    let restored = 0;
    let untested = 0;
    for (const object of this.objects.values()) {
      if (object.state !== 'crossed' && object.state !== 'restored') continue;
      const history = this.#history(object);
      if (history.crossings === 0) continue;
      const findings = checkObject(object, this.#page, memory, pages, banks);
      this.#take(object, findings, history, ledger, final, tell);
      history.verified++;
      restored += findings.restoredPages;
      untested += findings.untestedPages;
    }
    if (final) {
      ledger.restoredPages += restored;
      ledger.untestedPages += untested;
    }
  }

  #take(
    object: ExpectedObject,
    findings: MemoryFindings,
    history: ObjectHistory,
    ledger: KernelLedger,
    final: boolean,
    tell: PageTeller,
  ): void {
    const kinds = [
      ['damaged', findings.damaged],
      ['lost', findings.lost],
      ['leaked', final ? findings.unrestored : new PageRanges()],
      ['wrongState', findings.wrongState],
    ] as const;
    for (const [kind, found] of kinds) {
      const { first } = found;
      if (first === undefined) continue;
      ledger.found.push({ kind, object, state: object.state, pages: found });
      if (ledger[kind].first === undefined) ledger.events.push({ kind, pfn: first, text: tell(first as Pfn, kind) });
      for (const [pfn, nrPages] of found.ranges()) {
        history[kind].add(pfn, nrPages);
        ledger[kind].add(pfn, nrPages);
      }
    }
    if (ledger.wrongStateDetail === '') ledger.wrongStateDetail = findings.wrongStateDetail;
  }

  /** Objects whose memory is their client's, and that the next jump is not to take along. */
  unpreserved(): ExpectedObject[] {
    return [...this.objects.values()].filter(({ state }) => state === 'allocated' || state === 'restored');
  }

  /** The frames of an object's blocks, without those that were somebody else's when it was made. */
  ownFrames(object: ExpectedObject): Intervals {
    const { starts, nrPagesEach } = object.blocks;
    const all = union(Array.from(starts, (start) => [start, start + nrPagesEach] as const));
    return subtract(all, union(this.#history(object).notOwned.map((pfn) => [pfn, pfn + 1] as const)));
  }

  /** Notes pages that are set aside although their client did not preserve them. */
  noteLeak(object: ExpectedObject, pages: PageRanges, ledger: KernelLedger, tell: PageTeller): void {
    const { first } = pages;
    if (first === undefined) return;
    if (ledger.leaked.first === undefined) {
      ledger.events.push({ kind: 'leaked', pfn: first, text: tell(first as Pfn, 'leaked') });
    }
    ledger.found.push({ kind: 'leaked', object, state: object.state, pages });
    for (const [pfn, nrPages] of pages.ranges()) {
      this.#history(object).leaked.add(pfn, nrPages);
      ledger.leaked.add(pfn, nrPages);
    }
  }

  /**
   * Compares the frames behind a mapping of an object with those that it was made of: what is in another's place is
   * damage, whatever the frames hold.
   * @param frames of the present kernel. @param units how many frames of the run each of them is.
   */
  checkMapping(
    object: ExpectedObject,
    frames: readonly Pfn[],
    units: number,
    ledger: KernelLedger,
    tell: PageTeller,
  ): void {
    const { starts, nrPagesEach } = object.blocks;
    const wrong = new PageRanges();
    for (let i = 0; i < object.nrPages; i++) {
      const pfn = ((starts[Math.floor(i / nrPagesEach)] ?? 0) + (i % nrPagesEach)) as Pfn;
      if ((frames[Math.floor(i / units)] ?? -1) * units + (i % units) === pfn) continue;
      if (ledger.damaged.first === undefined) ledger.events.push({ kind: 'damaged', pfn, text: tell(pfn, 'damaged') });
      this.#history(object).damaged.add(pfn, 1);
      ledger.damaged.add(pfn, 1);
      wrong.add(pfn, 1);
    }
    if (wrong.first !== undefined) {
      ledger.found.push({ kind: 'damaged', object, state: object.state, pages: wrong });
    }
  }

  /** What a page of an object holds is what it must hold from now on. @param pfn of the kernel that runs. */
  noteWritten(object: ExpectedObject, memory: PhysicalMemory, pfn: Pfn): void {
    const { sizeBytes } = this.#page;
    const phys = physOf(memory.page, pfn);
    for (let at = 0; at < memory.page.sizeBytes; at += sizeBytes) {
      const unit = (phys + at) / sizeBytes;
      object.written.set(unit as Pfn, memory.readBytes((phys + at) as PhysAddr, sizeBytes));
    }
  }

  /** Pages of the objects that are preserved at this moment. */
  preservedPages(): number {
    let sum = 0;
    for (const object of this.objects.values()) if (object.state === 'preserved') sum += object.nrPages;
    return sum;
  }

  amount(pages: number): Amount {
    return { pages, bytes: pages * this.#page.sizeBytes };
  }

  /** What became of each object. */
  results(): ObjectResult[] {
    return [...this.objects.values()].map((object) => {
      const history = this.#history(object);
      const bytes = this.#page.sizeBytes;
      const [state, detail] = (() => {
        if (history.damaged.first !== undefined) return ['damaged', history.damaged.describe(bytes)] as const;
        if (history.lost.first !== undefined) return ['lost', history.lost.describe(bytes)] as const;
        if (history.wrongState.first !== undefined) return ['damaged', history.wrongState.describe(bytes)] as const;
        if (history.leaked.first !== undefined) return ['leaked', history.leaked.describe(bytes)] as const;
        if (history.crossings === 0) return [object.state === 'freed' ? 'freed' : 'untested', 'never crossed'] as const;
        if (history.untested) return ['untested', 'zeroes prove nothing'] as const;
        const times = history.crossings === 1 ? 'one jump' : `${history.crossings} jumps`;
        return ['intact', `through ${times}`] as const;
      })();
      return {
        name: object.name,
        kind: object.kind,
        pages: object.nrPages,
        bytes: object.nrPages * bytes,
        state,
        detail,
      };
    });
  }

  /**
   * Fills a new object, but for pages that belong to somebody else: those keep what is in them.
   * @param notOwned frames of the kernel in which it was placed.
   */
  fill(object: ExpectedObject, memory: PhysicalMemory, notOwned: readonly Pfn[]): void {
    const others = new Set<number>(notOwned);
    const units = memory.page.sizeBytes / this.#page.sizeBytes;
    const nrPagesEach = object.blocks.nrPagesEach / units;
    for (const unitStart of object.blocks.starts) {
      const start = unitStart / units;
      const parts = ramParts(memory.banks, start, nrPagesEach, memory.page.sizeBytes);
      const ramPages = parts.reduce((sum, [, count]) => sum + count, 0);
      if (ramPages > MAX_OWNED_PAGES) continue;
      if (nrPagesEach > MAX_OWNED_PAGES) {
        for (const [at, count] of parts) memory.fillPages(at as Pfn, count, object.fill);
        continue;
      }
      if (others.size === 0) {
        fillAcrossBanks(memory, start, nrPagesEach, object.fill);
        continue;
      }
      for (let pfn = start; pfn < start + nrPagesEach; pfn++) {
        if (!others.has(pfn)) memory.fillPages(pfn as Pfn, 1, object.fill);
        else if (memory.contains(pfn * memory.page.sizeBytes)) this.noteWritten(object, memory, pfn as Pfn);
      }
    }
  }
}

function fillAcrossBanks(memory: PhysicalMemory, start: number, nrPages: number, fill: Fill): void {
  const pageBytes = memory.page.sizeBytes;
  let at = start;
  const end = start + nrPages;
  for (const bank of memory.banks) {
    const bankEnd = (bank.base + bank.sizeBytes) / pageBytes;
    if (at * pageBytes < bank.base || at >= bankEnd) continue;
    const part = Math.min(end, bankEnd) - at;
    memory.fillPages(at as Pfn, part, fill);
    at += part;
    if (at >= end) return;
  }
  // What is left lies outside RAM: fillPages says so, as a kernel would find out.
  memory.fillPages(at as Pfn, end - at, fill);
}
