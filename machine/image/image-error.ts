/** One thing that is wrong with an image's container. */
export interface ImageProblem {
  readonly message: string;
  /** Where in the container: `extents[3].phys`, `program header 2`, `byte 0x40`. */
  readonly where?: string;
  readonly hint?: string;
}

/**
 * An image whose container cannot be used: truncated, mistyped, contradictory. What the *memory* in it holds is never
 * a reason for this. Whoever opens files for a user turns it into a message that names the file.
 */
export class ImageError extends Error {
  readonly problems: readonly ImageProblem[];

  constructor(problems: ImageProblem | readonly ImageProblem[]) {
    const list: readonly ImageProblem[] = 'message' in problems ? [problems] : problems;
    super(
      list.map((problem) => `${problem.where === undefined ? '' : `${problem.where}: `}${problem.message}`).join('\n'),
    );
    this.name = 'ImageError';
    this.problems = list;
  }
}

/** So many problems of one container are listed; the rest is counted. */
const MAX_PROBLEMS = 20;

/** Gathers problems, so that one look at a container tells all that is wrong with it. */
export class ProblemList {
  readonly #problems: ImageProblem[] = [];
  #more = 0;

  add(message: string, where?: string, hint?: string): void {
    if (this.#problems.length >= MAX_PROBLEMS) {
      this.#more++;
      return;
    }
    this.#problems.push({
      message,
      ...(where === undefined ? {} : { where }),
      ...(hint === undefined ? {} : { hint }),
    });
  }

  get empty(): boolean {
    return this.#problems.length === 0;
  }

  /** @throws ImageError if anything was added. */
  throwIfAny(): void {
    if (this.empty) return;
    const rest = this.#more === 0 ? [] : [{ message: `and ${this.#more} more problems of the same container` }];
    throw new ImageError([...this.#problems, ...rest]);
  }
}
