import { PageFlag } from '../../kernel/mm/page-states.ts';
import { type Release, releaseByName } from '../../kernel/release.ts';
import type { PageSize, Pfn } from '../../machine/index.ts';
import { MEMBLOCK_RSRV_NOINIT } from '../../machine/memblock/flags.ts';
import { NO_REGION } from '../../machine/memblock/region-table.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { type Intervals, union } from '../handover/intervals.ts';
import type { AppliedCorruption } from '../run/corruption.ts';
import type { Scenario } from '../run/load.ts';
import type { RunObserver } from '../run/observer.ts';
import type { Outcome, RunResult } from '../run/result.ts';
import type { KernelEntry, RunState } from '../run/run-state.ts';
import { runScenarioAtLength } from '../run/runner.ts';
import type { ConfigSpec, StepSpec } from '../run/schema.ts';
import { LAST_OBJECT } from './plan.ts';

/*
 * What is known of a run when it is over: what each jump carried, as the old kernel recorded it, and everything that the
 * checks outside both kernels found wrong. All page numbers are frames.
 */

/** A block as a kernel recorded it. */
export interface Block {
  readonly start: number;
  readonly order: number;
}

/** An object as it was at a jump. */
export interface CrossedObject {
  readonly object: ExpectedObject;
  readonly pages: Intervals;
}

/** One jump. Kernels are numbered from 1; `to` is the number of the new one. */
export interface Jump {
  readonly to: number;
  readonly old: Release;
  readonly next: Release;
  readonly oldConfig: ConfigSpec;
  readonly config: ConfigSpec;
  readonly maxPageOrder: number;
  /** Whether the old kernel had LUO running. */
  readonly oldLuo: boolean;
  /** Whether the loader passed a handover on. */
  readonly handed: boolean;
  readonly blocks: readonly Block[];
  /** The same as ranges. */
  readonly recorded: Intervals;
  readonly crossed: readonly CrossedObject[];
  /** Scratch of the old kernel. */
  readonly scratch: Intervals;
  /** What the new kernel's walk reserved. */
  readonly reserved: Intervals;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly log: readonly string[];
  /** Sites that failed in the old kernel, and in the new one while it came up. */
  readonly failedBefore: readonly string[];
  readonly failedInBoot: readonly string[];
  readonly corrupted: readonly AppliedCorruption[];
  /** kexecs that the old kernel had refused before this one, with the error. */
  readonly refusals: readonly string[];
}

/** Something that is not as it should be. */
export type Symptom =
  | {
      readonly kind: 'pages';
      readonly kernel: number;
      readonly what: 'damaged' | 'lost' | 'leaked' | 'wrongState';
      readonly object: ExpectedObject;
      readonly pages: Intervals;
      readonly text: string;
    }
  | { readonly kind: 'crash'; readonly kernel: number; readonly inBoot: boolean; readonly text: string }
  | {
      readonly kind: 'client';
      readonly kernel: number;
      readonly client: 'session' | 'subtree';
      readonly name: string;
      readonly text: string;
    }
  /** Memory that was set aside for nobody. */
  | { readonly kind: 'phantom'; readonly kernel: number; readonly text: string }
  /** A step that came to another end than it must. */
  | { readonly kind: 'step'; readonly kernel: number; readonly step: number; readonly text: string }
  /** The handover without faults did not come good. */
  | { readonly kind: 'second-phase'; readonly kernel: number; readonly text: string }
  /** A handover that was taken over, and had to be refused, or the other way round. */
  | { readonly kind: 'start'; readonly kernel: number; readonly text: string };

export type PageSymptom = Extract<Symptom, { kind: 'pages' }>;

