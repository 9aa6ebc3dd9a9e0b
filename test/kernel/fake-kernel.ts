import type { CompiledAbi } from '../../kernel/abi/contract.ts';
import { CommandLine } from '../../kernel/command-line.ts';
import { defaultConfig, type KernelConfig } from '../../kernel/config.ts';
import { ControlStore, initialControlState } from '../../kernel/control.ts';
import { E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM } from '../../kernel/errno.ts';
import { FaultInjector } from '../../kernel/fault-injection.ts';
import type { Folio, Kho, SubtreeLocation } from '../../kernel/kho/kho.ts';
import { KernelLog } from '../../kernel/log.ts';
import { BuddyAllocator } from '../../kernel/mm/buddy.ts';
import { allocFolio, folioPut } from '../../kernel/mm/folio.ts';
import { PageFlag, PageStates } from '../../kernel/mm/page-states.ts';
import { abiOf, LATEST_RELEASE, type Release } from '../../kernel/release.ts';
import {
  type Arch,
  ctz,
  ilog2,
  type MemoryMap,
  type Order,
  orderForSize,
  type PageSize,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  pfnOf,
  physOf,
  type RamBank,
  Random,
  VirtualClock,
} from '../../machine/index.ts';
import { Memblock } from '../../machine/memblock/memblock.ts';

/** What crosses a jump here, in place of a real map and root FDT: which blocks, which subtrees. */
export interface FakeHandover {
  readonly memory: PhysicalMemory;
  readonly blocks: ReadonlyMap<number, number>;
  readonly subtrees: ReadonlyMap<string, SubtreeLocation>;
}

export interface FakeOptions {
  readonly arch?: Arch;
  readonly release?: Release;
  readonly cmdline?: string;
  readonly config?: Partial<KernelConfig>;
  readonly nrPages?: number;
  readonly base?: number;
  readonly khoEnabled?: boolean;
  readonly from?: FakeHandover;
}

const DEFAULT_PAGES = 8192;

/**
 * A kernel as clients see it: real RAM, page states and buddy allocator, but a KHO that keeps its map and its
 * subtrees in objects. Tests of clients use it so that they need neither memblock nor a boot.
 */
export class FakeKernel {
  readonly page: PageSize;
  readonly arch: Arch;
  readonly release: Release;
  readonly abi: CompiledAbi;
  readonly config: KernelConfig;
  readonly cmdline: CommandLine;
  readonly memory: PhysicalMemory;
  readonly pages: PageStates;
  readonly allocator: BuddyAllocator;
  readonly memblock: Memblock;
  readonly log: KernelLog;
  readonly faults = new FaultInjector();
  readonly random: Random;
  readonly control: ControlStore;
  readonly kho: FakeKho;
  readonly map: MemoryMap;

  constructor(page: PageSize, options: FakeOptions = {}) {
    this.page = page;
    this.arch = options.arch ?? 'arm64';
    this.release = options.release ?? LATEST_RELEASE;
    this.abi = abiOf(this.release, page);
    this.config = { ...defaultConfig(page), ...options.config };
    this.cmdline = new CommandLine(options.cmdline ?? '');
    const nrPages = options.nrPages ?? DEFAULT_PAGES;
    const bank: RamBank = {
      base: (options.base ?? 0x4000_0000) as PhysAddr,
      sizeBytes: nrPages * page.sizeBytes,
      nid: 0,
    };
    this.map = { banks: [bank], reservations: [], memorylessNodes: [] };
    this.memory = options.from?.memory ?? new PhysicalMemory(page, [bank]);
    this.pages = new PageStates(page, this.memory.banks);
    this.log = new KernelLog(new VirtualClock());
    this.random = new Random(1);
    this.control = new ControlStore(initialControlState(this.release.name, this.cmdline.raw));
    this.memblock = new Memblock({ page, memory: this.memory });
    this.allocator = new BuddyAllocator({
      page,
      banks: this.memory.banks,
      memory: this.memory,
      pages: this.pages,
      maxPageOrder: this.config.MAX_PAGE_ORDER,
      junkSeed: options.from === undefined ? 1 : 2,
      faults: this.faults,
      log: this.log,
    });
    const blocks = [...(options.from?.blocks ?? [])].sort((a, b) => a[0] - b[0]);
    for (const { base, sizeBytes } of this.memory.banks) {
      this.pages.initRange(pfnOf(page, base), sizeBytes / page.sizeBytes, 0);
      let at = base / page.sizeBytes;
      const end = at + sizeBytes / page.sizeBytes;
      for (const [pfn, order] of blocks) {
        if (pfn < at || pfn >= end) continue;
        if (pfn > at) this.allocator.addFreeRange(at as Pfn, pfn - at);
        at = Math.max(at, pfn + 2 ** order);
      }
      if (at < end) this.allocator.addFreeRange(at as Pfn, end - at);
    }
    this.kho = new FakeKho(this, options.khoEnabled ?? true, options.from);
  }

  /** The next kernel: it gets this one's memory, and what was preserved. */
  kexec(options: FakeOptions = {}): FakeKernel {
    const from = { memory: this.memory.transfer(), blocks: this.kho.blocks, subtrees: this.kho.subtrees };
    return new FakeKernel(this.page, { arch: this.arch, release: this.release, ...options, from });
  }

