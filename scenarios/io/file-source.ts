import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { ByteSource } from '../../machine/image/byte-source.ts';
import { alignDown, alignUp } from '../../machine/units.ts';

/** Direct reads begin and end at multiples of this: no device has larger sectors. */
const DIRECT_ALIGN_BYTES = 4096;
/** Pages of WebAssembly memory: the one kind of array that begins at a page, as direct reads want it. */
const WASM_PAGE_BYTES = 0x1_0000;
/** What `fstat` counts blocks in, whatever the file system's are. */
const STAT_BLOCK_BYTES = 512;

/** The part of WebAssembly that is used; the compiler knows it only with a browser's library. */
interface WasmGlobal {
  readonly WebAssembly?: { readonly Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer } };
}

/** A file as a byte source, read where it is looked at: a dump of many GiB costs what is read of it. */
export class FileSource implements ByteSource {
  readonly path: string;
  readonly sizeBytes: number;
  /** Whether the file has holes, so many that it pays to keep them out of the system's page cache. */
  readonly #sparse: boolean;
  #fd: number | undefined;
  #directFd: number | undefined;
  /** False once a direct read failed: many file systems have none. */
  #directWorks = true;
  #passBuffer = new Uint8Array(0);

  /** @throws the system's error if the file cannot be opened. */
  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'r');
    const stat = fstatSync(this.#fd);
    this.sizeBytes = stat.size;
    this.#sparse = stat.isFile() && stat.blocks * STAT_BLOCK_BYTES < stat.size / 2;
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.readInto(offset, bytes);
    return bytes;
  }

  /** Bytes past the end of a file that shrank meanwhile stay as they were. */
  readInto(offset: number, target: Uint8Array): void {
    if (this.#fd === undefined) throw new Error(`${this.path} is closed`);
    readFully(this.#fd, offset, target);
  }

  /**
   * A read through the page cache makes a page of zeros for each page of a hole, at 1 GB/s or worse on a machine with little
   * free memory; a direct read of a hole only clears the buffer. Data costs more that way, so it is done for sparse files.
   */
  pass(offset: number, length: number): Uint8Array {
    const from = alignDown(offset, DIRECT_ALIGN_BYTES);
    const whole = this.#buffer(alignUp(offset + length, DIRECT_ALIGN_BYTES) - from);
    const wanted = whole.subarray(offset - from, offset - from + length);
    const done = this.#sparse && this.#directWorks ? this.#readDirect(from, whole) - (offset - from) : 0;
    if (done < length) this.readInto(offset + Math.max(done, 0), wanted.subarray(Math.max(done, 0)));
    return wanted;
  }

  close(): void {
    for (const fd of [this.#fd, this.#directFd]) if (fd !== undefined) closeSync(fd);
    this.#fd = undefined;
    this.#directFd = undefined;
  }

  #buffer(sizeBytes: number): Uint8Array {
    if (this.#passBuffer.length < sizeBytes) {
      const { WebAssembly } = globalThis as WasmGlobal;
      this.#passBuffer =
        WebAssembly === undefined
          ? new Uint8Array(sizeBytes)
          : new Uint8Array(new WebAssembly.Memory({ initial: Math.ceil(sizeBytes / WASM_PAGE_BYTES) }).buffer);
    }
    return this.#passBuffer.subarray(0, sizeBytes);
  }

  /** @returns how many bytes were read, 0 if it cannot be done. */
  #readDirect(offset: number, target: Uint8Array): number {
    try {
      // Not every system has the flag.
      const flag: number | undefined = constants.O_DIRECT;
      if (flag === undefined) throw new Error('no direct reads');
      this.#directFd ??= openSync(this.path, constants.O_RDONLY | flag);
      return readSync(this.#directFd, target, 0, target.length, offset);
    } catch {
      this.#directWorks = false;
      return 0;
    }
  }
}

function readFully(fd: number, offset: number, target: Uint8Array): void {
  let done = 0;
  while (done < target.length) {
    const part = Math.min(target.length - done, 2 ** 30);
    const count = readSync(fd, target, done, part, offset + done);
    if (count === 0) return;
    done += count;
  }
}
