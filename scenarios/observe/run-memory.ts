import { PageFlag } from '../../kernel/mm/page-states.ts';
import type { Pfn, PhysicalMemory } from '../../machine/index.ts';
import type { PreservedSet } from '../inspect/preserved-set.ts';
import type { BankView } from '../report/client/model.ts';
import type { Runs } from '../report/client/runs.ts';
import type { KernelEntry, RunState } from '../run/run-state.ts';
import { type OutgoingView, readOutgoing } from './outgoing.ts';
import { ObjectOwners } from './owners.ts';
import { Layer, Painter, type StateNumbers } from './painter.ts';

/** Damaged pages whose writers are told one by one; behind them, that of the range's first page. */
const MAX_TOLD = 4096;

/** RAM as a running kernel has it, and how much of scratch is taken. */
export interface RunMemory {
  readonly runs: Runs;
  readonly outgoing: OutgoingView | undefined;
  readonly scratchUsedPages: number;
}

/**
 * Paints RAM of a running kernel, from what struct pages say up to what the checks found.
 * @param incoming what the kernel before preserved.
 */
export function paintRun(
  run: RunState,
  entry: KernelEntry,
  banks: readonly BankView[],
  numbers: StateNumbers,
  incoming: PreservedSet | undefined,
): RunMemory {
  const { context } = entry.kernel;
  const painter = new Painter(banks);
  const units = run.pageUnits;
  const base = new Layer(units);
  const reserved = numbers.numberOf({ kind: 'kernel', order: -1, owner: 'reserved at boot', writer: '' });
  const allocated = numbers.numberOf({ kind: 'kernel', order: -1, owner: 'allocated by the kernel', writer: '' });
  for (const { start, nrPages } of context.pages.spans()) {
    for (const piece of context.pages.runs(start, (start + nrPages) as Pfn)) {
      const { flags } = piece.state;
      if ((flags & PageFlag.free) !== 0) continue;
      base.add(piece.start, piece.nrPages, (flags & PageFlag.managed) !== 0 ? allocated : reserved);
    }
  }
  painter.paint(base);
  paintSegments(run, painter, numbers, false);
  const owners = new ObjectOwners(run);
  const writers = new Writers(context.memory, units);
  paintIncoming(run, painter, numbers, incoming, owners, writers);
  paintClients(run, painter, numbers);
  const outgoing = readOutgoing(entry.kernel);
  if (outgoing !== undefined) paintOutgoing(run, painter, numbers, outgoing, owners, writers);
  const scratchUsedPages = paintScratch(run, painter, numbers);
  paintWrong(entry, painter, numbers, owners, writers);
  return { runs: painter.runs, outgoing, scratchUsedPages };
}

/** The loader's segments. @param jumping at the jump: all of them; else what of them is still the kernel's. */
export function paintSegments(run: RunState, painter: Painter, numbers: StateNumbers, jumping: boolean): void {
  const layer = new Layer();
  for (const { name, base, sizeBytes } of run.machine.segments) {
    const first = Math.floor(base / run.unit.sizeBytes);
    const end = Math.ceil((base + sizeBytes) / run.unit.sizeBytes);
    layer.add(first, end - first, numbers.numberOf({ kind: 'kernel', order: -1, owner: `image: ${name}`, writer: '' }));
  }
  painter.paint(layer, (below, above) => (numbers.states[below]?.kind === 'free' && !jumping ? below : above));
}

function paintIncoming(
  run: RunState,
  painter: Painter,
  numbers: StateNumbers,
  incoming: PreservedSet | undefined,
  owners: ObjectOwners,
  writers: Writers,
): void {
  if (incoming === undefined || run.entry.outcome === 'cold-boot') return;
  const { pages } = run.kernel.context;
  const units = incoming.pageBytes / run.unit.sizeBytes;
  const byOrder = new Map<number, Layer>();
  for (let i = 0; i < incoming.count; i++) {
    const { phys, order } = incoming.at(i);
    const pfn = phys / run.unit.sizeBytes;
    const frame = run.kernelFrame(pfn);
    // Restored pages are managed again; free ones were lost on the way.
    if (!pages.hasStructPage(frame) || pages.has(frame, PageFlag.managed)) continue;
    const state = { kind: 'incoming', order, owner: owners.ownerOf(pfn), writer: writers.of(pfn) } as const;
    const layer = byOrder.get(order) ?? new Layer();
    byOrder.set(order, layer);
    layer.add(pfn, 2 ** order * units, numbers.numberOf(state));
  }
  paintLargestFirst(painter, byOrder);
}

function paintLargestFirst(painter: Painter, byOrder: ReadonlyMap<number, Layer>): void {
  for (const order of [...byOrder.keys()].sort((a, b) => b - a)) painter.paint(byOrder.get(order) ?? new Layer());
}

