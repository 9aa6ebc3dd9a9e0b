import type { ControlPatches } from '../../kernel/control.ts';
import { PageFlag } from '../../kernel/mm/page-states.ts';
import type { VmallocArea } from '../../kernel/mm/vmalloc-area.ts';
import { type Machine, type PageSize, type Pfn, type PhysAddr, physOf, Random } from '../../machine/index.ts';
import { hex } from '../../machine/units.ts';
import { PageRanges } from '../check/ranges.ts';
import type { AppliedCorruption, PendingCorruption } from './corruption.ts';
import { emptyLedger, type KernelLedger, ObjectLedger } from './ledger.ts';
import type { Scenario, ScenarioStep } from './load.ts';
import { pageSizesUsed } from './machine-plan.ts';
import type { RunObserver } from './observer.ts';
import type { CheckResult, ObjectResult, Outcome, StepResult } from './result.ts';
import type { BookedSession, SessionBook } from './session-book.ts';
import type { BootRequest, SimulatedKernel } from './simulator.ts';
import type { BookedSubtree } from './subtrees.ts';

/** The writer that memblock's giving memory to the page allocator is known as. */
const FREE_ALL = 'free memory';

/** The writer that the loader of the next kernel is known as. */
const LOADER = 'kexec';

/** A kernel of a run, with what the run noted about it. */
export interface KernelEntry {
  readonly kernel: SimulatedKernel;
  /** 1 for the first. */
  readonly number: number;
  /** With the names of its quirks, and a page size that is not the first kernel's: `7.1 with unpreserve-ignores-nodes`. */
  readonly release: string;
  readonly cmdline: string;
  readonly ledger: KernelLedger;
  outcome: Outcome;
  reason: string | null;
  leakedByKernelPages: number;
  /** Set aside by the walk over the map, though its predecessor preserved nothing there. */
  phantom: PageRanges;
  figures: Record<string, number>;
  /** What its predecessor preserved, by value, taken over or not. */
  offered?: PreservedBlocks;
  /** The same, when this kernel took it over. */
  incoming?: PreservedBlocks;
  /** Its life is over: the last look was taken. */
  closed: boolean;
  /** Nothing has looked at what its predecessor left yet. */
  lookPending: boolean;
}

/** A step as the timeline keeps it: the patches of control state that it made, forwards and backwards. */
export interface TimelineStep {
  readonly step: StepResult;
  readonly control: ControlPatches | undefined;
}

/** The blocks that a kernel preserved at its end, by value: what the next one could find. */
export interface PreservedBlocks {
  /** Physical addresses. */
  readonly starts: number[];
  readonly orders: number[];
  /** Of the kernel that preserved them. */
  readonly pageBytes: number;
}

/** Everything that a run holds while it goes on. */
export class RunState {
  readonly scenario: Scenario;
  /** Of the first kernel: what the run is called by. */
  readonly page: PageSize;
  /** The smallest of all its kernels: frames and amounts of memory are counted in such pages, whichever kernel runs. */
  readonly unit: PageSize;
  readonly seed: number;
  readonly random: Random;
  readonly machine: Machine;
  readonly objects: ObjectLedger;
  readonly kernels: KernelEntry[] = [];
  readonly timeline: TimelineStep[] = [];
  /** Checks that failed or passed while steps ran. */
  readonly checks: CheckResult[] = [];
  readonly sessions: SessionBook;
  readonly subtrees = new Map<string, BookedSubtree>();
  /** The present kernel's mappings of vmalloc objects. */
  readonly vmallocAreas = new Map<string, VmallocArea>();
  /** Where the present kernel keeps the descriptors of those that it preserves. */
  readonly vmallocBlobs = new Map<string, PhysAddr>();
  /** What the next jump is to find changed. */
  readonly corruptions: PendingCorruption[] = [];
  /** What jumps so far found changed. */
  readonly corrupted: AppliedCorruption[] = [];
  /** Failures that are armed before the next kernel starts. */
  readonly nextFaults: { readonly at: string; readonly nth: number }[] = [];
  /** Who looks on. */
  observer: RunObserver = {};
  /** The step that is being done. */
  step: ScenarioStep | undefined;
  /** The last step that is over, as `stepName` names it. */
  lastDone = 'power on';

  constructor(scenario: Scenario, machine: Machine, page: PageSize, seed: number, sessions: SessionBook) {
    this.scenario = scenario;
    this.machine = machine;
    this.page = page;
    this.unit = smallestPage(scenario, page);
    this.seed = seed;
    this.random = new Random(seed);
    this.objects = new ObjectLedger(this.unit, seed);
    this.sessions = sessions;
  }

  /** The kernel that is running, or ran last. */
  get entry(): KernelEntry {
    const entry = this.kernels.at(-1);
    if (entry === undefined) throw new Error('no kernel was booted yet');
    return entry;
  }

  get kernel(): SimulatedKernel {
    return this.entry.kernel;
  }

