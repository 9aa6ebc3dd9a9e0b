import { createHash } from 'node:crypto';
import type { CompiledStruct } from '../../kernel/abi/struct.ts';
import { RadixReader } from '../../kernel/kho/radix-walk.ts';
import { PreservedPages } from '../../kernel/kho/restore.ts';
import { retrievePreserved } from '../../kernel/kho/retrieve.ts';
import {
  overlapsScratch,
  populateScratch,
  readScratchArray,
  reserveScratch,
  type ScratchArea,
  writeScratchEntry,
} from '../../kernel/kho/scratch.ts';
import { extendScratch } from '../../kernel/kho/scratch-extension.ts';
import { DEFAULT_SCRATCH_SIZES, type ScratchSizes } from '../../kernel/kho/scratch-size.ts';
import { PageStates } from '../../kernel/mm/page-states.ts';
import { abiOf, LATEST_RELEASE } from '../../kernel/release.ts';
import {
  hex,
  hexOfHalves,
  MachineFault,
  type PageSize,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  physAddr,
} from '../../machine/index.ts';
import { Memblock } from '../../machine/memblock/memblock.ts';
import type { RegionTable } from '../../machine/memblock/region-table.ts';
import { exactSizeBetween, hexU64 } from '../../machine/memblock/u64.ts';
import { TraceTree } from './tree-state.ts';

const TRACE_RAM_BYTES = 16 * 2 ** 40;

/**
 * The machine of a memory trace: RAM, memblock and struct pages, the old kernel's tree, and what the new kernel knows
 * of the handover. Behaves as release 7.3.
 */
export class MemoryReplay {
  readonly page: PageSize;
  readonly digestsOnly: boolean;
  readonly memory: PhysicalMemory;
  readonly memblock: Memblock;
  readonly tree: TraceTree;
  scratchSizes: ScratchSizes = DEFAULT_SCRATCH_SIZES;
  nrNodes = 1;
  readonly #areas: ScratchArea[] = [];
  #abandonedArray: { readonly phys: PhysAddr; readonly nrEntries: number } | undefined;
  // Made when the first operation needs them: most traces need none, and 16 TiB have many.
  #pages: PageStates | undefined;
  #preserved: PreservedPages | undefined;
  #lines: string[] = [];
  /** kho_populate found a handover, and nothing has gone wrong since. */
  #isKhoBoot = false;
  #incomingRoot: PhysAddr | undefined;

  constructor(page: PageSize, numa: boolean, digestsOnly: boolean) {
    this.page = page;
    this.digestsOnly = digestsOnly;
    const banks = [{ base: physAddr(0), sizeBytes: TRACE_RAM_BYTES, nid: 0 }];
    this.memory = new PhysicalMemory(page, banks);
    this.tree = new TraceTree(this.memory, numa);
    this.memblock = new Memblock({ page, memory: this.memory, numa, warn: () => this.#warn() });
    this.memblock.scratchOverlap = (base, sizeBytes) => overlapsScratch(this.#knownAreas(), base, sizeBytes);
  }

  /** WARNs so far, of both kernels. */
  get warnings(): number {
    return this.tree.warnings;
  }

  #warn(): void {
    this.tree.warnings++;
  }

  get pages(): PageStates {
    this.#pages ??= new PageStates(this.page, this.memory.banks);
    return this.#pages;
  }

  get preserved(): PreservedPages {
    this.#preserved ??= new PreservedPages({
      page: this.page,
      pages: this.pages,
      log: { warnOnOnce: () => this.#warn() },
      quirks: LATEST_RELEASE.quirks,
      maxPageOrder: this.page.defaultMaxPageOrder,
    });
    return this.#preserved;
  }

  // --- output ----------------------------------------------------------------------------------------------------

  print(line: string): void {
    this.#lines.push(line);
  }

  /** Adds what other parts print: whole lines. */
  printText(text: string): void {
    if (text !== '') this.#lines.push(text.replace(/\n$/, ''));
  }

  output(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  printConstants(): void {
    const { page, memblock } = this;
    const numbers = `MAX_NUMNODES=${memblock.maxNumnodes} numa=${memblock.numa ? 1 : 0} region_size=24`;
    const scratch = `scratch_align=${hex(this.#scratchAlign)} max_page_order=${page.defaultMaxPageOrder}`;
    this.print(`consts page_shift=${page.shift} ${numbers} ${scratch}`);
  }

  get #entry(): CompiledStruct {
    return abiOf(LATEST_RELEASE, this.page).struct('kho_scratch');
  }

  get #scratchAlign(): number {
    return this.page.sizeBytes * 2 ** this.page.defaultMaxPageOrder;
  }

  /** `dump`, and with `digestsOnly` what `digest` prints. */
  printDump(digestsOnly: boolean): void {
    const { memory, reserved } = this.memblock;
    const digests: string[] = [];
    for (const [table, name] of [
      [memory, 'mem'],
      [reserved, 'rsv'],
    ] as const) {
      const total = `total_size=0x${table.totalSize.toString(16)}`;
      const lines = regionLines(table);
      if (!digestsOnly) {
        this.print(`${table.name} cnt=${table.count} max=${table.max} ${total}`);
        for (const [i, line] of lines.entries()) this.print(`${name}[${i}] ${line}`);
      }
      digests.push(`${table.name} digest cnt=${table.count} max=${table.max} ${total} ${sha256(lines)}`);
    }
    for (const digest of digests) this.print(digest);
    this.#printState();
  }

