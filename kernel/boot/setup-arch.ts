import {
  alignUp,
  type BootHandoff,
  hex,
  type LoadedSegment,
  MachineFault,
  NUMA_NO_NODE,
  type PhysAddr,
} from '../../machine/index.ts';
import { readChosenHandoff } from '../boot-handoff/chosen.ts';
import { isKhoNode, readSetupData, SETUP_DATA_HEADER_SIZE_BYTES } from '../boot-handoff/setup-data.ts';
import { KernelHang, KernelPanic } from '../failure.ts';
import { earlyMemremapFits, fdtViewAt } from '../kho/fdt-view.ts';
import { khoPopulate } from '../kho/populate.ts';
import type { Boot } from './boot-state.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** What the architectures say when there is no memory for early page tables: after a handover, no usable scratch. */
const NO_PAGE_TABLES = {
  arm64: 'Failed to allocate page table page',
  x86_64: 'alloc_low_pages: can not alloc memory',
} as const;

/** The handoffs are looked for; what they are is found out when memory is added. */
export function findHandoff(boot: Boot): void {
  boot.handoffs = handoffsIn(boot);
}

/**
 * Looks for handoffs where the architecture's loader puts them. A missing one is no message: a cold boot. A devicetree has
 * one at most; on x86 each KHO node in the list is one, and the kernel looks at all of them.
 * @throws MachineFault, KernelHang for a list that leads out of RAM or in a circle, at its end.
 */
function* handoffsIn(boot: Boot): Generator<BootHandoff> {
  const { registers, ctx } = boot;
  if (registers.kind === 'given') yield registers.handoff;
  if (registers.kind === 'boot-dt') {
    const handoff = readChosenHandoff(fdtViewAt(ctx.memory, registers.phys));
    if (handoff !== undefined) yield handoff;
  }
  if (registers.kind === 'setup-data') yield* handoffsInList(boot, registers.phys);
}

/** add_kho for each node: its payload is mapped as far as the node says that it reaches, in whole pages. */
function* handoffsInList({ ctx }: Boot, head: PhysAddr): Generator<BootHandoff> {
  const { memory, abi, page, arch, log } = ctx;
  const list = readSetupData(memory, abi, head);
  for (const node of list.nodes) {
    if (!isKhoNode(abi, node)) continue;
    const data = node.phys + SETUP_DATA_HEADER_SIZE_BYTES;
    // A u32 holds the length with the header's, before the header's is taken off again as a u64.
    const wraps = node.lengthBytes + SETUP_DATA_HEADER_SIZE_BYTES >= 2 ** 32;
    if (wraps || !earlyMemremapFits(arch, page.sizeBytes, data, node.lengthBytes)) {
      const size = BigInt.asUintN(64, BigInt(node.lengthBytes) - (wraps ? 2n ** 32n : 0n));
      log.warnOn('__early_ioremap');
      log.warn(`setup: failed to memremap kho data (${hex(data)}, ${hex(size)})`);
      continue;
    }
    const mappedEnd = alignUp(data + node.lengthBytes, page.sizeBytes);
    const end = data + abi.struct('kho_data').sizeBytes;
    if (node.handoff === undefined || end > mappedEnd) throw new MachineFault('read', mappedEnd);
    yield node.handoff;
  }
  if (list.end === 'cycle') throw new KernelHang('parse_setup_data');
  if (list.end === 'wild') throw new MachineFault('read', list.endPointer ?? '0x0');
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
  // What was accepted stays so when a later handoff is refused; of several that are accepted the last one counts.
  for (const handoff of boot.handoffs) {
    const incoming = khoPopulate(ctx, handoff);
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
