import { el, fill } from './dom.ts';
import type { MemblockTable, RunView } from './model.ts';
import type { Player } from './player.ts';
import { decodeNumbers } from './runs.ts';
import { timeText } from './text.ts';

/** Log lines that are put into the page at once; the rest is counted. */
const MAX_LINES = 4000;

/** The kernels' logs in dmesg form; what has not happened yet at the present frame is dim. */
export class EventsPanel {
  readonly element: HTMLElement;
  readonly #view: RunView;
  readonly #list = el('ol', { class: 'log mono', id: 'log', tabindex: 0 });
  readonly #warnings = el('input', { type: 'checkbox', id: 'only-warnings' });
  readonly #rows: {
    readonly kernel: number;
    readonly line: number;
    readonly element: HTMLElement;
    readonly warns: boolean;
  }[] = [];

  constructor(view: RunView) {
    this.#view = view;
    this.#warnings.addEventListener('change', () => this.#filter());
    this.element = el(
      'div',
      {},
      el('p', {}, el('label', { for: 'only-warnings' }, this.#warnings, ' only warnings and errors')),
      this.#list,
    );
    this.#fill();
  }

  #fill(): void {
    let nr = 0;
    for (const [k, kernel] of this.#view.kernels.entries()) {
      this.#list.append(el('li', { class: 'log-head' }, `kernel ${k + 1}: Linux ${kernel.release}, ${kernel.cmdline}`));
      for (const [line, [microseconds, level, text]] of kernel.log.entries()) {
        if (++nr > MAX_LINES) break;
        const warns = level === 'warn' || level === 'err' || level === 'emerg';
        const mark = warns ? (level === 'warn' ? 'W' : 'E') : ' ';
        const element = el(
          'li',
          { class: `log-line ${level}` },
          el('span', { class: 'time' }, `${timeText(microseconds)} `),
          el('span', { class: 'mark' }, mark),
          ` ${text}`,
        );
        this.#rows.push({ kernel: k + 1, line, element, warns });
        this.#list.append(element);
      }
    }
    if (nr > MAX_LINES) this.#list.append(el('li', {}, `and ${nr - MAX_LINES} lines more`));
  }

  #filter(): void {
    for (const { element, warns } of this.#rows) element.hidden = this.#warnings.checked && !warns;
  }

  /** Dims what lies in the future of a frame. */
  show(player: Player): void {
    const { kernel, logLines } = player.frame;
    for (const row of this.#rows) {
      const past = row.kernel < kernel || (row.kernel === kernel && row.line < logLines);
      row.element.classList.toggle('future', !past);
    }
  }
}

/** memblock of each kernel as `memblock=debug` lists it. */
export function memblockPanel(view: RunView): HTMLElement {
  const parts = view.kernels.map((kernel, i) => {
    const counts = kernel.memblock.map((table) => `${table.name} ${table.nrRegions}`).join(', ');
    const lines = el('pre', { class: 'lines' });
    const details = el(
      'details',
      {},
      el('summary', {}, `kernel ${i + 1}: Linux ${kernel.release}; regions: ${counts}`),
      lines,
    );
    details.addEventListener('toggle', () => {
      if (lines.textContent === '') lines.textContent = kernel.memblock.flatMap(regionLines).join('\n');
    });
    return details;
  });
  const out = el('div', {});
  fill(out, ...parts);
  return out;
}

/** A table's regions as a kernel with `memblock=debug` prints them. */
export function regionLines(table: MemblockTable): string[] {
  const lines = [` ${table.name}.cnt  = 0x${table.nrRegions.toString(16)}`];
  const numbers = decodeNumbers(table.regions);
  const wide = (value: number): string => `0x${value.toString(16).padStart(16, '0')}`;
  let at = 0;
  for (let i = 0; i < numbers.length; i += 4) {
    const base = at + (numbers[i] as number);
    const size = numbers[i + 1] as number;
    const node = numbers[i + 3] as number;
    const where = node > 0 ? ` on node ${node - 1}` : '';
    at = base + size;
    const range = `[${wide(base)}-${wide(at - 1)}], ${wide(size)} bytes`;
    lines.push(
      ` ${table.name}[0x${(i / 4).toString(16)}]\t${range}${where} flags: 0x${(numbers[i + 2] as number).toString(16)}`,
    );
  }
  const more = table.nrRegions - numbers.length / 4;
  if (more > 0) lines.push(` ... and ${more} regions more`);
  return lines;
}
