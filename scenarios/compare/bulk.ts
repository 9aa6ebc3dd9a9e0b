import { isErrno } from '../../kernel/errno.ts';
import { readScratchArray } from '../../kernel/kho/scratch.ts';
import { abiOf, type Release } from '../../kernel/release.ts';
import type { Machine, Order, PageSize, Pfn } from '../../machine/index.ts';
import { type BootHandoff, ilog2 } from '../../machine/index.ts';
import { ARCH, bootBoard, bootRequest, RELEASE } from './board.ts';
import { BootMeter } from './measure-boot.ts';
import type { JumpFigures } from './measure-jump.ts';
import { measureTree } from './measure-map.ts';
import type { Measurement } from './measurement.ts';
import { joinRanges } from './memory-strip.ts';
import type { MemoryRange } from './result.ts';

const GIB = 2 ** 30;
const TIB = 2 ** 40;

/** A workload too large for a list of its pages: one bank of RAM, all of it preserved as folios of one size. */
export interface BulkWorkload {
  readonly name: string;
  readonly about: string;
  /** Size of a folio; undefined: one page, whatever its size. */
  readonly folioBytes: number | undefined;
}

export const BULK_WORKLOADS: readonly BulkWorkload[] = [
  { name: 'page-cache-1t', about: '1 TiB of page cache, every page for itself.', folioBytes: undefined },
  { name: 'huge-1t', about: '1 TiB in huge folios of 2 MiB.', folioBytes: 2 ** 21 },
];

/*
 *     1 GiB     3 GiB        1 TiB                  2 TiB          2 TiB + 40 GiB
 *     |  RAM    |            |  RAM: the workload   |  RAM: struct pages, scratch  |
 *
 * The kernel takes its memory from the top, so the bank in the middle is free from end to end.
 */
const DATA = [TIB, TIB] as const;
const BANKS = [[GIB, 2 * GIB], DATA, [2 * TIB, 40 * GIB]] as const;

/** Sizes, for the default is twice what the kernel took, and struct pages of a TiB are 16 GiB at 4K. */
const CMDLINE = 'kho=on kho_scratch=512M,512M,512M';

/** Runs the handover of a bulk workload and measures it. */
export function measureBulk(workload: BulkWorkload, page: PageSize, seed: number): Measurement {
  const meter = new BootMeter();
  const old = bootBoard({ page, seed, banks: BANKS, cmdline: CMDLINE, onStep: meter.onStep });
  const order = ilog2((workload.folioBytes ?? page.sizeBytes) / page.sizeBytes) as Order;
  const first = (DATA[0] / page.sizeBytes) as Pfn;
  const nrPages = DATA[1] / page.sizeBytes;
  const preserved = old.enter(() => {
    claimAll(old.kernel.ctx.allocator, first, nrPages, order);
    return old.kernel.kho.preserveFolios({ pfn: first, order }, nrPages / 2 ** order);
  });
  const askedBytes = nrPages * page.sizeBytes;
  const root = old.outgoing?.finalize() ?? 0;
  let jump: JumpFigures | undefined;
  const atJump = (machine: Machine, handoff: BootHandoff | undefined): void => {
    jump = measureBulkJump(machine, handoff, old.context.release, root, askedBytes);
  };
  const next = preserved === 0 ? old.kexec({ ...bootRequest(CMDLINE, meter.onStep), atJump }) : preserved;
  const taken = next === undefined || isErrno(next) ? undefined : next.start;
  return {
    page,
    outcome: taken?.kind ?? 'refused',
    reason: taken?.reason ?? (taken === undefined ? `the old kernel says ${next}` : null),
    works: taken?.kind === 'handover',
    releases: [RELEASE],
    arch: ARCH,
    seed,
    ramBytes: BANKS.reduce((sum, [, sizeBytes]) => sum + sizeBytes, 0),
    scratchAlignBytes: page.sizeBytes * 2 ** old.context.allocator.maxPageOrder,
    askedBytes,
    jump,
    boot: meter.figures,
  };
}

/** Takes a bank from the allocator, in folios of `order` or, for single pages, by the largest blocks. */
function claimAll(
  allocator: { readonly maxPageOrder: number; allocSpecific(pfn: Pfn, order: Order, options?: object): boolean },
  first: Pfn,
  nrPages: number,
  order: Order,
): void {
  const blockOrder = (order === 0 ? allocator.maxPageOrder : order) as Order;
  const options = { compound: order > 0 };
  for (let done = 0; done < nrPages; done += 2 ** blockOrder) {
    const taken = allocator.allocSpecific((first + done) as Pfn, blockOrder, options);
    if (!taken) throw new Error(`the kernel keeps frame ${first + done} for itself`);
  }
}

/** As `measureJump`, without a list of blocks: what is preserved beyond the workload is KHO's own. */
function measureBulkJump(
  machine: Machine,
  handoff: BootHandoff | undefined,
  release: Release,
  root: number,
  askedBytes: number,
): JumpFigures | undefined {
  if (handoff === undefined) return undefined;
  const { memory, page } = machine;
  // totalsize, the second word of its header.
  const fdtBytes = new DataView(memory.readBytes(handoff.fdt.phys, 8).buffer).getUint32(4);
  const tree = measureTree(memory, page, release, root);
  if (tree === undefined) return undefined;
  const entry = abiOf(release, page).struct('kho_scratch');
  const scratch = readScratchArray(memory, entry, handoff.scratch.phys, handoff.scratch.sizeBytes);
  const ranges: MemoryRange[] = [
    { base: DATA[0], sizeBytes: DATA[1], kind: 'preserved' },
    ...scratch.filter((area) => area.sizeBytes > 0).map((area) => ({ ...area, kind: 'scratch' as const })),
  ];
  return {
    tree,
    mapBytes: tree.bytes,
    mapPages: tree.nodes,
    keys: tree.keys,
    keysByOrder: tree.keysByOrder,
    preservedBytes: tree.preservedBytes,
    fdtBytes,
    scratch,
    clientPages: { 'root-fdt': 1, subtree: (tree.preservedBytes - askedBytes) / page.sizeBytes - 1 },
    memory: joinRanges(machine.map.banks, ranges),
  };
}
