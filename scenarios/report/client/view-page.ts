import { ChangePanel } from './change-panel.ts';
import { el, fill, section, table } from './dom.ts';
import { EventsPanel, memblockPanel } from './events-panel.ts';
import { factsPanel, fdtPanel, treePanel } from './handover-panel.ts';
import { MemoryPanel } from './memory-panel.ts';
import type { HandoverView, ImageView, RunView } from './model.ts';
import { orderOf, PagePanel } from './page-panel.ts';
import { Player } from './player.ts';
import { pfnOfSlot, slotOfPfn, stateAt } from './runs.ts';
import { bytesText, countText, timeText } from './text.ts';

/** One run, or one image: everything about it on one page, moved through time together. */
export class ViewPage {
  readonly element: HTMLElement;
  readonly #view: RunView | ImageView;
  readonly #player: Player;
  readonly #memory: MemoryPanel;
  readonly #page: PagePanel;
  readonly #changes: ChangePanel;
  readonly #events: EventsPanel | undefined;
  readonly #slider: HTMLInputElement;
  readonly #now = el('div', { class: 'now', id: 'now', role: 'status' });
  readonly #steps = el('ol', { class: 'steps', id: 'steps' });
  readonly #tree = el('div', {});
  readonly #fdt = el('div', {});
  readonly #facts = el('div', {});
  #handover: HandoverView | undefined;
  #treeDrawn = '';

