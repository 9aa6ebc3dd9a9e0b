import { alignUp, type Order, orderForSize, type Pfn, type PhysAddr, pfnOf, physOf } from '../../machine/index.ts';
import type { KhoContext } from '../context.ts';
import { E2BIG, EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, type Errno, isErrno } from '../errno.ts';
import { ADD_SUBTREE_SITE, ALLOC_PRESERVE_SITE, ROOT_FDT_SITE } from '../fault-sites.ts';
import type { Folio, Kho, SubtreeLocation } from './kho.ts';
import type { OutgoingMap } from './memory-map.ts';
import { makeOutgoingMap } from './outgoing-map.ts';
import { physToVirt } from './phys-to-virt.ts';
import type { IncomingHandover } from './populate.ts';
import {
  type PreserveHooks,
  preserveFolio,
  preserveFolios,
  preservePages,
  unpreserveFolio,
  unpreservePages,
} from './preserve.ts';
import { RadixTree } from './radix-tree.ts';
import { PreservedPages } from './restore.ts';
import { OutgoingRootFdt, type SubtreeEntry } from './root-fdt.ts';
import { overlapsScratch, type ScratchArea } from './scratch.ts';

/** Asked when the handover is finalised: a client adds its subtree then (releases up to 6.18). */
export type FinalizeNotifier = () => 0 | Errno;

/**
 * KHO in a running kernel: what it took over, what it will hand on, and the calls for its clients. The outgoing side
 * exists from `init` on; the incoming side from `khoPopulate`.
 */
export class KhoCore implements Kho {
  readonly #ctx: KhoContext;
  /** What the predecessor preserved, as struct pages remember it. */
  readonly preserved: PreservedPages;
  #enabled: boolean;
  #incoming: IncomingHandover | undefined;
  #map: OutgoingMap | undefined;
  #fdt: OutgoingRootFdt | undefined;
  #scratch: readonly ScratchArea[] = [];
  #finalized = false;
  readonly #notifiers: FinalizeNotifier[] = [];
  /** Subtrees that a finalising release will write, in call order. */
  #pending: SubtreeEntry[] = [];

  constructor(ctx: KhoContext) {
    this.#ctx = ctx;
    this.#enabled = ctx.cmdline.flag('kho', false);
    this.preserved = new PreservedPages({
      page: ctx.page,
      pages: ctx.pages,
      log: ctx.log,
      quirks: ctx.release.quirks,
      maxPageOrder: ctx.config.MAX_PAGE_ORDER,
    });
  }

  // --- state ---------------------------------------------------------------------------------------------------------

  get enabled(): boolean {
    return this.#enabled;
  }

  get isKhoBoot(): boolean {
    return this.#incoming !== undefined;
  }

  /** What populate accepted; undefined on a cold boot, or after the walk was given up. */
  get incoming(): IncomingHandover | undefined {
    return this.#incoming;
  }

  get scratch(): readonly ScratchArea[] {
    return this.#scratch;
  }

  get outgoingMap(): OutgoingMap | undefined {
    return this.#map;
  }

  /** The outgoing root FDT's page; undefined while KHO is off. */
  get outgoingFdtPhys(): PhysAddr | undefined {
    return this.#fdt?.phys;
  }

  get finalized(): boolean {
    return this.#finalized;
  }

  /** Turns KHO off for this kernel: `kho=off`, a kdump kernel, or a failure on the way up. */
  disable(): void {
    this.#enabled = false;
    this.#mirror();
  }

  /** Takes over what populate accepted. */
  accept(incoming: IncomingHandover): void {
    this.#incoming = incoming;
    this.#scratch = incoming.scratch;
    this.#mirror();
  }

  /** What populate accepted turned out to hold nothing: a cold boot from here on, though scratch was taken over. */
  giveUpIncoming(): void {
    this.#incoming = undefined;
    this.#mirror();
  }

