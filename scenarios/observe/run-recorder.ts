import { bootSteps } from '../../kernel/boot/boot-steps.ts';
import type { LogLine } from '../../kernel/log.ts';
import type { BootHandoff, Machine, MemoryVersion, PhysicalMemory } from '../../machine/index.ts';
import type { Memblock } from '../../machine/memblock/memblock.ts';
import { handoverInMemory } from '../inspect/image-source.ts';
import { inspectImage } from '../inspect/inspect.ts';
import type { PreservedSet } from '../inspect/preserved-set.ts';
import type {
  BadEvent,
  BankView,
  ControlChange,
  Frame,
  HandoverView,
  KernelView,
  LogRow,
  MemblockTable,
  RunView,
} from '../report/client/model.ts';
import { diffRuns, emptyRuns, encodeNumbers, nrSlotsOf, type Runs, rankOf } from '../report/client/runs.ts';
import { reproduce } from '../report/human.ts';
import type { RunObserver } from '../run/observer.ts';
import type { RunResult } from '../run/result.ts';
import type { KernelEntry, RunState, TimelineStep } from '../run/run-state.ts';
import { handoverView, paintHandover } from './handover-view.ts';
import { bankViews, MAX_FRAME_RUNS } from './image-view.ts';
import { ObjectOwners } from './owners.ts';
import { coarsen, coarsenTo, Painter, StateNumbers } from './painter.ts';
import { paintRun, paintSegments, type RunMemory } from './run-memory.ts';
import { stepText } from './step-text.ts';

/** Regions of a memblock table that a report keeps. */
const MAX_REGIONS = 8192;
/** Lines of a kernel's log that a report keeps, and how many of them are the first ones. */
const MAX_LOG_LINES = 3000;
const LOG_HEAD = 2000;
/** Written pages are told apart in RAM up to this size: above it, listing them would cost more than the run. */
const MAX_DIFFED_BYTES = 2 ** 36;
const MAX_WRITTEN_RANGES = 12;
/** Characters that all frames of a view may take together. */
const MAX_FRAME_CHARS = 1_600_000;

interface DraftFrame extends Omit<Frame, 'runs' | 'grainPages'> {
  readonly memory: Runs;
  readonly grainPages: number;
}

/**
 * Records a run for reports and traces: RAM, maps, control state and logs after everything that happened. Hand it to the
 * runner as observer, and ask for the view when the run is over.
 */
export class RunRecorder implements RunObserver {
  readonly #numbers = new StateNumbers();
  readonly #frames: DraftFrame[] = [];
  readonly #handovers: HandoverView[] = [];
  readonly #memblock: MemblockTable[][] = [];
  #banks: readonly BankView[] = [];
  #incoming: PreservedSet | undefined;
  #version: MemoryVersion | undefined;
  #toldEvents = 0;
  #jumpPainted: Runs | undefined;

