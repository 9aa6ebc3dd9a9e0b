import { bootSteps } from '../../kernel/boot/boot-steps.ts';
import type { KernelImage } from '../../kernel/boot/image-layout.ts';
import type { Sabotage } from '../../kernel/boot/sabotage.ts';
import type { KernelConfig } from '../../kernel/config.ts';
import type { KernelContext } from '../../kernel/context.ts';
import { type Errno, isErrno } from '../../kernel/errno.ts';
import type { FaultInjector } from '../../kernel/fault-injection.ts';
import { Kernel, type KernelOutcome } from '../../kernel/kernel.ts';
import { handoffOf } from '../../kernel/kexec/kexec.ts';
import type { OutgoingMap } from '../../kernel/kho/memory-map.ts';
import type { Luo } from '../../kernel/liveupdate/luo.ts';
import type { LogSink } from '../../kernel/log.ts';
import { withQuirks } from '../../kernel/quirks.ts';
import { releaseByName } from '../../kernel/release.ts';
import type { BootHandoff, Machine, PageSize } from '../../machine/index.ts';
import { InputError } from '../input-error.ts';

/*
 * All that a run needs of simulated kernels, on one page: how one starts, how it is entered, how it jumps. The steps, the
 * checks and tests know kernels through this alone.
 */

/** What starts a kernel. */
export interface BootRequest {
  readonly release: string;
  /** Named quirks that the release is given beside its own. */
  readonly quirks?: readonly string[] | undefined;
  readonly cmdline: string;
  readonly config: Partial<KernelConfig>;
  /** Of the new kernel: that of the kernel before when left out. */
  readonly page?: PageSize | undefined;
  readonly image?: KernelImage | undefined;
  readonly sink?: LogSink | undefined;
  /** Failures that are armed before the kernel starts. */
  readonly faults?: FaultInjector | undefined;
  /** Defects of tests that prove that the checks can fail. */
  readonly sabotage?: Sabotage | undefined;
  /** Called after each boot step. */
  readonly onStep?: ((kernel: Kernel, step: string) => void) | undefined;
}

/** What a jump needs beside the kernel that is jumped to. */
export interface JumpRequest extends BootRequest {
  /** Up to 7.0: whether the handover is finalised before the kernel is loaded (true). */
  readonly finalize?: boolean | undefined;
  /** Called when the next kernel is loaded, right before the jump: the last moment of the present one. */
  readonly beforeJump?: (() => void) | undefined;
  /** What other tasks do when LUO has written its sessions, and the kernel has not jumped yet. */
  readonly meanwhile?: (() => void) | undefined;
  /** Called when RAM is what the next kernel finds, and before that kernel's first instruction. */
  readonly atJump?: ((machine: Machine, handoff: BootHandoff | undefined) => void) | undefined;
}

/** How a kernel started, or fell over. */
export interface KernelStart {
  readonly kind: 'handover' | 'cold-boot' | 'panic' | 'oops';
  /** Why it is no handover. */
  readonly reason: string | undefined;
}

/** A kernel of a run, while it runs. */
export class SimulatedKernel {
  readonly kernel: Kernel;
  readonly machine: Machine;
  readonly start: KernelStart;
  /** 1 for the first of a machine. */
  readonly number: number;
  #fall: KernelStart | undefined;

  private constructor(kernel: Kernel, number: number) {
    this.kernel = kernel;
    this.machine = kernel.machine;
    this.number = number;
    this.start = startOf(kernel);
  }

  /** Boots a kernel on a machine that was switched on or jumped. What goes wrong in the kernel is in `start`. */
  static boot(machine: Machine, request: BootRequest): SimulatedKernel {
    const named = releaseByName(request.release);
    if (named === undefined) throw new InputError({ message: `there is no release '${request.release}'` });
    const release = withQuirks(named, request.quirks ?? []);
    const number = machine.generation + 1;
    // Provenance names the boot step: "kernel 2: mm_core_init: memblock_free_all".
    const names = bootSteps(release).map((step) => step.name);
    const kernel = Kernel.boot(machine, {
      release,
      cmdline: request.cmdline,
      config: request.config,
      ...(request.image === undefined ? {} : { image: request.image }),
      ...(request.sink === undefined ? {} : { sink: request.sink }),
      ...(request.faults === undefined ? {} : { faults: request.faults }),
      ...(request.sabotage === undefined ? {} : { sabotage: request.sabotage }),
      onStep: (booting, step) => {
        request.onStep?.(booting, step);
        const next = names[names.indexOf(step) + 1];
        machine.memory.setWriter(next === undefined ? `kernel ${number}` : `kernel ${number}: ${next}`);
      },
    });
    if (machine.memory.alive) machine.memory.setWriter(`kernel ${number}`);
    return new SimulatedKernel(kernel, number);
  }

