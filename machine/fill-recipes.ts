import { type Fill, sameFill, ZERO_FILL } from './fill.ts';

/** What pages that have no frame hold, and who gave it to them. */
export interface FillRecipe {
  readonly fill: Fill;
  /** Number of a name. */
  readonly writer: number;
}

/** Fills and their writers by number, so that a page directory can say in one number what a page holds. */
export class FillRecipes {
  /** By number; the first is who wrote what was never written. */
  readonly #writers: string[] = ['power-on'];
  /** The first is what the power button leaves. */
  readonly #recipes: FillRecipe[] = [{ fill: ZERO_FILL, writer: 0 }];
  readonly #index = new Map<string, number>();
  #last = 0;

  /** The number of a writer's name: at most 65,535, beyond which names share that one. */
  writerNumber(name: string): number {
    let index = this.#writers.indexOf(name);
    if (index < 0) index = this.#writers.push(name) - 1;
    return Math.min(index, 0xffff);
  }

  writerName(number: number): string {
    return this.#writers[number] as string;
  }

  /** The number of a fill by a writer, 0 for zeroes by nobody. */
  numberOf(fill: Fill, writer: number): number {
    if (fill.kind === 'zero' && writer === 0) return 0;
    // The same one over and over, for pages by the million: found without its name.
    const last = this.at(this.#last);
    if (last.writer === writer && sameFill(last.fill, fill)) return this.#last;
    const key = `${fill.kind}:${fill.seed}:${fill.shift ?? 0}:${fill.pageShift ?? 0}:${writer}`;
    let index = this.#index.get(key);
    if (index === undefined) {
      index = this.#recipes.push({ fill, writer }) - 1;
      this.#index.set(key, index);
    }
    this.#last = index;
    return index;
  }

  at(number: number): FillRecipe {
    return this.#recipes[number] as FillRecipe;
  }
}
