import type { Memblock } from '../../machine/memblock/memblock.ts';
import type { PhysicalMemory } from '../../machine/physical-memory.ts';
import type { PhysAddr } from '../../machine/units.ts';
import { ENOMEM, type Errno } from '../errno.ts';
import { KernelHang } from '../failure.ts';
import type { KernelLog } from '../log.ts';
import { blockBytes, decodeKey, type RadixGeometry } from './geometry.ts';
import { RadixTree } from './radix-tree.ts';
import type { RadixCallbacks } from './radix-walk.ts';

/** Blocks of 1 GiB: what the kernel looks for (KHO_SCRATCH_EXT_BLKSIZE, 7.3). */
const BLOCK_SHIFT = 30;
const BLOCK_BYTES = 2 ** BLOCK_SHIFT;

/**
 * A key of nonsense order covers up to 2^34 blocks, which the kernel marks one by one until its memory is used up. More
 * steps than this, about half a minute of its time, are taken for a hang.
 */
const MAX_STEPS = 2 ** 32;

export interface ScratchExtension {
  readonly memblock: Memblock;
  readonly memory: PhysicalMemory;
  readonly geometry: RadixGeometry;
  readonly log?: Pick<KernelLog, 'print' | 'warnOn' | 'warnOnOnce'>;
  /** Walks the tree of preserved memory with the kernel's callbacks. */
  readonly walk: (callbacks: RadixCallbacks) => number;
}

/**
 * Extends scratch early in a KHO boot (7.3): every block of 1 GiB that holds neither preserved memory nor a page of the
 * tree itself becomes scratch too, so that early allocations have room. Which blocks are busy is kept in a second
 * radix tree, whose pages come from memblock (so from the scratch handed over) and are freed again at the end:
 *
 *      memory   |scratch|  preserved   |              | tree |            |
 *      blocks   |     busy     |     busy     |  free |  busy  |   free   |
 *      result   |scratch|                     |scratch|        | scratch  |
 *
 * A failure is a message, and scratch stays as far as it was extended.
 * @returns 0 or the errno.
 * @throws MachineFault where the walk oopses.
 */
export function extendScratch(deps: ScratchExtension): number {
  const { memblock, memory, geometry, log } = deps;
  const pageBytes = geometry.page.sizeBytes;
  const busy = new RadixTree(
    memory,
    geometry,
    {
      allocNode: () => {
        const phys = memblock.alloc(pageBytes, pageBytes);
        return phys === 0 ? undefined : (phys as PhysAddr);
      },
      freeNode: (phys) => {
        memblock.free(phys, pageBytes);
      },
    },
    log === undefined ? { fullLeavesAsFill: true } : { log, fullLeavesAsFill: true },
  );
  let err: number = busy.init();
  if (err === 0) {
    err = markBusy(deps, busy) || markFree(deps, busy);
    busy.destroy();
  }
  if (err !== 0) log?.print('err', `KHO: Failed to extend scratch: ${err}`);
  return err;
}

/** First walk: what is preserved, and the pages of the tree. */
function markBusy(deps: ScratchExtension, busy: RadixTree): number {
  const { geometry } = deps;
  let steps = 0;
  let last = -1;
  const add = (block: number): 0 | Errno => {
    if (block === last) return 0;
    const err = busy.addKey(block >>> 0, Math.floor(block / 0x1_0000_0000));
    if (err === 0) last = block;
    return err;
  };
  // Keys that differ in these low bits only are of the block that was marked last: single pages by the million.
  let sameBits = -1;
  let sameLo = 0;
  let sameHi = 0;
  return deps.walk({
    node: (phys) => add(Math.floor(phys / BLOCK_BYTES)),
    leaf: (keyLo, keyHi) => {
      if (sameBits >= 0 && keyHi === sameHi && keyLo >>> sameBits === sameLo) return 0;
      const { lo, hi, order } = decodeKey(geometry, keyLo, keyHi);
      sameBits = geometry.plainKeys && keyHi > 0 ? BLOCK_SHIFT - geometry.page.shift - order : -1;
      sameLo = keyLo >>> sameBits;
      sameHi = keyHi;
      const size = blockBytes(geometry, order);
      const start = hi * 0x1_0000_0000 + lo;
      // Beyond 2^53 the sum is rounded, never across a block; it wraps at 2^64 as in the kernel.
      const end = (start + size.hi * 0x1_0000_0000 + size.lo) % 2 ** 64;
      if (start >= end) return 0;
      const block = Math.floor(start / BLOCK_BYTES);
      const count = Math.ceil((end - start) / BLOCK_BYTES);
      if (count === 1) return add(block);
      const nrMarked = Math.min(count, MAX_STEPS - steps);
      steps += nrMarked;
      last = block + nrMarked - 1;
      const err = busy.addKeyRun(block >>> 0, Math.floor(block / 0x1_0000_0000), nrMarked);
      if (err === 0 && nrMarked < count) throw new KernelHang('the scan for free blocks');
      return err;
    },
  });
}

/** Second walk: everything between busy blocks, and from the last one to the end of memory, is scratch. */
function markFree(deps: ScratchExtension, busy: RadixTree): number {
  const { memblock } = deps;
  let previousEnd = 0;
  const err = busy.walk({
    run: (keyLo, keyHi, count) => {
      const start = (keyHi * 0x1_0000_0000 + keyLo) * BLOCK_BYTES;
      if (start > previousEnd) {
        const failed = memblock.markKhoScratch(previousEnd, start - previousEnd);
        if (failed !== 0) return ENOMEM;
      }
      previousEnd = start + count * BLOCK_BYTES;
      return 0;
    },
  });
  if (err !== 0) return err;
  const end = memblock.endOfDram();
  return previousEnd < end ? memblock.markKhoScratch(previousEnd, end - previousEnd) : 0;
}
