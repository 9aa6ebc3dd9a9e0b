import { alignUp, type Order, type Pfn, type PhysAddr, pfnOf, physOf } from '../../machine/index.ts';
import { memparse } from '../command-line.ts';
import type { KernelContext } from '../context.ts';
import { EBUSY, EINVAL, ENOENT, ENOMEM, type Errno, isErrno } from '../errno.ts';
import { isFdtErr } from '../fdt/error.ts';
import { fdtTotalsize } from '../fdt/layout.ts';
import { fdtNodeCheckCompatible, fdtSubnodeOffset } from '../fdt/read.ts';
import { fdtCreate, fdtEndNode, fdtFinish, fdtFinishReservemap } from '../fdt/write.ts';
import { fdtViewAt } from '../kho/fdt-view.ts';
import { beginNode, getNumber, wholeNode } from './fdt-codec.ts';

export type ReserveMemContext = Pick<
  KernelContext,
  'release' | 'page' | 'memory' | 'memblock' | 'allocator' | 'kho' | 'log' | 'control'
>;

/** A named region of `reserve_mem=`. */
export interface ReservedRegion {
  readonly name: string;
  readonly start: PhysAddr;
  readonly sizeBytes: number;
  /** Taken over from the predecessor; else allocated afresh. */
  readonly revived: boolean;
}

const MAX_REGIONS = 8;
/** Room for a name with its NUL. */
const NAME_BYTES = 16;
/** SMP_CACHE_BYTES of both architectures: the least alignment. */
const MIN_ALIGN_BYTES = 64;

/** `%lx`: all 64 bits of a long. */
const longHex = (value: bigint) => `0x${BigInt.asUintN(64, value).toString(16)}`;

/**
 * `reserve_mem=SIZE:ALIGN:NAME`: memory that keeps its place over boots. With KHO a region is found again through the
 * predecessor's `memblock` subtree, and preserved for the successor.
 */
export class ReserveMem {
  readonly regions: ReservedRegion[] = [];
  readonly #ctx: ReserveMemContext;
  #fdtIn: Uint8Array | undefined;
  /** The page of the FDT, between lateInit and finalize of the kernels that hand over at finalize. */
  #fdtPage: Pfn | undefined;
  #fdtSizeBytes = 0;

  constructor(ctx: ReserveMemContext) {
    this.#ctx = ctx;
  }

  /** reserve_mem_find_by_name. */
  find(name: string): ReservedRegion | undefined {
    return this.regions.find((region) => region.name === name);
  }

  /**
   * Parses one `reserve_mem=` of the command line, while memblock is the allocator: finds the region of that name in
   * the handover, or allocates one.
   * @returns 1 when there is a region now, -EINVAL for a malformed value, -EBUSY for a ninth region or a name in use,
   * -ENOMEM.
   * @throws MachineFault when the predecessor's FDT isn't in RAM.
   */
  parse(text: string | undefined): 1 | Errno {
    const { log, memblock, release } = this.#ctx;
    const explain = (err: Errno, why: string): Errno => {
      if (release.quirks.reserveMemExplains) log.err(`reserve_mem: ${why}`);
      return err;
    };
    const malformed = () => explain(EINVAL, 'empty or malformed parameter');
    if (text === undefined) return malformed();
    if (this.regions.length >= MAX_REGIONS) return explain(EBUSY, 'no more room for reserved memory');
    const size = memparse(text);
    if (size === undefined || size.value === 0 || !size.rest.startsWith(':')) return malformed();
    // As memparse, which stays where it is when there is no number: an empty alignment is 0.
    const align = memparse(size.rest.slice(1)) ?? { value: 0, rest: size.rest.slice(1) };
    if (!align.rest.startsWith(':')) return malformed();
    const name = align.rest.slice(1);
    if (name.length >= NAME_BYTES || name.trim() === '') return malformed();
    if (this.find(name) !== undefined) return explain(EBUSY, `name "${name}" was already used`);

    const alignBytes = Math.max(align.value, MIN_ALIGN_BYTES);
    const revived = this.#revive(name, size.value, alignBytes);
    if (revived !== undefined) {
      this.#add({ name, start: revived, sizeBytes: size.value, revived: true });
      log.info(`Revived memory reservation '${name}' from KHO`);
      return 1;
    }
    const start = memblock.physAlloc(size.value, alignBytes);
    if (start === 0) return explain(ENOMEM, 'memblock allocation failed');
    this.#add({ name, start: start as PhysAddr, sizeBytes: size.value, revived: false });
    return 1;
  }

