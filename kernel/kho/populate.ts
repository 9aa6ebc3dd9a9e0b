import type { Arch, BootHandoff, PageSize, PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import type { Memblock } from '../../machine/memblock/memblock.ts';
import { EFAULT, EINVAL, ENOENT, type Errno } from '../errno.ts';
import { fdtCheckHeader, fdtNodeCheckCompatible } from '../fdt/read.ts';
import type { KernelLog } from '../log.ts';
import { abiOf, type Release } from '../release.ts';
import { earlyMemremapFits, fdtViewAt } from './fdt-view.ts';
import { IncomingRootFdt, mapOf } from './root-fdt.ts';
import { populateScratch, readScratchArray, type ScratchArea } from './scratch.ts';

/** What kho_populate works with. */
export interface PopulateContext {
  readonly arch: Arch;
  readonly page: PageSize;
  readonly memory: PhysicalMemory;
  readonly memblock: Memblock;
  readonly log: KernelLog;
  readonly release: Release;
}

/** A handover that was accepted: what the rest of the boot works from. */
export interface IncomingHandover {
  readonly fdt: IncomingRootFdt;
  readonly scratchArray: { readonly phys: PhysAddr; readonly sizeBytes: number };
  readonly scratch: readonly ScratchArea[];
}

function earlyMemremap(ctx: PopulateContext, phys: number, sizeBytes: number): boolean {
  if (earlyMemremapFits(ctx.arch, ctx.page.sizeBytes, phys, sizeBytes)) return true;
  ctx.log.warnOn('__early_ioremap');
  return false;
}

/**
 * The FDT through an early mapping, which reaches to the end of the last page it touches. On x86 a hole in physical
 * memory reads as all ones; on arm64 it is an abort.
 */
function mappedFdt(ctx: PopulateContext, phys: number, sizeBytes: number): Uint8Array {
  if (ctx.arch === 'x86_64' && !ctx.memory.contains(phys, 40)) return new Uint8Array(40).fill(0xff);
  const pageBytes = ctx.page.sizeBytes;
  const mapped = Math.ceil((phys + sizeBytes) / pageBytes) * pageBytes - phys;
  return fdtViewAt(ctx.memory, phys, mapped);
}

/**
 * kho_populate: looks at what firmware passed, and either accepts it (scratch marked, its array reserved, memblock
 * switched to scratch only) or boots on without. Nothing of the map itself is looked at yet.
 *
 * The length that was passed is not compared with the FDT's own totalsize (7.3.4 and before).
 * @returns undefined for a cold boot, with the reason in the log.
 */
export function khoPopulate(ctx: PopulateContext, handoff: BootHandoff): IncomingHandover | undefined {
  const result = tryPopulate(ctx, handoff);
  if (typeof result !== 'number') {
    ctx.log.info(`KHO: ${ctx.release.messages.foundHandover}`);
    return result;
  }
  const text = ctx.release.messages.disablingRevival.replace('%d', `${result}`);
  ctx.log.warn(`KHO: ${text}`);
  return undefined;
}

function tryPopulate(ctx: PopulateContext, handoff: BootHandoff): IncomingHandover | Errno {
  const { log, memory, memblock, release } = ctx;
  const { fdt, scratch } = handoff;
  if (!earlyMemremap(ctx, fdt.phys, fdt.sizeBytes)) {
    log.warn(`KHO: setup: failed to memremap FDT (0x${fdt.phys.toString(16)})`);
    return EFAULT;
  }
  const blob = mappedFdt(ctx, fdt.phys, fdt.sizeBytes);
  const header = fdtCheckHeader(blob, { checkBlockAlignment: release.quirks.fdtChecksBlockAlignment });
  if (header !== 0) {
    log.warn(`KHO: setup: handover FDT (0x${fdt.phys.toString(16)}) is invalid: ${header}`);
    return EINVAL;
  }
  const compatible = fdtNodeCheckCompatible(blob, 0, String(release.root.compatible));
  if (compatible !== 0) {
    const place = `0x${fdt.phys.toString(16)}`;
    log.warn(`KHO: setup: handover FDT (${place}) is incompatible with '${release.root.compatible}': ${compatible}`);
    return EINVAL;
  }
  if (release.quirks.populateChecksMap) {
    const map = mapOf(blob, release.root);
    if (map === undefined) log.err(`KHO: ${release.messages.missingMap}`);
    if (map === undefined || map === 0) return ENOENT;
  }
  if (!earlyMemremap(ctx, scratch.phys, scratch.sizeBytes)) {
    log.warn(`KHO: setup: failed to memremap scratch (phys=0x${scratch.phys.toString(16)}, len=${scratch.sizeBytes})`);
    return EFAULT;
  }
  const entry = abiOf(release, ctx.page).struct('kho_scratch');
  const areas = readScratchArray(memory, entry, scratch.phys, scratch.sizeBytes);
  const err = populateScratch(memblock, areas, scratch.phys, scratch.sizeBytes, log);
  if (err !== 0) return err;
  return { fdt: new IncomingRootFdt(memory, release.root, fdt.phys), scratchArray: scratch, scratch: areas };
}
