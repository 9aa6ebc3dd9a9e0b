import { readSetupData } from '../../machine/boot-handoff.ts';
import { alignUp, type BootHandoff, type LoadedSegment, NUMA_NO_NODE } from '../../machine/index.ts';
import { readChosenHandoff } from '../boot-handoff/chosen.ts';
import { KernelPanic } from '../failure.ts';
import { fdtViewAt } from '../kho/fdt-view.ts';
import { khoPopulate } from '../kho/populate.ts';
import type { Boot } from './boot-state.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** What the architectures say when there is no memory for early page tables: after a handover, no usable scratch. */
const NO_PAGE_TABLES = {
  arm64: 'Failed to allocate page table page',
  x86_64: 'alloc_low_pages: can not alloc memory',
} as const;

/** Looks for the handoff where the architecture's loader puts it. A missing one is no message: a cold boot. */
export function findHandoff(boot: Boot): void {
  boot.handoff = handoffIn(boot);
}

function handoffIn({ registers, ctx }: Boot): BootHandoff | undefined {
  switch (registers.kind) {
    case 'given':
      return registers.handoff;
    case 'boot-dt':
      return readChosenHandoff(fdtViewAt(ctx.memory, registers.phys));
    case 'setup-data':
      return readSetupData(ctx.memory, registers.phys).handoffs.at(-1);
    default:
      return undefined;
  }
}

/**
 * Firmware's memory goes into memblock, and the handoff is looked at: on devicetree machines the memory nodes come
 * first, on x86 the setup_data list is read before the e820 map.
 */
export function addMemory(boot: Boot): void {
  const { ctx } = boot;
  const { memblock, map, arch, config } = ctx;
  const addBanks = () => {
    for (const bank of map.banks) memblock.add(bank.base, bank.sizeBytes);
    for (const taken of map.reservations) memblock.reserve(taken.base, taken.sizeBytes);
  };
  if (arch === 'arm64') addBanks();
  if (boot.handoff !== undefined) {
    const incoming = khoPopulate(ctx, boot.handoff);
    if (incoming !== undefined) boot.kho.accept(incoming);
  }
  if (arch === 'x86_64') {
    addBanks();
    // The real-mode trampoline must lie below 1 MiB, so that is scratch until it is placed.
    memblock.markKhoScratch(0, MIB);
  }
  if (config.NUMA) {
    for (const bank of map.banks) memblock.setNode(bank.base, bank.sizeBytes, bank.nid);
  }
}

/** What the loader left is reserved: x86 counts it as kernel memory, arm64 does not. Then come the early page tables. */
export function reserveImage(boot: Boot): void {
  const { memblock, arch, page, map } = boot.ctx;
  for (const segment of boot.segments) {
    if (segment.name === 'scratch-array') continue;
    reserveSegment(boot, segment);
  }
  if (arch === 'x86_64') {
    memblock.reserve(0, MIB);
    memblock.clearKhoScratch(0, MIB);
  }
  memblock.allowResize();
  const ramBytes = map.banks.reduce((sum, bank) => sum + bank.sizeBytes, 0);
  const tables = (2 + Math.ceil(ramBytes / GIB)) * page.sizeBytes;
  if (memblock.allocTryNid(tables, page.sizeBytes, 0, 0, NUMA_NO_NODE) === 0)
    throw new KernelPanic(NO_PAGE_TABLES[arch]);
}

function reserveSegment(boot: Boot, segment: LoadedSegment): void {
  const { memblock, arch, page } = boot.ctx;
  const sizeBytes = alignUp(segment.sizeBytes, page.sizeBytes);
  if (arch === 'x86_64') memblock.reserveKern(segment.base, sizeBytes);
  else memblock.reserve(segment.base, sizeBytes);
}