  #add(region: ReservedRegion): void {
    this.regions.push(region);
    this.#ctx.control.update((draft) => {
      const { name, start, sizeBytes, revived } = region;
      draft.reserveMem.push({ name, base: start, sizeBytes, revived });
    });
  }

  /** The predecessor's FDT, looked for again with each region until it was found. */
  #retrieveFdt(): Uint8Array | undefined {
    if (this.#fdtIn !== undefined) return this.#fdtIn;
    const { kho, log, memory, release } = this.#ctx;
    const contract = release.memblock;
    const location = kho.retrieveSubtree(contract.subtree.name);
    if (isErrno(location)) {
      if (location !== ENOENT) {
        log.warn(`failed to retrieve FDT '${contract.subtree.name}' from KHO: ${location}`);
      }
      return undefined;
    }
    const fdt = fdtViewAt(memory, location.phys);
    const err = fdtNodeCheckCompatible(fdt, 0, contract.compatible as string);
    if (err !== 0) {
      log.warn(`FDT '${contract.subtree.name}' is incompatible with '${contract.compatible}': ${err}`);
      return undefined;
    }
    this.#fdtIn = fdt;
    return fdt;
  }

  #revive(name: string, sizeBytes: number, alignBytes: number): PhysAddr | undefined {
    const fdt = this.#retrieveFdt();
    if (fdt === undefined) return undefined;
    const { log, release } = this.#ctx;
    const contract = release.reserveMem;
    const node = fdtSubnodeOffset(fdt, 0, name);
    if (isFdtErr(node)) {
      log.warn(`FDT '${release.memblock.subtree.name}' has no child '${name}': ${node}`);
      return undefined;
    }
    const err = fdtNodeCheckCompatible(fdt, node, contract.compatible as string);
    if (err !== 0) {
      log.warn(`Node '${name}' is incompatible with '${contract.compatible}': ${err}`);
      return undefined;
    }
    const start = getNumber(fdt, node, contract, 'region', 'start');
    const size = getNumber(fdt, node, contract, 'region', 'size');
    if (typeof start !== 'bigint' || typeof size !== 'bigint') return undefined;
    const align = BigInt(alignBytes);
    if ((start & (align - 1n)) !== 0n) {
      log.warn(`KHO reserve-mem '${name}' has wrong alignment (${longHex(align)}, ${longHex(start)})`);
      return undefined;
    }
    if (size !== BigInt(sizeBytes)) {
      log.warn(`KHO reserve-mem '${name}' has wrong size (${longHex(size)} != ${longHex(BigInt(sizeBytes))})`);
      return undefined;
    }
    return Number(start) as PhysAddr;
  }

  #preserveRegions(): 0 | Errno {
    const { kho, page } = this.#ctx;
    const nrPages = (region: ReservedRegion) => Math.floor(region.sizeBytes / page.sizeBytes) % 2 ** 32;
    for (const [i, region] of this.regions.entries()) {
      const err = kho.preservePages(pfnOf(page, region.start), nrPages(region));
      if (err === 0) continue;
      for (const done of this.regions.slice(0, i)) kho.unpreservePages(pfnOf(page, done.start), nrPages(done));
      return err;
    }
    return 0;
  }

  /** Writes the FDT into a page. @returns libfdt's errors, or-ed. */
  #writeFdt(pfn: Pfn): number {
    const { memory, page, release } = this.#ctx;
    const fdt = new Uint8Array(page.sizeBytes);
    let err = fdtCreate(fdt) | fdtFinishReservemap(fdt) | beginNode(fdt, release.memblock, 'root', {});
    for (const { name, start, sizeBytes } of this.regions) {
      if (err !== 0) break;
      err |= wholeNode(fdt, release.reserveMem, 'region', { start, size: sizeBytes }, name);
    }
    err |= fdtEndNode(fdt) | fdtFinish(fdt);
    memory.writeBytes(physOf(page, pfn), fdt);
    this.#fdtSizeBytes = fdtTotalsize(fdt);
    return err;
  }

  /**
   * late_initcall: describes the regions in an FDT, hangs it into the root FDT and preserves the regions. Up to 6.18
   * only the FDT is made, and `finalize` does the rest.
   * @returns 0 (also without KHO or regions), or an error after a line in the log, with nothing handed over.
   */
  lateInit(): 0 | Errno {
    const { kho, allocator, log, page, release } = this.#ctx;
    if (!kho.enabled || this.regions.length === 0) return 0;
    const report = (err: number): Errno => {
      log.err(`failed to prepare memblock FDT for KHO: ${err}`);
      return err as Errno;
    };
    const atFinalize = release.quirks.finalize === 'before-load';
    const pfn = allocator.allocPages(0 as Order);
    if (pfn === undefined) return atFinalize ? ENOMEM : report(ENOMEM);
    const undo = (err: number, preserved: boolean): Errno => {
      if (preserved) kho.unpreservePages(pfn, 1);
      allocator.freePages(pfn, 0 as Order);
      return report(err);
    };
    if (!atFinalize) {
      const err = kho.preservePages(pfn, 1);
      if (err !== 0) return undo(err, false);
    }
    const fdtErr = this.#writeFdt(pfn);
    if (fdtErr !== 0) return undo(fdtErr, !atFinalize);
    if (atFinalize) {
      this.#fdtPage = pfn;
      return 0;
    }
    const phys = physOf(page, pfn);
    const added = kho.addSubtree(release.memblock.subtree.name, phys, this.#fdtSizeBytes);
    if (added !== 0) return undo(added, true);
    const err = this.#preserveRegions();
    if (err === 0) return 0;
    kho.removeSubtree(phys);
    return undo(err, true);
  }

  /** Up to 6.18: whether finalising hands the regions over. Without memory for their FDT it does not, and nobody says so. */
  get takesPart(): boolean {
    return this.#fdtPage !== undefined;
  }

  /**
   * The finalize notifier of kernels up to 6.18: preserves regions and FDT, and hangs it into the root FDT. 0, or an
   * error.
   */
  finalize(): 0 | Errno {
    const { kho, page, release } = this.#ctx;
    const pfn = this.#fdtPage;
    if (pfn === undefined) return 0;
    let err = 0;
    for (const { start, sizeBytes } of this.regions) {
      err |= kho.preservePages(pfnOf(page, start), Math.ceil(alignUp(sizeBytes, page.sizeBytes) / page.sizeBytes));
    }
    err |= kho.preserveFolio({ pfn, order: 0 as Order });
    err |= kho.addSubtree(release.memblock.subtree.name, physOf(page, pfn), this.#fdtSizeBytes);
    return err as 0 | Errno;
  }
}
