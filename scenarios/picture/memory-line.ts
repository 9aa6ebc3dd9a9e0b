/** A range of physical addresses. */
export interface PictureRange {
  readonly base: number;
  readonly sizeBytes: number;
}

/**
 * A bank of RAM as one line of characters: each column stands for an equal part of it.
 *
 *     0x40000000 |mm+#..................ssssss+s#| 512 MiB
 *
 * What a column shows is decided by how much of it each layer covers, so a single preserved page in a column of many
 * MiB still shows. Layers are added piece by piece: a million blocks need no list of their own.
 */
export class MemoryLine {
  readonly bank: PictureRange;
  readonly width: number;
  readonly #layers = new Map<string, Float64Array>();

  constructor(bank: PictureRange, width: number) {
    this.bank = bank;
    this.width = width;
  }

  /** Bytes that a column stands for. */
  get columnBytes(): number {
    return this.bank.sizeBytes / this.width;
  }

  /** Counts the part of a range that lies in the bank towards a layer. */
  add(layer: string, base: number, sizeBytes: number): void {
    const start = Math.max(base, this.bank.base) - this.bank.base;
    const end = Math.min(base + sizeBytes, this.bank.base + this.bank.sizeBytes) - this.bank.base;
    if (!(end > start)) return;
    let columns = this.#layers.get(layer);
    if (columns === undefined) this.#layers.set(layer, (columns = new Float64Array(this.width)));
    const step = this.columnBytes;
    const last = Math.min(Math.ceil(end / step), this.width);
    for (let column = Math.floor(start / step); column < last; column++) {
      const covered = Math.min(end, (column + 1) * step) - Math.max(start, column * step);
      columns[column] = (columns[column] as number) + covered;
    }
  }

  /** How much of a column a layer covers: 0 to 1 (more where its pieces overlap). */
  share(layer: string, column: number): number {
    return (this.#layers.get(layer)?.[column] ?? 0) / this.columnBytes;
  }

  /** The line; `pick` chooses the character of each column. */
  render(pick: (share: (layer: string) => number) => string): string {
    let line = '';
    for (let column = 0; column < this.width; column++) line += pick((layer) => this.share(layer, column));
    return line;
  }
}

/** The layers of a handover, and the characters they are drawn with. */
export const HANDOVER_LEGEND = 's scratch  # preserved  + a little  m memory map  . other RAM';

/**
 * The usual choice for a handover: scratch where it is the most, preserved memory wherever there is any, then the memory
 * map. Layers are called `scratch`, `preserved` and `map`; `wrong` marks whatever is in it with `!`.
 */
export function pickHandover(share: (layer: string) => number): string {
  if (share('wrong') > 0) return '!';
  const preserved = share('preserved');
  if (preserved >= 0.5) return '#';
  if (share('scratch') >= 0.5) return 's';
  if (preserved > 0) return '+';
  if (share('map') > 0) return 'm';
  return share('scratch') > 0 ? 's' : '.';
}
