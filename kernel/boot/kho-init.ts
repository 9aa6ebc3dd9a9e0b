import type { Order, Pfn, PhysAddr } from '../../machine/index.ts';
import { nodesWithMemory, onlineNodes } from '../../machine/memory-map.ts';
import { isKdumpKernel } from '../command-line.ts';
import type { KernelContext } from '../context.ts';
import { radixGeometry } from '../kho/geometry.ts';
import type { BlockVisitor } from '../kho/memory-map.ts';
import { makeIncomingMap } from '../kho/outgoing-map.ts';
import { RadixReader } from '../kho/radix-walk.ts';
import { retrievePreserved } from '../kho/retrieve.ts';
import { reserveScratch } from '../kho/scratch.ts';
import { extendScratch } from '../kho/scratch-extension.ts';
import { DEFAULT_SCRATCH_SIZES, parseScratchSizes, scratchAlignBytes } from '../kho/scratch-size.ts';
import type { Boot } from './boot-state.ts';

/** kho_memory_init_early (7.3): scratch is extended by what the tree leaves free. */
export function khoMemoryInitEarly(boot: Boot): void {
  const { ctx, kho } = boot;
  const { release, memblock, memory, page, log } = ctx;
  const incoming = kho.incoming;
  memblock.scratchOverlap = (base, sizeBytes) => kho.scratchOverlaps(base, sizeBytes);
  if (incoming === undefined || !release.quirks.extendsScratch) return;
  const root = incoming.fdt.map();
  const reader = makeIncomingMap(ctx);
  if (root === undefined || !(reader instanceof RadixReader)) return;
  extendScratch({
    memblock,
    memory,
    log,
    geometry: radixGeometry(page, reader.geometry.contract),
    walk: (callbacks) => reader.walkKeys(memory, root as PhysAddr, callbacks),
  });
}

/** Command-line parameters that take memory before anything preserved is reserved. */
export function earlyParameters(boot: Boot): void {
  for (const client of boot.clients) client.earlyParameters?.();
}

/**
 * kho_memory_init: reserves what was preserved, or on a cold boot the scratch of the next handover. A kernel that captures a
 * dump does neither (7.3): what a predecessor preserved it does not reserve.
 */
export function khoMemoryInit(boot: Boot): void {
  const { ctx, kho } = boot;
  // KFENCE's pool is early memory like any other: after a handover it comes out of scratch.
  if (ctx.config.KFENCE) ctx.kfence.allocate(ctx.memblock);
  if (ctx.release.quirks.disabledInKdump && isKdumpKernel(ctx.cmdline)) {
    kho.disable();
    ctx.log.info('KHO: disabled in the kdump kernel');
  } else if (kho.incoming !== undefined) {
    retrieve(boot);
    if (ctx.release.quirks.restoresRootFdt && kho.restoreFolio(kho.incoming.fdt.phys) === undefined) {
      ctx.log.warn('KHO: failed to restore folio for KHO fdt');
    }
  } else if (kho.enabled) reserve(boot);
}

function retrieve(boot: Boot): void {
  const { ctx, kho, structPages } = boot;
  const map = kho.incoming?.fdt.map();
  if (map === undefined) ctx.log.err(`KHO: ${ctx.release.messages.missingMap}`);
  if (map === undefined || map === 0) {
    // Kernels that check this in populate don't come here; before them, those of the tree of 6.19 call it a cold boot.
    if (ctx.release.quirks.finalize === 'before-jump') kho.giveUpIncoming();
    return;
  }
  const deps = {
    memblock: ctx.memblock,
    pages: ctx.pages,
    page: ctx.page,
    quirks: ctx.release.quirks,
    ...(ctx.release.quirks.initialisesDeferredPages
      ? { initDeferred: (first: Pfn, order: Order) => structPages.initPreserved(first, order) }
      : {}),
    blockByBlock: isSabotaged(boot),
  };
  retrievePreserved(deps, (visit) =>
    makeIncomingMap(ctx).walk(ctx.memory, map as PhysAddr, isSabotaged(boot) ? sabotaged(boot, visit) : visit),
  );
}

function isSabotaged({ sabotage }: Boot): boolean {
  const { skipReservation, skipNoinit, wrongOrder } = sabotage;
  return skipReservation !== undefined || skipNoinit !== undefined || wrongOrder !== undefined;
}

/** The visitor, with the defects that a test asked for. */
function sabotaged(boot: Boot, visit: BlockVisitor): BlockVisitor {
  const { skipReservation, skipNoinit, wrongOrder } = boot.sabotage;
  const { memblock, page } = boot.ctx;
  let index = -1;
  return (physLo, physHi, order) => {
    index++;
    const phys = physHi * 0x1_0000_0000 + physLo;
    const sizeBytes = page.sizeBytes * 2 ** order;
    if (index === wrongOrder) visit(physLo, physHi, order + 1);
    else visit(physLo, physHi, order);
    if (index === skipReservation) memblock.free(phys, sizeBytes);
    if (index === skipNoinit) {
      memblock.free(phys, sizeBytes);
      memblock.reserve(phys, sizeBytes);
    }
  };
}

function reserve(boot: Boot): void {
  const { ctx, kho } = boot;
  const { memblock, memory, log, release, page, config } = ctx;
  const reserved = reserveScratch({
    memblock,
    memory,
    entry: ctx.abi.struct('kho_scratch'),
    log,
    quirks: release.quirks,
    sizes: scratchSizes(ctx),
    alignBytes: scratchAlignBytes(page, config.MAX_PAGE_ORDER, release.quirks),
    lowLimit: lowAddressLimit(ctx),
    nodes: release.quirks.scratchNodes === 'online' ? onlineNodes(ctx.map) : nodesWithMemory(ctx.map),
  });
  if (reserved === undefined) kho.disable();
  else kho.setScratch(reserved.areas);
}

function scratchSizes(ctx: KernelContext) {
  let sizes = DEFAULT_SCRATCH_SIZES;
  for (const value of ctx.cmdline.all('kho_scratch')) {
    sizes = parseScratchSizes(value, ctx.release.quirks, sizes, ctx.log);
  }
  return sizes;
}

/** ARCH_LOW_ADDRESS_LIMIT: 4 GiB - 1 on both, unless all of an arm64 machine's RAM lies above. */
function lowAddressLimit(ctx: KernelContext): number {
  return ctx.arch === 'arm64' && ctx.memblock.startOfDram() >= 2 ** 32 ? Number.MAX_SAFE_INTEGER : 2 ** 32 - 1;
}
