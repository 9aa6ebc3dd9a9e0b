import { KernelHang } from '../../kernel/failure.ts';
import { type Errno, errnoName, isErrno, Kernel, type KernelOptions, type Release } from '../../kernel/index.ts';
import {
  type BootRegisters,
  type LoadedSegment,
  Machine,
  MachineFault,
  type MemoryVersion,
  type PageSize,
  type PhysicalMemory,
} from '../../machine/index.ts';
import { type Intervals, union } from './intervals.ts';
import { downfall, type HandedBytes, type HandoverVerdict, wantedBytes } from './judge.ts';
import { banksOf, FULL, type HandoverSize } from './size.ts';
import { handOver, RESERVE_MEM, TEST_KHO_BYTES, type WorkloadName } from './workload.ts';

/** What decides an old kernel's run, and the boot options of its readers. */
export interface HandoverPlan {
  readonly page: PageSize;
  readonly workload: WorkloadName;
  readonly size: HandoverSize;
  readonly seed: number;
}

/** An old kernel's memory at the jump. As many new kernels as one likes can be booted on it, one after the other. */
export interface OldKernel {
  readonly release: Release;
  readonly plan: HandoverPlan;
  readonly left: HandedBytes;
  readonly memory: PhysicalMemory;
  readonly version: MemoryVersion;
  readonly registers: BootRegisters;
  readonly segments: readonly LoadedSegment[];
}

/** An old kernel that did not get to its jump; only one with a proposal's contracts does not. */
export interface NoJump {
  readonly release: Release;
  readonly plan: HandoverPlan;
  readonly verdict: HandoverVerdict;
}

/** The options of both kernels of a handover. */
export function optionsOf(release: Release, plan: Omit<HandoverPlan, 'seed'>): KernelOptions {
  const clients = plan.workload === 'clients';
  return {
    release,
    cmdline: cmdlineOf(plan),
    config: { TEST_KEXEC_HANDOVER: clients, LIVEUPDATE_TEST: clients },
  };
}

function cmdlineOf({ page, workload, size }: Omit<HandoverPlan, 'seed'>): string {
  const scratch = size.scratch(page);
  const { name, sizeBytes } = RESERVE_MEM;
  const clients =
    workload === 'clients'
      ? ` liveupdate=on reserve_mem=${sizeBytes}:64K:${name} test_kho.max_mem=${TEST_KHO_BYTES}`
      : '';
  return `kho=on kho_scratch=${scratch},${scratch},${scratch}${clients}`;
}

/** Boots an old kernel on a fresh machine, has it preserve the workload, and runs it up to the jump. */
export function runOldKernel(
  release: Release,
  page: PageSize,
  workload: WorkloadName,
  seed: number,
  size: HandoverSize = FULL,
): OldKernel | NoJump {
  const plan = { page, workload, size, seed };
  const machine = Machine.powerOn({ arch: 'arm64', page, banks: banksOf(size, page), seed });
  const options = optionsOf(release, plan);
  const kernel = Kernel.boot(machine, options);
  const handed = enter(kernel, () => handOver(kernel, workload, size, seed));
  if (handed === undefined) return noJump(kernel, plan);
  if (kernel.luo?.enabled !== true) {
    const finalized = enter(kernel, () => kernel.kho.finalize());
    if (finalized !== 0) return noJump(kernel, plan, 'finalize', finalized);
  }
  const recorded = recordedBytes(kernel);
  const left = { handed, oldPageBytes: page.sizeBytes, recorded };
  const loaded = kernel.load(options.cmdline ?? '');
  if (!loaded.ok || isErrno(loaded.value)) {
    return noJump(kernel, plan, 'loading the next kernel', loaded.ok ? (loaded.value as Errno) : undefined, left);
  }
  const refused = kernel.jump(loaded.value);
  if (refused !== 0 || kernel.outcome.kind !== 'jumped') return noJump(kernel, plan, 'the jump', refused, left);
  const { memory, registers, segments } = machine;
  return { release, plan, left, memory, version: memory.mark(), registers, segments };
}

/** Undefined when the kernel is down, before or behind. */
function enter<T>(kernel: Kernel, what: () => T): T | undefined {
  if (kernel.outcome.kind !== 'running') return undefined;
  const result = kernel.call(what);
  return result.ok ? result.value : undefined;
}

function recordedBytes(kernel: Kernel): Intervals {
  const blocks: [number, number][] = [];
  const pageBytes = kernel.ctx.page.sizeBytes;
  try {
    kernel.kho.outgoingMap?.forEach((lo, hi, order) => {
      const phys = hi * 0x1_0000_0000 + lo;
      blocks.push([phys, phys + pageBytes * 2 ** order]);
    });
  } catch (error) {
    // It cannot read its own map: what it says until then is all there is.
    if (!(error instanceof MachineFault || error instanceof KernelHang)) throw error;
  }
  return union(blocks);
}

function noJump(kernel: Kernel, plan: HandoverPlan, what?: string, error?: number, left?: HandedBytes): NoJump {
  const wanted = left === undefined ? [] : wantedBytes(left);
  const pagesLost = wanted.reduce((sum, [start, end]) => sum + end - start, 0) / plan.page.sizeBytes;
  const isDown = kernel.outcome.kind === 'panic' || kernel.outcome.kind === 'oops';
  const why = error === undefined ? (kernel.ctx.log.lines.at(-1)?.text ?? '') : errnoName(error);
  const end: Pick<HandoverVerdict, 'outcome' | 'detail'> = isDown
    ? downfall(kernel, ' (the old kernel, before its kexec)')
    : { outcome: 'cold-boot', detail: `the old kernel refuses its kexec: ${what ?? 'boot'}: ${why}` };
  return { release: kernel.ctx.release, plan, verdict: { ...end, pagesLost, pagesPhantom: 0, clientsBroken: [] } };
}
