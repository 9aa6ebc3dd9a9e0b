import {
  alignUp,
  type Order,
  orderForSize,
  type Pfn,
  type PhysAddr,
  pfnOf,
  physOf,
  ramp,
} from '../../machine/index.ts';
import type { TestContract } from '../abi/contract.ts';
import type { KernelContext } from '../context.ts';
import { EINVAL, ENOENT, ENOMEM, type Errno, isErrno } from '../errno.ts';
import { isFdtErr } from '../fdt/error.ts';
import { fdtTotalsize } from '../fdt/layout.ts';
import { fdtNodeCheckCompatible, fdtPathOffset } from '../fdt/read.ts';
import { fdtCreate, fdtEndNode, fdtFinish, fdtFinishReservemap } from '../fdt/write.ts';
import { fdtViewAt } from '../kho/fdt-view.ts';
import type { Folio } from '../kho/kho.ts';
import {
  preservationBytes,
  preservationOf,
  preserveVmalloc,
  readVmalloc,
  restoreVmalloc,
  unpreserveVmalloc,
  type VmallocContext,
  type VmallocPreservation,
} from '../kho/vmalloc.ts';
import { type VmallocArea, vfree, vmalloc } from '../mm/vmalloc-area.ts';
import { csumPartial } from './checksum.ts';
import { beginNode, getNumber, getProperty, wholeNode } from './fdt-codec.ts';

export type TestKhoContext = Pick<KernelContext, 'release' | 'arch' | 'page' | 'config' | 'cmdline' | 'random'> &
  VmallocContext;

const ENTRY_BYTES = 8;

/** What became of the test data of a predecessor. */
export type TestKhoVerdict = 'ok' | 'failed' | 'absent';

/**
 * lib/test_kho.c: hands over folios of random content, and checks its predecessor's. A kernel that found test data
 * saves none of its own.
 */
export class TestKho {
  verdict: TestKhoVerdict = 'absent';
  /** The folios of this kernel's own test data, in list order. */
  readonly folios: Folio[] = [];
  readonly #ctx: TestKhoContext;
  #csum = 0;
  #nrPreserved = 0;
  #list: VmallocArea | undefined;
  #preservation: VmallocPreservation | undefined;
  /** Up to 6.18, what finalize has to hand over. */
  #fdt: { readonly folio: Folio; readonly sizeBytes: number } | undefined;

  constructor(ctx: TestKhoContext) {
    this.#ctx = ctx;
  }

  /**
   * device_initcall: checks a predecessor's data, or saves data for the successor.
   * @returns 0, or -EINVAL when the data is damaged, -ENOMEM and what KHO's calls return.
   * @throws MachineFault when what the predecessor says leads out of RAM.
   */
  init(): 0 | Errno {
    const { kho, log, release } = this.#ctx;
    const contract = release.test;
    if (contract === undefined || (!kho.enabled && !release.quirks.testIgnoresKhoOff)) return 0;
    const location = kho.retrieveSubtree(contract.subtree.name);
    if (!isErrno(location)) {
      const err = this.#restore(contract, location.phys);
      this.verdict = err === 0 ? 'ok' : 'failed';
      if (err === 0) log.info('test_kho: KHO restore succeeded');
      else if (release.quirks.testReportsFailure) log.err('test_kho: KHO restore failed');
      return err;
    }
    if (location !== ENOENT) {
      log.warn(`test_kho: failed to retrieve ${contract.subtree.name} FDT: ${location}`);
      return location;
    }
    return kho.enabled ? this.#save(contract) : 0;
  }

  // --- saving ----------------------------------------------------------------------------------------------------

