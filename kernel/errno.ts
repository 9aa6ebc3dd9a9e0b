/**
 * What kernel calls return, in the kernel's manner: 0 for success, a negative errno for failure. A call that yields a
 * value returns the value or a negative errno; `isErrno` tells them apart (addresses, counts and sizes are never
 * negative).
 */
export type Errno = number & { readonly __unit: 'Errno' };

const NAMES = new Map<number, string>();

function errno(value: number, name: string): Errno {
  NAMES.set(-value, name);
  return -value as Errno;
}

export const EPERM: Errno = errno(1, 'EPERM');
export const ENOENT: Errno = errno(2, 'ENOENT');
export const EIO: Errno = errno(5, 'EIO');
export const E2BIG: Errno = errno(7, 'E2BIG');
export const EBADF: Errno = errno(9, 'EBADF');
export const EAGAIN: Errno = errno(11, 'EAGAIN');
export const ENOMEM: Errno = errno(12, 'ENOMEM');
export const EFAULT: Errno = errno(14, 'EFAULT');
export const EBUSY: Errno = errno(16, 'EBUSY');
export const EEXIST: Errno = errno(17, 'EEXIST');
export const ENODEV: Errno = errno(19, 'ENODEV');
export const EINVAL: Errno = errno(22, 'EINVAL');
export const EFBIG: Errno = errno(27, 'EFBIG');
export const ENOSPC: Errno = errno(28, 'ENOSPC');
export const ERANGE: Errno = errno(34, 'ERANGE');
export const ENAMETOOLONG: Errno = errno(36, 'ENAMETOOLONG');
export const ENODATA: Errno = errno(61, 'ENODATA');
export const EOVERFLOW: Errno = errno(75, 'EOVERFLOW');
export const EOPNOTSUPP: Errno = errno(95, 'EOPNOTSUPP');
export const EADDRNOTAVAIL: Errno = errno(99, 'EADDRNOTAVAIL');

/** Whether a call's result is an error: a negative number. */
export function isErrno(result: unknown): result is Errno {
  return typeof result === 'number' && result < 0;
}

/** `-ENOMEM` for -12; the bare number where no name is known. */
export function errnoName(value: number): string {
  const name = NAMES.get(value);
  return name === undefined ? `${value}` : `-${name}`;
}
