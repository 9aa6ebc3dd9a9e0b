import { hexOfHalves, MachineFault, type Pfn, type PhysAddr, type PhysicalMemory } from '../../machine/index.ts';
import { type RadixGeometry, tableIndex } from './geometry.ts';
import type { PointerTranslation } from './node-source.ts';
import { swap32, u64Of } from './u64.ts';

/** The slots of a tree's tables in RAM, read and written as they are: whatever a slot holds is an address to a kernel. */
export class TableLinks {
  readonly #memory: PhysicalMemory;
  readonly #geometry: RadixGeometry;
  readonly #translate: PointerTranslation;
  /** The inverse of a power of two: exact. */
  readonly #pagesPerByte: number;

  constructor(memory: PhysicalMemory, geometry: RadixGeometry, translate: PointerTranslation) {
    this.#memory = memory;
    this.#geometry = geometry;
    this.#translate = translate;
    this.#pagesPerByte = 1 / memory.page.sizeBytes;
  }

  /** Where the slot for a key (in halves) is in the table at `node`, which is at a level from 1 up. */
  slotOf(node: PhysAddr, keyLo: number, keyHi: number, level: number): PhysAddr {
    return this.slotAt(node, tableIndex(this.#geometry, keyLo, keyHi, level));
  }

  /** Where a slot is, by its place in the table. */
  slotAt(node: PhysAddr, index: number): PhysAddr {
    return (node + 8 * index) as PhysAddr;
  }

  /**
   * What a slot points to; undefined for nothing.
   * @throws MachineFault for a slot outside RAM, and for a pointer that no RAM can be at.
   */
  read(slot: PhysAddr): PhysAddr | undefined {
    const memory = this.#memory;
    const pfn = Math.floor(slot * this.#pagesPerByte) as Pfn;
    const offset = slot - pfn * memory.page.sizeBytes;
    const frame = offset % 8 === 0 ? memory.frameForRead(pfn) : 0;
    let lo: number;
    let hi: number;
    if (frame > 0) {
      const words = memory.frameWords(frame);
      const at = memory.frameWordOffset(frame) + (offset >>> 2);
      lo = words[at] as number;
      hi = words[at + 1] as number;
    } else {
      lo = memory.readU32(slot);
      hi = memory.readU32((slot + 4) as PhysAddr);
    }
    if ((lo | hi) === 0) return undefined;
    if (this.#geometry.bigEndianSlots) [lo, hi] = [swap32(hi), swap32(lo)];
    const phys = this.#translate(lo, hi);
    if (phys === undefined) throw new MachineFault('read', hexOfHalves(lo, hi));
    return phys;
  }

  /** Points a slot at a page. */
  write(slot: PhysAddr, child: PhysAddr): void {
    let { lo, hi } = u64Of(child);
    if (this.#geometry.bigEndianSlots) [lo, hi] = [swap32(hi), swap32(lo)];
    this.#memory.writeU32(slot, lo);
    this.#memory.writeU32((slot + 4) as PhysAddr, hi);
  }
}
