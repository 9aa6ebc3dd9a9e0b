import type { MemoryModel } from './model.ts';
import { colourOf, isDark, LOOKS, labelOf, patternOf } from './palette.ts';
import { columnStates, type Runs } from './runs.ts';

/** What of RAM a strip shows: slots [from, to). */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/** Fits a canvas to its place on the screen. @returns its context in CSS pixels, or undefined while it has no size. */
export function prepare(
  canvas: HTMLCanvasElement,
): { draw: CanvasRenderingContext2D; width: number; height: number } | undefined {
  const width = Math.floor(canvas.clientWidth);
  const height = Math.floor(canvas.clientHeight);
  const draw = canvas.getContext('2d');
  if (draw === null || width === 0 || height === 0) return undefined;
  const scale = window.devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  draw.setTransform(scale, 0, 0, scale, 0, 0);
  return { draw, width, height };
}

/**
 * Draws RAM as one strip: colour, hatch and letter of the worst state in each column; page borders and bank borders
 * where there is room.
 */
export function drawStrip(
  canvas: HTMLCanvasElement,
  model: MemoryModel,
  runs: Runs,
  ranks: Float64Array,
  view: Window,
  options: { readonly letters: boolean; readonly selected: number },
): void {
  const surface = prepare(canvas);
  if (surface === undefined) return;
  const { draw, width, height } = surface;
  const dark = isDark();
  const states = columnStates(runs, ranks, view.from, view.to, width);
  const perSlot = width / (view.to - view.from);
  draw.clearRect(0, 0, width, height);
  draw.font = '600 11px ui-monospace, monospace';
  draw.textAlign = 'center';
  draw.textBaseline = 'middle';
  for (let column = 0; column < width; ) {
    const number = states[column] as number;
    let end = column + 1;
    while (end < width && states[end] === number) end++;
    const state = model.states[number];
    if (state !== undefined) {
      const look = LOOKS[state.kind];
      draw.fillStyle = colourOf(state, dark);
      draw.fillRect(column, 0, end - column, height);
      const pattern = patternOf(draw, look.hatch, dark);
      if (pattern !== undefined && end - column > 3) {
        draw.fillStyle = pattern;
        draw.fillRect(column, 0, end - column, height);
      }
    }
    column = end;
  }
  if (perSlot >= 8) drawPageBorders(draw, view, width, height, perSlot, dark);
  drawBankBorders(draw, model, view, perSlot, height, dark);
  if (options.letters) drawLetters(draw, model, states, view, width, height, perSlot, dark);
  if (options.selected >= view.from - 1 && options.selected < view.to) {
    const x = (options.selected - view.from) * perSlot;
    draw.strokeStyle = dark ? '#fff' : '#000';
    draw.lineWidth = 2;
    draw.strokeRect(Math.max(x, 1), 1, Math.max(perSlot, 3), height - 2);
  }
}

function drawPageBorders(
  draw: CanvasRenderingContext2D,
  view: Window,
  width: number,
  height: number,
  perSlot: number,
  dark: boolean,
): void {
  draw.fillStyle = dark ? 'rgba(0,0,0,.55)' : 'rgba(255,255,255,.75)';
  for (let slot = Math.ceil(view.from); slot < view.to; slot++) {
    const x = (slot - view.from) * perSlot;
    if (x > 0 && x < width) draw.fillRect(Math.round(x), 0, 1, height);
  }
}

function drawBankBorders(
  draw: CanvasRenderingContext2D,
  model: MemoryModel,
  view: Window,
  perSlot: number,
  height: number,
  dark: boolean,
): void {
  let slot = 0;
  draw.fillStyle = dark ? '#fff' : '#000';
  for (const bank of model.banks.slice(0, -1)) {
    slot += bank.nrPages;
    if (slot > view.from && slot < view.to) draw.fillRect(Math.round((slot - view.from) * perSlot) - 1, 0, 2, height);
  }
}

/** One letter for each stretch of a state, one for each page when pages are wide. */
function drawLetters(
  draw: CanvasRenderingContext2D,
  model: MemoryModel,
  states: Int32Array,
  view: Window,
  width: number,
  height: number,
  perSlot: number,
  dark: boolean,
): void {
  const write = (number: number, from: number, to: number): void => {
    const state = model.states[number];
    if (state === undefined || state.kind === 'free') return;
    const text = labelOf(state);
    if (to - from < 8 + 6 * text.length) return;
    const x = (from + to) / 2;
    draw.fillStyle = dark ? 'rgba(0,0,0,.72)' : 'rgba(255,255,255,.86)';
    draw.fillRect(x - 3 - 3.5 * text.length, height / 2 - 8, 6 + 7 * text.length, 16);
    draw.fillStyle = dark ? '#fff' : '#111';
    draw.fillText(text, x, height / 2 + 1);
  };
  if (perSlot >= 14) {
    for (let slot = Math.floor(view.from); slot < view.to; slot++) {
      const from = (slot - view.from) * perSlot;
      const column = Math.min(Math.max(Math.floor(from + perSlot / 2), 0), width - 1);
      write(states[column] as number, Math.max(from, 0), Math.min(from + perSlot, width));
    }
    return;
  }
  for (let column = 0; column < width; ) {
    let end = column + 1;
    while (end < width && states[end] === states[column]) end++;
    write(states[column] as number, column, end);
    column = end;
  }
}
