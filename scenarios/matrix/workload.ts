import { isErrno, type Kernel } from '../../kernel/index.ts';
import { preserveVmalloc, writePreservation } from '../../kernel/kho/vmalloc.ts';
import { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import { vmalloc } from '../../kernel/mm/vmalloc-area.ts';
import { type Fill, type Order, type Pfn, type PhysAddr, pattern, pfnOf, physOf, Random } from '../../machine/index.ts';

/** What is handed over in a cell: memory and subtrees, or every client that a release has. */
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
  readonly vmalloc: string | undefined;
  /** Content of each file by session and token; undefined for a kernel without LUO. */
  readonly files: ReadonlyMap<string, Uint8Array> | undefined;
  readonly reserveMem: readonly string[];
  readonly testKho: boolean;
}

const CONTENT_SEED = 0x6d61_7472;
export const CONTENT: Fill = pattern(CONTENT_SEED);
const SINGLES = 64;
const FOLIOS_PER_ORDER = 4;
/** Folios of an order take no more than this, so that the largest of 64K pages are left out. */
const FOLIO_BYTES_PER_ORDER = 2 ** 27;
/** No piece of them is larger than 2^MAX_PAGE_ORDER pages, which kernels up to 7.0 do not restore. */
const RANGES = [2, 3, 7, 100, 1000, 1023];
const SUBTREES = ['alpha', 'beta'];
const VMALLOC_PAGES = 600;
const VMALLOC_SUBTREE = 'vmalloc';
const FILES: readonly (readonly [string, bigint, number])[] = [
  ['vm-1', 0x11n, 17],
  ['vm-1', 0x22n, 3 * 65536],
  ['vm-2', 0xdead_beef_cafe_0044n, 1_000_000],
  ['vm-2', 0x55n, 0],
];

function must<T>(value: T | undefined, what: string): T {
  if (value === undefined || isErrno(value)) throw new Error(`the workload cannot be set up: ${what} (${value})`);
  return value;
}

/** Fills the old kernel's hands. Runs inside `Kernel.call`. @throws Error when the machine is too small for it. */
export function handOver(kernel: Kernel, workload: WorkloadName, seed: number): Handed {
  const random = new Random(seed);
  const { allocator, page, memory, config } = kernel.ctx;
  const ranges: PreservedRange[] = [];
  const keep = (range: PreservedRange, result: number) => {
    must(result === 0 ? result : undefined, `preserving ${range.nrPages} pages`);
    memory.fillPages(range.pfn, range.nrPages, CONTENT);
    ranges.push(range);
  };
  for (let order = 0; order <= config.MAX_PAGE_ORDER; order++) {
    const room = Math.floor(FOLIO_BYTES_PER_ORDER / (page.sizeBytes * 2 ** order));
    const count = order === 0 ? SINGLES : Math.min(FOLIOS_PER_ORDER, room);
    for (let i = 0; i < count; i++) {
      const pfn = must(
        allocator.allocScattered(random, order as Order, { compound: true }),
        `a folio of order ${order}`,
      );
      const folio = { pfn, order: order as Order };
      keep({ pfn, nrPages: 2 ** order, folioOrder: folio.order }, kernel.kho.preserveFolio(folio));
    }
  }
  for (const nrPages of RANGES) {
    for (const run of must(allocator.allocPagesBulk(nrPages), `${nrPages} pages`)) {
      keep({ ...run, folioOrder: undefined }, kernel.kho.preservePages(run.pfn, run.nrPages));
    }
  }
  for (const name of SUBTREES) {
    const phys = must(kernel.kho.allocPreserve(page.sizeBytes), 'a subtree') as PhysAddr;
    memory.fillPages(pfnOf(page, phys), 1, CONTENT);
    must(kernel.kho.addSubtree(name, phys, page.sizeBytes), `subtree ${name}`);
  }
  const clients = workload === 'clients';
  return {
    ranges,
    subtrees: SUBTREES,
    vmalloc: clients ? handOverVmalloc(kernel) : undefined,
    files: clients ? handOverFiles(kernel, random) : undefined,
    reserveMem: clients ? kernel.clients.reserveMem.regions.map((region) => region.name) : [],
    testKho: clients && kernel.testKho !== undefined,
  };
}

function handOverVmalloc(kernel: Kernel): string | undefined {
  const { ctx, kho } = kernel;
  if (ctx.release.vmalloc === undefined) return undefined;
  const area = must(vmalloc(ctx, VMALLOC_PAGES * ctx.page.sizeBytes), 'a vmalloc area');
  area.fill(CONTENT);
  const preservation = preserveVmalloc(ctx, area);
  if (isErrno(preservation)) throw new Error('the workload cannot be set up: preserving a vmalloc area');
  const phys = must(kho.allocPreserve(ctx.page.sizeBytes), 'a subtree') as PhysAddr;
  writePreservation(ctx, phys, preservation);
  must(kho.addSubtree(VMALLOC_SUBTREE, phys, ctx.page.sizeBytes), VMALLOC_SUBTREE);
  return VMALLOC_SUBTREE;
}

function handOverFiles(kernel: Kernel, random: Random): ReadonlyMap<string, Uint8Array> | undefined {
  if (kernel.luo?.enabled !== true) return undefined;
  const device = must(kernel.luo.open(), 'the liveupdate device');
  if (isErrno(device)) throw new Error('unreachable');
  const files = new Map<string, Uint8Array>();
  for (const name of new Set(FILES.map(([session]) => session))) {
    const session = device.createSession(name);
    if (isErrno(session)) throw new Error(`the workload cannot be set up: session ${name}`);
    for (const [owner, token, sizeBytes] of FILES) {
      if (owner !== name) continue;
      const bytes = Uint8Array.from({ length: sizeBytes }, () => random.u32());
      const file = Memfd.create(kernel.ctx, `${name}-${token}`);
      file.inode.write(0, bytes);
      must(session.preserveFd(token, file), `file ${token}`);
      files.set(`${name}/0x${token.toString(16)}`, bytes);
    }
  }
  return files;
}

/** The addresses of a range's first byte and of the byte behind its last. */
export function spanOf(kernel: Kernel, range: PreservedRange): readonly [number, number] {
  const start = physOf(kernel.ctx.page, range.pfn);
  return [start, start + range.nrPages * kernel.ctx.page.sizeBytes];
}
