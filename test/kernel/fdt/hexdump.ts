/** The bytes of an annotated hex dump: what follows a `#` in a line is for the reader. */
export function fromDump(dump: string): Uint8Array {
  const digits = dump
    .split('\n')
    .map((line) => line.replace(/#.*/, ''))
    .join('')
    .replace(/\s/g, '');
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** A dump as rows of 16 bytes, for comparing. */
export function rows(bytes: Uint8Array): string[] {
  const hex = Buffer.from(bytes).toString('hex');
  return hex.match(/.{1,32}/g) ?? [];
}
