const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** A size for people: `214 B`, `9.4 MiB`. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Math.round(value * 10) / 10} ${UNITS[unit]}`;
}

/** A count with thin groups: `1 048 576`. */
export function countText(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

/** `0x`-hex of a page's address. */
export function addressText(pfn: number, pageShift: number): string {
  return `0x${(BigInt(pfn) << BigInt(pageShift)).toString(16)}`;
}

/** `1 page`, `2 pages`. */
export function plural(count: number, one: string): string {
  return `${countText(count)} ${one}${count === 1 ? '' : 's'}`;
}

/** dmesg's time: `[    0.001234]`. */
export function timeText(microseconds: number): string {
  const whole = Math.floor(microseconds);
  const seconds = String(Math.floor(whole / 1e6)).padStart(5);
  return `[${seconds}.${String(whole % 1e6).padStart(6, '0')}]`;
}