  booted(run: RunState, entry: KernelEntry): void {
    const { kernel } = entry;
    const { context } = kernel;
    if (this.#banks.length === 0) this.#banks = bankViews(run.machine.map.banks, run.unit.sizeBytes);
    this.#toldEvents = 0;
    this.#memblock.push(memblockTables(kernel.kernel.memblock));
    this.#markMemory(context.memory);
    // The boot's patches belong to the state that is recorded whole here.
    context.control.takePatches();
    const taken = entry.outcome === 'handover' || (entry.number === 1 && entry.outcome === 'cold-boot');
    this.#add(run, entry, {
      phase: 'boot',
      title: `kernel ${entry.number} boots: Linux ${entry.release}`,
      result: entry.outcome,
      ok: taken,
      line: run.step?.line ?? 0,
      written: { nrPages: 0, ranges: [] },
      control: { kind: 'state', state: context.control.state },
    });
  }

  stepped(run: RunState, step: TimelineStep): void {
    const { entry } = run;
    const { index, line, result } = step.step;
    const failed = run.checks.some((check) => !check.ok && check.name.startsWith(`step ${index + 1} (`));
    const written = this.#written(entry.kernel.context.memory, run.step?.verb === 'kexec', run.pageUnits);
    this.#add(run, entry, {
      phase: 'step',
      title: run.step === undefined ? step.step.text : stepText(run.step),
      result,
      ok: !failed,
      line,
      written,
      control: { kind: 'patches', patches: step.control?.patches ?? [], inverse: step.control?.inverse ?? [] },
    });
  }

  jumping(run: RunState, machine: Machine, handoff: BootHandoff | undefined): void {
    const painter = new Painter(this.#banks);
    this.#incoming = undefined;
    const frame = this.#frames.length;
    let map: Frame['map'] = null;
    if (handoff !== undefined) {
      const image = handoverInMemory(machine.memory, machine.arch, handoff);
      const result = inspectImage(image, { contents: false });
      const owners = new ObjectOwners(run);
      const units = result.page.sizeBytes / run.unit.sizeBytes;
      paintHandover(result, painter, this.#numbers, (pfn) => owners.ownerOf(pfn * units), units);
      this.#incoming = result.preserved;
      this.#handovers.push(handoverOf(handoverView(result, `the jump from kernel ${run.entry.number}`, frame)));
      const { memoryMap } = result.document;
      const levels = memoryMap?.kind === 'radix-tree' ? memoryMap.nodesPerLevel : {};
      map = {
        nodesPerLevel: Object.keys(levels)
          .map(Number)
          .sort((a, b) => a - b)
          .map((level) => levels[String(level)] ?? 0),
        nrBlocks: result.preserved.count,
        nrPages: result.preserved.bytes / run.unit.sizeBytes,
      };
    }
    paintSegments(run, painter, this.#numbers, true);
    this.#jumpPainted = painter.runs;
    const { entry } = run;
    const { log } = entry.kernel.context;
    this.#push({
      phase: 'jump',
      title: `kexec: kernel ${entry.number} jumps`,
      result: handoff === undefined ? 'no handover' : 'jumped',
      ok: true,
      line: run.step?.line ?? 0,
      kernel: entry.number,
      microseconds: entry.kernel.kernel.clock.microseconds,
      written: { nrPages: 0, ranges: [] },
      control: { kind: 'patches', patches: [], inverse: [] },
      logLines: log.lines.length,
      map,
      scratchUsedPages: 0,
      bad: [],
      memory: painter.runs,
    });
  }

  closed(run: RunState, entry: KernelEntry): void {
    if (entry.ledger.events.length === this.#toldEvents) return;
    this.#add(run, entry, {
      phase: 'step',
      title: `the end of kernel ${entry.number}`,
      result: 'checked',
      ok: true,
      line: run.step?.line ?? 0,
      written: { nrPages: 0, ranges: [] },
      control: { kind: 'patches', patches: [], inverse: [] },
    });
  }

  // --- frames ---------------------------------------------------------------------------------------------------------

  #add(
    run: RunState,
    entry: KernelEntry,
    frame: Pick<Frame, 'phase' | 'title' | 'result' | 'ok' | 'line' | 'written'> & { readonly control: ControlChange },
  ): void {
    const { kernel } = entry;
    const painted = this.#paint(run, entry);
    const { outgoing } = painted;
    this.#push({
      ...frame,
      kernel: entry.number,
      microseconds: kernel.kernel.clock.microseconds,
      logLines: kernel.context.log.lines.length,
      map:
        outgoing === undefined
          ? null
          : {
              nodesPerLevel: outgoing.nodesPerLevel,
              nrBlocks: outgoing.pfns.length,
              nrPages: outgoing.orders.reduce((sum, order) => sum + 2 ** order, 0) * run.pageUnits,
            },
      scratchUsedPages: painted.scratchUsedPages,
      bad: this.#newEvents(entry),
      memory: painted.runs,
    });
  }

  /** A kernel that fell may have left anything behind; its RAM is shown as far as it can be. */
  #paint(run: RunState, entry: KernelEntry): RunMemory {
    if (!entry.kernel.context.memory.alive) {
      const runs = this.#jumpPainted ?? emptyRuns(nrSlotsOf(this.#banks));
      return { runs, outgoing: undefined, scratchUsedPages: 0 };
    }
    return paintRun(run, entry, this.#banks, this.#numbers, this.#incoming);
  }

  #push(frame: Omit<DraftFrame, 'grainPages'>): void {
    const { runs, grainPages } = coarsen(frame.memory, MAX_FRAME_RUNS, (state) => rankOf(this.#numbers.states[state]));
    this.#frames.push({ ...frame, memory: runs, grainPages });
  }

  #newEvents(entry: KernelEntry): BadEvent[] {
    const { events, lost } = entry.ledger;
    const bad: BadEvent[] = events.slice(this.#toldEvents);
    this.#toldEvents = events.length;
    const { first } = lost;
    if (first !== undefined && entry.outcome !== 'handover' && bad.length === 0 && !this.#told(entry.number)) {
      const why = entry.reason ?? entry.outcome;
      return [{ kind: 'lost', pfn: first, text: `kernel ${entry.number} did not take the handover over: ${why}` }];
    }
    return bad;
  }

  #told(kernel: number): boolean {
    return this.#frames.some((frame) => frame.kernel === kernel && frame.bad.some((event) => event.kind === 'lost'));
  }

  #markMemory(memory: PhysicalMemory): void {
    const bytes = memory.banks.reduce((sum, bank) => sum + bank.sizeBytes, 0);
    this.#version = memory.alive && bytes <= MAX_DIFFED_BYTES ? memory.mark() : undefined;
  }

  #written(memory: PhysicalMemory, afterJump: boolean, units: number): Frame['written'] {
    const before = this.#version;
    if (!memory.alive) return { nrPages: 0, ranges: [] };
    this.#markMemory(memory);
    if (before === undefined || this.#version === undefined || afterJump) return { nrPages: 0, ranges: [] };
    const pfns = memory.changedPages(before, this.#version);
    const ranges: [number, number][] = [];
    for (const pfn of pfns) {
      const last = ranges.at(-1);
      if (last !== undefined && last[0] + last[1] === pfn * units) last[1] += units;
      else if (ranges.length < MAX_WRITTEN_RANGES) ranges.push([pfn * units, units]);
      else break;
    }
    return { nrPages: pfns.length * units, ranges };
  }

  // --- the view -------------------------------------------------------------------------------------------------------

  /** The recorded run. @param run the finished run's state. */
  view(run: RunState, result: RunResult): RunView {
    const { frames } = this.#encoded();
    return {
      kind: 'run',
      title: result.name,
      scenario: result.scenario,
      arch: result.arch,
      pageSize: result.pageSize,
      seed: result.seed,
      ok: result.ok,
      outcome: result.outcome,
      reason: result.reason ?? '',
      verdict: result.verdict,
      totals: {
        preserved: result.preserved,
        restored: result.restored,
        damaged: result.damaged,
        leaked: result.leaked,
        lost: result.lost,
        untested: result.untested,
      },
      checks: result.checks,
      objects: result.objects,
      digest: result.digest,
      command: reproduce({ ...result, file: fileName(result.file) }),
      memory: { pageShift: run.unit.shift, banks: this.#banks, states: this.#numbers.states },
      frames: frames.map((frame) => ({
        ...frame,
        logLines: this.#keptLines(frame, run.kernels[frame.kernel - 1]?.kernel.context.log.lines ?? []),
      })),
      handovers: this.#handovers,
      kernels: run.kernels.map((entry, i) => kernelView(entry, this.#memblock[i] ?? [])),
    };
  }

  /** Where a line of a long log is in what is kept of it. */
  #keptLines(frame: Frame, log: readonly unknown[]): number {
    const cut = log.length - MAX_LOG_LINES;
    if (cut <= 0 || frame.logLines <= LOG_HEAD) return frame.logLines;
    return Math.max(frame.logLines - cut, LOG_HEAD + 1);
  }

  /** Frames with RAM as differences; coarser for all of them when there is too much of it. */
  #encoded(): { frames: Frame[] } {
    const rank = (state: number): number => rankOf(this.#numbers.states[state]);
    let grain = Math.max(1, ...this.#frames.map((frame) => frame.grainPages));
    for (;;) {
      let before = emptyRuns(nrSlotsOf(this.#banks));
      let chars = 0;
      const frames = this.#frames.map(({ memory, ...frame }): Frame => {
        const runs = grain === 1 ? memory : coarsenTo(memory, grain, rank);
        const text = diffRuns(before, runs);
        before = runs;
        chars += text.length;
        return { ...frame, grainPages: grain, runs: text };
      });
      if (chars <= MAX_FRAME_CHARS || grain > 2 ** 20) return { frames };
      grain *= 4;
    }
  }
}

/** The audit without what only says that the scenario itself, and no client that inspect knows, owns things. */
function handoverOf(view: HandoverView): HandoverView {
  const ours = ['preserved-unowned', 'subtree-unknown'];
  return { ...view, findings: view.findings.filter((finding) => !ours.includes(finding.code)) };
}

/** A file without its folder: reports name no paths of the machine that made them. */
function fileName(file: string): string {
  return file.replace(/^.*[/\\]/, '');
}

/** A log; of a very long one the first lines and the last. */
function logRows(lines: readonly LogLine[]): LogRow[] {
  const rows = lines.map(({ microseconds, level, text }): LogRow => [microseconds, level, text]);
  const cut = rows.length - MAX_LOG_LINES;
  if (cut <= 0) return rows;
  const at = rows[LOG_HEAD]?.[0] ?? 0;
  return [
    ...rows.slice(0, LOG_HEAD),
    [at, 'info', `... ${cut + 1} lines are left out ...`],
    ...rows.slice(LOG_HEAD + cut + 1),
  ];
}

function memblockTables(memblock: Memblock): MemblockTable[] {
  return [memblock.memory, memblock.reserved].map((table) => {
    const numbers: number[] = [];
    let at = 0;
    for (const { base, end, flags, nid } of table) {
      if (numbers.length >= 4 * MAX_REGIONS) break;
      const shown = memblock.numa && nid >= 0 && nid < memblock.maxNumnodes;
      numbers.push(base - at, end - base, flags, shown ? nid + 1 : 0);
      at = end;
    }
    return { name: table.name, nrRegions: table.count, regions: encodeNumbers(numbers) };
  });
}

function kernelView(entry: KernelEntry, memblock: readonly MemblockTable[]): KernelView {
  const { kernel } = entry;
  const { context } = kernel;
  const end = kernel.kernel.clock.microseconds;
  const boot: { name: string; microseconds: number; endMicroseconds: number }[] = [];
  let at = 0;
  for (const step of bootSteps(context.release)) {
    if (at + step.microseconds > end) break;
    boot.push({ name: step.name, microseconds: at, endMicroseconds: at + step.microseconds });
    at += step.microseconds;
  }
  return {
    release: entry.release,
    cmdline: entry.cmdline,
    outcome: entry.outcome,
    reason: entry.reason ?? '',
    log: logRows(context.log.lines),
    boot,
    memblock,
    figures: entry.figures,
  };
}