  /** Sets the scratch areas that this kernel reserved itself. */
  setScratch(areas: readonly ScratchArea[]): void {
    this.#scratch = areas;
    this.#mirror();
  }

  scratchOverlaps(phys: number, sizeBytes: number): boolean {
    return overlapsScratch(this.#scratch, phys, sizeBytes);
  }

  #mirror(): void {
    const subtreesOut = this.#fdt?.subtrees() ?? [];
    this.#ctx.control.update((draft) => {
      draft.khoEnabled = this.#enabled;
      draft.isKhoBoot = this.isKhoBoot;
      draft.scratch = this.#scratch.map((area) => ({ ...area }));
      draft.subtreesOut = subtreesOut.map((entry) => ({ ...entry }));
    });
  }

  // --- coming up -----------------------------------------------------------------------------------------------------

  /**
   * kho_init up to the root FDT: an empty map, the FDT's page. What clients and metadata add comes after.
   * @returns 0, or -ENOMEM with KHO turned off.
   */
  init(): 0 | Errno {
    if (!this.#enabled) return 0;
    const map = this.#map ?? makeOutgoingMap(this.#ctx);
    if (isErrno(map)) return this.#initFailed(map);
    this.#map = map;
    const finalizes = this.#ctx.release.quirks.finalize === 'before-load';
    const fails = this.#ctx.faults.fails(ROOT_FDT_SITE);
    const phys = fails ? ENOMEM : finalizes ? this.#allocPage() : this.allocPreserve(this.#ctx.page.sizeBytes);
    if (isErrno(phys)) return this.#initFailed(phys);
    const { memory, page, release } = this.#ctx;
    this.#fdt = new OutgoingRootFdt(memory, page, release.root, phys, release.quirks.addSubtreeCleansUp);
    if (!finalizes) {
      const value = map.kind === 'radix-tree' ? map.finalize() : (0 as PhysAddr);
      if (isErrno(value)) return this.#initFailed(value);
      this.#fdt.writeAll(value, []);
    }
    this.#mirror();
    return 0;
  }

  #allocPage(): PhysAddr | Errno {
    const { allocator, page } = this.#ctx;
    const pfn = allocator.allocPages(0 as Order);
    return pfn === undefined ? ENOMEM : physOf(page, pfn);
  }

  #initFailed(err: Errno): Errno {
    this.shutDown();
    return err;
  }

  /**
   * What kho_init does when it fails: the outgoing side is gone, and KHO is off. The pages of a tree are freed by 7.3; before
   * that its root alone, and bitmaps stay where they are.
   */
  shutDown(): void {
    const { allocator, page, release } = this.#ctx;
    if (this.#fdt !== undefined) this.unpreserveFree(this.#fdt.phys, page.sizeBytes);
    if (this.#map instanceof RadixTree) {
      if (release.quirks.failedInitFreesTree) this.#map.destroy();
      else if (this.#map.root !== undefined) allocator.freePages(pfnOf(page, this.#map.root), 0 as Order);
    }
    // Up to 6.18 others have preserved memory before KHO comes up: their bitmaps stay, to no avail.
    if (release.quirks.initcall !== 'late') this.#map = undefined;
    this.#fdt = undefined;
    this.disable();
  }

  // --- preserving ----------------------------------------------------------------------------------------------------

  get #hooks(): PreserveHooks | Errno {
    const { page, pages, log, release, config } = this.#ctx;
    const map = this.#trackedMap();
    if (map === undefined) {
      log.warnOnOnce('kho_radix_add_key');
      return EINVAL;
    }
    if (this.#finalized && release.quirks.finalize === 'before-load') return EBUSY;
    const checks = config.KEXEC_HANDOVER_DEBUG && release.quirks.checksScratchOverlap;
    const nids = config.NUMA && release.quirks.splitsAtNodes;
    return {
      map,
      page,
      log,
      nidOf: nids ? (pfn) => pages.nid(pfn as Pfn) : undefined,
      unpreserveSplitsAtNodes: release.quirks.unpreserveSplitsAtNodes,
      scratchOverlaps: checks ? (phys, sizeBytes) => this.scratchOverlaps(phys, sizeBytes) : undefined,
    };
  }

  /** Up to 6.18 what is preserved is tracked before KHO comes up (which is after some of its users), or without it. */
  #trackedMap(): OutgoingMap | undefined {
    if (this.#map === undefined && this.#ctx.release.quirks.initcall === 'late') {
      const map = makeOutgoingMap(this.#ctx);
      if (!isErrno(map)) this.#map = map;
    }
    return this.#map;
  }

  preserveFolio(folio: Folio): 0 | Errno {
    const hooks = this.#hooks;
    return isErrno(hooks) ? hooks : preserveFolio(hooks, folio.pfn, folio.order);
  }

  /** Preserves `count` folios of one order that lie one behind the other, as so many calls of `preserveFolio`. */
  preserveFolios(first: Folio, count: number): 0 | Errno {
    const hooks = this.#hooks;
    return isErrno(hooks) ? hooks : preserveFolios(hooks, first.pfn, first.order, count);
  }

  unpreserveFolio(folio: Folio): void {
    const hooks = this.#hooks;
    if (!isErrno(hooks)) unpreserveFolio(hooks, folio.pfn, folio.order);
  }

  preservePages(pfn: Pfn, nrPages: number): 0 | Errno {
    const hooks = this.#hooks;
    return isErrno(hooks) ? hooks : preservePages(hooks, pfn, nrPages);
  }

  unpreservePages(pfn: Pfn, nrPages: number): void {
    const hooks = this.#hooks;
    if (!isErrno(hooks)) unpreservePages(hooks, pfn, nrPages);
  }

  allocPreserve(sizeBytes: number): PhysAddr | Errno {
    const { page, config, allocator } = this.#ctx;
    if (sizeBytes <= 0) return EINVAL;
    const order = orderForSize(page, sizeBytes);
    if (order > config.MAX_PAGE_ORDER) return E2BIG;
    if (this.#ctx.faults.fails(ALLOC_PRESERVE_SITE)) return ENOMEM;
    const pfn = allocator.allocPages(order, { zero: true, compound: true });
    if (pfn === undefined) return ENOMEM;
    const err = this.preserveFolio({ pfn, order });
    if (err !== 0) {
      allocator.freePages(pfn, order);
      return err;
    }
    return physOf(page, pfn);
  }

  unpreserveFree(phys: PhysAddr, sizeBytes: number): void {
    const { page, allocator } = this.#ctx;
    const folio = { pfn: pfnOf(page, phys), order: orderForSize(page, sizeBytes) };
    this.unpreserveFolio(folio);
    allocator.freePages(folio.pfn, folio.order);
  }

  // --- restoring -----------------------------------------------------------------------------------------------------

  restoreFolio(phys: PhysAddr): Folio | undefined {
    return this.preserved.restoreFolio(phys);
  }

  restorePages(phys: PhysAddr, nrPages: number): Pfn | undefined {
    return this.preserved.restorePages(phys, nrPages);
  }

  restoreFree(phys: PhysAddr): void {
    const folio = this.restoreFolio(phys);
    if (folio === undefined) this.#ctx.log.warnOn('kho_restore_free');
    else this.#ctx.allocator.freePages(folio.pfn, folio.order);
  }

  // --- subtrees ------------------------------------------------------------------------------------------------------

  addSubtree(name: string, phys: PhysAddr, sizeBytes: number): 0 | Errno {
    if (this.#fdt === undefined) return EINVAL;
    if (this.#ctx.release.quirks.finalize === 'before-load') {
      if (this.#pending.some((entry) => entry.name === name)) return EEXIST;
      this.#pending.push({ name, phys, sizeBytes });
      return 0;
    }
    const err = this.#fdt.add({ name, phys, sizeBytes }, this.#ctx.faults.fails(ADD_SUBTREE_SITE));
    this.#mirror();
    return err;
  }

  removeSubtree(phys: PhysAddr): void {
    this.#pending = this.#pending.filter((entry) => entry.phys !== phys);
    this.#fdt?.remove(phys);
    this.#mirror();
  }

  retrieveSubtree(name: string): SubtreeLocation | Errno {
    const fdt = this.#incoming?.fdt;
    if (fdt === undefined) return ENOENT;
    const location = fdt.retrieve(name, (text) => this.#ctx.log.warn(text));
    return isErrno(location) ? location : { ...location, phys: this.physToVirt(location.phys) };
  }

  physToVirt(phys: number | bigint): PhysAddr {
    return physToVirt(this.#ctx.arch, phys);
  }

  /** The subtrees of the next handover so far. */
  get subtreesOut(): readonly SubtreeEntry[] {
    return this.#pending.length > 0 ? this.#pending : (this.#fdt?.subtrees() ?? []);
  }

  // --- finalising ----------------------------------------------------------------------------------------------------

  /** register_kho_notifier: called in order of registration when the handover is finalised (up to 6.18). */
  onFinalize(notifier: FinalizeNotifier): void {
    this.#notifiers.push(notifier);
  }

  /**
   * Makes the map property final. Up to 6.18 the whole FDT is written, by asking each client; in 6.19 and 7.0 only the
   * map is serialised, again at each call. 7.1 has no such step: 0.
   * @returns 0, -EOPNOTSUPP with KHO off, -EEXIST when it is final (up to 6.18), or what went wrong.
   */
  finalize(): 0 | Errno {
    const { quirks } = this.#ctx.release;
    if (quirks.finalize === 'none') return 0;
    if (!this.#enabled || this.#map === undefined || this.#fdt === undefined) return EOPNOTSUPP;
    if (quirks.finalize === 'before-load') {
      if (this.#finalized) return EEXIST;
      const err = this.#finalizeAll(this.#fdt, this.#map);
      if (err !== 0) {
        this.#ctx.log.err(`KHO: Failed to convert KHO state tree: ${err}`);
        this.#abort();
        return err;
      }
    } else {
      const value = this.#map.finalize();
      if (isErrno(value)) return value;
      this.#fdt.setMap(value);
    }
    this.#finalized = true;
    this.#mirror();
    return 0;
  }

  #finalizeAll(fdt: OutgoingRootFdt, map: OutgoingMap): 0 | Errno {
    const err = this.preserveFolio({ pfn: pfnOf(this.#ctx.page, fdt.phys), order: 0 as Order });
    if (err !== 0) return err;
    for (const notify of this.#notifiers) {
      const failed = notify();
      if (failed !== 0) return failed;
    }
    const value = map.finalize();
    return isErrno(value) ? value : fdt.writeAll(value, this.#pending);
  }

  /** Takes a finalisation back; up to 6.18 that forgets everything that was preserved, users' pages included. */
  abort(): 0 | Errno {
    if (!this.#finalized) return ENOENT;
    this.#abort();
    return 0;
  }

  #abort(): void {
    this.#map?.abort();
    if (this.#ctx.release.quirks.abortForgetsAll) {
      const map = makeOutgoingMap(this.#ctx);
      if (!isErrno(map)) this.#map = map;
    }
    this.#pending = [];
    this.#finalized = false;
  }

  /** Bytes of the scratch array as it is handed on. */
  scratchArrayBytes(): Uint8Array {
    const entry = this.#ctx.abi.struct('kho_scratch');
    const bytes = new Uint8Array(alignUp(this.#scratch.length * entry.sizeBytes, 1));
    const view = new DataView(bytes.buffer);
    for (const [i, area] of this.#scratch.entries()) {
      view.setBigUint64(i * entry.sizeBytes + entry.offsetOf('addr'), BigInt(area.base), true);
      view.setBigUint64(i * entry.sizeBytes + entry.offsetOf('size'), BigInt(area.sizeBytes), true);
    }
    return bytes;
  }
}
