import { PageFlag } from '../../kernel/mm/page-states.ts';
import { hex, type Machine, type Pfn, type PhysAddr, pfnOf, physAddr } from '../../machine/index.ts';
import { MEMBLOCK_RSRV_NOINIT } from '../../machine/memblock/flags.ts';
import { NO_REGION } from '../../machine/memblock/region-table.ts';
import { wrap } from '../picture/wrap.ts';
import type { RunObserver } from '../run/observer.ts';
import type { KernelEntry, RunState, TimelineStep } from '../run/run-state.ts';
import { ObjectOwners } from './owners.ts';
import { stepText } from './step-text.ts';

/** One change in a page's life. */
export interface PageEvent {
  /** 1 for the first kernel of the run. */
  readonly kernel: number;
  /** The step of the scenario, or `boot` or `kexec`. */
  readonly when: string;
  /** What struct page, memblock and the map of preserved memory say of it now. */
  readonly state: string;
  /** Who wrote its content last. */
  readonly writer: string;
  /** The object of the scenario that it belongs to; absent for none. */
  readonly object?: string;
}

/**
 * Follows one page through a run: who allocated, preserved, reserved and restored it. Looks after each boot, each step and
 * at each jump, and notes what changed. What changes and changes back within a step is not seen.
 */
export class PageHistory implements RunObserver {
  readonly events: PageEvent[] = [];
  readonly #addr: PhysAddr;
  #last = '';

  /** @param addr any address in the page. */
  constructor(addr: number) {
    this.#addr = physAddr(addr);
  }

  booted(run: RunState, entry: KernelEntry): void {
    this.#look(run, entry.number, `boot of ${entry.release}`);
  }

  stepped(run: RunState, step: TimelineStep): void {
    // A step that jumps ends in the next kernel, whose boot was looked at already.
    const { index } = step.step;
    const spec = run.scenario.steps[index];
    this.#look(
      run,
      run.entry.number,
      spec === undefined ? `step ${index + 1}` : `step ${index + 1}: ${stepText(spec)}`,
    );
  }

  jumping(run: RunState, machine: Machine): void {
    const { memory } = machine;
    if (!memory.contains(this.#addr)) return;
    this.#note({
      kernel: run.kernels.length,
      when: 'kexec',
      state: 'only its bytes are left',
      writer: memory.backing(pfnOf(memory.page, this.#addr)).writer,
    });
  }

  #look(run: RunState, kernel: number, when: string): void {
    const { context } = run.kernel;
    const pfn = pfnOf(context.page, this.#addr);
    if (!context.memory.alive) return;
    if (!context.pages.hasStructPage(pfn)) {
      this.#note({ kernel, when, state: 'no RAM', writer: 'nobody' });
      return;
    }
    const object = new ObjectOwners(run).ownerOf(pfnOf(run.unit, this.#addr));
    this.#note({
      kernel,
      when,
      state: describeState(run, pfn),
      writer: context.memory.backing(pfn).writer,
      ...(object === '' ? {} : { object }),
    });
  }

  #note(event: PageEvent): void {
    const key = `${event.kernel} ${event.state} ${event.writer} ${event.object ?? ''}`;
    if (key === this.#last) return;
    this.#last = key;
    this.events.push(event);
  }
}

function describeState(run: RunState, pfn: Pfn): string {
  const { context, kernel, outgoing } = run.kernel;
  const state = context.pages.state(pfn);
  const has = (flag: number) => (state.flags & flag) !== 0;
  const parts: string[] = [];
  if (has(PageFlag.free)) parts.push('free');
  else if (has(PageFlag.reserved)) parts.push('reserved since boot');
  else if (isReservedNoinit(run, pfn)) {
    const restored = has(PageFlag.managed);
    parts.push(restored ? `restored, reference count ${state.refcount}` : 'reserved for the handover, not restored');
  } else parts.push(`allocated, reference count ${state.refcount}`);
  if (state.compound !== 'none') parts.push(`${state.compound} of a folio of order ${state.order}`);
  if (has(PageFlag.cma)) parts.push('in scratch');
  if (state.privateHi !== 0) parts.push(`marked as preserved with order ${state.privateLo}`);
  const orders: number[] = [];
  const { sizeBytes } = context.page;
  const phys = pfn * sizeBytes;
  outgoing?.forEach((lo, hi, order) => {
    const start = hi * 0x1_0000_0000 + lo;
    if (phys >= start && phys < start + sizeBytes * 2 ** order) orders.push(order);
  });
  for (const order of orders) parts.push(`preserved for the next kernel with order ${order}`);
  if (kernel.kho.outgoingFdtPhys === phys) parts.push('the root FDT for the next kernel');
  return parts.join(', ');
}

/** Whether KHO's walk reserved the page early in this kernel's boot. */
function isReservedNoinit(run: RunState, pfn: Pfn): boolean {
  const table = run.kernel.kernel.memblock.reserved;
  const phys = pfn * run.kernel.context.page.sizeBytes;
  for (let at = table.first(); at !== NO_REGION && table.base(at) <= phys; at = table.next(at)) {
    if (phys < table.end(at)) return (table.flags(at) & MEMBLOCK_RSRV_NOINIT) !== 0;
  }
  return false;
}

/** The history as lines of at most 80 columns. */
export function formatPageHistory(addr: number, events: readonly PageEvent[]): string {
  const indent = (text: string, width: number) => wrap(text, 80 - width).map((line) => ' '.repeat(width) + line);
  const lines = [`history of the page at ${hex(addr)}`];
  for (const event of events) {
    const object = event.object === undefined ? '' : `; belongs to ${event.object}`;
    lines.push(
      ...indent(`kernel ${event.kernel}, ${event.when}`, 2),
      ...indent(event.state, 4),
      ...indent(`last written by ${event.writer}${object}`, 4),
    );
  }
  return `${lines.join('\n')}\n`;
}
