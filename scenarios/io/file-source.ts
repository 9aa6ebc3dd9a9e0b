import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { ByteSource } from '../../machine/image/byte-source.ts';

/** A file as a byte source, read where it is looked at: a dump of many GiB costs what is read of it. */
export class FileSource implements ByteSource {
  readonly path: string;
  readonly sizeBytes: number;
  #fd: number | undefined;

  /** @throws the system's error if the file cannot be opened. */
  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'r');
    this.sizeBytes = fstatSync(this.#fd).size;
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.readInto(offset, bytes);
    return bytes;
  }

  /** Bytes past the end of a file that shrank meanwhile stay as they were. */
  readInto(offset: number, target: Uint8Array): void {
    if (this.#fd === undefined) throw new Error(`${this.path} is closed`);
    let done = 0;
    while (done < target.length) {
      const part = Math.min(target.length - done, 2 ** 30);
      const count = readSync(this.#fd, target, done, part, offset + done);
      if (count === 0) return;
      done += count;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