  get context(): KernelContext {
    return this.kernel.ctx;
  }

  get luo(): Luo | undefined {
    return this.kernel.luo;
  }

  /** test_kho's word on its predecessor's data. */
  get khoTest(): 'ok' | 'failed' | 'absent' {
    return this.kernel.testKho?.verdict ?? 'absent';
  }

  /** Set when the kernel fell over after it had started. */
  get fall(): KernelStart | undefined {
    return this.#fall;
  }

  /** What it preserves for the next kernel; undefined when KHO is off. */
  get outgoing(): OutgoingMap | undefined {
    return this.kernel.kho.outgoingMap;
  }

  /** Runs kernel code, and catches what makes a kernel fall over. @returns undefined when it fell. */
  enter<T>(run: () => T): T | undefined {
    if (this.start.kind === 'panic' || this.start.kind === 'oops' || this.#fall !== undefined) return undefined;
    const result = this.kernel.call(run);
    if (result.ok) return result.value;
    this.#fall = fallOf(result.outcome);
    return undefined;
  }

  /** A kexec whose kernel comes back. @returns 0 or the error of one that was refused; undefined when the kernel fell over. */
  kexecAndReturn(): 0 | Errno | undefined {
    return this.enter(() => this.kernel.jumpAndReturn());
  }

  /** Loads the next kernel and jumps. @returns the next kernel, or the error of a refused load or reboot. */
  kexec(request: JumpRequest): SimulatedKernel | Errno | undefined {
    const { quirks } = this.context.release;
    if (request.finalize !== false && quirks.finalize !== 'none' && this.context.kho.enabled) {
      // What an administrator writes into debugfs before kexec, up to 7.0.
      const err = this.enter(() => this.kernel.kho.finalize());
      if (err === undefined) return undefined;
      if (err !== 0) return err;
    }
    const loaded = this.kernel.load(request.cmdline, request.image);
    if (!loaded.ok) {
      this.#fall = fallOf(loaded.outcome);
      return undefined;
    }
    if (isErrno(loaded.value)) return loaded.value;
    const image = loaded.value;
    const { machine } = this;
    const handoff = handoffOf(image, machine.page);
    request.beforeJump?.();
    const refused = this.kernel.jump(image, request.meanwhile);
    if (isErrno(refused)) return refused;
    if (this.kernel.outcome.kind !== 'jumped') {
      this.#fall = fallOf(this.kernel.outcome);
      return undefined;
    }
    request.atJump?.(machine, handoff);
    if (request.page !== undefined) machine.changePages(request.page);
    return SimulatedKernel.boot(machine, request);
  }
}

function startOf(kernel: Kernel): KernelStart {
  const fall = fallOf(kernel.outcome);
  if (fall !== undefined) return fall;
  if (kernel.isKhoBoot) return { kind: 'handover', reason: undefined };
  return { kind: 'cold-boot', reason: refusalIn(kernel) };
}

/** What the log says about a handover that was refused: the line before "disabling KHO revival", or that line. */
function refusalIn(kernel: Kernel): string | undefined {
  const lines = kernel.ctx.log.lines.map((line) => line.text);
  const at = lines.findIndex((line) => line.includes('disabling KHO revival'));
  if (at < 0) return undefined;
  const before = lines[at - 1];
  return before?.startsWith('KHO:') === true || before?.startsWith('WARNING') === true ? before : lines[at];
}

function fallOf(outcome: KernelOutcome): KernelStart | undefined {
  if (outcome.kind === 'panic' || outcome.kind === 'oops') return { kind: outcome.kind, reason: outcome.reason };
  return undefined;
}
