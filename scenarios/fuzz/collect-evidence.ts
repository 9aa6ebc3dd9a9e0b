import type { Kernel } from '../../kernel/kernel.ts';
import { PageFlag, type PageStates } from '../../kernel/mm/page-states.ts';
import type { Release } from '../../kernel/release.ts';
import type { BootHandoff, Machine, PageSize, Pfn } from '../../machine/index.ts';
import { MEMBLOCK_RSRV_NOINIT } from '../../machine/memblock/flags.ts';
import { NO_REGION } from '../../machine/memblock/region-table.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { type Intervals, subtract, union } from '../handover/intervals.ts';
import type { Scenario } from '../run/load.ts';
import type { RunObserver } from '../run/observer.ts';
import type { RunResult } from '../run/result.ts';
import type { KernelEntry, RunState } from '../run/run-state.ts';
import { runScenarioAtLength } from '../run/runner.ts';
import type { ConfigSpec, StepSpec } from '../run/schema.ts';
import { type Belongings, belongingsOf } from './belongings.ts';
import { type Evidence, intersect, type Jump, pagesOf, type SharedPages, type Symptom } from './evidence.ts';
import { LAST_OBJECT } from './plan.ts';
import { mapFrames, type Reading, rangesOf, readingOf, withoutBlocks } from './reader.ts';

/*
 * Looks on while a scenario runs, and notes what explains it later.
 */

/** The step of the boot that initialises all struct pages, but those that wait. */
const STRUCT_PAGES_STEP = 'mm_core_init_early: struct pages';
const FIRST_STEP = 'setup_arch: handoff';
/** The last step before the walk over the map. */
const STEP_BEFORE_WALK = 'vfs_caches_init_early';