  constructor(view: RunView | ImageView) {
    this.#view = view;
    this.#player = new Player(view);
    this.#page = new PagePanel(this.#player, (frame) => this.goTo(frame));
    this.#memory = new MemoryPanel(this.#player, () => this.#showPage());
    this.#changes = new ChangePanel(this.#player, (pfn) => this.#showPfn(pfn));
    this.#events = view.kind === 'run' ? new EventsPanel(view) : undefined;
    this.#slider = el('input', {
      type: 'range',
      id: 'time',
      min: 0,
      max: Math.max(view.frames.length - 1, 0),
      value: 0,
      'aria-label': 'step',
      oninput: () => this.goTo(Number(this.#slider.value)),
    });
    this.element = el('div', { class: 'view' }, ...this.#sections());
  }

  #sections(): HTMLElement[] {
    const view = this.#view;
    const out: HTMLElement[] = [];
    if (view.kind === 'run') out.push(section('verdict', 'Verdict', ...this.#verdict(view)));
    else out.push(section('verdict', 'Verdict', this.#facts));
    if (view.frames.length > 1) {
      out.push(section('time-travel', 'Time travel', this.#timeline()));
    }
    // Blobs out of debugfs have no RAM around them.
    if (view.memory.banks.length > 0) out.push(section('memory', 'Physical memory', this.#memory.element));
    if (view.frames.length > 1) out.push(section('changed', 'What this step changed', this.#changes.element));
    if (view.memory.banks.length > 0) out.push(section('page', 'Page', this.#page.element));
    out.push(section('tree', 'Memory map', this.#tree));
    if (view.kind === 'run') out.push(section('handover', 'What was handed over', this.#facts));
    out.push(section('fdt', 'Devicetrees', this.#fdt));
    if (this.#events !== undefined) out.push(section('events', 'Kernel logs', this.#events.element));
    if (view.kind === 'run') out.push(section('memblock', 'memblock', memblockPanel(view)));
    out.push(section('again', 'How to reproduce it', ...this.#again()));
    return out;
  }

  #verdict(view: RunView): (Node | string)[] {
    const sign = view.ok ? '✓' : '✗';
    const words = view.ok ? 'as expected' : 'not as expected';
    const badge = el(
      'p',
      { class: view.ok ? 'badge ok' : 'badge failed', id: 'verdict-text' },
      `${sign} ${words}: ${view.verdict}, ${view.outcome}`,
    );
    const parts: (Node | string)[] = [badge];
    if (view.reason !== '') parts.push(el('p', {}, view.reason));
    const kernels = view.kernels.map((kernel) => `Linux ${kernel.release}`).join(' → ');
    parts.push(el('p', {}, `${kernels}; ${view.arch}, pages of ${bytesText(view.pageSize)}, seed ${view.seed}`));
    const totals = (['preserved', 'restored', 'damaged', 'lost', 'leaked', 'untested'] as const).map((name) =>
      el(
        'div',
        {
          class: view.totals[name].pages > 0 && ['damaged', 'lost', 'leaked'].includes(name) ? 'total bad' : 'total',
          'data-total': name,
        },
        el('b', {}, countText(view.totals[name].pages)),
        el('span', {}, ` ${name} `),
        el('small', {}, bytesText(view.totals[name].bytes)),
      ),
    );
    parts.push(el('div', { class: 'totals' }, ...totals));
    const first = this.#player.firstBad;
    if (first >= 0) {
      parts.push(
        el(
          'p',
          {},
          el(
            'button',
            { type: 'button', id: 'first-bad', class: 'bad-event', onclick: () => this.#firstBad() },
            '⚑ Go to the first bad event',
          ),
        ),
      );
    }
    const checks = view.checks.map((check) => [
      el('b', { class: check.ok ? 'pass' : 'fail' }, check.ok ? '✓' : '✗'),
      check.name,
      check.detail,
      check.firstBadEvent ?? '',
    ]);
    const tables: HTMLElement[] = [];
    if (checks.length > 0) {
      const failed = view.checks.filter((check) => !check.ok).length;
      const title =
        failed === 0 ? `${view.checks.length} checks, all passed` : `${failed} of ${view.checks.length} checks failed`;
      const head = ['', 'check', 'found', 'first bad event'];
      tables.push(el('div', {}, el('h3', {}, title), table(head, checks, 'checks')));
    }
    const objects = view.objects.map((object) => [
      object.name,
      object.kind,
      bytesText(object.bytes),
      el(
        'b',
        {
          class:
            object.state === 'intact' ? 'pass' : object.state === 'damaged' || object.state === 'lost' ? 'fail' : '',
        },
        object.state,
      ),
      object.detail,
    ]);
    if (objects.length > 0) {
      const head = ['name', 'kind', 'size', 'state', ''];
      tables.push(el('div', {}, el('h3', {}, 'What was to survive'), table(head, objects, 'objects')));
    }
    parts.push(el('div', { class: 'columns' }, ...tables));
    return parts;
  }

  #timeline(): HTMLElement {
    const button = (id: string, text: string, title: string, act: () => void): HTMLElement =>
      el('button', { type: 'button', id, title, 'aria-label': title, onclick: act }, text);
    for (const [i, frame] of this.#view.frames.entries()) {
      const bad = frame.bad.length > 0 || !frame.ok;
      const item = el(
        'button',
        { type: 'button', class: bad ? 'step bad' : 'step', onclick: () => this.goTo(i) },
        el('span', { class: 'step-nr' }, `${bad ? '⚑ ' : ''}${i}`),
        el('span', {}, ` ${frame.title} `),
        el('span', { class: 'step-result' }, frame.result),
      );
      this.#steps.append(el('li', {}, item));
    }
    return el(
      'div',
      { class: 'timeline' },
      el(
        'div',
        { class: 'player' },
        button('step-back', '◀', 'one step back', () => this.goTo(this.#player.index - 1)),
        this.#slider,
        button('step-on', '▶', 'one step on', () => this.goTo(this.#player.index + 1)),
      ),
      this.#now,
      el('details', {}, el('summary', {}, 'all steps'), this.#steps),
    );
  }

  #again(): HTMLElement[] {
    const view = this.#view;
    const code = el('code', { id: 'command' }, view.command);
    const out = [el('p', {}, code)];
    if (view.kind === 'run') {
      out.push(el('p', {}, 'sha256 over results, logs and RAM at the end: ', el('code', {}, view.digest)));
    }
    return out;
  }

  // --- moving ---------------------------------------------------------------------------------------------------------

  /** Goes to a frame and shows everything as of then. */
  goTo(index: number): void {
    this.#player.goTo(index);
    this.#show();
  }

  #firstBad(): void {
    const first = this.#player.firstBad;
    if (first < 0) return;
    this.goTo(first);
    const bad = this.#player.frame.bad[0];
    if (bad !== undefined) this.#showPfn(bad.pfn);
    else document.getElementById('time-travel')?.scrollIntoView({ block: 'start' });
  }

  #showPfn(pfn: number): void {
    const slot = slotOfPfn(this.#view.memory.banks, pfn);
    if (slot < 0) return;
    this.#memory.select(slot, true);
    document.getElementById('memory')?.scrollIntoView({ block: 'start' });
  }

  /** Selects the page at an address. */
  find(address: string): boolean {
    return this.#memory.find(address);
  }

  /** Shows the present frame. Called again when the page's size or theme changed. */
  draw(): void {
    this.#show();
  }

  #show(): void {
    const { frame, index } = this.#player;
    this.#slider.value = String(index);
    this.#slider.setAttribute('aria-valuetext', `${index}: ${frame.title}, ${frame.result}`);
    const place = frame.line > 0 ? `(line ${frame.line}) ` : '';
    fill(
      this.#now,
      el('span', { id: 'frame-number' }, `${index} of ${this.#view.frames.length - 1}`),
      ' ',
      el('strong', { id: 'frame-title' }, frame.title),
      ` ${place}→ `,
      el('b', { class: frame.ok ? 'pass' : 'fail', id: 'frame-result' }, frame.result),
      el('span', { class: 'dim' }, ` kernel ${frame.kernel} ${timeText(frame.microseconds)}`),
    );
    for (const [i, item] of [...this.#steps.children].entries()) {
      const button = item.firstElementChild;
      if (i === index) button?.setAttribute('aria-current', 'step');
      else button?.removeAttribute('aria-current');
    }
    this.#memory.draw();
    if (this.#view.frames.length > 1) this.#changes.show();
    this.#events?.show(this.#player);
    this.#showHandover();
    this.#showPage();
  }

  /** The handover that was last made at the present frame, or the first that will be. */
  #handoverNow(): HandoverView | undefined {
    const { handovers } = this.#view;
    return handovers.findLast((each) => each.frame <= this.#player.index) ?? handovers[0];
  }

  #showHandover(): void {
    const handover = this.#handoverNow();
    if (handover === this.#handover) return;
    this.#handover = handover;
    if (handover === undefined) {
      for (const place of [this.#fdt, this.#facts]) fill(place, el('p', {}, 'Nothing was handed over.'));
      return;
    }
    const title = this.#view.kind === 'run' ? [el('p', { class: 'note' }, `As of ${handover.title}.`)] : [];
    fill(this.#fdt, ...title, fdtPanel(handover));
    const verdict: HTMLElement[] = [];
    if (this.#view.kind === 'image') {
      const errors = handover.findings.filter((finding) => finding.severity === 'error').length;
      const text = errors === 0 ? '✓ nothing is wrong with it' : `✗ ${errors} ${errors === 1 ? 'error' : 'errors'}`;
      verdict.push(el('p', { class: errors === 0 ? 'badge ok' : 'badge failed', id: 'verdict-text' }, text));
    }
    fill(
      this.#facts,
      ...verdict,
      ...title,
      factsPanel(handover, (address) => void this.find(address)),
    );
  }

  #showPage(): void {
    const { memory } = this.#view;
    const slot = this.#memory.selected;
    const handover = this.#handoverNow();
    this.#page.show(slot, handover);
    if (handover === undefined) {
      fill(this.#tree, el('p', {}, 'No memory map was handed over.'));
      return;
    }
    const state = slot < 0 ? undefined : memory.states[stateAt(this.#player.runsAt(this.#player.index), slot)];
    const order = slot < 0 ? 0 : orderOf(this.#player, slot);
    const pfn = pfnOfSlot(memory.banks, slot);
    const chosen = state === undefined ? undefined : { pfn: pfn - (pfn % 2 ** order), order };
    // A tree of thousands of nodes is drawn anew only when something about it is different.
    const drawn = `${handover.frame} ${chosen?.pfn} ${chosen?.order}`;
    if (drawn === this.#treeDrawn) return;
    this.#treeDrawn = drawn;
    const title = this.#view.kind === 'run' ? [el('p', { class: 'note' }, `As of ${handover.title}.`)] : [];
    fill(this.#tree, ...title, treePanel(handover, memory.pageShift, chosen));
  }
}