  /** `test_kho.max_mem=`: bytes of data, two of the largest folios by default. */
  get #maxMemBytes(): number {
    const { cmdline, page, config } = this.#ctx;
    const given = Number(cmdline.get('test_kho.max_mem'));
    const bytes = Number.isSafeInteger(given) ? given : page.sizeBytes * 2 ** config.MAX_PAGE_ORDER * 2;
    return alignUp(Math.max(bytes, 0), page.sizeBytes);
  }

  #generateData(): 0 | Errno {
    const { arch, page, config, memory, allocator, random } = this.#ctx;
    const maxBytes = this.#maxMemBytes;
    let allocated = 0;
    while (allocated < maxBytes) {
      let order = random.below(config.MAX_PAGE_ORDER + 1);
      if (allocated + page.sizeBytes * 2 ** order > maxBytes) {
        order = Math.max(orderForSize(page, maxBytes - allocated) - 1, 0);
      }
      const pfn = allocator.allocPages(order as Order, { compound: true });
      if (pfn === undefined) {
        for (const folio of this.folios.splice(0)) allocator.freePages(folio.pfn, folio.order);
        return ENOMEM;
      }
      this.folios.push({ pfn, order: order as Order });
      memory.fillPages(pfn, 2 ** order, ramp(random.u32()));
      this.#csum = csumPartial(arch, memory, pfn, 2 ** order, this.#csum);
      allocated += page.sizeBytes * 2 ** order;
    }
    return 0;
  }

  #save(contract: TestContract): 0 | Errno {
    const { page, allocator, kho, release } = this.#ctx;
    const generated = this.#generateData();
    if (generated !== 0) return generated;
    const sizeBytes = this.folios.length * ENTRY_BYTES + page.sizeBytes;
    const order = orderForSize(page, sizeBytes);
    const pfn = allocator.allocPages(order, { compound: true });
    if (pfn === undefined) return ENOMEM;
    const folio: Folio = { pfn, order };
    const atFinalize = release.quirks.finalize === 'before-load';
    const undo = (err: number, folioPreserved: boolean): Errno => {
      if (folioPreserved) kho.unpreserveFolio(folio);
      allocator.freePages(pfn, order);
      return err as Errno;
    };
    if (!atFinalize) {
      const err = kho.preserveFolio(folio);
      if (err !== 0) return undo(err, false);
    }
    const list = this.#preserveData(contract);
    if (isErrno(list)) return undo(list, !atFinalize);
    const totalsize = this.#writeFdt(contract, folio, sizeBytes, list);
    if (totalsize < 0) {
      this.#unpreserveData();
      return undo(totalsize, !atFinalize);
    }
    if (atFinalize) {
      this.#fdt = { folio, sizeBytes: totalsize };
      return 0;
    }
    const err = kho.addSubtree(contract.subtree.name, physOf(page, pfn), totalsize);
    if (err === 0) return 0;
    this.#unpreserveData();
    return undo(err, true);
  }

  /**
   * Preserves the folios and their list. @returns what goes into the FDT: the list itself in 6.17, else its
   * descriptor.
   */
  #preserveData(contract: TestContract): Uint8Array | Errno {
    const { kho, page, abi } = this.#ctx;
    const entries = this.folios.map(({ pfn, order }) => BigInt(physOf(page, pfn) + order));
    const raw = new Uint8Array(entries.length * ENTRY_BYTES);
    for (const [i, entry] of entries.entries()) new DataView(raw.buffer).setBigUint64(i * ENTRY_BYTES, entry, true);
    const inFdt = foliosInfoOf(contract) !== 'struct';
    if (!inFdt) {
      const area = vmalloc(this.#ctx, raw.length);
      if (area === undefined) return ENOMEM;
      const preservation = preserveVmalloc(this.#ctx, area);
      if (isErrno(preservation)) {
        vfree(this.#ctx, area);
        return preservation;
      }
      area.write(0, raw);
      this.#list = area;
      this.#preservation = preservation;
    }
    for (const folio of this.folios) {
      const err = kho.preserveFolio(folio);
      if (err !== 0) {
        this.#unpreserveData();
        return err;
      }
      this.#nrPreserved++;
    }
    return this.#preservation === undefined ? raw : preservationBytes(abi, this.#preservation);
  }

  #unpreserveData(): void {
    for (const folio of this.folios.slice(0, this.#nrPreserved)) this.#ctx.kho.unpreserveFolio(folio);
    this.#nrPreserved = 0;
    if (this.#preservation !== undefined) unpreserveVmalloc(this.#ctx, this.#preservation);
    if (this.#list !== undefined) vfree(this.#ctx, this.#list);
    this.#preservation = undefined;
    this.#list = undefined;
  }

  /** @returns totalsize, or libfdt's errors or-ed. */
  #writeFdt(contract: TestContract, folio: Folio, sizeBytes: number, foliosInfo: Uint8Array): number {
    const { memory, page, abi } = this.#ctx;
    const fdt = new Uint8Array(sizeBytes);
    const magic = abi.constant('test', 'KHO_TEST_MAGIC');
    let err = fdtCreate(fdt) | fdtFinishReservemap(fdt) | beginNode(fdt, contract, 'root', { magic });
    const nrFolios = this.folios.length;
    err |= wholeNode(fdt, contract, 'data', { nrFolios, foliosInfo, csum: this.#csum });
    err |= fdtEndNode(fdt) | fdtFinish(fdt);
    memory.writeBytes(physOf(page, folio.pfn), fdt);
    return err === 0 ? fdtTotalsize(fdt) : err;
  }

  /** The finalize notifier of kernels up to 6.18: hands the FDT over. 0, or an error. */
  finalize(): 0 | Errno {
    const { kho, page, release } = this.#ctx;
    if (this.#fdt === undefined || release.test === undefined) return 0;
    const { folio, sizeBytes } = this.#fdt;
    let err: number = kho.preserveFolio(folio);
    err |= kho.addSubtree(release.test.subtree.name, physOf(page, folio.pfn), sizeBytes);
    return err as 0 | Errno;
  }

  // --- restoring -------------------------------------------------------------------------------------------------

  #restore(contract: TestContract, phys: PhysAddr): 0 | Errno {
    const fdt = fdtViewAt(this.#ctx.memory, phys);
    const root = fdtPathOffset(fdt, '/');
    if (root < 0 || fdtNodeCheckCompatible(fdt, root, contract.compatible as string) !== 0) return EINVAL;
    if (getNumber(fdt, root, contract, 'root', 'magic') !== BigInt(this.#ctx.abi.constant('test', 'KHO_TEST_MAGIC'))) {
      return EINVAL;
    }
    const node = fdtPathOffset(fdt, '/data');
    const nrFolios = getNumber(fdt, node, contract, 'data', 'nrFolios');
    const csum = getNumber(fdt, node, contract, 'data', 'csum');
    const foliosInfo = getProperty(fdt, node, contract, 'data', 'foliosInfo');
    if (typeof nrFolios !== 'bigint' || typeof csum !== 'bigint' || isFdtErr(foliosInfo)) return EINVAL;
    const count = Number(nrFolios);
    if (foliosInfoOf(contract) !== 'struct') {
      const list = foliosInfo.value;
      if (list.length !== count * ENTRY_BYTES) return EINVAL;
      return this.#restoreFolios(count, csum, (i) => u64At(list, i * ENTRY_BYTES));
    }
    const { abi } = this.#ctx;
    if (foliosInfo.value.length !== abi.struct('kho_vmalloc').sizeBytes) return EINVAL;
    const area = restoreVmalloc(this.#ctx, preservationOf(abi, foliosInfo.value));
    if (area === undefined) return EINVAL;
    const err = this.#restoreFolios(count, csum, (i) => u64At(readVmalloc(area, i * ENTRY_BYTES, ENTRY_BYTES), 0));
    vfree(this.#ctx, area);
    return err;
  }

  /** Stops at the first folio that isn't there or has another order; only the checksum decides. */
  #restoreFolios(count: number, expected: bigint, entryAt: (i: number) => bigint): 0 | Errno {
    const { arch, page, memory, kho, allocator } = this.#ctx;
    const orderMask = BigInt(page.sizeBytes - 1);
    let csum = 0;
    for (let i = 0; i < count; i++) {
      const entry = entryAt(i);
      const order = Number(entry & orderMask);
      const phys = entry & ~orderMask;
      if (phys > BigInt(Number.MAX_SAFE_INTEGER)) break;
      const folio = kho.restoreFolio(Number(phys) as PhysAddr);
      if (folio === undefined || folio.order !== order) break;
      csum = csumPartial(arch, memory, pfnOf(page, Number(phys) as PhysAddr) as Pfn, 2 ** order, csum);
      allocator.freePages(folio.pfn, folio.order);
    }
    return BigInt(csum) === expected ? 0 : EINVAL;
  }
}

function u64At(bytes: Uint8Array, offset: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(offset, true);
}

function foliosInfoOf(contract: TestContract): string | undefined {
  for (const node of contract.fdt.nodes) {
    const property = node.properties.find(({ key }) => key === 'foliosInfo');
    if (property !== undefined) return property.type;
  }
  return undefined;
}
