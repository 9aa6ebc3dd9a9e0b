const SUFFIX: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** How a quantity is written in a file: `4096`, `0x1000`, `64M`, `1.5G`; `64MiB` and `64MB` mean the same as `64M`. */
export const QUANTITY_PATTERN = /^(0x[0-9a-fA-F]+|\d+(?:\.\d+)?)\s*([KMGT]?)(?:iB|B)?$/;

/** Reads a quantity, a whole number from 0 to 2^53 - 1; undefined when the text isn't one. */
export function parseQuantity(text: string): number | undefined {
  const match = QUANTITY_PATTERN.exec(text.trim());
  if (match === null) return undefined;
  const value = Number(match[1]) * (SUFFIX[match[2] ?? ''] ?? Number.NaN);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The shortest exact form with a suffix: `64M`, `1G`, `4097`. */
export function formatQuantity(value: number): string {
  for (const suffix of ['T', 'G', 'M', 'K']) {
    const unit = SUFFIX[suffix] ?? 1;
    if (value >= unit && value % unit === 0) return `${value / unit}${suffix}`;
  }
  return String(value);
}

/** For people: at most one digit behind the point, `1.5 GiB`, `12 KiB`, `0 B`. */
export function formatBytes(value: number): string {
  let unit = 0;
  let amount = value;
  while (amount >= 1024 && unit < 4) {
    amount /= 1024;
    unit++;
  }
  const text = Number.isInteger(amount) ? String(amount) : amount.toFixed(1);
  return `${text} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}
