import { MachineFault, type Order, type Pfn, type PhysAddr, pfnOf, physOf } from '../../machine/index.ts';
import type { CompiledAbi } from '../abi/contract.ts';
import { ENOMEM, EOPNOTSUPP, type Errno } from '../errno.ts';
import type { FaultInjector } from '../fault-injection.ts';
import { VMALLOC_CHUNK_SITE } from '../fault-sites.ts';
import type { KernelLog } from '../log.ts';
import type { MmContext } from '../mm/folio.ts';
import { VM_ALLOC, VM_ALLOW_HUGE_VMAP, VmallocArea } from '../mm/vmalloc-area.ts';
import type { Release } from '../release.ts';
import type { Kho } from './kho.ts';

/*
 * A vmalloc area as it crosses (6.18 on): a descriptor that the owner embeds in a structure of its own, and a chain
 * of pages with the addresses of what lies behind the area, one for each 2^order pages.
 *
 *   kho_vmalloc             chunk (one page)                        chunk
 *   +-------+-------+      +------+--------+--------+-- --+        +------+---+
 *   | first | ...   | ---> | next | phys 0 | phys 1 | ... |  --->  |   0  | 0 |  (empty behind one just full)
 *   +-------+-------+      +------+--------+--------+-- --+        +------+---+
 */

/** What kho_vmalloc says. */
export interface VmallocPreservation {
  /** Physical address of the first chunk, 0 for none. */
  readonly first: PhysAddr;
  readonly totalPages: number;
  /** KHO_VMALLOC_*. */
  readonly flags: number;
  readonly order: number;
}

/** A descriptor that describes nothing. */
const NO_VMALLOC: VmallocPreservation = { first: 0 as PhysAddr, totalPages: 0, flags: 0, order: 0 };

/** What preserving a vmalloc area needs of a kernel. */
export interface VmallocContext extends MmContext {
  readonly kho: Kho;
  readonly abi: CompiledAbi;
  readonly release: Release;
  readonly log: KernelLog;
  readonly faults?: FaultInjector;
}

/** Reads a descriptor from RAM. @throws MachineFault outside RAM. */
export function readPreservation(ctx: VmallocContext, at: PhysAddr): VmallocPreservation {
  const struct = ctx.abi.struct('kho_vmalloc');
  return {
    first: struct.get(ctx.memory, at, 'first') as PhysAddr,
    totalPages: struct.get(ctx.memory, at, 'total_pages'),
    flags: struct.get(ctx.memory, at, 'flags'),
    order: struct.get(ctx.memory, at, 'order'),
  };
}

/** Writes a descriptor into RAM. */
export function writePreservation(ctx: VmallocContext, at: PhysAddr, preservation: VmallocPreservation): void {
  const struct = ctx.abi.struct('kho_vmalloc');
  struct.set(ctx.memory, at, 'first', preservation.first);
  struct.set(ctx.memory, at, 'total_pages', preservation.totalPages);
  struct.set(ctx.memory, at, 'flags', preservation.flags);
  struct.set(ctx.memory, at, 'order', preservation.order);
}

/** A descriptor's bytes, for owners that put it into an FDT. */
export function preservationBytes(abi: CompiledAbi, preservation: VmallocPreservation): Uint8Array {
  const struct = abi.struct('kho_vmalloc');
  const bytes = new Uint8Array(struct.sizeBytes);
  const { first, totalPages, flags, order } = preservation;
  for (const [name, value] of Object.entries({ first, total_pages: totalPages, flags, order })) {
    const field = struct.field(name);
    for (let i = 0; i < field.sizeBytes; i++) {
      bytes[field.offset + (field.bigEndian ? field.sizeBytes - 1 - i : i)] = Math.floor(value / 256 ** i) % 256;
    }
  }
  return bytes;
}

/** The descriptor in bytes of an FDT. */
export function preservationOf(abi: CompiledAbi, bytes: Uint8Array): VmallocPreservation {
  const struct = abi.struct('kho_vmalloc');
  const read = (name: string): number => {
    const field = struct.field(name);
    let value = 0;
    for (let i = 0; i < field.sizeBytes; i++) {
      value += (bytes[field.offset + (field.bigEndian ? field.sizeBytes - 1 - i : i)] ?? 0) * 256 ** i;
    }
    return value;
  };
  return {
    first: read('first') as PhysAddr,
    totalPages: read('total_pages'),
    flags: read('flags'),
    order: read('order'),
  };
}

