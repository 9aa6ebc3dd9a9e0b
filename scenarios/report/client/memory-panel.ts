import { el, fill } from './dom.ts';
import type { StateKind } from './model.ts';
import { STATE_KINDS } from './model.ts';
import { colourOf, describeState, isDark, LOOKS, patternOf } from './palette.ts';
import type { Player } from './player.ts';
import { findSlot, nrSlotsOf, pfnOfSlot, type Runs, slotOfPfn, stateAt } from './runs.ts';
import { drawStrip, prepare, type Window } from './strip.ts';
import { addressText, bytesText, countText } from './text.ts';

/**
 * Physical memory as strips on one scale: all of RAM with the part in view marked, then that part before and now.
 * Zooms from all of RAM down to a few pages, by wheel, buttons and keys.
 */
export class MemoryPanel {
  readonly element: HTMLElement;
  readonly #player: Player;
  readonly #onSelect: (slot: number) => void;
  readonly #nrSlots: number;
  readonly #overview = el('canvas', { class: 'strip overview', 'aria-hidden': true });
  readonly #before = el('canvas', { class: 'strip', 'aria-hidden': true });
  readonly #now: HTMLCanvasElement;
  readonly #axis = el('canvas', { class: 'axis', 'aria-hidden': true });
  readonly #legend = el('div', { class: 'legend', role: 'group', 'aria-label': 'what the letters mean' });
  readonly #where = el('output', { class: 'where', id: 'in-view' });
  readonly #tip = el('div', { class: 'tip', hidden: true });
  readonly #message = el('span', { class: 'message', role: 'status', id: 'find-message' });
  readonly #beforeChoice: HTMLSelectElement;
  readonly #beforeName = el('span', { class: 'strip-name' });
  readonly #nowName = el('span', { class: 'strip-name' });
  #view: Window;
  #selected = -1;
  #drag: { x: number; from: number; moved: boolean } | undefined;

