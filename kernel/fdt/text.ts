/** The bytes of a name in UTF-8, without a NUL. */
export function bytesOfText(text: string): Uint8Array {
  const out: number[] = [];
  for (const char of text) {
    const c = char.codePointAt(0) ?? 0;
    if (c < 0x80) out.push(c);
    else if (c < 0x800) out.push(0xc0 | (c >> 6), 0x80 | (c & 0x3f));
    else if (c < 0x1_0000) out.push(0xe0 | (c >> 12), 0x80 | ((c >> 6) & 0x3f), 0x80 | (c & 0x3f));
    else out.push(0xf0 | (c >> 18), 0x80 | ((c >> 12) & 0x3f), 0x80 | ((c >> 6) & 0x3f), 0x80 | (c & 0x3f));
  }
  return Uint8Array.from(out);
}

/** The bytes of a name in UTF-8 and a NUL. */
export function cString(text: string): Uint8Array {
  const bytes = bytesOfText(text);
  const out = new Uint8Array(bytes.length + 1);
  out.set(bytes);
  return out;
}

/** What foreign bytes say: printable ASCII as it is, and every other byte as `\xNN`, so that no two names look alike. */
export function textOfBytes(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) {
    if (byte === 0x5c) out += '\\\\';
    else if (byte >= 0x20 && byte < 0x7f) out += String.fromCharCode(byte);
    else out += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return out;
}

/** Where the first NUL at or after `start` is; -1 if there is none before `end`. */
export function findNul(bytes: Uint8Array, start: number, end: number): number {
  const at = bytes.indexOf(0, start);
  return at >= end ? -1 : at;
}
