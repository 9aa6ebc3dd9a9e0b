/**
 * libfdt's error codes as its calls return them: negative. Kernels put them into messages ("handover FDT is invalid:
 * -9"), and 6.19 lets one escape as an errno. They are not errnos: -3 is "no space", -8 "truncated".
 */
export type FdtErr = number & { readonly __unit: 'FdtErr' };

const NAMES = new Map<number, string>();

function code(value: number, name: string): FdtErr {
  NAMES.set(-value, `FDT_ERR_${name}`);
  return -value as FdtErr;
}

export const FDT_ERR_NOTFOUND: FdtErr = code(1, 'NOTFOUND');
export const FDT_ERR_EXISTS: FdtErr = code(2, 'EXISTS');
export const FDT_ERR_NOSPACE: FdtErr = code(3, 'NOSPACE');
export const FDT_ERR_BADOFFSET: FdtErr = code(4, 'BADOFFSET');
export const FDT_ERR_BADPATH: FdtErr = code(5, 'BADPATH');
export const FDT_ERR_BADSTATE: FdtErr = code(7, 'BADSTATE');
export const FDT_ERR_TRUNCATED: FdtErr = code(8, 'TRUNCATED');
export const FDT_ERR_BADMAGIC: FdtErr = code(9, 'BADMAGIC');
export const FDT_ERR_BADVERSION: FdtErr = code(10, 'BADVERSION');
export const FDT_ERR_BADSTRUCTURE: FdtErr = code(11, 'BADSTRUCTURE');
export const FDT_ERR_BADLAYOUT: FdtErr = code(12, 'BADLAYOUT');
export const FDT_ERR_INTERNAL: FdtErr = code(13, 'INTERNAL');
export const FDT_ERR_BADNCELLS: FdtErr = code(14, 'BADNCELLS');
export const FDT_ERR_BADVALUE: FdtErr = code(15, 'BADVALUE');
export const FDT_ERR_ALIGNMENT: FdtErr = code(19, 'ALIGNMENT');

/** Whether a call's result is an error: a negative number. */
export function isFdtErr(result: unknown): result is FdtErr {
  return typeof result === 'number' && result < 0;
}

/** `FDT_ERR_NOSPACE` for -3; the bare number where no name is known. */
export function fdtErrName(value: number): string {
  return NAMES.get(value) ?? `${value}`;
}
