import type { PageSize } from '../../machine/page-size.ts';
import type { OptionValues } from '../cli/options.ts';
import { parseWholeNumber } from '../cli/options.ts';
import { InputError } from '../input-error.ts';

/** What the options say about an image, beside what it says itself. */
export interface ImageOptions {
  /** Where raw RAM begins. */
  readonly ramBase?: number | undefined;
  readonly fdt?: { readonly phys: number; readonly sizeBytes?: number | undefined } | undefined;
  readonly scratch?: { readonly phys: number; readonly sizeBytes: number } | undefined;
  readonly page?: PageSize | undefined;
  /** What firmware passes, in place of what it would. */
  readonly fdtLengthBytes?: number | undefined;
  readonly scratchLengthBytes?: number | undefined;
  readonly patches?: readonly Patch[] | undefined;
}

/** Bytes to change before anybody looks. */
export interface Patch {
  readonly phys: number;
  readonly bytes: Uint8Array;
}

/** More than any field of a u64 could ask for; sizes above 2^53 are not read from the command line. */
const MAX = Number.MAX_SAFE_INTEGER;

/** Reads `PHYS:HEX`. @throws InputError for anything else. */
export function parsePatch(text: string): Patch {
  const [phys, digits, ...rest] = text.split(':');
  if (phys === undefined || digits === undefined || rest.length > 0 || !/^(?:[0-9a-f]{2})+$/i.test(digits)) {
    throw new InputError({
      message: `--patch: '${text}' is not PHYS:HEX`,
      hint: 'an address and whole bytes, as in --patch 0x40950000:d00dfeee',
    });
  }
  const bytes = Uint8Array.from(Buffer.from(digits, 'hex'));
  return { phys: parseWholeNumber('--patch', phys, 0, MAX), bytes };
}

function parseRange(what: string, text: string): { phys: number; sizeBytes: number | undefined } {
  const [phys, size, ...rest] = text.split(',');
  if (phys === undefined || rest.length > 0) {
    throw new InputError({ message: `${what}: '${text}' is not ADDR,LEN`, hint: `as in ${what} 0x40950000,4096` });
  }
  return {
    phys: parseWholeNumber(what, phys, 0, MAX),
    sizeBytes: size === undefined ? undefined : parseWholeNumber(what, size, 0, MAX),
  };
}

/** Reads the options that `inspect`, `boot` and `explain` have for an image. @throws InputError for what makes no sense. */
export function imageOptionsOf(options: OptionValues): ImageOptions {
  const fdt = options.text('fdt');
  const scratchText = options.text('scratch');
  const scratch = scratchText === undefined ? undefined : parseRange('--scratch', scratchText);
  if (scratch !== undefined && scratch.sizeBytes === undefined) {
    throw new InputError({
      message: `--scratch: '${scratchText}' has no length`,
      hint: 'ADDR,LEN: 16 bytes for each area, as in --scratch 0x5eff0000,48',
    });
  }
  return {
    ramBase: options.wholeNumber('ramBase'),
    fdt: fdt === undefined ? undefined : parseRange('--fdt', fdt),
    scratch: scratch === undefined ? undefined : { phys: scratch.phys, sizeBytes: scratch.sizeBytes ?? 0 },
    page: options.pageSize(),
    fdtLengthBytes: options.wholeNumber('fdtLen'),
    scratchLengthBytes: options.wholeNumber('scratchLen'),
    patches: options.texts('patch').map(parsePatch),
  };
}
