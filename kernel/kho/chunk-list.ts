import {
  type Arch,
  MachineFault,
  type Order,
  type PageSize,
  type Pfn,
  type PhysAddr,
  type PhysicalMemory,
  pfnOf,
  physOf,
} from '../../machine/index.ts';
import { type ChunkListContract, CompiledAbi } from '../abi/contract.ts';
import type { CompiledStruct } from '../abi/struct.ts';
import { ENOMEM, type Errno } from '../errno.ts';
import { KernelHang } from '../failure.ts';
import type { KfencePool } from '../mm/kfence.ts';
import type { PageAllocator } from '../mm/page-allocator.ts';
import type { ReleaseQuirks } from '../release-quirks.ts';
import { type BitmapAllocator, PageBitmaps, SlabBitmaps } from './bitmap-slab.ts';
import type { BlockVisitor, IncomingMap, MetadataVisitor, OutgoingMap } from './memory-map.ts';
import { physToVirt } from './phys-to-virt.ts';

/*
 * The memory map of 6.16 to 7.0. While a kernel runs it keeps bitmaps by order and address; to hand over it strings
 * them into a list of pages.
 *
 *     map property
 *       |
 *       v  chunk, order 0           chunk, order 0           chunk, order 4
 *      +----------------------+    +----------------------+    +------------------
 *      | next | 0 | num_elms  |--->| next | 0 | num_elms  |--->| next | 4 | ...
 *      | phys_start | bitmap  |-+  | phys_start | bitmap  |-+  +------------------
 *      | phys_start | bitmap  |-|  | ...                  | |
 *      +----------------------+ |  +----------------------+ |
 *                               v                           v
 *                  bit i: block at phys_start + (i << (order + page shift))
 */

/** What the codec needs of a contract, computed once. */
interface ChunkLayout {
  readonly page: PageSize;
  readonly chunk: CompiledStruct;
  readonly bitmapBytes: number;
  readonly bitsPerBitmap: number;
  readonly bitmapsPerChunk: number;
}

function chunkLayout(contract: ChunkListContract, page: PageSize): ChunkLayout {
  const abi = new CompiledAbi([contract], page);
  return {
    page,
    chunk: abi.struct('khoser_mem_chunk'),
    bitmapBytes: abi.constant('map', 'BITMAP_BYTES'),
    bitsPerBitmap: abi.constant('map', 'PRESERVE_BITS'),
    bitmapsPerChunk: abi.constant('map', 'KHOSER_BITMAP_SIZE'),
  };
}

/** What sets a chunk list apart from another release's, and its limits. */
export interface ChunkListOptions {
  readonly memory: PhysicalMemory;
  readonly allocator: PageAllocator;
  readonly contract: ChunkListContract;
  readonly quirks: Pick<ReleaseQuirks, 'abortForgetsAll' | 'unpreserveLoops' | 'kfreesPages'>;
  /** KFENCE, which slab allocations may be served by. */
  readonly kfence?: Pick<KfencePool, 'sample' | 'owns'>;
  /** Decides where among other kernel data slab bitmaps lie. */
  readonly seed: number;
  /** Whether this allocation of a bitmap, or of a chunk, is to fail. */
  readonly failsBitmap?: () => boolean;
  readonly failsChunk?: () => boolean;
  /** Called for a WARN_ON_ONCE, with the function it is in. */
  readonly warnOnOnce?: (functionName: string) => void;
}

/** The outgoing side. Bitmaps and chunks are in RAM; what finds them is kernel state and dies with the kernel. */
export class ChunkListMap implements OutgoingMap {
  readonly kind = 'chunk-list';
  readonly #memory: PhysicalMemory;
  readonly #layout: ChunkLayout;
  readonly #allocator: PageAllocator;
  readonly #bitmaps: BitmapAllocator;
  readonly #quirks: ChunkListOptions['quirks'];
  readonly #failsBitmap: () => boolean;
  readonly #failsChunk: () => boolean;
  readonly #warnOnOnce: (functionName: string) => void;
  /** By order, then by index: the bitmap's address. Entries stay when their last bit is cleared. */
  readonly #orders = new Map<number, Map<number, PhysAddr>>();
  /** Chunks of the last finalisation, in list order. */
  #chunks: PhysAddr[] = [];

