import { KernelHang } from '../../kernel/failure.ts';
import { isErrno, Kernel, type Release } from '../../kernel/index.ts';
import { fdtViewAt } from '../../kernel/kho/fdt-view.ts';
import { makeIncomingMap } from '../../kernel/kho/outgoing-map.ts';
import { mapOf } from '../../kernel/kho/root-fdt.ts';
import { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import {
  hex,
  Machine,
  MachineFault,
  type Order,
  type PageSize,
  type Pfn,
  type PhysAddr,
  pattern,
  physAddr,
  physOf,
} from '../../machine/index.ts';
import { MEMBLOCK_RSRV_NOINIT } from '../../machine/memblock/flags.ts';
import { NO_REGION } from '../../machine/memblock/region-table.ts';
import { PageSet } from './page-set.ts';

/** `core`: folios, ranges and a subtree, which every release has. `clients`: what both sides know besides. */
export type Workload = 'core' | 'clients';

/** One handover from an old release to a new one, executed, and what came out of it. */
export interface HandoverRun {
  readonly outcome: 'handover' | 'cold-boot' | 'panic' | 'oops' | 'corrupt';
  readonly detail: string;
  /**
   * Pages that the old kernel was asked to preserve and the new one did not keep (all, unless it took them over), and
   * those of clients whose data did not come back.
   */
  readonly pagesLost: number;
  /** Pages that the new kernel keeps although nobody preserved them. */
  readonly pagesPhantom: number;
  readonly clientsBroken: readonly string[];
}

const GIB = 2 ** 30;
const SEED = 0x6b686f;
const CONTENT = pattern(SEED);
const SUBTREE = 'khosim';
const RESERVE_MEM = 'khosim_rm';
const SESSION = 'khosim';
const TOKEN = 0x11;
const FILE_BYTES = 40_000;
const TEST_KHO_BYTES = 262_144;
const RESERVE_MEM_BYTES = 2 ** 21;

/** What a client that does not come back takes with it. */
const CLIENT_BYTES: Readonly<Record<string, number>> = {
  subtree: SUBTREE.length,
  kho_test: TEST_KHO_BYTES,
  reserve_mem: RESERVE_MEM_BYTES,
  'LUO session': FILE_BYTES,
};

/** What the old kernel was asked to bring over. */
interface Asked {
  readonly blocks: {
    readonly pfn: number;
    readonly nrPages: number;
    readonly folio: boolean;
    readonly order: number;
  }[];
  readonly sessions: boolean;
  /** The release name that kexec-metadata carries; undefined where it is not written. */
  readonly metadata: string | undefined;
}

/**
 * Boots the old release on a fresh machine of 6 GiB, has it preserve a workload, jumps, and boots the new one on what is
 * left. Nothing is computed from the contracts: all that is told happened.
 * @throws RangeError when a proposal's contracts lack what a codec needs.
 */
export function runHandover(before: Release, after: Release, page: PageSize, workload: Workload): HandoverRun {
  const banks = [{ base: physAddr(GIB), sizeBytes: 6 * GIB, nid: 0 }];
  const machine = Machine.powerOn({ arch: 'arm64', page, banks, seed: SEED });
  const cmdline = cmdlineFor(page, workload);
  const config = { TEST_KEXEC_HANDOVER: workload === 'clients', NUMA: false };
  const old = Kernel.boot(machine, { release: before, cmdline, config });
  const asked = old.call(() => preserveWorkload(old, workload, after));
  const finalized = asked.ok ? old.call(() => old.kho.finalize()) : undefined;
  const fdtPhys = old.kho.outgoingFdtPhys;
  const loaded = finalized?.ok === true && finalized.value === 0 ? old.load(cmdline) : undefined;
  if (!asked.ok || loaded?.ok !== true || isErrno(loaded.value) || old.jump(loaded.value) !== 0) {
    return died(old, 'the old kernel does not come to its kexec');
  }
  const written = writtenBlocks(before, page, machine, fdtPhys);
  const kept: Kept = { reserved: new PageSet(), noinit: new PageSet() };
  let atFree = false;
  const next = Kernel.boot(machine, {
    release: after,
    cmdline,
    config,
    onStep: (kernel, step) => {
      if (step !== 'mm_core_init: memblock_free_all') return;
      collectReserved(kernel, kept);
      atFree = true;
    },
  });
  if (!atFree) collectReserved(next, kept);
  const pagesLost = asked.value.blocks.reduce((sum, block) => sum + block.nrPages, 0);
  if (next.outcome.kind === 'running' && !next.isKhoBoot) {
    return { ...NOTHING, pagesLost, outcome: 'cold-boot', detail: refusal(next) };
  }
  for (const block of asked.value.blocks) written.add(block.pfn, block.pfn + block.nrPages);
  const phantom = kept.noinit.without(written);
  if (next.outcome.kind !== 'running') {
    const run = died(next, '');
    return {
      ...run,
      pagesLost,
      pagesPhantom: phantom.nrPages,
      detail: [run.detail, ...phantomText(phantom, page)].join('; '),
    };
  }
  return judgeRun(next, asked.value, kept, phantom, workload);
}

/** What the new kernel holds back from its page allocator. */
interface Kept {
  readonly reserved: PageSet;
  /** That part of it whose struct pages it leaves alone: what it takes for preserved. */
  readonly noinit: PageSet;
}

function collectReserved(kernel: Kernel, kept: Kept): void {
  const { page } = kernel.ctx;
  const { reserved: table } = kernel.memblock;
  for (let at = table.first(); at !== NO_REGION; at = table.next(at)) {
    const [start, end] = [Math.floor(table.base(at) / page.sizeBytes), Math.ceil(table.end(at) / page.sizeBytes)];
    kept.reserved.add(start, end);
    if ((table.flags(at) & MEMBLOCK_RSRV_NOINIT) !== 0) kept.noinit.add(start, end);
  }
}

function phantomText(phantom: PageSet, page: PageSize): string[] {
  if (phantom.first === undefined) return [];
  return [`phantom pages that nobody preserved, the first at ${hex(phantom.first * page.sizeBytes)}`];
}

const NOTHING = { pagesLost: 0, pagesPhantom: 0, clientsBroken: [] } as const;

function died(kernel: Kernel, otherwise: string): HandoverRun {
  const { outcome } = kernel;
  if (outcome.kind === 'panic' || outcome.kind === 'oops')
    return { ...NOTHING, outcome: outcome.kind, detail: outcome.reason };
  const { lines } = kernel.ctx.log;
  return { ...NOTHING, outcome: 'cold-boot', detail: `${otherwise}: ${lines.at(-1)?.text ?? ''}` };
}

function cmdlineFor(page: PageSize, workload: Workload): string {
  const scratch = page.shift === 16 ? '512M,512M,512M' : '64M,64M,64M';
  const clients =
    workload === 'clients'
      ? ` liveupdate=on reserve_mem=${RESERVE_MEM_BYTES}:64K:${RESERVE_MEM} test_kho.max_mem=${TEST_KHO_BYTES}`
      : '';
  return `kho=on kho_scratch=${scratch}${clients}`;
}

/** Folios of each order and ranges at odd places, over some GiB, each page with content of its own. */
function preserveWorkload(kernel: Kernel, workload: Workload, after: Release): Asked {
  const { ctx, kho } = kernel;
  const { allocator, memory, page } = ctx;
  const blocks: Asked['blocks'] = [];
  const maxOrder = ctx.config.MAX_PAGE_ORDER;
  const keep = (pfn: number, nrPages: number, folio: boolean, order: number) => {
    memory.fillPages(pfn as Pfn, nrPages, CONTENT);
    blocks.push({ pfn, nrPages, folio, order });
  };
  for (let order = 0; order < maxOrder; order++) {
    const pfn = allocator.allocPages(order as Order, { compound: true });
    if (pfn === undefined || kho.preserveFolio({ pfn, order: order as Order }) !== 0) continue;
    keep(pfn, 2 ** order, true, order);
  }
  const nrStretches = Math.min(
    workload === 'core' ? 192 : 16,
    Math.floor((3 * GIB) / (page.sizeBytes * 2 ** maxOrder)),
  );
  for (let i = 0; i < nrStretches; i++) {
    const pfn = allocator.allocPages(maxOrder as Order);
    if (pfn === undefined) break;
    const start = pfn + ((i * 37) % (2 ** maxOrder - 64));
    const nrPages = 1 + ((i * 11) % 63);
    if (kho.preservePages(start as Pfn, nrPages) === 0) keep(start, nrPages, false, 0);
  }
  const blob = kho.allocPreserve(page.sizeBytes);
  if (!isErrno(blob)) {
    memory.writeBytes(blob, new TextEncoder().encode(SUBTREE));
    kho.addSubtree(SUBTREE, blob, page.sizeBytes);
  }
  const sessions = workload === 'clients' && after.luo !== undefined && preserveSession(kernel);
  return { blocks, sessions, metadata: ctx.release.metadata === undefined ? undefined : ctx.release.uts };
}

function preserveSession(kernel: Kernel): boolean {
  const device = kernel.luo?.open();
  if (device === undefined || isErrno(device)) return false;
  const session = device.createSession(SESSION);
  if (isErrno(session)) return false;
  const file = Memfd.create(kernel.ctx, 'khosim');
  return file.inode.write(0, fileContent()) === 0 && session.preserveFd(TOKEN, file) === 0;
}

function fileContent(): Uint8Array {
  const bytes = new Uint8Array(FILE_BYTES);
  for (let i = 0; i < FILE_BYTES; i++) bytes[i] = 1 + ((i * 7 + (i >>> 8) * 13) % 255);
  return bytes;
}

/** What is in the map that the old kernel left, read the way the old release reads. */
function writtenBlocks(release: Release, page: PageSize, machine: Machine, fdtPhys: PhysAddr | undefined): PageSet {
  const { memory, map } = machine;
  const written = new PageSet();
  if (fdtPhys === undefined) return written;
  try {
    const root = mapOf(fdtViewAt(memory, fdtPhys), release.root);
    if (root === undefined || root === 0) return written;
    makeIncomingMap({ release, page, map }).walk(memory, root as PhysAddr, (lo, hi, order) => {
      const pfn = Math.floor((hi * 0x1_0000_0000 + lo) / page.sizeBytes);
      if (order <= 40) written.add(pfn, pfn + 2 ** order);
    });
  } catch (error) {
    // The old release cannot read its own map: what it says is all there is.
    if (!(error instanceof MachineFault || error instanceof KernelHang)) throw error;
  }
  return written;
}

function judgeRun(next: Kernel, asked: Asked, kept: Kept, phantom: PageSet, workload: Workload): HandoverRun {
  const { page, memory } = next.ctx;
  let pagesLost = 0;
  let firstLost: string | undefined;
  const lostOrders = new Set<number>();
  for (const block of asked.blocks) {
    for (let pfn = block.pfn; pfn < block.pfn + block.nrPages; pfn++) {
      if (kept.reserved.has(pfn) && memory.holdsFill(pfn as Pfn, CONTENT)) continue;
      pagesLost++;
      firstLost ??= hex(physOf(page, pfn as Pfn));
      lostOrders.add(block.order);
    }
  }
  const pagesPhantom = phantom.nrPages;
  const brokenFolios =
    pagesLost === 0 ? asked.blocks.filter((block) => block.folio && !restores(next, block)).length : 0;
  const clientsBroken = brokenClients(next, asked, workload);
  for (const client of clientsBroken) pagesLost += Math.ceil((CLIENT_BYTES[client] ?? 0) / page.sizeBytes);
  const { outcome } = next;
  if (outcome.kind === 'panic' || outcome.kind === 'oops') {
    return { pagesLost, pagesPhantom, clientsBroken, outcome: outcome.kind, detail: outcome.reason };
  }
  const findings = [
    ...(firstLost === undefined
      ? []
      : [`pages of order ${[...lostOrders].sort((a, b) => a - b).join(', ')} lost, the first at ${firstLost}`]),
    ...phantomText(phantom, page),
    ...(brokenFolios === 0 ? [] : [`${brokenFolios} folios do not restore`]),
    ...(clientsBroken.length === 0 ? [] : [`${clientsBroken.join(', ')} did not come back`]),
  ];
  return {
    outcome: findings.length === 0 ? 'handover' : 'corrupt',
    detail: findings.length === 0 ? 'everything came back' : findings.join('; '),
    pagesLost,
    pagesPhantom,
    clientsBroken,
  };
}

function restores(next: Kernel, block: Asked['blocks'][number]): boolean {
  if (next.outcome.kind !== 'running') return false;
  const result = next.call(() => next.kho.restoreFolio(physOf(next.ctx.page, block.pfn as Pfn)));
  return result.ok && result.value?.order === block.order;
}

function brokenClients(next: Kernel, asked: Asked, workload: Workload): string[] {
  const broken: string[] = [];
  const running = () => next.outcome.kind === 'running';
  const subtree = running() ? next.call(() => subtreeIntact(next)) : undefined;
  if (subtree?.ok !== true || !subtree.value) broken.push('subtree');
  if (workload === 'core') return broken;
  const { metadata } = next.ctx.release;
  const count = next.ctx.control.state.kexecCount;
  if (asked.metadata !== undefined && metadata !== undefined) {
    if (next.ctx.control.state.previousRelease !== asked.metadata || count !== 1) broken.push('kexec-metadata');
  }
  // test_kho is there on both sides only where both releases have it; its own node tells.
  if (next.testKho !== undefined && next.testKho.verdict === 'failed') broken.push('kho_test');
  if (
    next.clients.reserveMem.find(RESERVE_MEM) !== undefined &&
    !next.clients.reserveMem.regions.some(({ revived }) => revived)
  ) {
    broken.push('reserve_mem');
  }
  if (asked.sessions && running()) {
    const file = next.call(() => sessionIntact(next));
    if (!file.ok || !file.value) broken.push('LUO session');
  }
  return broken;
}

function subtreeIntact(next: Kernel): boolean {
  const found = next.kho.retrieveSubtree(SUBTREE);
  if (isErrno(found)) return false;
  const bytes = next.ctx.memory.readBytes(found.phys, SUBTREE.length);
  return String.fromCharCode(...bytes) === SUBTREE;
}

function sessionIntact(next: Kernel): boolean {
  const device = next.luo?.open();
  if (device === undefined || isErrno(device)) return false;
  const session = device.retrieveSession(SESSION);
  if (isErrno(session)) return false;
  const file = session.retrieveFd(TOKEN);
  if (!(file instanceof Memfd) || file.inode.sizeBytes !== FILE_BYTES) return false;
  const expected = fileContent();
  return file.inode.read(0, FILE_BYTES).every((byte, i) => byte === expected[i]);
}

/** Why a kernel booted cold: the line in front of "disabling KHO revival". */
function refusal(kernel: Kernel): string {
  const { lines } = kernel.ctx.log;
  const at = lines.findIndex((line) => line.text.startsWith('KHO: disabling KHO revival'));
  return (at > 0 ? lines[at - 1]?.text : lines[at]?.text) ?? 'no handoff';
}