/** A link of the list: 0 for NULL. */
function pointer(ctx: VmallocContext, phys: number): PhysAddr {
  return phys === 0 ? (0 as PhysAddr) : ctx.kho.physToVirt(phys);
}

function newChunk(ctx: VmallocContext, last: PhysAddr | undefined): PhysAddr | undefined {
  const page = ctx.memory.page;
  if (ctx.faults?.fails(VMALLOC_CHUNK_SITE) === true) return undefined;
  const pfn = ctx.allocator.allocPages(0 as Order, { zero: true });
  if (pfn === undefined) return undefined;
  if (ctx.kho.preservePages(pfn, 1) !== 0) {
    ctx.allocator.freePages(pfn, 0 as Order);
    return undefined;
  }
  const chunk = physOf(page, pfn);
  if (last !== undefined) ctx.abi.struct('kho_vmalloc_chunk').set(ctx.memory, last, 'hdr.next', chunk);
  return chunk;
}

/**
 * kho_preserve_vmalloc: preserves the pages behind an area and the chunks that name them.
 * @returns the descriptor, or -EOPNOTSUPP for flags other than VM_ALLOC and VM_ALLOW_HUGE_VMAP, -ENOMEM, or what
 * preserving a page returned. After an error nothing of order 0 stays preserved; higher orders do, as in the kernel,
 * whose undo runs before the descriptor's order is set.
 */
export function preserveVmalloc(ctx: VmallocContext, area: VmallocArea): VmallocPreservation | Errno {
  if ((area.flags & ~(VM_ALLOC | VM_ALLOW_HUGE_VMAP)) !== 0) return EOPNOTSUPP;
  const { memory, kho, abi } = ctx;
  const page = memory.page;
  const struct = abi.struct('kho_vmalloc_chunk');
  const slots = struct.countOf('phys');
  const first = newChunk(ctx, undefined);
  if (first === undefined) return ENOMEM;
  const undo = (err: Errno): Errno => {
    unpreserveVmalloc(ctx, { ...NO_VMALLOC, first });
    return err;
  };

  const step = 2 ** area.order;
  let chunk = first;
  let slot = 0;
  for (const pfn of area.blocks) {
    const err = kho.preservePages(pfn, step);
    if (err !== 0) return undo(err);
    memory.writeU64(struct.elementAt(chunk, 'phys', slot++), physOf(page, pfn));
    if (slot === slots) {
      const next = newChunk(ctx, chunk);
      if (next === undefined) {
        const err = undo(ENOMEM);
        // 6.18 takes its own failure for success, with the descriptor as it was so far.
        return ctx.release.quirks.vmallocForgetsError ? { ...NO_VMALLOC, first } : err;
      }
      chunk = next;
      slot = 0;
    }
  }
  const flags =
    ((area.flags & VM_ALLOC) === 0 ? 0 : abi.constant('vmalloc', 'KHO_VMALLOC_ALLOC')) |
    ((area.flags & VM_ALLOW_HUGE_VMAP) === 0 ? 0 : abi.constant('vmalloc', 'KHO_VMALLOC_HUGE_VMAP'));
  return { first, totalPages: area.nrPages, flags, order: area.order };
}

const POINTER_BYTES = 8;

/** Entries that are read behind a chunk before it is taken to have no end. */
const MAX_OVERREAD = 2 ** 16;

/** Entries of a chunk that are looked at: up to the first that is 0, and where the quirk is not, those it has. */
function readSlots(ctx: VmallocContext, slots: number): number {
  return ctx.release.quirks.vmallocChunksUnbounded ? slots + MAX_OVERREAD : slots;
}

/** kho_unpreserve_vmalloc: forgets the pages, and frees the chunks. The area itself stays. */
export function unpreserveVmalloc(ctx: VmallocContext, preservation: VmallocPreservation): void {
  const { memory, kho, abi, allocator } = ctx;
  const page = memory.page;
  const struct = abi.struct('kho_vmalloc_chunk');
  const slots = readSlots(ctx, struct.countOf('phys'));
  const step = ctx.release.quirks.vmallocUnpreservesByPage ? 1 : 2 ** (preservation.order & 31);
  let chunk = preservation.first;
  while (chunk !== 0) {
    kho.unpreservePages(pfnOf(page, chunk), 1);
    const entries = struct.elementAt(chunk, 'phys', 0);
    for (let i = 0; i < slots; i++) {
      const phys = memory.readU64((entries + i * POINTER_BYTES) as PhysAddr) as PhysAddr;
      if (phys === 0) break;
      kho.unpreservePages(pfnOf(page, phys), step);
    }
    const next = struct.get(memory, chunk, 'hdr.next') as PhysAddr;
    allocator.freePages(pfnOf(page, chunk), 0 as Order);
    chunk = next;
  }
}