  constructor(options: ChunkListOptions) {
    const { memory, allocator, contract } = options;
    this.#memory = memory;
    this.#allocator = allocator;
    this.#layout = chunkLayout(contract, memory.page);
    this.#bitmaps =
      contract.bitmap.allocator === 'page'
        ? new PageBitmaps(memory.page, allocator)
        : new SlabBitmaps(memory, allocator, this.#layout.bitmapBytes, options.seed, options.kfence);
    this.#quirks = options.quirks;
    this.#failsBitmap = options.failsBitmap ?? (() => false);
    this.#failsChunk = options.failsChunk ?? (() => false);
    this.#warnOnOnce = options.warnOnOnce ?? (() => {});
  }

  preserve(pfn: Pfn, order: Order): 0 | Errno {
    const { bitsPerBitmap } = this.#layout;
    const block = Math.floor(pfn / 2 ** order);
    let bitmaps = this.#orders.get(order);
    if (bitmaps === undefined) this.#orders.set(order, (bitmaps = new Map()));
    const index = Math.floor(block / bitsPerBitmap);
    let bitmap = bitmaps.get(index);
    if (bitmap === undefined) {
      bitmap = this.#failsBitmap() ? undefined : this.#bitmaps.alloc();
      if (bitmap === undefined) return ENOMEM;
      bitmaps.set(index, bitmap);
    }
    const bit = block % bitsPerBitmap;
    const word = (bitmap + (bit >>> 5) * 4) as PhysAddr;
    this.#memory.writeU32(word, (this.#memory.readU32(word) | (1 << (bit & 31))) >>> 0);
    return 0;
  }

  unpreserve(pfn: Pfn, order: Order): void {
    const { bitsPerBitmap } = this.#layout;
    const block = Math.floor(pfn / 2 ** order);
    const bitmap = this.#orders.get(order)?.get(Math.floor(block / bitsPerBitmap));
    if (bitmap === undefined) {
      // It goes to the next block only once it has dealt with this one.
      if (this.#quirks.unpreserveLoops) throw new KernelHang('unpreserving a block that is not preserved');
      this.#warnOnOnce('__kho_unpreserve_order');
      return;
    }
    const bit = block % bitsPerBitmap;
    const word = (bitmap + (bit >>> 5) * 4) as PhysAddr;
    this.#memory.writeU32(word, (this.#memory.readU32(word) & ~(1 << (bit & 31))) >>> 0);
  }

  /** Builds the list; one that an earlier call built is freed when the new one is complete. */
  finalize(): PhysAddr | Errno {
    const chunks: PhysAddr[] = [];
    for (const order of sortedKeys(this.#orders)) {
      if (!this.#appendOrder(order, chunks)) {
        this.#freeChunks(chunks);
        return ENOMEM;
      }
    }
    this.#freeChunks(this.#chunks);
    this.#chunks = chunks;
    return chunks[0] ?? (0 as PhysAddr);
  }

  /** Adds the chunks of one order. Each order begins one, even when it has no bitmap left. */
  #appendOrder(order: number, chunks: PhysAddr[]): boolean {
    const { page, chunk: layout, bitsPerBitmap, bitmapsPerChunk } = this.#layout;
    const memory = this.#memory;
    let chunk = this.#newChunk(order, chunks);
    let used = 0;
    const bitmaps = this.#orders.get(order) ?? new Map<number, PhysAddr>();
    for (const index of sortedKeys(bitmaps)) {
      if (used === bitmapsPerChunk) {
        chunk = this.#newChunk(order, chunks);
        used = 0;
      }
      if (chunk === undefined) return false;
      const physStart = index * bitsPerBitmap * 2 ** (order + page.shift);
      layout.set(memory, chunk, 'bitmaps.phys_start', physStart, used);
      layout.set(memory, chunk, 'bitmaps.bitmap', bitmaps.get(index) ?? 0, used);
      used++;
      layout.set(memory, chunk, 'hdr.num_elms', used);
    }
    return chunk !== undefined;
  }

  #newChunk(order: number, chunks: PhysAddr[]): PhysAddr | undefined {
    if (this.#failsChunk()) return undefined;
    const pfn = this.#allocator.allocPages(0 as Order, { zero: true });
    if (pfn === undefined) return undefined;
    const { page, chunk: layout } = this.#layout;
    const chunk = physOf(page, pfn);
    layout.set(this.#memory, chunk, 'hdr.order', order);
    const previous = chunks.at(-1);
    if (previous !== undefined) layout.set(this.#memory, previous, 'hdr.next', chunk);
    chunks.push(chunk);
    return chunk;
  }

  #freeChunks(chunks: readonly PhysAddr[]): void {
    for (const chunk of chunks) {
      if (this.#quirks.kfreesPages) this.#kfreePage();
      else this.#allocator.freePages(pfnOf(this.#layout.page, chunk), 0 as Order);
    }
  }

  #freeBitmap(bitmap: PhysAddr): void {
    if (this.#quirks.kfreesPages) this.#kfreePage();
    else this.#bitmaps.free(bitmap);
  }

  /** kfree() of a page that is no slab's: it sees that it never gave it out, and leaves it as it is. Nobody has it then. */
  #kfreePage(): void {
    this.#warnOnOnce('free_large_kmalloc');
  }

  abort(): void {
    if (this.#quirks.abortForgetsAll) {
      for (const bitmaps of this.#orders.values()) {
        for (const bitmap of bitmaps.values()) this.#freeBitmap(bitmap);
      }
      this.#orders.clear();
    }
    this.#freeChunks(this.#chunks);
    this.#chunks = [];
  }

  /** Where its bitmaps are, and the chunks of the last finalisation. */
  *metadata(): Generator<{ readonly phys: PhysAddr; readonly sizeBytes: number }> {
    const { page, bitmapBytes } = this.#layout;
    for (const bitmaps of this.#orders.values()) {
      for (const phys of bitmaps.values()) yield { phys, sizeBytes: bitmapBytes };
    }
    for (const phys of this.#chunks) yield { phys, sizeBytes: page.sizeBytes };
  }

  forEach(visit: BlockVisitor): void {
    const { page, bitmapBytes, bitsPerBitmap } = this.#layout;
    for (const order of sortedKeys(this.#orders)) {
      const bitmaps = this.#orders.get(order) ?? new Map<number, PhysAddr>();
      for (const index of sortedKeys(bitmaps)) {
        const words = readWords(this.#memory, bitmaps.get(index) ?? (0 as PhysAddr), bitmapBytes);
        const start = index * bitsPerBitmap * 2 ** (order + page.shift);
        forEachBlock(words, bitsPerBitmap, BigInt(start), order, page.shift, visit);
      }
    }
  }
}

function sortedKeys(map: ReadonlyMap<number, unknown>): number[] {
  return [...map.keys()].sort((a, b) => a - b);
}

/**
 * The incoming side, as literal as the kernel's: nothing is validated. It reads as much of each bitmap as its own
 * contract says, so of larger bitmaps only the beginning, and of smaller ones what lies behind them.
 */
export class ChunkListReader implements IncomingMap {
  readonly kind = 'chunk-list';
  readonly #layout: ChunkLayout;
  readonly #arch: Arch;

  constructor(contract: ChunkListContract, page: PageSize, arch: Arch = 'x86_64') {
    this.#layout = chunkLayout(contract, page);
    this.#arch = arch;
  }

  walk(memory: PhysicalMemory, root: PhysAddr, visit: BlockVisitor, visitMetadata?: MetadataVisitor): void {
    const { page, chunk: layout, bitmapBytes, bitsPerBitmap } = this.#layout;
    const seen = new Set<number>();
    let chunk: number = root;
    while (chunk !== 0) {
      // Nothing in this loop changes a chunk, so coming back to one means going on for ever.
      if (seen.has(chunk)) throw new KernelHang('the walk over the preserved memory map');
      seen.add(chunk);
      const base = chunk as PhysAddr;
      const order = layout.get(memory, base, 'hdr.order');
      const used = layout.get(memory, base, 'hdr.num_elms');
      visitMetadata?.(base, layout.sizeBytes);
      for (let i = 0; i < used; i++) {
        const start = layout.getBig(memory, base, 'bitmaps.phys_start', i);
        const bitmap = this.#pointer(layout.getBig(memory, base, 'bitmaps.bitmap', i));
        const words = readWords(memory, bitmap, bitmapBytes);
        visitMetadata?.(bitmap, bitmapBytes);
        forEachBlock(words, bitsPerBitmap, start, order, page.shift, visit);
      }
      const next = layout.getBig(memory, base, 'hdr.next');
      chunk = next === 0n ? 0 : this.#pointer(next);
    }
  }

  /** Where the kernel reads when it dereferences a link: NULL and wild pointers fault. */
  #pointer(value: bigint): PhysAddr {
    if (value === 0n) throw new MachineFault('read', value);
    return physToVirt(this.#arch, value);
  }
}

/** A copy of a bitmap as 32-bit words, from any address. @throws MachineFault outside RAM. */
function readWords(memory: PhysicalMemory, phys: PhysAddr, sizeBytes: number): Uint32Array {
  const bytes = memory.readBytes(phys, sizeBytes);
  const words = new Uint32Array(sizeBytes >>> 2);
  new Uint8Array(words.buffer).set(bytes);
  return words;
}

/**
 * Calls `visit` for each set bit, lowest first. Addresses wrap at 64 bits and shifts at 64 positions, as the processor
 * does them; both only show with a foreign `start` or `order`.
 */
function forEachBlock(
  words: Uint32Array,
  nrBits: number,
  start: bigint,
  order: number,
  pageShift: number,
  visit: BlockVisitor,
): void {
  const shift = (order + pageShift) % 64;
  const step = 2 ** shift;
  const small = start + BigInt(nrBits) * (1n << BigInt(shift)) <= BigInt(Number.MAX_SAFE_INTEGER);
  const base = small ? Number(start) : 0;
  for (let w = 0; w < words.length; w++) {
    let word = words[w] as number;
    while (word !== 0) {
      const bit = w * 32 + (31 - Math.clz32(word & -word));
      word &= word - 1;
      if (small) {
        const phys = base + bit * step;
        visit(phys >>> 0, Math.floor(phys / 0x1_0000_0000), order);
      } else {
        const phys = BigInt.asUintN(64, start + BigInt.asUintN(64, BigInt(bit) << BigInt(shift)));
        visit(Number(phys & 0xffff_ffffn), Number(phys >> 32n), order);
      }
    }
  }
}
