import type { PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import { ENOSPC, type Errno, isErrno } from '../errno.ts';
import type { Kho } from '../kho/kho.ts';
import type { EntryCursor, EntryTable } from './entry-table.ts';

export interface EntryArrayContext {
  readonly memory: PhysicalMemory;
  readonly kho: Kho;
}

/**
 * The files of a session before 7.2: one piece of two pages, made for the first file, given back with the last.
 * Nothing in the piece says how many entries are filled; the session's entry does.
 */
export class EntryArray implements EntryTable {
  readonly capacity: number;
  readonly #ctx: EntryArrayContext;
  readonly #sizeBytes: number;
  readonly #entrySizeBytes: number;
  #head = 0 as PhysAddr;
  #incoming = false;
  #count = 0;

  constructor(ctx: EntryArrayContext, entrySizeBytes: number, sizeBytes: number) {
    this.#ctx = ctx;
    this.#entrySizeBytes = entrySizeBytes;
    this.#sizeBytes = sizeBytes;
    this.capacity = Math.floor(sizeBytes / entrySizeBytes);
  }

  get head(): PhysAddr {
    return this.#head;
  }

  get isEmpty(): boolean {
    return this.#head === 0;
  }

  grow(count: number): 0 | Errno {
    if (count > this.capacity) return ENOSPC;
    if (this.#head !== 0) return 0;
    const piece = this.#ctx.kho.allocPreserve(this.#sizeBytes);
    if (isErrno(piece)) return piece;
    this.#head = piece;
    return 0;
  }

  shrink(count: number): void {
    if (count !== 0 || this.#incoming || this.#head === 0) return;
    this.#ctx.kho.unpreserveFree(this.#head, this.#sizeBytes);
    this.#head = 0 as PhysAddr;
  }

  /** Checks nothing, as these kernels don't. `count` may be any u64. */
  restore(head: number, count: number): 0 {
    this.#incoming = true;
    this.#head = head === 0 ? (0 as PhysAddr) : this.#ctx.kho.physToVirt(head);
    this.#count = count;
    return 0;
  }

  clear(): void {
    if (this.#head !== 0) this.#ctx.memory.writeBytes(this.#head, new Uint8Array(this.#sizeBytes));
  }

  destroy(): void {
    if (this.#head === 0) return;
    if (this.#incoming) this.#ctx.kho.restoreFree(this.#head);
    else this.#ctx.kho.unpreserveFree(this.#head, this.#sizeBytes);
    this.#head = 0 as PhysAddr;
  }

  /** These kernels leave a broken array where it is. */
  abandon(): void {}

  cursor(): EntryCursor {
    let i = 0;
    const entry = (index: number): PhysAddr => (this.#head + index * this.#entrySizeBytes) as PhysAddr;
    return {
      reserve: () => (i < this.capacity && this.#head !== 0 ? entry(i++) : undefined),
      read: () => (i < this.#count ? entry(i++) : undefined),
      prev: () => (i > 0 ? entry(--i) : undefined),
    };
  }
}
