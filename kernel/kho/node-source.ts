import { hexOfHalves, MachineFault, type Pfn, type PhysAddr, type PhysicalMemory } from '../../machine/index.ts';

/**
 * How a kernel makes an address of the 64 bits that it finds in a table: the identity, or where an architecture's
 * phys_to_virt swallows top bits, what is left of them. Undefined when the result is no address that RAM could have.
 */
export type PointerTranslation = (lo: number, hi: number) => PhysAddr | undefined;

/** All 64 bits count: x86_64, and the default. */
export const exactPointer: PointerTranslation = (lo, hi) => {
  const high = hi >>> 0;
  return high < 0x20_0000 ? ((high * 0x1_0000_0000 + (lo >>> 0)) as PhysAddr) : undefined;
};

/**
 * arm64: phys_to_virt is ((x - PHYS_OFFSET) | PAGE_OFFSET), and PAGE_OFFSET has bits 63:52 set at every VA size, so
 * those bits of a pointer are lost. Kernels of 48-bit addresses lose 51:48 too; khosim does not follow them there.
 */
export const arm64Pointer: PointerTranslation = (lo, hi) => exactPointer(lo, hi & 0xf_ffff);

/** The words of one page of a tree, wherever they lie. Reused for each page of a level. */
export class NodeView {
  words: Uint32Array = new Uint32Array(0);
  /** Index of the page's first word in `words`. */
  offset = 0;
  /** Fewer than the page has where RAM ends within it (only for a page at an unaligned address). */
  nrWords = 0;
  /** Where the page was found. */
  phys: PhysAddr = 0 as PhysAddr;
  /** Whether `words` are the memory itself. A copy shows no writes: those are seen through the source's `word`. */
  inPlace = true;
  #own: Uint32Array | undefined;

  /** A buffer of this view alone, for sources that must copy; kept from page to page, which all have `nrWords` words. */
  own(nrWords: number): Uint32Array {
    this.#own ??= new Uint32Array(nrWords);
    return this.#own;
  }
}

/** Where a walk gets the pages of a tree: physical memory (faults) or a bounded reader (absent is a value). */
export interface NodeSource {
  /**
   * Finds the page that a table's slot (or the root value) points to, at any byte address.
   * @param linkPhys address of that slot, -1 for the root.
   * @returns false when it is absent and the walk is to go on without it.
   */
  open(lo: number, hi: number, level: number, linkPhys: number, view: NodeView): boolean;
  /** The walk came to the end of a page of which only `view.nrWords` words are in RAM. */
  cutShort(view: NodeView): void;
  /** Counts the writes to memory, as those notice who keep something of it: the memory itself, if it can change. */
  readonly clock: { generation: number };
  /** Finds the words of an open page anew, after a write: they may lie elsewhere now. A copy may stay as it is. */
  refresh(view: NodeView): void;
  /** A word, as it is now, of an open page that is a copy. */
  word(view: NodeView, index: number): number;
}

/** The kernel's side of RAM: a page outside it is a fault. */
export class MemoryNodeSource implements NodeSource {
  readonly #memory: PhysicalMemory;
  readonly #translate: PointerTranslation;
  readonly #pageWords: number;
  /** The inverse of a power of two: exact. */
  readonly #pagesPerByte: number;

  constructor(memory: PhysicalMemory, translate: PointerTranslation = exactPointer) {
    this.#memory = memory;
    this.#translate = translate;
    this.#pageWords = memory.page.sizeBytes / 4;
    this.#pagesPerByte = 1 / memory.page.sizeBytes;
  }

  /** @throws MachineFault outside RAM. */
  open(lo: number, hi: number, _level: number, _linkPhys: number, view: NodeView): boolean {
    const phys = this.#translate(lo, hi);
    if (phys === undefined) throw new MachineFault('read', hexOfHalves(lo, hi));
    view.phys = phys;
    this.refresh(view);
    if (!view.inPlace) this.#copy(phys, view);
    return true;
  }

  get clock(): { generation: number } {
    return this.#memory;
  }

  refresh(view: NodeView): void {
    const memory = this.#memory;
    const { phys } = view;
    // Not `%`: of numbers above 2^31 that is a call of fmod.
    const pfn = Math.floor(phys * this.#pagesPerByte) as Pfn;
    const frame = memory.frameForRead(pfn);
    view.inPlace = frame > 0 && pfn * memory.page.sizeBytes === phys;
    if (!view.inPlace) return;
    view.words = memory.frameWords(frame);
    view.offset = memory.frameWordOffset(frame);
    view.nrWords = this.#pageWords;
  }

  word(view: NodeView, index: number): number {
    const memory = this.#memory;
    const addr = (view.phys + 4 * index) as PhysAddr;
    const pfn = Math.floor(addr * this.#pagesPerByte) as Pfn;
    const frame = memory.frameForRead(pfn);
    // A page without a frame was not written since it was copied.
    return frame === 0 ? (view.words[index] as number) : memory.readU32(addr);
  }

  /** A page's worth of bytes from any address: at an unaligned one parts of two pages, of which the second may not exist. */
  #copy(phys: PhysAddr, view: NodeView): void {
    const memory = this.#memory;
    const pageBytes = memory.page.sizeBytes;
    const first = pageBytes - (phys % pageBytes);
    const available = memory.contains(phys + first, pageBytes - first) ? pageBytes : first;
    const bytes = memory.readBytes(phys, available);
    view.words = view.own(this.#pageWords);
    view.offset = 0;
    view.nrWords = available >>> 2;
    new Uint8Array(view.words.buffer).set(bytes.subarray(0, view.nrWords * 4));
  }

  /** @throws MachineFault always, for the first byte outside RAM. */
  cutShort(view: NodeView): void {
    const pageBytes = this.#memory.page.sizeBytes;
    throw new MachineFault('read', view.phys + pageBytes - (view.phys % pageBytes));
  }
}