  /** Log lines so far. */
  get lines(): string[] {
    return this.log.lines.map(({ text }) => text);
  }
}

export class FakeKho implements Kho {
  readonly enabled: boolean;
  readonly isKhoBoot: boolean;
  /** First frame to order. */
  readonly blocks = new Map<number, number>();
  readonly subtrees = new Map<string, SubtreeLocation>();
  /** What the predecessor preserved and nobody restored yet. */
  readonly incoming: Map<number, number>;
  readonly #subtreesIn: ReadonlyMap<string, SubtreeLocation>;
  readonly #kernel: FakeKernel;

  constructor(kernel: FakeKernel, enabled: boolean, from: FakeHandover | undefined) {
    this.#kernel = kernel;
    this.enabled = enabled;
    this.isKhoBoot = from !== undefined;
    this.incoming = new Map(from?.blocks);
    this.#subtreesIn = from?.subtrees ?? new Map();
  }

  preserveFolio({ pfn, order }: Folio): 0 | typeof ENOMEM {
    if (this.#kernel.faults.fails('kho.preserve')) return ENOMEM;
    this.blocks.set(pfn, order);
    return 0;
  }

  unpreserveFolio({ pfn }: Folio): void {
    this.blocks.delete(pfn);
  }

  *#split(pfn: number, nrPages: number): Generator<[number, number]> {
    const end = pfn + nrPages;
    while (pfn < end) {
      const order = Math.min(ctz(pfn), ilog2(end - pfn));
      yield [pfn, order];
      pfn += 2 ** order;
    }
  }

  preservePages(pfn: Pfn, nrPages: number): 0 | typeof ENOMEM {
    if (this.#kernel.faults.fails('kho.preserve')) return ENOMEM;
    for (const [at, order] of this.#split(pfn, nrPages)) this.blocks.set(at, order);
    return 0;
  }

  unpreservePages(pfn: Pfn, nrPages: number): void {
    for (const [at] of this.#split(pfn, nrPages)) this.blocks.delete(at);
  }

  allocPreserve(sizeBytes: number) {
    const { page, allocator, config } = this.#kernel;
    if (sizeBytes === 0) return EINVAL;
    const order = orderForSize(page, sizeBytes);
    if (order > config.MAX_PAGE_ORDER) return E2BIG;
    const folio = allocFolio(this.#kernel, order, { zero: true });
    if (folio === undefined) return ENOMEM;
    const err = this.preserveFolio(folio);
    if (err !== 0) {
      allocator.freePages(folio.pfn, folio.order);
      return err;
    }
    return physOf(page, folio.pfn);
  }

  unpreserveFree(phys: PhysAddr, sizeBytes: number): void {
    const folio = { pfn: pfnOf(this.#kernel.page, phys), order: orderForSize(this.#kernel.page, sizeBytes) };
    this.unpreserveFolio(folio);
    folioPut(this.#kernel, folio);
  }

  restoreFree(phys: PhysAddr): void {
    const folio = this.restoreFolio(phys);
    if (folio === undefined) this.#kernel.log.warnOn('kho_restore_free');
    else folioPut(this.#kernel, folio);
  }

  #take(pfn: number): number | undefined {
    const order = this.incoming.get(pfn);
    if (order === undefined) this.#kernel.log.warnOnOnce('kho_restore_page');
    this.incoming.delete(pfn);
    return order;
  }

  restoreFolio(phys: PhysAddr): Folio | undefined {
    const { page, pages } = this.#kernel;
    const pfn = pfnOf(page, phys);
    if (!pages.hasStructPage(pfn)) return undefined;
    const order = this.#take(pfn);
    if (order === undefined) return undefined;
    pages.setRange(pfn, 2 ** order, PageFlag.managed);
    if (order > 0) pages.setCompound(pfn, order as Order);
    pages.setRefcount(pfn, 1);
    return { pfn, order: order as Order };
  }

  restorePages(phys: PhysAddr, nrPages: number): Pfn | undefined {
    const { page, pages } = this.#kernel;
    const pfn = pfnOf(page, phys);
    for (const [at, order] of this.#split(pfn, nrPages)) {
      if (!pages.hasStructPage(at) || this.#take(at) === undefined) return undefined;
      pages.setRange(at as Pfn, 2 ** order, PageFlag.managed);
      pages.setRefcountRange(at as Pfn, 2 ** order, 1);
    }
    return pfn;
  }

  addSubtree(name: string, phys: PhysAddr, sizeBytes: number): 0 | typeof EEXIST {
    if (this.subtrees.has(name)) return EEXIST;
    this.subtrees.set(name, { phys, sizeBytes });
    return 0;
  }

  removeSubtree(phys: PhysAddr): void {
    for (const [name, location] of this.subtrees) if (location.phys === phys) this.subtrees.delete(name);
  }

  physToVirt(phys: number | bigint): PhysAddr {
    return Number(phys) as PhysAddr;
  }

  retrieveSubtree(name: string): SubtreeLocation | typeof ENOENT {
    return this.#subtreesIn.get(name) ?? ENOENT;
  }
}