/** The most bytes that kvmalloc gives: INT_MAX. */
const KVMALLOC_MAX_BYTES = 0x7fff_ffff;

/**
 * An order that nobody checks: as an int shift it is order 0, but the area is rounded up to 2^(32 + page shift) bytes. With
 * 4K pages there is room for 16 TiB, and as many pages as an unsigned int wraps to are mapped, which is none; with larger
 * pages there is no such room.
 */
const HUGE_SHIFT_ORDER = 32;

/** Where an area is said to be when it faults: areas have no addresses of their own in khosim. */
const VMALLOC_START = 0xffff_8000_8000_0000n;

/**
 * kho_restore_vmalloc: takes over the pages that a predecessor preserved, and the chunks, which it frees. Flags it
 * doesn't know are dropped.
 * @returns the area, undefined when the description doesn't hold together (total length differs from the list, a page
 * was not preserved, nothing at all); pages restored until then stay allocated, as in the kernel.
 * @throws MachineFault when a chunk lies outside RAM, and for an area that comes out unmapped, which is read next.
 */
export function restoreVmalloc(ctx: VmallocContext, preservation: VmallocPreservation): VmallocArea | undefined {
  const { memory, kho, abi, allocator } = ctx;
  const struct = abi.struct('kho_vmalloc_chunk');
  const slots = readSlots(ctx, struct.countOf('phys'));
  const { totalPages, flags } = preservation;
  if (totalPages * POINTER_BYTES > KVMALLOC_MAX_BYTES) {
    ctx.log.warnOnOnce('__kvmalloc_node_noprof');
    return undefined;
  }
  const step = 2 ** (preservation.order & 31);
  const repeats = ctx.release.quirks.vmallocRepeatsPages;
  const pfns: Pfn[] = [];
  let chunk = pointer(ctx, preservation.first);
  while (chunk !== 0) {
    const entries = struct.elementAt(chunk, 'phys', 0);
    for (let i = 0; i < slots; i++) {
      const phys = memory.readU64((entries + i * POINTER_BYTES) as PhysAddr) as PhysAddr;
      if (phys === 0) break;
      if (pfns.length + step > totalPages) return undefined;
      const pfn = kho.restorePages(phys, step);
      if (pfn === undefined) return undefined;
      for (let j = 0; j < step; j++) pfns.push((repeats ? pfn : pfn + j) as Pfn);
    }
    const pfn = kho.restorePages(chunk, 1);
    if (pfn === undefined) return undefined;
    chunk = pointer(ctx, struct.get(memory, chunk, 'hdr.next'));
    allocator.freePages(pfn, 0 as Order);
  }
  if (pfns.length !== totalPages || totalPages === 0) return undefined;
  if ((preservation.order & 63) === HUGE_SHIFT_ORDER) {
    if (memory.page.shift !== 12) return undefined;
    throw new MachineFault('read', VMALLOC_START);
  }
  const vmFlags =
    ((flags & abi.constant('vmalloc', 'KHO_VMALLOC_ALLOC')) === 0 ? 0 : VM_ALLOC) |
    ((flags & abi.constant('vmalloc', 'KHO_VMALLOC_HUGE_VMAP')) === 0 ? 0 : VM_ALLOW_HUGE_VMAP);
  return new VmallocArea(ctx, pfns, 0 as Order, vmFlags);
}

/**
 * Reads from an area whose length somebody else has said.
 * @throws MachineFault behind the end: the guard page.
 */
export function readVmalloc(area: VmallocArea, offset: number, sizeBytes: number): Uint8Array {
  if (offset + sizeBytes > area.sizeBytes) {
    throw new MachineFault('read', VMALLOC_START + BigInt(Math.max(offset, area.sizeBytes)));
  }
  return area.read(offset, sizeBytes);
}