function paintClients(run: RunState, painter: Painter, numbers: StateNumbers): void {
  const layer = new Layer();
  for (const object of run.objects.objects.values()) {
    if (object.state !== 'allocated' && object.state !== 'restored') continue;
    const owner = object.state === 'restored' ? `${object.name}, restored` : object.name;
    const state = numbers.numberOf({ kind: 'client', order: object.order, owner, writer: '' });
    for (const start of object.blocks.starts) layer.add(start, object.blocks.nrPagesEach, state);
  }
  for (const session of run.sessions.sessions.values()) {
    if (session.state !== 'retrieved') continue;
    for (const file of session.files) {
      const owner = `${session.name}, file ${file.token}, retrieved`;
      const state = numbers.numberOf({ kind: 'client', order: -1, owner, writer: '' });
      for (const pfn of file.content.frames(run.unit)) layer.add(pfn, 1, state);
    }
  }
  // What the page allocator holds is nobody's, whatever the scenario thinks.
  painter.paint(layer, (below, above) => (numbers.states[below]?.kind === 'free' ? below : above));
}

function paintOutgoing(
  run: RunState,
  painter: Painter,
  numbers: StateNumbers,
  outgoing: OutgoingView,
  owners: ObjectOwners,
  writers: Writers,
): void {
  const { context, kernel } = run.kernel;
  const { page, control } = context;
  const units = run.pageUnits;
  const byOrder = new Map<number, Layer>();
  for (const [i, pfn] of outgoing.pfns.entries()) {
    const order = outgoing.orders[i] as number;
    const owner = owners.ownerOf(pfn * units);
    const state = {
      kind: 'preserved',
      order,
      owner: owner === '' ? 'the kernel' : owner,
      writer: writers.of(pfn * units),
    } as const;
    const layer = byOrder.get(order) ?? new Layer(units);
    byOrder.set(order, layer);
    layer.add(pfn, 2 ** order, numbers.numberOf(state));
  }
  paintLargestFirst(painter, byOrder);
  const tree = new Layer(units);
  for (const [pfn, level] of outgoing.nodes) {
    const owner = level === 0 ? 'radix leaf' : `radix table, level ${level}`;
    tree.add(pfn, 1, numbers.numberOf({ kind: 'tree', order: -1, owner, writer: '' }));
  }
  painter.paint(tree);
  const fdts = new Layer(units);
  const fdt = (phys: number, sizeBytes: number, owner: string): void => {
    const first = Math.floor(phys / page.sizeBytes);
    const nrPages = Math.max(Math.ceil((phys + sizeBytes) / page.sizeBytes) - first, 1);
    fdts.add(first, nrPages, numbers.numberOf({ kind: 'fdt', order: 0, owner, writer: '' }));
  };
  for (const { name, phys, sizeBytes } of control.state.subtreesOut) fdt(phys, sizeBytes, `subtree ${name}`);
  const root = kernel.kho.outgoingFdtPhys;
  if (root !== undefined) fdt(root, page.sizeBytes, 'the root FDT');
  painter.paint(fdts);
}

/** @returns how many pages of scratch are in use. */
function paintScratch(run: RunState, painter: Painter, numbers: StateNumbers): number {
  const { kernel } = run.kernel;
  const page = run.unit;
  const layer = new Layer();
  const areas = new Set<number>();
  let total = 0;
  for (const [i, area] of kernel.kho.scratch.entries()) {
    const state = numbers.numberOf({ kind: 'scratch', order: -1, owner: `scratch[${i}]`, writer: '' });
    areas.add(state);
    layer.add(area.base / page.sizeBytes, area.sizeBytes / page.sizeBytes, state);
    total += area.sizeBytes / page.sizeBytes;
  }
  painter.paint(layer, (below, above) => (numbers.states[below]?.kind === 'free' ? above : below));
  let free = 0;
  const { runs } = painter;
  for (const [i, state] of runs.states.entries()) {
    if (areas.has(state)) free += (runs.starts[i + 1] ?? runs.nrSlots) - (runs.starts[i] as number);
  }
  return total - free;
}

/** What the checks found wrong, over everything else. */
function paintWrong(
  entry: KernelEntry,
  painter: Painter,
  numbers: StateNumbers,
  owners: ObjectOwners,
  writers: Writers,
): void {
  const { ledger } = entry;
  for (const kind of ['leaked', 'lost', 'damaged'] as const) {
    const layer = new Layer();
    let told = 0;
    for (const [pfn, nrPages] of ledger[kind].ranges()) {
      const each = told + nrPages <= MAX_TOLD ? 1 : nrPages;
      for (let at = pfn; at < pfn + nrPages; at += each) {
        const state = { kind, order: -1, owner: owners.ownerOf(at), writer: writers.of(at) } as const;
        layer.add(at, each, numbers.numberOf(state));
        told++;
      }
    }
    painter.paint(layer);
  }
}

/** Who wrote a page last. */
class Writers {
  readonly #memory: PhysicalMemory;
  readonly #units: number;

  /** @param units frames of the picture that a page of the memory is. */
  constructor(memory: PhysicalMemory, units: number) {
    this.#memory = memory;
    this.#units = units;
  }

  /** '' outside RAM. */
  of(pfn: number): string {
    const memory = this.#memory;
    const frame = Math.floor(pfn / this.#units);
    return memory.contains(frame * memory.page.sizeBytes) ? memory.backing(frame as Pfn).writer : '';
  }
}