  /** The present kernel fell over: nothing more can be done. Notes how, the first time. */
  get dead(): boolean {
    const { entry } = this;
    const { fall, start } = entry.kernel;
    if (fall !== undefined) {
      entry.outcome = fall.kind;
      entry.reason = fall.reason ?? null;
    }
    return fall !== undefined || start.kind === 'panic' || start.kind === 'oops';
  }

  /** How many frames, as the run counts them, a page of the present kernel is. */
  get pageUnits(): number {
    return this.kernel.context.page.sizeBytes / this.unit.sizeBytes;
  }

  /** The frame of the present kernel that a frame, as the run counts them, lies in. */
  kernelFrame(pfn: number): Pfn {
    return Math.floor(pfn / this.pageUnits) as Pfn;
  }

  addKernel(kernel: SimulatedKernel, { release, quirks = [], cmdline }: BootRequest): KernelEntry {
    const { start } = kernel;
    const { page } = kernel.context;
    const special = [...quirks, ...(page === this.page ? [] : [`${page.name} pages`])];
    const entry: KernelEntry = {
      kernel,
      number: this.kernels.length + 1,
      release: special.length === 0 ? release : `${release} with ${special.join(', ')}`,
      cmdline,
      ledger: emptyLedger(),
      outcome: start.kind,
      reason: start.reason ?? null,
      leakedByKernelPages: 0,
      phantom: new PageRanges(),
      figures: {},
      closed: false,
      lookPending: false,
    };
    this.kernels.push(entry);
    return entry;
  }

  /** What became of objects, sessions and subtrees. */
  objectResults(): ObjectResult[] {
    return [
      ...this.objects.results(),
      ...[...this.sessions.sessions.values()].map((session) => sessionResult(session, this.unit.sizeBytes)),
      ...[...this.subtrees.values()].map(subtreeResult),
    ];
  }

  /** `step 3 (line 7: kexec)`, as messages name the present step. */
  stepName(): string {
    const { step } = this;
    return step === undefined ? 'power on' : `step ${step.index + 1} (line ${step.line}: ${step.verb})`;
  }

  /** How a page of an object came to be as it is: who wrote it last, or who has it now. */
  tell(pfn: Pfn, kind: 'damaged' | 'lost' | 'leaked' | 'wrongState'): string {
    const address = hex(physOf(this.unit, pfn));
    const { context } = this.kernel;
    const frame = this.kernelFrame(pfn);
    const where = `found after ${this.lastDone}, kernel ${this.entry.number}`;
    if (kind === 'leaked') return `page ${address} was preserved and never restored; ${where}`;
    if (kind === 'wrongState') return `page ${address} came back with another order or reference count; ${where}`;
    const backing = context.memory.contains(physOf(this.unit, pfn)) ? context.memory.backing(frame) : undefined;
    const writer =
      backing?.writer === FREE_ALL ? `kernel ${this.entry.number}: free_all` : (backing?.writer ?? 'nobody');
    const free = context.pages.hasStructPage(frame) && context.pages.has(frame, PageFlag.free);
    // Junk is what the page allocator fills free pages with, and what a loader's image consists of.
    if (writer === LOADER) return `page ${address} was overwritten by ${writer}; ${where}`;
    if (free || (backing?.kind === 'fill' && backing.fill.kind === 'junk')) {
      return `page ${address} was handed to the page allocator (${writer}); ${where}`;
    }
    return `page ${address} was written by ${writer}; ${where}`;
  }
}

/** The smallest page size of a scenario's kernels. @param page of the first. */
function smallestPage(scenario: Scenario, page: PageSize): PageSize {
  return pageSizesUsed(scenario, page).reduce((a, b) => (b.shift < a.shift ? b : a));
}

function sessionResult(session: BookedSession, pageBytes: number): ObjectResult {
  const bytes = session.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const pages = session.files.reduce((sum, file) => sum + Math.ceil(file.sizeBytes / pageBytes), 0);
  const base = { name: session.name, kind: 'session', pages, bytes } as const;
  if (session.wrong.length > 0) return { ...base, state: 'damaged', detail: session.wrong.join('; ') };
  if (session.leakedPages > 0) return { ...base, state: 'leaked', detail: `${session.leakedPages} pages` };
  if (session.verified > 0) return { ...base, state: 'intact', detail: `${session.files.length} files read back` };
  if (session.state === 'lost') return { ...base, state: 'lost', detail: 'nobody retrieved it' };
  return { ...base, state: 'untested', detail: session.crossings === 0 ? 'never crossed' : 'nobody retrieved it' };
}

function subtreeResult(subtree: BookedSubtree): ObjectResult {
  const base = { name: subtree.name, kind: 'subtree', pages: 1, bytes: subtree.content.length } as const;
  if (subtree.wrong !== '') return { ...base, state: 'damaged', detail: subtree.wrong };
  if (subtree.state === 'lost') return { ...base, state: 'lost', detail: 'gone with the handover' };
  if (subtree.crossings === 0) return { ...base, state: 'untested', detail: 'never crossed' };
  return { ...base, state: 'intact', detail: `found again ${subtree.crossings} times` };
}
