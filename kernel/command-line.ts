/** A kernel command line, split as the kernel splits it: at white space, with double quotes around a value. */
export class CommandLine {
  readonly raw: string;
  readonly #parameters: readonly (readonly [string, string | undefined])[];

  constructor(raw: string) {
    this.raw = raw;
    this.#parameters = split(raw).map((word) => {
      const at = word.indexOf('=');
      return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
    });
  }

  /** Name and value of each parameter, in order. */
  get parameters(): readonly (readonly [string, string | undefined])[] {
    return this.#parameters;
  }

  /** All values of a parameter, in order; undefined for one given without `=`. */
  all(name: string): (string | undefined)[] {
    return this.#parameters.filter(([key]) => key === name).map(([, value]) => value);
  }

  /** The value that wins: the last one. Undefined when the parameter is not there. */
  get(name: string): string | undefined {
    return this.all(name).at(-1);
  }

  /**
   * A boolean parameter as kstrtobool reads it: y, Y, t, T, 1, on and n, N, f, F, 0, off. The last one that can be
   * read wins, as each is parsed in turn.
   */
  flag(name: string, byDefault: boolean): boolean {
    let result = byDefault;
    for (const value of this.all(name)) {
      const flag = parseBool(value ?? '');
      if (flag !== undefined) result = flag;
    }
    return result;
  }
}

/** kstrtobool: looks at the first character, of `on` and `off` at the second. */
export function parseBool(text: string): boolean | undefined {
  if (/^[yYtT1]/.test(text) || /^[oO][nN]/.test(text)) return true;
  if (/^[nNfF0]/.test(text) || /^[oO][fF]/.test(text)) return false;
  return undefined;
}

/**
 * memparse: a number as C writes it (decimal, 0x, leading 0 for octal) and an optional suffix K, M, G, T, P, E.
 * @returns the value in bytes (exact up to 2^53 - 1) and the rest of the text; undefined when there is no number.
 */
export function memparse(text: string): { readonly value: number; readonly rest: string } | undefined {
  const match = /^(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)([KMGTPEkmgtpe]?)/.exec(text);
  if (match === null) return undefined;
  const digits = match[1] ?? '';
  const number = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  const power = ' KMGTPE'.indexOf((match[2] ?? '').toUpperCase() || ' ');
  return { value: number * 1024 ** power, rest: text.slice(match[0].length) };
}

/** is_kdump_kernel: whether `elfcorehdr=[SIZE@]ADDRESS` says where the crashed kernel's ELF header is. */
export function isKdumpKernel(cmdline: CommandLine): boolean {
  return cmdline.all('elfcorehdr').some((value) => memparse(value ?? '') !== undefined);
}

function split(raw: string): string[] {
  const words: string[] = [];
  let word = '';
  let quoted = false;
  for (const character of raw) {
    if (character === '"') quoted = !quoted;
    else if (!quoted && /\s/.test(character)) {
      if (word !== '') words.push(word);
      word = '';
    } else word += character;
  }
  if (word !== '') words.push(word);
  return words;
}