function notInitialised(pages: PageStates): Intervals {
  const ranges: (readonly [number, number])[] = [];
  for (const span of pages.spans()) {
    for (const { start, nrPages, state } of pages.runs(span.start, (span.start + span.nrPages) as Pfn)) {
      if ((state.flags & PageFlag.initialised) === 0) ranges.push([start, start + nrPages]);
    }
  }
  return union(ranges);
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
  readonly shared: SharedPages[] = [];
  /** Objects that somebody had after the last step. */
  #owned = new Set<ExpectedObject>();
  readonly strayWrites: (readonly [number, number])[] = [];
  strayInKernel: number | undefined;
  readonly readAfterFree = new Set<number>();
  readonly lostCma = new Map<number, Intervals>();
  readonly wrongRestores: { kernel: number; pages: Intervals }[] = [];
  /** What came with the last jump and was not restored yet. */
  #restorable = new Set<ExpectedObject>();
  /** What was restored in this kernel for a client that had not handed it over. */
  #takenWrongly: Intervals = [];
  #wrongs = new Map<string, number>();
  #refusals: string[] = [];
  #failedAreas = new Set<ExpectedObject>();
  #handed = false;
  #scratch: Intervals = [];
  #reading: Reading | undefined;
  #read: ((next: Release) => Reading | undefined) | undefined;
  #mapInScratch: Intervals = [];
  #belongings: Belongings = { subtrees: new Map(), sessions: new Map(), areas: new Map(), rootFdt: [] };
  #late: Intervals = [];
  #nrCorrupted = 0;
  #configs: ConfigSpec[] = [];

  /** Called after each step of a boot. */
  onStep(kernel: Kernel, step: string): void {
    if (step === STRUCT_PAGES_STEP) {
      this.#late = kernel.ctx.config.DEFERRED_STRUCT_PAGE_INIT ? notInitialised(kernel.ctx.pages) : [];
    }
    // As soon as can be, and as late: what lies behind a bitmap may be scratch, where the kernel puts things first.
    if (step === FIRST_STEP || step === STEP_BEFORE_WALK) this.#reading = this.#read?.(kernel.ctx.release);
  }

  jumping(run: RunState, machine: Machine, handoff: BootHandoff | undefined): void {
    this.#handed = handoff !== undefined;
    this.#scratch = scratchOf(run);
    for (const object of run.objects.objects.values()) {
      // Clients renew what they took back, right before a jump.
      if (object.kind === 'vmalloc' && object.state === 'restored' && object.renewed) this.#failedAreas.add(object);
    }
    this.#belongings = belongingsOf(run, machine.memory, handoff);
    this.#reading = undefined;
    this.#read = undefined;
    this.#mapInScratch = [];
    if (handoff === undefined) return;
    const old = run.kernel.context.release;
    this.#read = (next) => readingOf(next, old, machine, handoff);
    // Only the kernels that took scratch for common memory put anything of their own there.
    const lost = this.lostCma.get(run.entry.number) ?? [];
    if (lost.length > 0) this.#mapInScratch = intersect(mapFrames(old, machine, handoff), lost);
  }

  booted(run: RunState, entry: KernelEntry): void {
    const { context } = entry.kernel;
    this.#configs.push(context.config as ConfigSpec);
    if (context.kho.isKhoBoot && context.release.quirks.deferredInitForgetsCma) {
      this.lostCma.set(entry.number, intersect(scratchOf(run), this.#late));
    }
    const before = run.kernels.at(-2);
    const old = before?.kernel.context;
    if (before === undefined || old === undefined) return;
    const { page } = run;
    const offered = entry.offered ?? { starts: [], orders: [] };
    const blocks = offered.starts.map((phys, i) => ({ start: phys / page.sizeBytes, order: offered.orders[i] ?? 0 }));
    const crossed = [...run.objects.objects.values()].filter(({ state }) => state === 'crossed');
    this.#restorable = new Set(crossed);
    this.#takenWrongly = [];
    const recorded = rangesOf(blocks);
    const { subtrees, sessions, areas } = this.#belongings;
    const ofClients = union([
      ...crossed.flatMap(pagesOf),
      ...[...subtrees.values(), ...sessions.values(), ...areas.values()].flat(),
    ]);
    this.jumps.push({
      to: entry.number,
      old: old.release,
      next: context.release,
      oldConfig: this.#configs.at(-2) ?? {},
      config: this.#configs.at(-1) ?? {},
      maxPageOrder: context.allocator.maxPageOrder,
      oldLuo: before.kernel.luo?.enabled === true,
      readsLuo: context.cmdline.flag('kho', false),
      handed: this.#handed,
      blocks,
      recorded,
      crossed: crossed.map((object) => ({ object, pages: pagesOf(object) })),
      scratch: this.#scratch,
      read: this.#reading?.blocks ?? blocks,
      unread: withoutBlocks(blocks, this.#reading?.blocks),
      misread: this.#reading === undefined ? [] : withoutBlocks(this.#reading.blocks, blocks),
      readerFalls: this.#reading?.falls === true,
      mapInScratch: this.#mapInScratch,
      belongings: this.#belongings,
      kernelPages: subtract(recorded, ofClients),
      late: this.#late,
      reserved: reservedFrames(entry, page),
      outcome: entry.outcome,
      reason: entry.reason ?? '',
      log: context.log.lines.map((line) => line.text),
      failedBefore: [...old.faults.fired],
      failedInBoot: [...context.faults.fired],
      corrupted: run.corrupted.slice(this.#nrCorrupted),
      refusals: this.#refusals.splice(0),
      failedAreas: this.#failedAreas,
    });
    this.#failedAreas = new Set();
    this.#nrCorrupted = run.corrupted.length;
  }

  stepped(run: RunState, { step }: { readonly step: RunResult['steps'][number] }): void {
    const spec = run.step?.spec;
    this.#noteShared(run);
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

  /** Whether a page is in use, and none of the objects that clients made has it by right. */
  #isKernelMemory(run: RunState, pfn: number): boolean {
    const { pages } = run.kernel.context;
    if (!pages.hasStructPage(pfn) || pages.has(pfn as Pfn, PageFlag.free)) return false;
    const page: Intervals = [[pfn, pfn + 1]];
    return ![...run.objects.objects.values()].filter(hasOwner).some((object) => {
      const isForeign = intersect(this.foreign.get(object) ?? [], page).length > 0;
      return !isForeign && intersect(pagesOf(object), page).length > 0;
    });
  }

  /** First pages of the blocks that came with the last jump, belong to clients, and were not asked back by anybody. */
  #waiting(): Intervals {
    const came = this.jumps.at(-1)?.read ?? [];
    const waits = union([...this.#restorable].flatMap(pagesOf));
    const heads = union(came.map(({ start }) => [start, start + 1] as const));
    return subtract(intersect(heads, waits), this.#takenWrongly);
  }

  #noteShared(run: RunState): void {
    const { number } = run.entry;
    const owned = [...run.objects.objects.values()].filter(hasOwner);
    for (const object of owned) {
      if (this.#owned.has(object)) continue;
      for (const other of owned) {
        if (other === object) continue;
        this.#share(number, object, other);
        this.#share(number, other, object);
      }
    }
    this.#owned = new Set(owned);
  }

  #share(kernel: number, object: ExpectedObject, other: ExpectedObject): void {
    const pages = intersect(pagesOf(object), pagesOf(other));
    if (pages.length > 0) this.shared.push({ kernel, object, other, pages });
  }

  #look(run: RunState, spec: StepSpec, step: RunResult['steps'][number]): void {
    const name = spec['preserve folios']?.as ?? spec['preserve pages']?.as ?? spec.alloc?.as;
    const fresh = name === undefined ? undefined : run.objects.objects.get(name);
    if (fresh !== undefined && !this.foreign.has(fresh) && fresh.written.size > 0) {
      this.foreign.set(fresh, union([...fresh.written.keys()].map((pfn) => [pfn, pfn + 1] as const)));
    }
    if (/^E(INVAL|NOMEM)$/.test(step.result)) {
      for (const each of [spec['preserve vmalloc']?.as ?? spec.preserve ?? []].flat()) {
        const object = run.objects.objects.get(each);
        if (object?.kind === 'vmalloc') this.#failedAreas.add(object);
      }
    }
    if (spec.kexec !== undefined && /^E[A-Z]+$/.test(step.result)) this.#refusals.push(step.result);
    if (spec.free !== undefined && step.result === 'ok') {
      for (const each of [spec.free].flat()) {
        const object = run.objects.objects.get(each);
        if (object === undefined || this.freed.has(object)) continue;
        const hasRival = this.shared.some((each) => each.object === object);
        if (object.state === 'preserved' || hasRival) this.freed.set(object, step.kernel);
      }
    }
    const to = spec.damage?.to ?? spec.write?.to;
    if (to !== undefined && step.result === 'ok') {
      const { starts, nrPagesEach } = run.objects.get(to).blocks;
      const index = (spec.damage ?? spec.write)?.page ?? 0;
      const pfn = (starts[Math.floor(index / nrPagesEach)] ?? 0) + (index % nrPagesEach);
      if (spec.damage !== undefined) this.strayWrites.push([pfn, pfn + 1]);
      // Pages at an address may be anybody's, and who took them writes into what those have there.
      if (this.#isKernelMemory(run, pfn)) this.strayInKernel ??= step.kernel;
    }
    for (const each of spec.restore === undefined ? [] : [spec.restore].flat()) {
      const object = run.objects.objects.get(each);
      if (object === undefined || this.#restorable.has(object)) continue;
      this.wrongRestores.push({ kernel: step.kernel, pages: pagesOf(object) });
      for (const other of this.#owned) if (other !== object) this.#share(step.kernel, other, object);
      if (object.kind === 'vmalloc') this.readAfterFree.add(step.kernel);
    }
    if (spec.restore !== undefined && step.result === 'ok') {
      for (const each of [spec.restore].flat()) {
        const object = run.objects.objects.get(each);
        if (object === undefined || this.#restorable.delete(object)) continue;
        const text = `restoring '${each}' succeeds, and it was restored already, or never handed over`;
        const waiting = this.#waiting();
        this.symptoms.push({ kind: 'step', kernel: step.kernel, step: step.index, object, waiting, text });
        this.#takenWrongly = union([...this.#takenWrongly, ...pagesOf(object)]);
      }
    }
  }
}

/** Whether somebody has an object's pages, or handed them over to whoever asks. */
function hasOwner({ state }: ExpectedObject): boolean {
  return state !== 'gone' && state !== 'freed';
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
  const { result, state } = runScenarioAtLength(scenario, {
    page,
    observer: collector,
    onStep: (kernel, step) => collector.onStep(kernel, step),
  });
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
      const pages = union([...entry.phantom.ranges()].map(([pfn, nrPages]) => [pfn, pfn + nrPages] as const));
      collector.symptoms.push({ kind: 'phantom', kernel: entry.number, pages, text });
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
    lostCma: collector.lostCma,
    foreign: collector.foreign,
    freed: collector.freed,
    shared: collector.shared,
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
