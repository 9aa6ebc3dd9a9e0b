import { PAGE_SIZES, type PageSize, pageSizeByBytes, pageSizeByName } from '../../machine/index.ts';
import { InputError } from '../input-error.ts';

/** The exit codes of every command. */
export const EXIT_OK = 0;
/** An expectation failed, or there are findings of severity `error`. */
export const EXIT_FAILED = 1;
/** A file, option, scenario, trace or image container that cannot be used. */
export const EXIT_BAD_INPUT = 2;
/** A bug in khosim. */
export const EXIT_BUG = 3;

/** The values of a command's options, each under its long name in camelCase, with typed access. */
export class OptionValues {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  /** Whether a flag was given. */
  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  /** The text of an option, undefined when it was not given. */
  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** All texts of an option that may be repeated, in order. */
  texts(name: string): readonly string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.map(String) : [];
  }

  /** A whole number (decimal, or 0x hex) from `min` to `max`. @throws InputError for anything else. */
  wholeNumber(name: string, min = 0, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : parseWholeNumber(`--${kebab(name)}`, text, min, max);
  }

  /** Page sizes, as in `4K,64K` or `65536`. @throws InputError for a size that no kernel has. */
  pageSizes(name = 'pageSize'): readonly PageSize[] | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    return text.split(',').map((part) => parsePageSize(`--${kebab(name)}`, part.trim()));
  }

  /** A single page size. @throws InputError for a size that no kernel has, or more than one. */
  pageSize(name = 'pageSize'): PageSize | undefined {
    const sizes = this.pageSizes(name);
    if (sizes !== undefined && sizes.length > 1) {
      throw new InputError({ message: `--${kebab(name)} takes one page size here`, hint: 'e.g. --page-size 4K' });
    }
    return sizes?.[0];
  }
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Reads a whole number given to `what`. @throws InputError when it isn't one, or out of range. */
export function parseWholeNumber(what: string, text: string, min: number, max: number): number {
  const value = /^(\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`;
    throw new InputError({ message: `${what}: '${text}' is not a whole number, ${range}` });
  }
  return value;
}

/** Reads a page size given to `what`. @throws InputError for a size that no kernel has. */
function parsePageSize(what: string, text: string): PageSize {
  const size = pageSizeByName(text) ?? (/^\d+$/.test(text) ? pageSizeByBytes(Number(text)) : undefined);
  if (size === undefined) {
    const names = PAGE_SIZES.map((page) => page.name).join(', ');
    throw new InputError({ message: `${what}: no kernel has pages of '${text}'`, hint: `one of ${names}` });
  }
  return size;
}
