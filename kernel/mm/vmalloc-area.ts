import { alignUp, type Fill, type Order, type PageSize, type Pfn, type PhysAddr } from '../../machine/index.ts';
import type { MmContext } from './folio.ts';

/** vm_struct flags: those that exist in khosim, with the kernel's values. */
export const VM_ALLOC = 0x2;
export const VM_ALLOW_HUGE_VMAP = 0x400;

/** How an area is allocated. */
export interface VmallocOptions {
  /** Fill with zeroes (vzalloc, vcalloc). */
  readonly zero?: boolean;
  /** Back areas of at least a PMD's size with huge blocks (vmalloc_huge). */
  readonly allowHuge?: boolean;
  readonly nid?: number;
}

/** The order of the block that a PMD maps: 9, 11, 13 for 4K, 16K, 64K. */
export function pmdOrder(page: PageSize): Order {
  return (page.shift - 3) as Order;
}

/**
 * A range of kernel virtual memory over scattered frames. Its bytes are addressed by their offset; it has no virtual
 * address of its own, since nothing that crosses a handover holds one.
 *
 *      offset    0          block           2 block       sizeBytes
 *                |-- blocks[0] --|-- blocks[1] --|-- ...  --|
 */
export class VmallocArea {
  readonly flags: number;
  /** All blocks are of this order. */
  readonly order: Order;
  /** The first frame of each block. */
  readonly blocks: readonly Pfn[];
  /** Whole blocks: at least what was asked for. */
  readonly sizeBytes: number;
  readonly #mm: MmContext;
  readonly #blockBytes: number;

  constructor(mm: MmContext, blocks: readonly Pfn[], order: Order, flags: number) {
    this.#mm = mm;
    this.blocks = blocks;
    this.order = order;
    this.flags = flags;
    this.#blockBytes = mm.memory.page.sizeBytes * 2 ** order;
    this.sizeBytes = blocks.length * this.#blockBytes;
  }

  /** vm_struct.nr_pages: single pages, whatever the order of the blocks. */
  get nrPages(): number {
    return this.blocks.length * 2 ** this.order;
  }

  /** Where the byte at `offset` lies. @throws RangeError outside the area. */
  physAt(offset: number): PhysAddr {
    const block = Math.floor(offset / this.#blockBytes);
    const pfn = this.blocks[block];
    if (pfn === undefined || offset < 0) throw new RangeError(`offset ${offset} is outside the vmalloc area`);
    return (pfn * this.#mm.memory.page.sizeBytes + (offset - block * this.#blockBytes)) as PhysAddr;
  }

  /** Copies bytes out. @throws RangeError outside the area. */
  read(offset: number, sizeBytes: number): Uint8Array {
    const out = new Uint8Array(sizeBytes);
    this.#forEachPiece(offset, sizeBytes, (phys, nr, done) => out.set(this.#mm.memory.readBytes(phys, nr), done));
    return out;
  }

  /** Writes bytes. @throws RangeError outside the area. */
  write(offset: number, bytes: Uint8Array): void {
    this.#forEachPiece(offset, bytes.length, (phys, nr, done) => {
      this.#mm.memory.writeBytes(phys, bytes.subarray(done, done + nr));
    });
  }

  #forEachPiece(offset: number, sizeBytes: number, visit: (phys: PhysAddr, nr: number, done: number) => void): void {
    let done = 0;
    while (done < sizeBytes) {
      const at = offset + done;
      const nr = Math.min(sizeBytes - done, this.#blockBytes - (at % this.#blockBytes));
      visit(this.physAt(at), nr, done);
      done += nr;
    }
  }

  /** A u32 at an offset that is a multiple of 4. */
  readU32(offset: number): number {
    return this.#mm.memory.readU32(this.physAt(offset));
  }

  writeU32(offset: number, value: number): void {
    this.#mm.memory.writeU32(this.physAt(offset), value);
  }

  /** Gives every page of the area the content of a fill, without storing it. */
  fill(fill: Fill): void {
    for (const pfn of this.blocks) this.#mm.memory.fillPages(pfn, 2 ** this.order, fill);
  }
}

/**
 * Allocates an area: single pages, or with `allowHuge` and from a PMD's size on blocks of a PMD's order (and single
 * pages after all when those cannot be had). Huge blocks are split like the kernel's, so that each page is one of
 * order 0 with refcount 1.
 * @returns undefined without memory, or for 0 bytes.
 */
export function vmalloc(mm: MmContext, sizeBytes: number, options: VmallocOptions = {}): VmallocArea | undefined {
  if (sizeBytes <= 0) return undefined;
  const { page } = mm.memory;
  const flags = options.allowHuge === true ? VM_ALLOC | VM_ALLOW_HUGE_VMAP : VM_ALLOC;
  const alloc = { zero: options.zero === true, ...(options.nid === undefined ? {} : { nid: options.nid }) };
  const huge = pmdOrder(page);
  if (options.allowHuge === true && sizeBytes >= page.sizeBytes * 2 ** huge) {
    const blocks = allocHuge(mm, alignUp(sizeBytes, page.sizeBytes * 2 ** huge), huge, alloc);
    if (blocks !== undefined) return new VmallocArea(mm, blocks, huge, flags);
  }
  const runs = mm.allocator.allocPagesBulk(Math.ceil(sizeBytes / page.sizeBytes), alloc);
  if (runs === undefined) return undefined;
  const blocks: Pfn[] = [];
  for (const run of runs) for (let i = 0; i < run.nrPages; i++) blocks.push((run.pfn + i) as Pfn);
  return new VmallocArea(mm, blocks, 0 as Order, flags);
}

function allocHuge(
  mm: MmContext,
  sizeBytes: number,
  order: Order,
  options: { zero: boolean; nid?: number },
): Pfn[] | undefined {
  const blocks: Pfn[] = [];
  for (let left = sizeBytes; left > 0; left -= mm.memory.page.sizeBytes * 2 ** order) {
    const pfn = mm.allocator.allocPages(order, options);
    if (pfn === undefined) {
      for (const block of blocks) mm.allocator.freePages(block, order);
      return undefined;
    }
    mm.pages.setRefcountRange(pfn, 2 ** order, 1);
    blocks.push(pfn);
  }
  return blocks;
}

/** Frees an area with its pages. */
export function vfree(mm: MmContext, area: VmallocArea): void {
  const size = 2 ** area.order;
  for (let i = 0; i < area.blocks.length; ) {
    const first = area.blocks[i] as Pfn;
    let nr = 1;
    while (area.blocks[i + nr] === first + nr * size) nr++;
    mm.allocator.freePagesBulk(first, nr * size);
    i += nr;
  }
}
