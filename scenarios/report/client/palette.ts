import type { PageState, StateKind } from './model.ts';

/** Lines over a colour, so that states can be told apart without it. */
export type Hatch = 'none' | 'dots' | 'up' | 'down' | 'cross' | 'rows' | 'columns' | 'solid';

/** How a state looks: a letter, a colour of the Okabe-Ito set (told apart by colour-blind eyes), a hatch. */
export interface Look {
  readonly letter: string;
  readonly name: string;
  readonly meaning: string;
  readonly light: string;
  readonly dark: string;
  readonly hatch: Hatch;
}

export const LOOKS: Readonly<Record<StateKind, Look>> = {
  free: {
    letter: '·',
    name: 'free',
    meaning: 'in the page allocator',
    light: '#f1f3f5',
    dark: '#1d2227',
    hatch: 'none',
  },
  kernel: {
    letter: 'K',
    name: 'kernel',
    meaning: 'the kernel’s image, its boot memory, and whatever else it allocated',
    light: '#a8afb7',
    dark: '#5d666f',
    hatch: 'none',
  },
  scratch: {
    letter: 's',
    name: 'scratch',
    meaning: 'what the next kernel may use before it knows what is preserved',
    light: '#f5e98a',
    dark: '#8a7f1f',
    hatch: 'dots',
  },
  client: {
    letter: 'C',
    name: 'client',
    meaning: 'allocated by a client of KHO, or restored to it',
    light: '#56b4e9',
    dark: '#4aa3d6',
    hatch: 'none',
  },
  preserved: {
    letter: 'P',
    name: 'preserved',
    meaning: 'recorded for the next kernel; the number is the order of the block',
    light: '#0072b2',
    dark: '#3b9fe0',
    hatch: 'up',
  },
  incoming: {
    letter: 'I',
    name: 'set aside',
    meaning: 'preserved by the kernel before, reserved here, and not restored yet',
    light: '#cc79a7',
    dark: '#cc79a7',
    hatch: 'down',
  },
  tree: {
    letter: 'T',
    name: 'map',
    meaning: 'pages of the radix tree, or chunks and bitmaps of the list',
    light: '#009e73',
    dark: '#18b88d',
    hatch: 'cross',
  },
  fdt: { letter: 'F', name: 'FDT', meaning: 'root FDT and subtrees', light: '#3a2a00', dark: '#ffe9b0', hatch: 'rows' },
  leaked: {
    letter: 'L',
    name: 'leaked',
    meaning: 'preserved and never restored: unused until the next reboot',
    light: '#e69f00',
    dark: '#e69f00',
    hatch: 'columns',
  },
  lost: {
    letter: 'X',
    name: 'lost',
    meaning: 'preserved, and not kept by the kernel after',
    light: '#8b3fa0',
    dark: '#c58be0',
    hatch: 'cross',
  },
  damaged: {
    letter: '!',
    name: 'damaged',
    meaning: 'came back with other content, or an audit found an error there',
    light: '#d55e00',
    dark: '#ff7a1a',
    hatch: 'solid',
  },
};

/** Whether the page is dark at present: by the switch, or by what the system prefers. */
export function isDark(): boolean {
  const chosen = document.documentElement.dataset['theme'];
  if (chosen !== undefined) return chosen === 'dark';
  return matchMedia('(prefers-color-scheme: dark)').matches;
}

/** The colour of a state; preserved blocks the darker (on a light page) the larger. */
export function colourOf(state: PageState, dark: boolean): string {
  const look = LOOKS[state.kind];
  const colour = dark ? look.dark : look.light;
  if (state.kind !== 'preserved' && state.kind !== 'incoming') return colour;
  const share = 0.35 * (1 - Math.min(Math.max(state.order, 0), 10) / 10);
  return mix(colour, dark ? '#12161a' : '#ffffff', share);
}

function mix(colour: string, other: string, share: number): string {
  const part = (text: string, at: number): number => Number.parseInt(text.slice(at, at + 2), 16);
  const parts = [1, 3, 5].map((at) => Math.round(part(colour, at) * (1 - share) + part(other, at) * share));
  return `rgb(${parts.join(',')})`;
}

/** The letter of a state, with the order of a preserved block. */
export function labelOf(state: PageState): string {
  const { letter } = LOOKS[state.kind];
  return (state.kind === 'preserved' || state.kind === 'incoming') && state.order >= 0
    ? `${letter}${state.order}`
    : letter;
}

/** A state in words: `preserved, order 3: buffers`. */
export function describeState(state: PageState): string {
  const order = state.order >= 0 && state.kind !== 'fdt' ? `, order ${state.order}` : '';
  const owner = state.owner === '' ? '' : `: ${state.owner}`;
  return `${LOOKS[state.kind].name}${order}${owner}`;
}

const SIZE = 8;
const patterns = new Map<string, CanvasPattern>();

/** The pattern of a hatch, drawn over a colour. undefined for none. */
export function patternOf(context: CanvasRenderingContext2D, hatch: Hatch, dark: boolean): CanvasPattern | undefined {
  if (hatch === 'none' || hatch === 'solid') return undefined;
  const key = `${hatch}${dark}`;
  const have = patterns.get(key);
  if (have !== undefined) return have;
  const tile = document.createElement('canvas');
  tile.width = SIZE;
  tile.height = SIZE;
  const draw = tile.getContext('2d');
  if (draw === null) return undefined;
  draw.strokeStyle = dark ? 'rgba(0,0,0,.45)' : 'rgba(255,255,255,.5)';
  draw.fillStyle = dark ? 'rgba(255,255,255,.25)' : 'rgba(0,0,0,.28)';
  draw.lineWidth = 1.4;
  const line = (x1: number, y1: number, x2: number, y2: number): void => {
    draw.beginPath();
    draw.moveTo(x1, y1);
    draw.lineTo(x2, y2);
    draw.stroke();
  };
  if (hatch === 'dots') draw.fillRect(3, 3, 2, 2);
  if (hatch === 'up' || hatch === 'cross') for (const d of [-SIZE, 0, SIZE]) line(d, SIZE, d + SIZE, 0);
  if (hatch === 'down' || hatch === 'cross') for (const d of [-SIZE, 0, SIZE]) line(d, 0, d + SIZE, SIZE);
  if (hatch === 'rows') line(0, 4, SIZE, 4);
  if (hatch === 'columns') line(4, 0, 4, SIZE);
  const pattern = context.createPattern(tile, 'repeat');
  if (pattern === null) return undefined;
  patterns.set(key, pattern);
  return pattern;
}