/** Everything about a run. */
export interface Evidence {
  readonly page: PageSize;
  readonly result: RunResult;
  readonly state: RunState;
  readonly jumps: readonly Jump[];
  readonly symptoms: readonly Symptom[];
  /** Pages of each object that were somebody else's when it was made. */
  readonly foreign: ReadonlyMap<ExpectedObject, Intervals>;
  /** Objects that were freed while they were preserved, or by one of two owners, with the number of the kernel. */
  readonly freed: ReadonlyMap<ExpectedObject, number>;
  /** Pages that a client asked back which had not handed them over, with the number of the kernel. */
  readonly wrongRestores: readonly { readonly kernel: number; readonly pages: Intervals }[];
  /** Kernels in which a vmalloc area was asked for again, whose descriptor went with the first time. */
  readonly readAfterFree: ReadonlySet<number>;
  /** Pages that somebody wrote to whose they are not, as an old kernel does that ignores what it preserved. */
  readonly strayWrites: Intervals;
  /** The first kernel in which such a write hit memory of the kernel itself: its map, a blob, a table. */
  readonly strayInKernel: number | undefined;
  /** Whether the second phase had its jump, and no fault in it. */
  readonly secondPhase: boolean;
  nidOf(pfn: number): number;
}

const framesOf = new WeakMap<ExpectedObject, Intervals>();

/** The frames of an object's blocks, ascending. */
export function pagesOf(object: ExpectedObject): Intervals {
  const known = framesOf.get(object);
  if (known !== undefined) return known;
  const { starts, nrPagesEach } = object.blocks;
  const pages = union([...starts].map((start) => [start, start + nrPagesEach] as const));
  framesOf.set(object, pages);
  return pages;
}

/** The part of `a` that is in `b`, too. */
export function intersect(a: Intervals, b: Intervals): Intervals {
  const out: (readonly [number, number])[] = [];
  let j = 0;
  for (const [start, end] of a) {
    while (j < b.length && (b[j] as readonly [number, number])[1] <= start) j++;
    for (let k = j; k < b.length; k++) {
      const [from, to] = b[k] as readonly [number, number];
      if (from >= end) break;
      out.push([Math.max(start, from), Math.min(end, to)]);
    }
  }
  return out;
}

function reservedFrames(entry: KernelEntry, page: PageSize): Intervals {
  const ranges: (readonly [number, number])[] = [];
  const table = entry.kernel.kernel.memblock.reserved;
  for (let at = table.first(); at !== NO_REGION; at = table.next(at)) {
    if ((table.flags(at) & MEMBLOCK_RSRV_NOINIT) === 0) continue;
    ranges.push([Math.ceil(table.base(at) / page.sizeBytes), Math.floor(table.end(at) / page.sizeBytes)]);
  }
  return union(ranges);
}

/** What an observer notes while the run goes on. */
class Collector implements RunObserver {
  readonly jumps: Jump[] = [];
  readonly symptoms: Symptom[] = [];
  readonly foreign = new Map<ExpectedObject, Intervals>();
  readonly freed = new Map<ExpectedObject, number>();
  readonly strayWrites: (readonly [number, number])[] = [];
  strayInKernel: number | undefined;
  readonly readAfterFree = new Set<number>();
  readonly wrongRestores: { kernel: number; pages: Intervals }[] = [];
  /** What came with the last jump and was not restored yet. */
  #restorable = new Set<ExpectedObject>();
  #wrongs = new Map<string, number>();
  #refusals: string[] = [];
  #handed = false;
  #scratch: Intervals = [];
  #nrCorrupted = 0;
  #configs: ConfigSpec[] = [];

  jumping(run: RunState, _machine: unknown, handoff: unknown): void {
    this.#handed = handoff !== undefined;
    this.#scratch = scratchOf(run);
  }

