import { type Errno, errnoName, isErrno, type Kernel } from '../../kernel/index.ts';
import { readPreservation, restoreVmalloc } from '../../kernel/kho/vmalloc.ts';
import { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import { type Pfn, pfnOf, physOf } from '../../machine/index.ts';
import { MEMBLOCK_RSRV_NOINIT } from '../../machine/memblock/flags.ts';
import { NO_REGION } from '../../machine/memblock/region-table.ts';
import { type Intervals, nameRanges, subtract, totalBytes, union } from './intervals.ts';
import { CONTENT, type Handed, type PreservedRange, TEST_KHO_BYTES } from './workload.ts';

/** What became of a handover: what the new kernel did, or `corrupt` when it said yes and lost something. */
export type HandoverOutcome = 'handover' | 'cold-boot' | 'panic' | 'oops' | 'corrupt';

/** What a new kernel made of an old one's memory. */
export interface HandoverVerdict {
  readonly outcome: HandoverOutcome;
  /** In words: the reason, and the addresses of what was lost or taken for preserved. */
  readonly detail: string;
  /**
   * Pages, of the old kernel's size, that it was asked to preserve and the new one did not keep as they were (all of
   * them, unless it took them over and lives), and those of clients whose data did not come back.
   */
  readonly pagesLost: number;
  /** Pages, of the new kernel's size, that it keeps although nobody preserved them. */
  readonly pagesPhantom: number;
  readonly clientsBroken: readonly string[];
}

/** What the old kernel left, in bytes rather than pages, so that a kernel of another page size can be judged too. */
export interface HandedBytes {
  readonly handed: Handed;
  readonly oldPageBytes: number;
  /** Everything that the old kernel recorded as preserved, its own metadata included. */
  readonly recorded: Intervals;
}

/** Everything that was asked for, ascending. */
export function wantedBytes({ handed, oldPageBytes }: HandedBytes): Intervals {
  return union(handed.ranges.map(({ pfn, nrPages }) => [pfn * oldPageBytes, (pfn + nrPages) * oldPageBytes] as const));
}

/**
 * Judges a kernel that booted on an old one's memory: restores everything the old kernel was asked to hand over that the
 * new one can restore, and compares. Verifies reservation, content, orders, and each client that both releases have. It
 * does not verify what the old kernel kept for itself.
 */
export function judge(kernel: Kernel, left: HandedBytes): HandoverVerdict {
  const wanted = wantedBytes(left);
  const inOldPages = (ranges: Intervals) => Math.ceil(totalBytes(ranges) / left.oldPageBytes);
  const all = { pagesLost: inOldPages(wanted), pagesPhantom: 0, clientsBroken: [] };
  if (kernel.outcome.kind === 'running' && !kernel.isKhoBoot) {
    return { ...all, outcome: 'cold-boot', detail: refusal(kernel) };
  }
  const reserved = reservedMemory(kernel);
  // Where it fell over, the walk may have reserved what was never preserved.
  const phantom = kernel.isKhoBoot ? subtract(reserved.noinit, union([...left.recorded, ...wanted])) : [];
  // A reader of other pages than the old kernel's may have taken parts of its own.
  const pagesPhantom = Math.ceil(totalBytes(phantom) / kernel.ctx.page.sizeBytes);
  const phantoms = phantom.length === 0 ? [] : [`${pagesPhantom} phantom pages: ${nameRanges(phantom)}`];
  if (isDown(kernel)) {
    return { ...all, pagesPhantom, ...downfall(kernel, phantoms.map((text) => ` after ${text}`).join('')) };
  }
  const lost = union([...subtract(wanted, reserved.all), ...overwritten(kernel, left)]);
  const broken = brokenClients(kernel, left, lost);
  const findings = [
    ...(lost.length === 0 ? [] : [`${inOldPages(lost)} pages lost: ${nameRanges(lost)}`]),
    ...phantoms,
    ...(broken.ranges === 0 ? [] : [`${broken.ranges} of ${left.handed.ranges.length} ranges are not restored`]),
    ...broken.clients.map(({ name, why }) => `${name}: ${why}`),
  ];
  const clientBytes = broken.clients.reduce((sum, { lostBytes }) => sum + roundUp(lostBytes, left.oldPageBytes), 0);
  const figures = {
    pagesLost: inOldPages(lost) + clientBytes / left.oldPageBytes,
    pagesPhantom,
    clientsBroken: [...new Set(broken.clients.map(({ client }) => client))],
  };
  if (isDown(kernel)) return { ...figures, ...downfall(kernel, ` on restore${listed(findings)}`) };
  return {
    ...figures,
    outcome: findings.length === 0 ? 'handover' : 'corrupt',
    detail: findings.length === 0 ? 'everything came back' : findings.join('; '),
  };
}

function listed(findings: readonly string[]): string {
  return findings.length === 0 ? '' : `; ${findings.join('; ')}`;
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}

function isDown(kernel: Kernel): boolean {
  return kernel.outcome.kind === 'panic' || kernel.outcome.kind === 'oops';
}

/** How a kernel that is down went down. */
export function downfall(kernel: Kernel, more = ''): Pick<HandoverVerdict, 'outcome' | 'detail'> {
  const { outcome } = kernel;
  if (outcome.kind !== 'panic' && outcome.kind !== 'oops') throw new Error('the kernel is up');
  return { outcome: outcome.kind, detail: `${outcome.reason}${more}` };
}

/** Reads the reserved regions of a kernel that has booted: all of them, and what KHO's walk reserved. */
function reservedMemory(kernel: Kernel): { readonly all: Intervals; readonly noinit: Intervals } {
  const all: [number, number][] = [];
  const noinit: [number, number][] = [];
  const table = kernel.memblock.reserved;
  for (let at = table.first(); at !== NO_REGION; at = table.next(at)) {
    all.push([table.base(at), table.end(at)]);
    if ((table.flags(at) & MEMBLOCK_RSRV_NOINIT) !== 0) noinit.push([table.base(at), table.end(at)]);
  }
  return { all: union(all), noinit: union(noinit) };
}

/** Why the handover was refused: the log line before "disabling KHO revival". */
function refusal(kernel: Kernel): string {
  const { lines } = kernel.ctx.log;
  const at = lines.findIndex((line) => line.text.startsWith('KHO: disabling KHO revival'));
  return at > 0 ? (lines[at - 1]?.text ?? '') : 'no handover was found';
}

/** Pages whose content is not what the old kernel left. Only for equal page sizes: the pattern is made per page. */
function overwritten(kernel: Kernel, { handed, oldPageBytes }: HandedBytes): Intervals {
  const { memory, page } = kernel.ctx;
  if (page.sizeBytes !== oldPageBytes) return [];
  const pages: [number, number][] = [];
  for (const { pfn, nrPages } of handed.ranges) {
    for (let i = pfn as number; i < pfn + nrPages; i++) {
      if (!memory.holdsFill(i as Pfn, CONTENT)) pages.push([i * oldPageBytes, (i + 1) * oldPageBytes]);
    }
  }
  return pages;
}

/** A client whose data did not come back, with what that takes with it. */
interface Broken {
  /** The kind of client: `subtree`, `vmalloc`, `kho_test`, `reserve_mem`, `LUO session`, `kexec-metadata`. */
  readonly client: string;
  readonly name: string;
  readonly why: string;
  readonly lostBytes: number;
}

/** Restores and compares everything; a kernel that goes down on the way has what follows broken too. */
function brokenClients(
  kernel: Kernel,
  { handed, oldPageBytes }: HandedBytes,
  lost: Intervals,
): { ranges: number; clients: readonly Broken[] } {
  const samePages = kernel.ctx.page.sizeBytes === oldPageBytes;
  const clients: Broken[] = [];
  /** @param verify says what is wrong, or undefined. */
  const expect = (client: string, name: string, lostBytes: number, verify: () => string | undefined) => {
    const checked = isDown(kernel) ? undefined : kernel.call(verify);
    const why = checked?.ok === true ? checked.value : 'the kernel is down';
    if (why !== undefined) clients.push({ client, name, why, lostBytes });
  };
  let ranges = 0;
  if (samePages) {
    for (const range of handed.ranges) {
      const restored = isDown(kernel) ? undefined : kernel.call(() => isRestored(kernel, range));
      if (restored?.ok !== true || !restored.value) ranges++;
    }
  }
  for (const name of handed.subtrees) {
    expect('subtree', `subtree ${name}`, oldPageBytes, () => checkSubtree(kernel, name, samePages));
  }
  const { vmalloc } = handed;
  if (vmalloc !== undefined && kernel.ctx.release.vmalloc !== undefined) {
    expect('vmalloc', 'vmalloc', vmalloc.sizeBytes, () => checkVmalloc(kernel, vmalloc.subtree));
  }
  if (handed.previousRelease !== undefined && kernel.ctx.release.metadata !== undefined) {
    const { previousRelease, kexecCount } = kernel.ctx.control.state;
    expect('kexec-metadata', 'kexec-metadata', 0, () =>
      previousRelease === handed.previousRelease && kexecCount === 1
        ? undefined
        : `says release '${previousRelease}', kexec ${kexecCount}`,
    );
  }
  const { testKho } = kernel;
  if (handed.testKho && testKho !== undefined) {
    expect('kho_test', 'kho_test', TEST_KHO_BYTES, () => (testKho.verdict === 'ok' ? undefined : testKho.verdict));
  }
  const { regions } = kernel.clients.reserveMem;
  for (const { name, sizeBytes } of handed.reserveMem) {
    const revived = regions.some((region) => region.revived && region.name === name);
    expect('reserve_mem', `reserve_mem ${name}`, sizeBytes, () => (revived ? undefined : 'not revived'));
  }
  if (handed.files !== undefined && kernel.luo?.enabled === true) {
    const checkFile = fileChecker(kernel);
    for (const [key, bytes] of handed.files) {
      expect('LUO session', `file ${key}`, bytes.length, () => checkFile(key, bytes));
    }
  }
  return { ranges: lost.length === 0 || samePages ? ranges : 0, clients };
}

function isRestored(kernel: Kernel, range: PreservedRange): boolean {
  const phys = physOf(kernel.ctx.page, range.pfn);
  if (range.folioOrder === undefined) return kernel.kho.restorePages(phys, range.nrPages) !== undefined;
  return kernel.kho.restoreFolio(phys)?.order === range.folioOrder;
}

function checkSubtree(kernel: Kernel, name: string, samePages: boolean): string | undefined {
  const found = kernel.kho.retrieveSubtree(name);
  if (isErrno(found)) return errnoName(found);
  const { memory, page } = kernel.ctx;
  return !samePages || memory.holdsFill(pfnOf(page, found.phys), CONTENT) ? undefined : 'content differs';
}

function checkVmalloc(kernel: Kernel, subtree: string): string | undefined {
  const { page, memory } = kernel.ctx;
  const found = kernel.kho.retrieveSubtree(subtree);
  if (isErrno(found)) return errnoName(found);
  const area = restoreVmalloc(kernel.ctx, readPreservation(kernel.ctx, found.phys));
  if (area === undefined) return 'not restored';
  for (let at = 0; at < area.sizeBytes; at += page.sizeBytes) {
    if (!memory.holdsFill(pfnOf(page, area.physAt(at)), CONTENT)) return 'content differs';
  }
  return undefined;
}

/** Retrieves files one by one; the device and each session are opened once, as they can be. */
function fileChecker(kernel: Kernel): (key: string, bytes: Uint8Array) => string | undefined {
  type Device = Exclude<ReturnType<NonNullable<Kernel['luo']>['open']>, Errno>;
  let device: Device | Errno | undefined;
  const sessions = new Map<string, ReturnType<Device['retrieveSession']>>();
  return (key, bytes) => {
    device ??= kernel.luo?.open();
    if (device === undefined || isErrno(device))
      return `/dev/liveupdate: ${device === undefined ? 'absent' : errnoName(device)}`;
    const [name = '', token = '0'] = key.split('/');
    const session = sessions.get(name) ?? device.retrieveSession(name);
    sessions.set(name, session);
    if (isErrno(session)) return `session ${name}: ${errnoName(session)}`;
    const file = session.retrieveFd(BigInt(token));
    if (isErrno(file)) return errnoName(file);
    if (!(file instanceof Memfd)) return 'another kind of file';
    return sameBytes(file.inode.read(0, bytes.length + 1), bytes) ? undefined : 'content differs';
  };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
