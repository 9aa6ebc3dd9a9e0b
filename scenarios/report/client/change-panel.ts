import { el, fill, table } from './dom.ts';
import { swatch } from './memory-panel.ts';
import type { PatchView, RunView } from './model.ts';
import { STATE_KINDS, type StateKind } from './model.ts';
import { LOOKS } from './palette.ts';
import type { Player } from './player.ts';
import { addressText, countText, plural, timeText } from './text.ts';

/** What the present frame changed: pages by state, bytes that were written, control state, log lines, what went wrong. */
export class ChangePanel {
  readonly element = el('div', { class: 'changes', id: 'changes' });
  readonly #player: Player;
  readonly #onPfn: (pfn: number) => void;

  constructor(player: Player, onPfn: (pfn: number) => void) {
    this.#player = player;
    this.#onPfn = onPfn;
  }

  show(): void {
    const { frame, view } = this.#player;
    const parts: HTMLElement[] = [];
    for (const bad of frame.bad) {
      const show = el(
        'button',
        { type: 'button', class: 'bad-event', onclick: () => this.#onPfn(bad.pfn) },
        'show the page',
      );
      parts.push(
        el('p', { class: 'bad-line' }, swatch(bad.kind === 'wrongState' ? 'damaged' : bad.kind), ` ${bad.text} `, show),
      );
    }
    parts.push(el('div', { class: 'columns' }, this.#pages(), this.#control(), ...this.#log(view)));
    fill(this.element, ...parts);
  }

  #pages(): HTMLElement {
    const { index, view, frame } = this.#player;
    const before = this.#countKinds(index - 1);
    const now = this.#countKinds(index);
    const rows: (Node | string)[][] = [];
    for (const kind of STATE_KINDS) {
      const is = now.get(kind) ?? 0;
      const change = is - (before.get(kind) ?? 0);
      if (change === 0) continue;
      const sign = change > 0 ? `+${countText(change)}` : `−${countText(-change)}`;
      rows.push([el('span', {}, swatch(kind), ` ${LOOKS[kind].name}`), sign, countText(is)]);
    }
    const parts: (Node | string)[] = [el('h3', {}, 'Pages')];
    parts.push(
      rows.length === 0
        ? el('p', {}, 'No page changed its state.')
        : table(['state', 'change', 'now'], rows, 'pages by state'),
    );
    const { nrPages, ranges } = frame.written;
    if (nrPages > 0) {
      const places = ranges.map(([pfn, length]) =>
        el(
          'button',
          { type: 'button', class: 'link mono', onclick: () => this.#onPfn(pfn) },
          `${addressText(pfn, view.memory.pageShift)}${length > 1 ? ` ×${length}` : ''}`,
        ),
      );
      const separated = places.flatMap((place, i) => (i === 0 ? [place] : [' ', place]));
      parts.push(el('p', {}, `${plural(nrPages, 'page')} written: `, ...separated, ranges.length < 12 ? '' : ' …'));
    }
    return el('div', {}, ...parts);
  }

  #countKinds(index: number): Map<StateKind, number> {
    const counts = new Map<StateKind, number>();
    if (index < 0) return counts;
    const runs = this.#player.runsAt(index);
    for (const [i, state] of runs.states.entries()) {
      const kind = this.#player.view.memory.states[state]?.kind ?? 'free';
      const length = (runs.starts[i + 1] ?? runs.nrSlots) - (runs.starts[i] as number);
      counts.set(kind, (counts.get(kind) ?? 0) + length);
    }
    return counts;
  }

  #control(): HTMLElement {
    const { control } = this.#player.frame;
    const state = el(
      'details',
      {},
      el('summary', {}, 'all of it'),
      el('pre', { class: 'lines', id: 'control-state' }, JSON.stringify(this.#player.control, undefined, 1)),
    );
    if (control.kind === 'state') {
      return el(
        'div',
        {},
        el('h3', {}, 'Control state'),
        el('p', {}, 'A kernel starts: all of its state is new.'),
        state,
      );
    }
    const lines = control.patches.map(patchLine);
    const list =
      lines.length === 0
        ? el('p', {}, 'unchanged')
        : el('ul', { class: 'patches mono' }, ...lines.map((line) => el('li', {}, line)));
    return el('div', {}, el('h3', {}, 'Control state'), list, state);
  }

  #log(view: Player['view']): HTMLElement[] {
    if (view.kind !== 'run') return [];
    const lines = newLines(view, this.#player.index);
    const shown = lines.slice(-40).map(([microseconds, , text]) => `${timeText(microseconds)} ${text}`);
    const more = lines.length > shown.length ? [`(${lines.length - shown.length} lines before)`] : [];
    const body =
      shown.length === 0 ? el('p', {}, 'nothing') : el('pre', { class: 'lines' }, [...more, ...shown].join('\n'));
    return [el('div', { class: 'wide' }, el('h3', {}, 'Printed by the kernel'), body)];
  }
}

function newLines(view: RunView, index: number): RunView['kernels'][number]['log'] {
  const frame = view.frames[index];
  if (frame === undefined) return [];
  const before = view.frames.findLast((each, i) => i < index && each.kernel === frame.kernel);
  return view.kernels[frame.kernel - 1]?.log.slice(before?.logLines ?? 0, frame.logLines) ?? [];
}

function patchLine(patch: PatchView): string {
  const path = patch.path.join('.');
  if (patch.op === 'remove') return `− ${path}`;
  const text = JSON.stringify(patch.value) ?? '';
  const value = text.length > 160 ? `${text.slice(0, 157)}...` : text;
  return `${patch.op === 'add' ? '+' : '±'} ${path} = ${value}`;
}