  constructor(player: Player, onSelect: (slot: number) => void) {
    this.#player = player;
    this.#onSelect = onSelect;
    this.#nrSlots = nrSlotsOf(player.view.memory.banks);
    this.#view = { from: 0, to: this.#nrSlots };
    this.#now = el('canvas', {
      class: 'strip',
      id: 'strip',
      tabindex: 0,
      role: 'application',
      'aria-label':
        'physical memory: arrow keys move, plus and minus zoom, Home shows all, Enter goes to the next change of state',
      'aria-describedby': 'page-summary',
      onkeydown: (event) => this.#key(event as KeyboardEvent),
    });
    for (const canvas of [this.#now, this.#before]) this.#listen(canvas);
    this.#overview.addEventListener('pointerdown', (event) => this.#jumpTo(event));
    this.#overview.addEventListener('pointermove', (event) => {
      if (event.buttons > 0) this.#jumpTo(event);
    });
    this.#beforeChoice = el(
      'select',
      { id: 'before-choice', onchange: () => this.draw() },
      el('option', { value: 'step' }, 'the step before'),
      el('option', { value: 'jump' }, 'the end of the kernel before'),
      el('option', { value: 'first' }, 'the first frame'),
    );
    const single = player.view.frames.length === 1;
    const rows = single
      ? [el('div', { class: 'strip-row' }, this.#nowName, this.#now)]
      : [
          el('div', { class: 'strip-row' }, this.#beforeName, this.#before),
          el('div', { class: 'strip-row' }, this.#nowName, this.#now),
        ];
    this.element = el(
      'div',
      { class: 'memory' },
      this.#toolbar(single),
      el('div', { class: 'strip-row' }, el('span', { class: 'strip-name' }, 'all of RAM'), this.#overview),
      ...rows,
      el('div', { class: 'strip-row' }, el('span', { class: 'strip-name' }), this.#axis),
      this.#tip,
      this.#legend,
    );
  }

  get selected(): number {
    return this.#selected;
  }

  #toolbar(single: boolean): HTMLElement {
    const find = el('input', {
      id: 'find',
      type: 'text',
      placeholder: '0x40000000',
      size: 16,
      spellcheck: false,
      autocomplete: 'off',
      'aria-describedby': 'find-message',
    });
    const form = el(
      'form',
      {
        class: 'find',
        onsubmit: (event) => {
          event.preventDefault();
          this.find(find.value);
        },
      },
      el('label', { for: 'find' }, 'Find a page by address'),
      find,
      el('button', { type: 'submit', id: 'find-go' }, 'Show'),
      this.#message,
    );
    const button = (id: string, text: string, title: string, act: () => void): HTMLElement =>
      el('button', { type: 'button', id, title, 'aria-label': title, onclick: act }, text);
    return el(
      'div',
      { class: 'toolbar' },
      form,
      el(
        'div',
        { class: 'zoom', role: 'group', 'aria-label': 'zoom' },
        button('zoom-out', '−', 'zoom out', () => this.zoom(4)),
        button('zoom-in', '+', 'zoom in', () => this.zoom(1 / 4)),
        button('zoom-page', 'page', 'zoom to the selected page', () => this.#toPage()),
        button('zoom-all', 'all', 'show all of RAM', () => this.#show(0, this.#nrSlots)),
      ),
      this.#where,
      ...(single ? [] : [el('label', {}, 'before: ', this.#beforeChoice)]),
    );
  }

  // --- what is in view ------------------------------------------------------------------------------------------------

  #show(from: number, to: number): void {
    const width = Math.min(Math.max(to - from, Math.min(8, this.#nrSlots)), this.#nrSlots);
    const start = Math.min(Math.max(from, 0), this.#nrSlots - width);
    this.#view = { from: start, to: start + width };
    this.draw();
  }

  /** Zooms by a factor (below 1: in), around the selected page when it is in view. */
  zoom(factor: number, around?: number): void {
    const { from, to } = this.#view;
    const visible = this.#selected >= from && this.#selected < to;
    const centre = around ?? (visible ? this.#selected + 0.5 : (from + to) / 2);
    const share = (centre - from) / (to - from);
    const width = (to - from) * factor;
    this.#show(centre - share * width, centre + (1 - share) * width);
  }

  #toPage(): void {
    const slot = this.#selected < 0 ? Math.floor((this.#view.from + this.#view.to) / 2) : this.#selected;
    this.#show(slot - 16, slot + 16);
  }

  /** Selects the page that an address (0x-hex or decimal) lies in, and zooms to it. @returns whether there is one. */
  find(text: string): boolean {
    const { banks, pageShift } = this.#player.view.memory;
    const trimmed = text.trim().replaceAll('_', '');
    if (!/^(0x[0-9a-f]{1,16}|[0-9]{1,16})$/i.test(trimmed)) {
      this.#message.textContent = 'not an address: 0x-hex, or a decimal number';
      return false;
    }
    const slot = slotOfPfn(banks, Number(BigInt(trimmed) >> BigInt(pageShift)));
    if (slot < 0) {
      this.#message.textContent = 'not RAM';
      return false;
    }
    this.#message.textContent = '';
    this.select(slot, true);
    return true;
  }

  /** Selects a page. @param zoomIn also bring it into view, near enough to be seen. */
  select(slot: number, zoomIn = false): void {
    this.#selected = Math.min(Math.max(slot, 0), this.#nrSlots - 1);
    const { from, to } = this.#view;
    if (zoomIn && to - from > 4096) this.#show(this.#selected - 32, this.#selected + 32);
    else if (this.#selected < from || this.#selected >= to) {
      const half = (to - from) / 2;
      this.#show(this.#selected - half, this.#selected + half);
    } else this.draw();
    this.#onSelect(this.#selected);
  }

  /** The next page in a state of this kind, from the selected one on. */
  selectNext(kind: StateKind): void {
    const { states } = this.#player.view.memory;
    const runs = this.#player.runsAt(this.#player.index);
    const found = findSlot(runs, this.#selected + 1, (state) => states[state]?.kind === kind);
    if (found >= 0) this.select(found, true);
  }

  // --- pointer and keys -----------------------------------------------------------------------------------------------

  #slotAt(canvas: HTMLCanvasElement, event: MouseEvent): number {
    const share = (event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth;
    return Math.min(
      Math.max(Math.floor(this.#view.from + share * (this.#view.to - this.#view.from)), 0),
      this.#nrSlots - 1,
    );
  }

  /** Of a column that stands for many pages, the page whose state it shows. */
  #worstAt(canvas: HTMLCanvasElement, event: MouseEvent): number {
    const slot = this.#slotAt(canvas, event);
    const perColumn = (this.#view.to - this.#view.from) / canvas.clientWidth;
    if (perColumn <= 1) return slot;
    const runs = this.#runsOf(canvas);
    let best = slot;
    let bestRank = -1;
    for (let at = slot; at < Math.min(slot + perColumn, this.#nrSlots); ) {
      const next = nextStart(runs, at);
      const rank = this.#player.ranks[stateAt(runs, at)] ?? -1;
      if (rank > bestRank) {
        best = at;
        bestRank = rank;
      }
      at = next;
    }
    return best;
  }

  #runsOf(canvas: HTMLCanvasElement): Runs {
    return this.#player.runsAt(canvas === this.#before ? this.#beforeIndex() : this.#player.index);
  }

  #listen(canvas: HTMLCanvasElement): void {
    canvas.addEventListener('pointerdown', (event) => {
      this.#drag = { x: event.clientX, from: this.#view.from, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', (event) => {
      if (this.#drag !== undefined && event.buttons > 0) {
        const shift = ((this.#drag.x - event.clientX) / canvas.clientWidth) * (this.#view.to - this.#view.from);
        if (Math.abs(this.#drag.x - event.clientX) > 4) this.#drag.moved = true;
        if (this.#drag.moved)
          this.#show(this.#drag.from + shift, this.#drag.from + shift + this.#view.to - this.#view.from);
      }
      this.#hover(canvas, event);
    });
    canvas.addEventListener('pointerup', (event) => {
      if (this.#drag?.moved === false) this.select(this.#worstAt(canvas, event));
      this.#drag = undefined;
    });
    canvas.addEventListener('pointerleave', () => {
      this.#tip.hidden = true;
    });
    canvas.addEventListener('dblclick', (event) => this.zoom(1 / 8, this.#worstAt(canvas, event) + 0.5));
    canvas.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey && !event.shiftKey && document.activeElement !== this.#now) return;
        event.preventDefault();
        this.zoom(event.deltaY > 0 ? 1.5 : 1 / 1.5, this.#slotAt(canvas, event) + 0.5);
      },
      { passive: false },
    );
  }

  #hover(canvas: HTMLCanvasElement, event: MouseEvent): void {
    const slot = this.#worstAt(canvas, event);
    const { banks, pageShift, states } = this.#player.view.memory;
    const state = states[stateAt(this.#runsOf(canvas), slot)];
    this.#tip.hidden = false;
    this.#tip.textContent = `${addressText(pfnOfSlot(banks, slot), pageShift)}  ${state === undefined ? '' : describeState(state)}`;
    const box = this.element.getBoundingClientRect();
    this.#tip.style.left = `${Math.min(Math.max(event.clientX - box.left + 12, 0), Math.max(box.width - 260, 0))}px`;
    this.#tip.style.top = `${event.clientY - box.top + 18}px`;
  }

  #jumpTo(event: MouseEvent): void {
    const share = (event.clientX - this.#overview.getBoundingClientRect().left) / this.#overview.clientWidth;
    const half = (this.#view.to - this.#view.from) / 2;
    const centre = share * this.#nrSlots;
    if (half * 2 >= this.#nrSlots) {
      this.#show(centre - this.#nrSlots / 16, centre + this.#nrSlots / 16);
      return;
    }
    this.#show(centre - half, centre + half);
  }

  #key(event: KeyboardEvent): void {
    const step = Math.max((this.#view.to - this.#view.from) / Math.max(this.#now.clientWidth, 1), 1);
    const page = (this.#view.to - this.#view.from) / 2;
    const at = this.#selected < 0 ? Math.floor((this.#view.from + this.#view.to) / 2) : this.#selected;
    const acts: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => this.select(Math.ceil(at - (event.shiftKey ? step * 16 : step))),
      ArrowRight: () => this.select(Math.floor(at + (event.shiftKey ? step * 16 : step))),
      PageUp: () => this.select(Math.floor(at - page)),
      PageDown: () => this.select(Math.floor(at + page)),
      Home: () => this.#show(0, this.#nrSlots),
      '+': () => this.zoom(1 / 2),
      '=': () => this.zoom(1 / 2),
      '-': () => this.zoom(2),
      Enter: () => this.select(nextStart(this.#player.runsAt(this.#player.index), at) % this.#nrSlots),
    };
    const act = acts[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  }

  // --- drawing --------------------------------------------------------------------------------------------------------

  #beforeIndex(): number {
    const { index, view } = this.#player;
    if (this.#beforeChoice.value === 'first') return 0;
    if (this.#beforeChoice.value === 'step') return Math.max(index - 1, 0);
    const { kernel } = this.#player.frame;
    return Math.max(
      view.frames.findLastIndex((frame, i) => i < index && frame.kernel < kernel),
      0,
    );
  }

  /** Draws everything anew: after a step of time, of zoom, of the theme. */
  draw(): void {
    const { view, ranks, index } = this.#player;
    const { memory } = view;
    const now = this.#player.runsAt(index);
    const beforeIndex = this.#beforeIndex();
    drawStrip(this.#overview, memory, now, ranks, { from: 0, to: this.#nrSlots }, { letters: false, selected: -2 });
    this.#drawWindow();
    drawStrip(this.#now, memory, now, ranks, this.#view, { letters: true, selected: this.#selected });
    if (this.#before.isConnected) {
      const before = this.#player.runsAt(beforeIndex);
      drawStrip(this.#before, memory, before, ranks, this.#view, { letters: true, selected: this.#selected });
    }
    this.#beforeName.textContent =
      index === beforeIndex ? 'before: nothing' : `before: ${this.#player.frameAt(beforeIndex).title}`;
    this.#nowName.textContent = view.frames.length === 1 ? 'RAM' : `now: ${this.#player.frame.title}`;
    this.#drawAxis();
    const shown = this.#view.to - this.#view.from;
    const grain = this.#player.frame.grainPages;
    this.#where.textContent = `${bytesText(shown * 2 ** memory.pageShift)} in view${grain > 1 ? `, by ${grain} pages` : ''}`;
    this.#drawLegend(now);
  }

  #drawWindow(): void {
    const draw = this.#overview.getContext('2d');
    const width = this.#overview.clientWidth;
    if (draw === null || width === 0) return;
    const x = (this.#view.from / this.#nrSlots) * width;
    const wide = Math.max(((this.#view.to - this.#view.from) / this.#nrSlots) * width, 3);
    draw.strokeStyle = isDark() ? '#fff' : '#000';
    draw.lineWidth = 2;
    draw.strokeRect(x + 1, 1, Math.max(wide - 2, 2), this.#overview.clientHeight - 2);
  }

  #drawAxis(): void {
    const surface = prepare(this.#axis);
    if (surface === undefined) return;
    const { draw, width } = surface;
    const { banks, pageShift } = this.#player.view.memory;
    const nrTicks = Math.max(Math.floor(width / 150), 2);
    draw.clearRect(0, 0, width, surface.height);
    draw.fillStyle = getComputedStyle(this.#axis).color;
    draw.font = '11px ui-monospace, monospace';
    for (let i = 0; i < nrTicks; i++) {
      const slot = Math.floor(this.#view.from + ((this.#view.to - this.#view.from) * i) / nrTicks);
      const x = ((slot - this.#view.from) / (this.#view.to - this.#view.from)) * width;
      draw.fillRect(Math.max(x, 0), 0, 1, 5);
      draw.fillText(addressText(pfnOfSlot(banks, slot), pageShift), Math.max(x, 0) + 3, 13);
    }
  }

  #drawLegend(now: Runs): void {
    const { states, pageShift } = this.#player.view.memory;
    const pages = new Map<StateKind, number>();
    for (const [i, number] of now.states.entries()) {
      const kind = states[number]?.kind ?? 'free';
      const length = (now.starts[i + 1] ?? now.nrSlots) - (now.starts[i] as number);
      pages.set(kind, (pages.get(kind) ?? 0) + length);
    }
    const entries = STATE_KINDS.map((kind) => {
      const count = pages.get(kind) ?? 0;
      const look = LOOKS[kind];
      const button = el(
        'button',
        {
          type: 'button',
          class: 'legend-entry',
          'data-kind': kind,
          'data-pages': count,
          title: `${look.meaning}. Press: the next such page`,
          ...(count === 0 ? { disabled: true } : {}),
          onclick: () => this.selectNext(kind),
        },
        swatch(kind),
        el('span', {}, `${look.name} `),
        el(
          'span',
          { class: 'count' },
          count === 0 ? '0' : `${countText(count)} · ${bytesText(count * 2 ** pageShift)}`,
        ),
      );
      return button;
    });
    fill(this.#legend, ...entries);
  }
}

function nextStart(runs: Runs, slot: number): number {
  let low = 0;
  let high = runs.starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((runs.starts[middle] as number) <= slot) low = middle;
    else high = middle - 1;
  }
  return runs.starts[low + 1] ?? runs.nrSlots;
}

/** A little square in a state's colour, hatch and letter. */
export function swatch(kind: StateKind): HTMLElement {
  const look = LOOKS[kind];
  const dark = isDark();
  const canvas = el('canvas', { class: 'swatch', width: 20, height: 20, 'aria-hidden': true });
  const draw = canvas.getContext('2d');
  if (draw !== null) {
    draw.fillStyle = colourOf({ kind, order: 9, owner: '', writer: '' }, dark);
    draw.fillRect(0, 0, 20, 20);
    const pattern = patternOf(draw, look.hatch, dark);
    if (pattern !== undefined) {
      draw.fillStyle = pattern;
      draw.fillRect(0, 0, 20, 20);
    }
    draw.fillStyle = dark ? 'rgba(0,0,0,.72)' : 'rgba(255,255,255,.86)';
    draw.fillRect(4, 3, 12, 14);
    draw.fillStyle = dark ? '#fff' : '#111';
    draw.font = '700 12px ui-monospace, monospace';
    draw.textAlign = 'center';
    draw.fillText(look.letter, 10, 14);
  }
  return el('span', { class: 'swatch-box' }, canvas);
}
