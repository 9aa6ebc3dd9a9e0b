import type { PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import type { CompiledStruct } from '../abi/struct.ts';
import { EINVAL, ENOMEM, ENOSPC, type Errno, isErrno } from '../errno.ts';
import type { FaultInjector } from '../fault-injection.ts';
import { BLOCK_SITE } from '../fault-sites.ts';
import type { Kho } from '../kho/kho.ts';
import type { KernelLog } from '../log.ts';
import type { EntryCursor, EntryTable } from './entry-table.ts';

/*
 * kho_block, from 7.2 on: a chain of one-page blocks.
 *
 *   head --> +------+-------+---------+---------+--        +------+-------+---------+--
 *            | next | count | entry 0 | entry 1 |   --->   |   0  | count | entry 0 |
 *            +------+-------+---------+---------+--        +------+-------+---------+--
 *            <- header, 16 bytes ->
 */

/** More blocks than this are refused, by writer and reader (kho_block.c of 7.2 and 7.3). */
export const KHO_MAX_BLOCKS = 10_000;

/** What block sets work with. */
export interface BlockSetContext {
  readonly memory: PhysicalMemory;
  readonly kho: Kho;
  readonly log: KernelLog;
  readonly faults?: FaultInjector;
  /** struct kho_block_header_ser. */
  readonly header: CompiledStruct;
  readonly blockSizeBytes: number;
}

/** A set of blocks that hold entries of one size. It remembers the blocks' addresses; all else is in RAM. */
export class KhoBlockSet implements EntryTable {
  readonly countPerBlock: number;
  readonly #ctx: BlockSetContext;
  readonly #entrySizeBytes: number;
  readonly #blocks: PhysAddr[] = [];
  #head = 0 as PhysAddr;
  #incoming = false;

  constructor(ctx: BlockSetContext, entrySizeBytes: number) {
    this.#ctx = ctx;
    this.#entrySizeBytes = entrySizeBytes;
    this.countPerBlock = Math.floor((ctx.blockSizeBytes - ctx.header.sizeBytes) / entrySizeBytes);
    if (this.countPerBlock === 0) ctx.log.warnOnOnce('kho_block_set_init');
  }

  get head(): PhysAddr {
    return this.#head;
  }

  get isEmpty(): boolean {
    return this.#blocks.length === 0;
  }

  /** The blocks' addresses in order. */
  get blocks(): readonly PhysAddr[] {
    return this.#blocks;
  }

  #next(block: PhysAddr): PhysAddr {
    const next = this.#ctx.header.get(this.#ctx.memory, block, 'next');
    return next === 0 ? (0 as PhysAddr) : this.#ctx.kho.physToVirt(next);
  }

  #freeBlock(block: PhysAddr): void {
    if (this.#incoming) this.#ctx.kho.restoreFree(block);
    else this.#ctx.kho.unpreserveFree(block, this.#ctx.blockSizeBytes);
  }

  #add(block: PhysAddr): 0 | Errno {
    if (this.#blocks.length >= KHO_MAX_BLOCKS) return ENOSPC;
    const last = this.#blocks.at(-1);
    this.#blocks.push(block);
    if (last === undefined) this.#head = block;
    else this.#ctx.header.set(this.#ctx.memory, last, 'next', block);
    return 0;
  }

  grow(count: number): 0 | Errno {
    if (this.#incoming) {
      this.#ctx.log.warnOnOnce('kho_block_set_grow');
      return EINVAL;
    }
    const before = this.#blocks.length;
    while (count > this.#blocks.length * this.countPerBlock) {
      const fails = this.#ctx.faults?.fails(BLOCK_SITE) === true;
      const block = fails ? ENOMEM : this.#ctx.kho.allocPreserve(this.#ctx.blockSizeBytes);
      let err: 0 | Errno = 0;
      if (isErrno(block)) err = block;
      else if ((err = this.#add(block)) !== 0) this.#freeBlock(block);
      if (err !== 0) {
        while (this.#blocks.length > before) this.#shrinkOne();
        return err;
      }
    }
    return 0;
  }

  #shrinkOne(): void {
    const last = this.#blocks.pop();
    if (last === undefined) return;
    this.#freeBlock(last);
    const newLast = this.#blocks.at(-1);
    if (newLast === undefined) this.#head = 0 as PhysAddr;
    else this.#ctx.header.set(this.#ctx.memory, newLast, 'next', 0);
  }

  shrink(count: number): void {
    while (this.#blocks.length > 0 && count <= (this.#blocks.length - 1) * this.countPerBlock) this.#shrinkOne();
  }

  /** Two pointers, one twice as fast; gives up after KHO_MAX_BLOCKS rounds. */
  #isCyclic(head: PhysAddr): boolean {
    let fast = head;
    let slow = head;
    for (let round = 0; ; round++) {
      if (round >= KHO_MAX_BLOCKS) break;
      const middle = this.#next(fast);
      if (middle === 0) return false;
      fast = this.#next(middle);
      if (fast === 0) return false;
      slow = this.#next(slow);
      if (slow === fast) break;
    }
    this.#ctx.log.err('luo: Block set is corrupted');
    return true;
  }

  /**
   * Takes over a predecessor's chain. Everything is checked before an entry is read: no cycle, each count from 1 to
   * the capacity. What is wrong: -EINVAL (-ENOSPC for too many blocks), all blocks freed.
   * @throws MachineFault when a link leads out of RAM.
   */
  restore(at: number): 0 | Errno {
    const { memory, header, log, kho } = this.#ctx;
    this.#incoming = true;
    if (at === 0) return 0;
    const head = kho.physToVirt(at);
    if (this.#isCyclic(head)) return EINVAL;
    this.#head = head;
    let next = head;
    let err: 0 | Errno = 0;
    while (next !== 0) {
      const count = header.getBig(memory, next, 'count');
      if (count === 0n || count > BigInt(this.countPerBlock)) {
        log.warn(`luo: Block contains invalid entry count: ${count}`);
        err = EINVAL;
      } else err = this.#add(next);
      if (err !== 0) break;
      next = this.#next(next);
    }
    if (err === 0) return 0;
    this.destroy();
    while (next !== 0) {
      const block = next;
      next = this.#next(block);
      this.#freeBlock(block);
    }
    return err;
  }

  destroy(): void {
    for (const block of this.#blocks.splice(0)) this.#freeBlock(block);
    this.#head = 0 as PhysAddr;
  }

  abandon(): void {
    this.destroy();
  }

  clear(): void {
    const { memory, header, blockSizeBytes } = this.#ctx;
    const empty = new Uint8Array(blockSizeBytes - header.sizeBytes);
    for (const block of this.#blocks) {
      header.set(memory, block, 'count', 0);
      memory.writeBytes((block + header.sizeBytes) as PhysAddr, empty);
    }
  }

  cursor(): EntryCursor {
    const { memory, header } = this.#ctx;
    const blocks = this.#blocks;
    let at = 0;
    let i = 0;
    const entry = (index: number): PhysAddr =>
      ((blocks[at] as PhysAddr) + header.sizeBytes + index * this.#entrySizeBytes) as PhysAddr;
    const advance = (): boolean => {
      if (at + 1 >= blocks.length) return false;
      at++;
      i = 0;
      return true;
    };
    return {
      reserve: () => {
        const block = blocks[at];
        if (block === undefined || (i === this.countPerBlock && !advance())) return undefined;
        const reserved = entry(i++);
        header.set(memory, blocks[at] as PhysAddr, 'count', i);
        return reserved;
      },
      read: () => {
        const block = blocks[at];
        if (block === undefined) return undefined;
        if (i === header.get(memory, block, 'count') && !advance()) return undefined;
        return entry(i++);
      },
      prev: () => {
        if (i === 0) {
          if (at === 0) return undefined;
          at--;
          i = this.countPerBlock;
        }
        return entry(--i);
      },
    };
  }
}