  booted(run: RunState, entry: KernelEntry): void {
    const { context } = entry.kernel;
    this.#configs.push(context.config as ConfigSpec);
    const before = run.kernels.at(-2);
    const old = before?.kernel.context;
    if (before === undefined || old === undefined) return;
    const { page } = run;
    const offered = entry.offered ?? { starts: [], orders: [] };
    const blocks = offered.starts.map((phys, i) => ({ start: phys / page.sizeBytes, order: offered.orders[i] ?? 0 }));
    const crossed = [...run.objects.objects.values()].filter(({ state }) => state === 'crossed');
    this.#restorable = new Set(crossed);
    this.jumps.push({
      to: entry.number,
      old: old.release,
      next: context.release,
      oldConfig: this.#configs.at(-2) ?? {},
      config: this.#configs.at(-1) ?? {},
      maxPageOrder: context.allocator.maxPageOrder,
      oldLuo: before.kernel.luo?.enabled === true,
      handed: this.#handed,
      blocks,
      recorded: union(blocks.map(({ start, order }) => [start, start + 2 ** order] as const)),
      crossed: crossed.map((object) => ({ object, pages: pagesOf(object) })),
      scratch: this.#scratch,
      reserved: reservedFrames(entry, page),
      outcome: entry.outcome,
      reason: entry.reason ?? '',
      log: context.log.lines.map((line) => line.text),
      failedBefore: [...old.faults.fired],
      failedInBoot: [...context.faults.fired],
      corrupted: run.corrupted.slice(this.#nrCorrupted),
      refusals: this.#refusals.splice(0),
    });
    this.#nrCorrupted = run.corrupted.length;
  }

  stepped(run: RunState, { step }: { readonly step: RunResult['steps'][number] }): void {
    const spec = run.step?.spec;
    if (spec !== undefined) this.#look(run, spec, step);
    for (const object of this.#restorable) if (object.state === 'restored') this.#restorable.delete(object);
    const { number } = run.entry;
    for (const session of run.sessions.sessions.values()) {
      const seen = this.#wrongs.get(session.name) ?? 0;
      for (const text of session.wrong.slice(seen)) {
        this.symptoms.push({ kind: 'client', kernel: number, client: 'session', name: session.name, text });
      }
      this.#wrongs.set(session.name, session.wrong.length);
    }
    for (const { name, wrong } of run.subtrees.values()) {
      const key = `/${name}/${wrong}`;
      if (wrong === '' || this.#wrongs.has(key)) continue;
      this.#wrongs.set(key, 1);
      this.symptoms.push({ kind: 'client', kernel: number, client: 'subtree', name, text: wrong });
    }
  }

  #look(run: RunState, spec: StepSpec, step: RunResult['steps'][number]): void {
    const name = spec['preserve folios']?.as ?? spec['preserve pages']?.as ?? spec.alloc?.as;
    const fresh = name === undefined ? undefined : run.objects.objects.get(name);
    if (fresh !== undefined && !this.foreign.has(fresh) && fresh.written.size > 0) {
      this.foreign.set(fresh, union([...fresh.written.keys()].map((pfn) => [pfn, pfn + 1] as const)));
    }
    if (spec.kexec !== undefined && /^E[A-Z]+$/.test(step.result)) this.#refusals.push(step.result);
    if (spec.free !== undefined && step.result === 'ok') {
      for (const each of [spec.free].flat()) {
        const object = run.objects.objects.get(each);
        if (object !== undefined && !this.freed.has(object)) this.freed.set(object, step.kernel);
      }
    }
    if (spec.damage?.to !== undefined && step.result === 'ok') {
      const { starts, nrPagesEach } = run.objects.get(spec.damage.to).blocks;
      const index = spec.damage.page ?? 0;
      const pfn = (starts[Math.floor(index / nrPagesEach)] ?? 0) + (index % nrPagesEach);
      this.strayWrites.push([pfn, pfn + 1]);
      if (isKernelMemory(run, pfn)) this.strayInKernel ??= step.kernel;
    }
    for (const each of spec.restore === undefined ? [] : [spec.restore].flat()) {
      const object = run.objects.objects.get(each);
      if (object === undefined || this.#restorable.has(object)) continue;
      this.wrongRestores.push({ kernel: step.kernel, pages: pagesOf(object) });
      if (object.kind === 'vmalloc') this.readAfterFree.add(step.kernel);
    }
    if (spec.restore !== undefined && step.result === 'ok') {
      for (const each of [spec.restore].flat()) {
        const object = run.objects.objects.get(each);
        if (object === undefined || this.#restorable.delete(object)) continue;
        const text = `restoring '${each}' succeeds, and it was restored already, or never handed over`;
        this.symptoms.push({ kind: 'step', kernel: step.kernel, step: step.index, text });
      }
    }
  }
}

/** Whether a page is in use, and by none of the objects that clients made. */
function isKernelMemory(run: RunState, pfn: number): boolean {
  const { pages } = run.kernel.context;
  if (!pages.hasStructPage(pfn) || pages.has(pfn as Pfn, PageFlag.free)) return false;
  const owned = [...run.objects.objects.values()].filter(({ state }) => state !== 'gone' && state !== 'freed');
  return !owned.some((object) => intersect(pagesOf(object), [[pfn, pfn + 1]]).length > 0);
}

function scratchOf(run: RunState): Intervals {
  const { page } = run;
  const areas = run.entry.kernel.context.control.state.scratch;
  return union(
    areas.map((area) => [area.base / page.sizeBytes, (area.base + area.sizeBytes) / page.sizeBytes] as const),
  );
}

/** Runs a scenario and keeps what explains it. @throws InputError when a step of it cannot be done. */
export function collectEvidence(scenario: Scenario, page: PageSize): Evidence {
  const collector = new Collector();
  const { result, state } = runScenarioAtLength(scenario, { page, observer: collector });
  for (const entry of state.kernels) {
    for (const { kind, object, state: was, pages } of entry.ledger.found) {
      // Nobody asked for it: that it stays set aside is what must follow.
      if (kind === 'leaked' && was === 'crossed') continue;
      const ranges = union([...pages.ranges()].map(([pfn, nrPages]) => [pfn, pfn + nrPages] as const));
      const text = `${kind === 'wrongState' ? 'another order or count' : kind}: ${object.name}, ${pages.describe(page.sizeBytes)}`;
      collector.symptoms.push({ kind: 'pages', kernel: entry.number, what: kind, object, pages: ranges, text });
    }
    if (entry.phantom.first !== undefined) {
      const text = `set aside, and preserved by nobody: ${entry.phantom.describe(page.sizeBytes)}`;
      collector.symptoms.push({ kind: 'phantom', kernel: entry.number, text });
    }
    if (entry.outcome === 'panic' || entry.outcome === 'oops') {
      const inBoot = entry.kernel.start.kind === entry.outcome;
      const text = `kernel ${entry.number}: ${entry.outcome}: ${entry.reason}`;
      collector.symptoms.push({ kind: 'crash', kernel: entry.number, inBoot, text });
    }
  }
  const secondPhase =
    result.steps.at(-1)?.result === 'ok' &&
    state.kernels.slice(-2).every((entry) => entry.kernel.context.faults.fired.length === 0);
  const last = result.objects.find((object) => object.name === LAST_OBJECT);
  if (secondPhase && last?.state === 'untested') {
    // Damage and loss are in the ledger; this is the rest: it could not be preserved at all.
    const text = `the handover without faults: '${LAST_OBJECT}' is not preserved`;
    collector.symptoms.push({ kind: 'second-phase', kernel: Math.max(state.kernels.length - 1, 1), text });
  }
  const { banks } = state.machine.map;
  return {
    page,
    result,
    state,
    jumps: collector.jumps,
    symptoms: collector.symptoms,
    foreign: collector.foreign,
    freed: collector.freed,
    strayWrites: union(collector.strayWrites),
    strayInKernel: collector.strayInKernel,
    readAfterFree: collector.readAfterFree,
    wrongRestores: collector.wrongRestores,
    secondPhase,
    nidOf: (pfn) => {
      const phys = pfn * page.sizeBytes;
      return banks.find(({ base, sizeBytes }) => phys >= base && phys < base + sizeBytes)?.nid ?? 0;
    },
  };
}

/** Whether a page is in the page allocator of the kernel that ran last. */
export function isFree({ state }: Evidence, pfn: number): boolean {
  const { pages } = state.kernel.context;
  return pages.hasStructPage(pfn) && pages.has(pfn as Pfn, PageFlag.free);
}

/** The release of a name that a run's kernels have. */
export function releaseOf(name: string): Release {
  const release = releaseByName(name);
  if (release === undefined) throw new Error(`a run had a kernel of '${name}'`);
  return release;
}
