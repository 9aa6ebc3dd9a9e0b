import { el, fill, table } from './dom.ts';
import { indexAt, keyOf, markerBitOf, partsOf } from './key.ts';
import type { HandoverView, RadixView } from './model.ts';
import { describeState, LOOKS } from './palette.ts';
import type { Player } from './player.ts';
import { pfnOfSlot, stateAt } from './runs.ts';
import { addressText } from './text.ts';

/** The page under the pointer: what it is, what it was, its key and the way to it in the tree. */
export class PagePanel {
  readonly element: HTMLElement;
  readonly #summary = el('p', { id: 'page-summary', 'aria-live': 'polite' });
  readonly #history = el('div', {});
  readonly #key = el('div', { id: 'page-key' });
  readonly #player: Player;
  readonly #goTo: (frame: number) => void;

  constructor(player: Player, goTo: (frame: number) => void) {
    this.#player = player;
    this.#goTo = goTo;
    this.element = el('div', { class: 'page-panel' }, this.#summary, this.#history, this.#key);
  }

  /** Shows a page; `slot` -1 for none. */
  show(slot: number, handover: HandoverView | undefined): void {
    const { memory, frames } = this.#player.view;
    if (slot < 0) {
      fill(this.#summary, 'Choose a page: click into the strip, press the arrow keys in it, or give an address.');
      fill(this.#history);
      fill(this.#key);
      return;
    }
    const pfn = pfnOfSlot(memory.banks, slot);
    const state = memory.states[stateAt(this.#player.runsAt(this.#player.index), slot)];
    const address = addressText(pfn, memory.pageShift);
    fill(
      this.#summary,
      el('strong', { class: 'mono', id: 'page-address' }, address),
      ` page frame 0x${pfn.toString(16)}: `,
      el('span', { id: 'page-state' }, state === undefined ? 'unknown' : describeState(state)),
      state !== undefined && state.writer !== '' ? `; last written by ${state.writer}` : '',
    );
    fill(this.#history, ...(frames.length > 1 ? [this.#historyTable(slot)] : []));
    const order = orderOf(this.#player, slot);
    const keyed =
      state !== undefined && ['preserved', 'incoming', 'fdt', 'leaked', 'damaged', 'lost'].includes(state.kind);
    const map = handover?.map;
    if (map?.kind === 'radix-tree') fill(this.#key, keyDecoder(map, memory.pageShift, pfn, order, keyed));
    else fill(this.#key);
  }

  #historyTable(slot: number): HTMLElement {
    const { memory, frames } = this.#player.view;
    const rows = this.#player.historyOf(slot).map(({ frame, state }) => {
      const pageState = memory.states[state];
      const bad = pageState !== undefined && ['damaged', 'lost', 'leaked'].includes(pageState.kind);
      const go = el(
        'button',
        { type: 'button', class: bad ? 'link bad' : 'link', 'data-frame': frame, onclick: () => this.#goTo(frame) },
        `${frame}: ${frames[frame]?.title ?? ''}`,
      );
      const mark = pageState === undefined ? '' : LOOKS[pageState.kind].letter;
      return [go, `${mark}  ${pageState === undefined ? '' : describeState(pageState)}`, pageState?.writer ?? ''];
    });
    return table(['since', 'it is', 'last written by'], rows, 'history of the page');
  }
}

/** The order of the block that a page is in, or was in last: damage does not tell. 0 for none. */
export function orderOf(player: Player, slot: number): number {
  const { states } = player.view.memory;
  for (let frame = player.index; frame >= 0; frame--) {
    const order = states[stateAt(player.runsAt(frame), slot)]?.order ?? -1;
    if (order >= 0) return order;
  }
  return 0;
}

/** A key bit by bit: which bits are whose index, and which one tells the order; and the nodes on its way. */
function keyDecoder(map: RadixView, pageShift: number, pfn: number, order: number, keyed: boolean): HTMLElement {
  const aligned = pfn - (pfn % 2 ** order);
  const key = keyOf(map, pageShift, aligned, order);
  if (key === undefined) return el('p', {}, `order ${order} has no key in this tree`);
  const marker = markerBitOf(key);
  const parts = partsOf(map, key);
  const cells = parts.map((part) => {
    const low = map.levelShifts[part.level] ?? 0;
    const digits = [...part.bits].map((bit, i) => {
      const position = low + part.bits.length - 1 - i;
      return position === marker
        ? el('mark', { title: `bit ${position}: the marker of order ${order}` }, bit)
        : el('span', position > marker ? { class: 'above' } : {}, bit);
    });
    return el(
      'div',
      { class: `key-part level-${part.level % 3}` },
      el('div', { class: 'bits mono' }, ...digits),
      el(
        'div',
        { class: 'key-name' },
        part.level === 0 ? `leaf bit ${part.value}` : `L${part.level} slot ${part.value}`,
      ),
    );
  });
  const head = keyed
    ? `Key of the block at ${addressText(aligned, pageShift)}, order ${order}: `
    : `If it were preserved as order ${order}, its key would be `;
  return el(
    'div',
    {},
    el('p', {}, head, el('code', { id: 'page-key-value' }, `0x${key.toString(16)}`), `; bit ${marker} marks the order`),
    el('div', { class: 'key-bits' }, ...cells),
    pathTable(map, pageShift, key),
  );
}

function pathTable(map: RadixView, pageShift: number, key: bigint): HTMLElement {
  const rows: (Node | string)[][] = [];
  let node = 0;
  for (let level = map.depth - 1; level >= 0; level--) {
    const here = map.levels[level]?.nodes[node];
    const index = indexAt(map, key, level);
    if (here === undefined) break;
    const what = level === 0 ? `bit ${index} of the leaf` : `slot ${index}`;
    rows.push([`L${level}`, el('code', {}, addressText(here.pfn, pageShift)), what, `${here.used} in use`]);
    if (level === 0) break;
    const parent = node;
    node = map.levels[level - 1]?.nodes.findIndex((each) => each.parent === parent && each.slot === index) ?? -1;
    if (node < 0) {
      rows.push([`L${level - 1}`, 'no node', 'nothing is preserved below this slot', '']);
      break;
    }
  }
  return table(['level', 'node', 'taken', ''], rows, 'way of the key in the tree');
}

/** Indexes of the nodes on a key's way, by level; -1 where it ends. */
export function pathOf(map: RadixView, key: bigint): number[] {
  const path = new Array<number>(map.depth).fill(-1);
  let node = 0;
  for (let level = map.depth - 1; level >= 0 && node >= 0; level--) {
    path[level] = node;
    if (level === 0) break;
    const parent = node;
    const index = indexAt(map, key, level);
    node = map.levels[level - 1]?.nodes.findIndex((each) => each.parent === parent && each.slot === index) ?? -1;
  }
  return path;
}
