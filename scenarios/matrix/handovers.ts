import { isErrno, Kernel, type KernelOptions, type Release } from '../../kernel/index.ts';
import {
  type BootRegisters,
  imageFill,
  type LoadedSegment,
  Machine,
  type MemoryVersion,
  type PageSize,
  type Pfn,
  PhysicalMemory,
  physAddr,
  type RamBank,
} from '../../machine/index.ts';
import { type Cell, type HandedBytes, judge } from './cell.ts';
import { union } from './intervals.ts';
import { handOver, type WorkloadName } from './workload.ts';

const GIB = 2 ** 30;

/** The machine of every cell: QEMU's arm64 board with RAM enough for the largest scratch alignment. */
const BANKS: readonly RamBank[] = [{ base: physAddr(GIB), sizeBytes: 8 * GIB, nid: 0 }];

/** Scratch that holds the memory map of 8 GiB, which kernels before 7.3 must find there. */
function cmdlineOf(page: PageSize, workload: WorkloadName): string {
  const size = page.shift === 16 ? '512M' : '256M';
  const clients = workload === 'clients' ? ' liveupdate=on reserve_mem=2M:64K:khosim_rm' : '';
  return `kho=on kho_scratch=${size},${size},${size}${clients}`;
}

function optionsOf(release: Release, page: PageSize, workload: WorkloadName): KernelOptions {
  return {
    release,
    cmdline: cmdlineOf(page, workload),
    config: { TEST_KEXEC_HANDOVER: workload === 'clients', LIVEUPDATE_TEST: workload === 'clients' },
  };
}

/** An old kernel's memory at the jump: any number of new kernels can be booted on it, one after the other. */
export interface OldKernel {
  readonly release: Release;
  readonly page: PageSize;
  readonly workload: WorkloadName;
  readonly seed: number;
  readonly left: HandedBytes;
  readonly memory: PhysicalMemory;
  readonly version: MemoryVersion;
  readonly registers: BootRegisters;
  readonly segments: readonly LoadedSegment[];
}

/** Runs an old kernel up to the jump. @throws Error when it does not get there: a bug of khosim. */
export function runOldKernel(release: Release, page: PageSize, workload: WorkloadName, seed: number): OldKernel {
  const machine = Machine.powerOn({ arch: 'arm64', page, banks: BANKS, seed });
  const kernel = Kernel.boot(machine, optionsOf(release, page, workload));
  const handed = kernel.call(() => handOver(kernel, workload, seed));
  if (!handed.ok) throw new Error(`${release.name} fell over before the jump`);
  if (kernel.luo?.enabled !== true) kernel.call(() => kernel.kho.finalize());
  const blocks: [number, number][] = [];
  kernel.kho.outgoingMap?.forEach((lo, hi, order) => {
    const phys = hi * 0x1_0000_0000 + lo;
    blocks.push([phys, phys + page.sizeBytes * 2 ** order]);
  });
  const loaded = kernel.load(cmdlineOf(page, workload));
  if (!loaded.ok || isErrno(loaded.value)) throw new Error(`${release.name} cannot load the next kernel`);
  const refused = kernel.jump(loaded.value);
  if (refused !== 0) throw new Error(`${release.name} refuses to jump: ${refused}`);
  const { memory, registers, segments } = machine;
  return {
    release,
    page,
    workload,
    seed,
    left: { handed: handed.value, oldPageBytes: page.sizeBytes, recorded: union(blocks) },
    memory,
    version: memory.mark(),
    registers,
    segments,
  };
}

/** Boots a new kernel on an old one's memory and judges what came over. */
export function runCell(old: OldKernel, release: Release, page: PageSize = old.page): Cell {
  old.memory.restore(old.version);
  const memory = page === old.page ? old.memory : withPages(old.memory, page);
  const machine = Machine.resume({ arch: 'arm64', page, banks: BANKS, seed: old.seed }, memory, old.registers);
  machine.segments = old.segments;
  const kernel = Kernel.boot(machine, optionsOf(release, page, old.workload));
  return {
    old: old.release.name,
    new: release.name,
    pageSize: old.page.sizeBytes,
    ...(page === old.page ? {} : { newPageSize: page.sizeBytes }),
    ...judge(kernel, old.left),
  };
}

/** The same bytes under another page size: each new page is read out of the old ones when somebody looks. */
function withPages(memory: PhysicalMemory, page: PageSize): PhysicalMemory {
  const same = new PhysicalMemory(page, memory.banks);
  const source = {
    readPage: (pfn: number, words: Uint32Array) => {
      words.set(new Uint32Array(memory.readBytes(physAddr(pfn * page.sizeBytes), page.sizeBytes).buffer));
    },
  };
  for (const bank of memory.banks) {
    same.fillPages((bank.base / page.sizeBytes) as Pfn, bank.sizeBytes / page.sizeBytes, imageFill(source, 0));
  }
  return same;
}