  #printState(): void {
    const { bottomUp, currentLimit, khoScratchOnly, canResize, memory, reserved } = this.memblock;
    const bit = (value: boolean) => (value ? 1 : 0);
    const switches = `bottom_up=${bit(bottomUp)} current_limit=${hexU64(currentLimit)} kho_scratch_only=${bit(khoScratchOnly)}`;
    const resize = `can_resize=${bit(canResize)} warn=${this.warnings}`;
    const where = `mem_static=${bit(memory.arrayPhys === 0)} rsv_static=${bit(reserved.arrayPhys === 0)}`;
    this.print(`state ${switches} ${resize} ${where}`);
    if (memory.arrayPhys !== 0) this.print(`memarray ${hex(memory.arrayPhys)}`);
    if (reserved.arrayPhys !== 0) this.print(`rsvarray ${hex(reserved.arrayPhys)}`);
  }

  printPage(pfn: Pfn): void {
    const { privateLo, privateHi, refcount, compound, order } = this.pages.state(pfn);
    const shown = compound === 'head' ? order : 0;
    this.print(`page ${hex(pfn)} private=${hexOfHalves(privateLo, privateHi)} count=${refcount} order=${shown}`);
  }

  // --- memblock's end --------------------------------------------------------------------------------------------

  freeAll(printChunks: boolean): void {
    const hash = createHash('sha256');
    const { pages, chunks } = this.memblock.freeAll(this.page.defaultMaxPageOrder, (pfn, order) => {
      const line = `f ${hex(pfn)} ${order}`;
      hash.update(`${line}\n`);
      if (printChunks) this.print(line);
    });
    this.print(`free_all pages=${pages} chunks=${chunks} ${hash.digest('hex')}`);
  }

  // --- the handover ----------------------------------------------------------------------------------------------

  /**
   * The areas that HugeTLB pages keep away from. When reserving them failed that is whatever the freed array holds by
   * now, or a fault if there never was one.
   */
  #knownAreas(): readonly ScratchArea[] {
    const array = this.#abandonedArray;
    if (array === undefined) return this.#areas;
    if (array.phys === 0) throw new MachineFault('read', 0);
    // Its memory may be a region array by now.
    this.memblock.writeArrays(this.memory);
    return readScratchArray(this.memory, this.#entry, array.phys, array.nrEntries * this.#entry.sizeBytes);
  }

  addScratchArea(base: number, sizeBytes: number): void {
    this.#areas.push({ base: base as PhysAddr, sizeBytes });
    this.tree.addScratch(BigInt(base), BigInt(sizeBytes));
  }

  /** Cold boot of the new kernel. @returns 1 if KHO stays on. */
  reserveScratch(): number {
    let array: { phys: PhysAddr; nrEntries: number } | undefined;
    const reserved = reserveScratch({
      memblock: this.memblock,
      memory: this.memory,
      entry: this.#entry,
      sizes: this.scratchSizes,
      quirks: LATEST_RELEASE.quirks,
      alignBytes: this.#scratchAlign,
      nodes: Array.from({ length: this.nrNodes }, (_, nid) => nid),
      onArray: (phys, nrEntries) => {
        array = { phys, nrEntries };
      },
    });
    if (reserved === undefined) {
      this.#abandonedArray = array;
      return 0;
    }
    for (const [i, { base, sizeBytes }] of reserved.areas.entries()) {
      this.print(`scratch[${i}] ${hexU64(base)} ${hexU64(sizeBytes)}`);
      this.addScratchArea(base, sizeBytes);
    }
    return 1;
  }

  /** Puts the array of areas at `arrayPhys`, and lets the new kernel find it there. */
  populate(arrayPhys: PhysAddr, lenBytes: number): void {
    for (const [i, area] of this.#areas.entries()) writeScratchEntry(this.memory, this.#entry, arrayPhys, i, area);
    const areas = readScratchArray(this.memory, this.#entry, arrayPhys, lenBytes);
    this.#isKhoBoot = populateScratch(this.memblock, areas, arrayPhys, lenBytes) === 0;
  }

  /** kho_memory_init_early: extends scratch over the tree at `root`. */
  initEarly(root: PhysAddr | undefined): void {
    if (!this.#isKhoBoot) return;
    if (root === undefined || root === 0) {
      this.#warn();
      this.#isKhoBoot = false;
      return;
    }
    this.#incomingRoot = root;
    const reader = new RadixReader(this.tree.geometry);
    const warn = () => this.#warn();
    extendScratch({
      memblock: this.memblock,
      memory: this.memory,
      geometry: this.tree.geometry,
      log: { print: () => undefined, warnOn: warn, warnOnOnce: warn },
      walk: (callbacks) => reader.walkKeys(this.memory, root, callbacks),
    });
  }

  /** kho_mem_retrieve: reserves what the tree preserves. @returns 1 for a handover. */
  retrieve(): number {
    const root = this.#incomingRoot ?? this.tree.tree.root;
    if (root === undefined) {
      this.#warn();
      this.#isKhoBoot = false;
    } else {
      const { memblock, pages, page } = this;
      const reader = new RadixReader(this.tree.geometry);
      retrievePreserved({ memblock, pages, page, quirks: LATEST_RELEASE.quirks }, (visit) =>
        reader.walk(this.memory, root, visit),
      );
    }
    return this.#isKhoBoot ? 1 : 0;
  }
}

function sizeText(base: number, end: number): string {
  return end <= Number.MAX_SAFE_INTEGER ? hex(end - base) : hex(exactSizeBetween(base, end));
}

function regionLines(table: RegionTable): string[] {
  const lines: string[] = [];
  for (const { base, end, flags, nid } of table) {
    lines.push(`${hexU64(base)} ${sizeText(base, end)} ${hex(flags)} ${nid}`);
  }
  return lines;
}

function sha256(lines: readonly string[]): string {
  const hash = createHash('sha256');
  for (const line of lines) hash.update(`${line}\n`);
  return hash.digest('hex');
}
