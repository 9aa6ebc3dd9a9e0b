import { errnoName, isErrno, type Kernel } from '../../kernel/index.ts';
import { preserveVmalloc, writePreservation } from '../../kernel/kho/vmalloc.ts';
import { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import { vmalloc } from '../../kernel/mm/vmalloc-area.ts';
import { type Fill, type Order, type Pfn, type PhysAddr, pattern, pfnOf, Random } from '../../machine/index.ts';
import type { HandoverSize } from './size.ts';

/** What is handed over: memory and subtrees, or every client that a release has besides. */
export type WorkloadName = 'core' | 'clients';

export const WORKLOADS: readonly WorkloadName[] = ['core', 'clients'];

/** A block or a range that the old kernel preserved, with content of its own. */
export interface PreservedRange {
  readonly pfn: Pfn;
  readonly nrPages: number;
  /** A folio of this order, or a range of single pages. */
  readonly folioOrder: Order | undefined;
}

/** What the old kernel was asked to hand over, as the checker outside both kernels remembers it. */
export interface Handed {
  readonly ranges: readonly PreservedRange[];
  readonly subtrees: readonly string[];
  /** The subtree whose blob begins with a struct kho_vmalloc; undefined for a kernel without it. */
  readonly vmalloc: { readonly subtree: string; readonly sizeBytes: number } | undefined;
  /** Content of each file by session and token; undefined for a kernel without LUO. */
  readonly files: ReadonlyMap<string, Uint8Array> | undefined;
  /** Name and bytes of each region of reserve_mem. */
  readonly reserveMem: readonly { readonly name: string; readonly sizeBytes: number }[];
  readonly testKho: boolean;
  /** The release that kexec-metadata names; undefined where it is not written. */
  readonly previousRelease: string | undefined;
  /** What the old kernel would not take, in words. A release takes all; a proposal may have made its own limits. */
  readonly refused: readonly string[];
}

const CONTENT_SEED = 0x6d61_7472;
export const CONTENT: Fill = pattern(CONTENT_SEED);
const SUBTREES = ['alpha', 'beta'];
const VMALLOC_SUBTREE = 'vmalloc';

/** Bytes of test_kho's folios. */
export const TEST_KHO_BYTES = 2 ** 18;
export const RESERVE_MEM = { name: 'khosim_rm', sizeBytes: 2 ** 21 };

/** Fills the old kernel's hands. Runs inside `Kernel.call`. */
export function handOver(kernel: Kernel, workload: WorkloadName, size: HandoverSize, seed: number): Handed {
  const random = new Random(seed);
  const clients = workload === 'clients';
  const refused: string[] = [];
  const taken = (what: string, result: unknown): boolean => {
    if (result !== undefined && (result === 0 || !isErrno(result))) return true;
    refused.push(`${what}: ${isErrno(result) ? errnoName(result) : 'no memory'}`);
    return false;
  };
  return {
    ranges: handOverMemory(kernel, size, random, taken),
    subtrees: SUBTREES.filter((name) => taken(`subtree ${name}`, handOverSubtree(kernel, name))),
    vmalloc: clients ? handOverVmalloc(kernel, size, taken) : undefined,
    files: clients ? handOverFiles(kernel, size, random, taken) : undefined,
    reserveMem: clients ? kernel.clients.reserveMem.regions.map(({ name, sizeBytes }) => ({ name, sizeBytes })) : [],
    testKho: clients && kernel.testKho !== undefined,
    previousRelease: clients && kernel.ctx.release.metadata !== undefined ? kernel.ctx.release.uts : undefined,
    refused,
  };
}

/** Notes a refusal by its name; true for anything that is not one. */
type Taken = (what: string, result: unknown) => boolean;

function handOverMemory(kernel: Kernel, size: HandoverSize, random: Random, taken: Taken): PreservedRange[] {
  const { allocator, page, memory, config } = kernel.ctx;
  const ranges: PreservedRange[] = [];
  const keep = (range: PreservedRange, result: number) => {
    if (!taken(`${range.nrPages} pages at pfn 0x${range.pfn.toString(16)}`, result)) return;
    memory.fillPages(range.pfn, range.nrPages, CONTENT);
    ranges.push(range);
  };
  for (let order = 0; order <= config.MAX_PAGE_ORDER; order++) {
    const room = Math.floor(size.folioBytesPerOrder / (page.sizeBytes * 2 ** order));
    const count = order === 0 ? size.singles : Math.min(size.foliosPerOrder, room);
    for (let i = 0; i < count; i++) {
      const pfn = allocator.allocScattered(random, order as Order, { compound: true });
      if (pfn === undefined) throw new Error(`the workload cannot be set up: no folio of order ${order}`);
      const folio = { pfn, order: order as Order };
      keep({ pfn, nrPages: 2 ** order, folioOrder: folio.order }, kernel.kho.preserveFolio(folio));
    }
  }
  for (const nrPages of size.ranges) {
    const runs = allocator.allocPagesBulk(nrPages);
    if (runs === undefined) throw new Error(`the workload cannot be set up: no ${nrPages} pages`);
    for (const run of runs) {
      keep({ ...run, folioOrder: undefined }, kernel.kho.preservePages(run.pfn, run.nrPages));
    }
  }
  return ranges;
}

function handOverSubtree(kernel: Kernel, name: string): number {
  const { page, memory } = kernel.ctx;
  const phys = kernel.kho.allocPreserve(page.sizeBytes);
  if (isErrno(phys)) return phys;
  memory.fillPages(pfnOf(page, phys), 1, CONTENT);
  return kernel.kho.addSubtree(name, phys, page.sizeBytes);
}

function handOverVmalloc(kernel: Kernel, size: HandoverSize, taken: Taken): Handed['vmalloc'] {
  const { ctx, kho } = kernel;
  if (ctx.release.vmalloc === undefined) return undefined;
  const sizeBytes = size.vmallocPages(ctx.page) * ctx.page.sizeBytes;
  const area = vmalloc(ctx, sizeBytes);
  if (area === undefined) throw new Error('the workload cannot be set up: no vmalloc area');
  area.fill(CONTENT);
  const preservation = preserveVmalloc(ctx, area);
  if (isErrno(preservation)) {
    taken('a vmalloc area', preservation);
    return undefined;
  }
  const phys = kho.allocPreserve(ctx.page.sizeBytes);
  if (!taken('a subtree', phys)) return undefined;
  writePreservation(ctx, phys as PhysAddr, preservation);
  const added = kho.addSubtree(VMALLOC_SUBTREE, phys as PhysAddr, ctx.page.sizeBytes);
  return taken(`subtree ${VMALLOC_SUBTREE}`, added) ? { subtree: VMALLOC_SUBTREE, sizeBytes } : undefined;
}

function handOverFiles(kernel: Kernel, size: HandoverSize, random: Random, taken: Taken): Handed['files'] {
  if (kernel.luo?.enabled !== true) return undefined;
  const device = kernel.luo.open();
  const files = new Map<string, Uint8Array>();
  if (isErrno(device)) {
    taken('/dev/liveupdate', device);
    return files;
  }
  for (const name of new Set(size.files.map(([session]) => session))) {
    const session = device.createSession(name);
    if (isErrno(session)) {
      taken(`session ${name}`, session);
      continue;
    }
    for (const [owner, token, sizeBytes] of size.files) {
      if (owner !== name) continue;
      const bytes = new Uint8Array(sizeBytes);
      for (let i = 0; i < sizeBytes; i++) bytes[i] = random.u32();
      const file = Memfd.create(kernel.ctx, `${name}-${token}`);
      file.inode.write(0, bytes);
      const key = `${name}/0x${token.toString(16)}`;
      if (taken(`file ${key}`, session.preserveFd(token, file))) files.set(key, bytes);
    }
  }
  return files;
}
