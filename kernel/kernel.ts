import {
  DeadMachineError,
  junk,
  type LoadedSegment,
  type Machine,
  MachineFault,
  makeMemoryMap,
  mix32,
  type PhysAddr,
  pfnOf,
  Random,
  VirtualClock,
} from '../machine/index.ts';
import { Memblock } from '../machine/memblock/memblock.ts';
import { MemblockStop } from '../machine/memblock/reports.ts';
import type { CompiledAbi } from './abi/contract.ts';
import type { Boot } from './boot/boot-state.ts';
import { bootSteps } from './boot/boot-steps.ts';
import { bootClients, type KernelClients, makeClients } from './boot/clients.ts';
import { coldBootSegments, DEFAULT_IMAGE, type KernelImage, kexecRequests } from './boot/image-layout.ts';
import type { Sabotage } from './boot/sabotage.ts';
import { buildBootDt } from './boot-handoff/boot-dt.ts';
import { CommandLine } from './command-line.ts';
import { defaultConfig, type KernelConfig } from './config.ts';
import type { KernelContext } from './context.ts';
import { ControlStore, initialControlState } from './control.ts';
import { type Errno, isErrno } from './errno.ts';
import { KernelHang, KernelPanic } from './failure.ts';
import { FaultInjector } from './fault-injection.ts';
import { CRASH_AFTER_SITE, CRASH_BEFORE_SITE, CRASH_IN_SITE, DOUBLE_ARRAY_SITE } from './fault-sites.ts';
import { kexecFileLoad, type LoadedKernel, loadedSegments, moveSegments } from './kexec/kexec.ts';
import { placeSegments } from './kexec/segments.ts';
import { KhoCore } from './kho/kho-core.ts';
import { readScratchArray } from './kho/scratch.ts';
import { KernelLog, type LogSink } from './log.ts';
import { BuddyAllocator } from './mm/buddy.ts';
import { KfencePool } from './mm/kfence.ts';
import { PageStates } from './mm/page-states.ts';
import { StructPageInit } from './mm/struct-page-init.ts';
import { abiOf, type Release } from './release.ts';

/** How a kernel is started. */
export interface KernelOptions {
  readonly release: Release;
  readonly cmdline?: string;
  readonly config?: Partial<KernelConfig>;
  readonly image?: KernelImage;
  /** Gets each log line as it is printed. */
  readonly sink?: LogSink;
  readonly sabotage?: Sabotage;
  /** Allocation failures and the like that are armed from the start. */
  readonly faults?: FaultInjector;
  /** Called after each boot step with its name: for timelines. */
  readonly onStep?: (kernel: Kernel, step: string) => void;
}

/** How a kernel is doing. `address` is `0x`-hex. */
export type KernelOutcome =
  | { readonly kind: 'running' }
  | { readonly kind: 'jumped' }
  | { readonly kind: 'panic'; readonly reason: string }
  | { readonly kind: 'oops'; readonly reason: string; readonly address?: string };

/** What entering the kernel came to: a value, or the way in which the kernel died of it. */
export type KernelResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly outcome: KernelOutcome };

/** The zones of an architecture end here; what lies above is initialised late. */
function zoneEnds(arch: 'arm64' | 'x86_64'): number[] {
  return arch === 'x86_64' ? [2 ** 24, 2 ** 32] : [2 ** 32];
}

/** arm64 kernels with EFI have eight times as many static memory regions. */
function initMemoryRegions(arch: 'arm64' | 'x86_64'): number {
  return arch === 'arm64' ? 1024 : 128;
}

/**
 * One running kernel. `boot` brings it up on a machine; `call` is the one place where it is entered afterwards, and
 * where a fault or a panic becomes its outcome. After the jump every use of it throws DeadMachineError.
 */
export class Kernel {
  readonly machine: Machine;
  readonly ctx: KernelContext;
  readonly kho: KhoCore;
  readonly image: KernelImage;
  readonly clock: VirtualClock;
  /** The memory that memblock knew when it ended: regions as `memblock=debug` would list them. */
  readonly memblock: Memblock;
  readonly clients: KernelClients;
  readonly #boot: Boot;
  readonly #memory: Machine['memory'];
  #outcome: KernelOutcome = { kind: 'running' };

  private constructor(machine: Machine, options: KernelOptions) {
    this.machine = machine;
    this.image = options.image ?? DEFAULT_IMAGE;
    this.clock = new VirtualClock();
    this.#memory = machine.memory;
    const { page, arch, map, memory, seed, generation } = machine;
    const { release } = options;
    const config = { ...defaultConfig(page), ...options.config };
    const log = new KernelLog(this.clock, options.sink);
    const random = new Random(mix32(seed ^ mix32(generation + 1)));
    const faults = options.faults ?? new FaultInjector();
    const pages = new PageStates(page, map.banks);
    const memblock = new Memblock({
      page,
      memory,
      numa: config.NUMA,
      initMemoryRegions: initMemoryRegions(arch),
      log: (level, text) => log.print(level, text),
      warn: (functionName) => log.warnOn(functionName),
      failsDoubling: () => faults.fails(DOUBLE_ARRAY_SITE),
    });
    const banks = config.NUMA ? map.banks : map.banks.map((bank) => ({ ...bank, nid: 0 }));
    const allocator = new BuddyAllocator({
      page,
      banks,
      memory,
      pages,
      maxPageOrder: config.MAX_PAGE_ORDER,
      dmaEnd: arch === 'x86_64' ? 2 ** 24 : undefined,
      junkSeed: config.PAGE_POISONING ? mix32(seed ^ mix32(generation ^ 0x6672_6565)) : undefined,
      faults,
      log,
    });
    const raw = options.cmdline ?? '';
    const base = {
      release,
      abi: abiOf(release, page),
      arch,
      page,
      config,
      cmdline: new CommandLine(raw),
      map: makeMemoryMap(banks, page.sizeBytes, map.reservations, config.NUMA ? map.memorylessNodes : []),
      memory,
      memblock,
      pages,
      allocator,
      kfence: new KfencePool(page),
      log,
      faults,
      random,
      control: new ControlStore(initialControlState(release.name, raw)),
    };
    this.kho = new KhoCore(base);
    this.ctx = { ...base, kho: this.kho };
    this.memblock = memblock;
    this.clients = makeClients(this.ctx);
    this.#boot = {
      ctx: this.ctx,
      kho: this.kho,
      structPages: new StructPageInit(pages, {
        deferred: config.DEFERRED_STRUCT_PAGE_INIT,
        lateForgetsCma: release.quirks.deferredInitForgetsCma,
        zoneEnds: zoneEnds(arch),
      }),
      registers: machine.registers,
      segments: machine.segments,
      clients: bootClients(this.ctx, this.kho, this.clients),
      sabotage: options.sabotage ?? {},
      earlyBytes: this.image.earlyBytes ?? 0,
      handoffs: [],
    };
  }

  /**
   * Boots a kernel on a machine that was switched on, reset or jumped. It never throws for what the kernel does: look
   * at `outcome`.
   */
  static boot(machine: Machine, options: KernelOptions): Kernel {
    loadFirstKernel(
      machine,
      options.image ?? DEFAULT_IMAGE,
      options.cmdline ?? '',
      abiOf(options.release, machine.page),
    );
    const kernel = new Kernel(machine, options);
    machine.memory.setWriter(`${options.release.name} boot`);
    for (const step of bootSteps(options.release)) {
      const result = kernel.call(() => step.run(kernel.#boot));
      kernel.clock.advance(step.microseconds);
      options.onStep?.(kernel, step.name);
      if (!result.ok) return kernel;
    }
    machine.memory.setWriter(`${options.release.name}`);
    kernel.ctx.control.update((draft) => {
      draft.phase = 'running';
    });
    return kernel;
  }

  get outcome(): KernelOutcome {
    return this.#outcome;
  }

  /** Live update; undefined for releases without it. */
  get luo(): KernelClients['luo'] {
    return this.clients.luo;
  }

  /** test_kho; undefined where it is not built in. */
  get testKho(): KernelClients['testKho'] {
    return this.clients.testKho;
  }

  /** Whether this kernel took a handover over. */
  get isKhoBoot(): boolean {
    return this.kho.isKhoBoot;
  }

  /**
   * Enters the kernel. A fault, a panic or an endless loop inside becomes the kernel's outcome, and that of the call.
   * @throws DeadMachineError when this kernel is no longer running; whatever khosim itself does wrong.
   */
  call<T>(what: () => T): KernelResult<T> {
    if (!this.#memory.alive || this.#outcome.kind !== 'running') throw new DeadMachineError('this kernel');
    try {
      return { ok: true, value: what() };
    } catch (error) {
      this.#outcome = this.#classify(error);
      return { ok: false, outcome: this.#outcome };
    }
  }

  #classify(error: unknown): KernelOutcome {
    const { log, control } = this.ctx;
    let outcome: KernelOutcome;
    if (error instanceof MachineFault) {
      outcome = { kind: 'oops', reason: error.message, address: error.address };
      log.print('emerg', `Unable to handle kernel paging request: ${error.message}`);
      log.print('emerg', 'Internal error: Oops');
    } else if (error instanceof KernelHang) {
      outcome = { kind: 'oops', reason: `hangs: ${error.message}` };
      log.print('emerg', `watchdog: BUG: soft lockup: ${error.message}`);
    } else if (error instanceof MemblockStop && error.kind !== 'panic') {
      // A BUG_ON, or region arrays that overwrote each other: what a real kernel makes of those nobody can say.
      const reason =
        error.kind === 'bug' ? error.message : `memblock: both region arrays lie in the same RAM: ${error.message}`;
      outcome = { kind: 'oops', reason };
      log.print('emerg', `Internal error: Oops - BUG: ${reason}`);
    } else if (error instanceof KernelPanic || error instanceof MemblockStop) {
      outcome = { kind: 'panic', reason: error.message };
      log.print('emerg', `Kernel panic - not syncing: ${error.message}`);
    } else throw error;
    control.update((draft) => {
      draft.phase = 'stopped';
    });
    return outcome;
  }

  /**
   * kexec_file_load: -EADDRNOTAVAIL when the image does not fit scratch.
   * @param image sizes of the next kernel's parts; those of this one by default.
   */
  load(cmdline: string, image: KernelImage = this.image): KernelResult<LoadedKernel | Errno> {
    return this.call(() => kexecFileLoad(this.ctx, this.kho, image, cmdline));
  }

  /**
   * Jumps into a loaded kernel: LUO serializes, KHO is finalised where LUO does that (6.19 and 7.0), and after this only
   * bytes are left of the present kernel. The caller boots the next.
   * @param meanwhile what other tasks do between LUO's part and the jump: they run until the machine shuts down.
   * @returns 0 (look at `outcome`: the kernel may have fallen on the way), or the error with which LUO refuses.
   */
  jump(loaded: LoadedKernel, meanwhile?: () => void): 0 | Errno {
    const { faults } = this.ctx;
    const result = this.call((): 0 | Errno => {
      if (faults.fails(CRASH_BEFORE_SITE)) throw new KernelPanic('a crash before serialization');
      const refused = this.#liveupdateReboot(meanwhile);
      if (refused !== 0) return refused;
      if (faults.fails(CRASH_AFTER_SITE)) throw new KernelPanic('a crash after serialization');
      this.#sabotageJump();
      const registers = moveSegments(this.ctx, loaded, mix32(this.machine.seed ^ this.machine.generation));
      this.machine.jump(registers, loadedSegments(loaded));
      return 0;
    });
    if (!result.ok) return 0;
    if (result.value === 0) this.#outcome = { kind: 'jumped' };
    return result.value;
  }

  /** liveupdate_reboot: LUO's part, and up to 7.0 the finalisation that follows it. */
  #liveupdateReboot(meanwhile?: () => void): 0 | Errno {
    const refused = this.luo?.reboot() ?? 0;
    if (refused !== 0) return refused;
    if (this.ctx.faults.fails(CRASH_IN_SITE)) throw new KernelPanic('a crash in the middle of serialization');
    meanwhile?.();
    return this.luo?.enabled === true ? this.kho.finalize() : 0;
  }

  /**
   * A kexec with preserve_context (CONFIG_KEXEC_JUMP): the other kernel runs beside this one's memory and comes back, and this one goes
   * on. Up to 7.0 LUO is asked as if it were for good.
   * @returns 0, or the error of a refusal.
   */
  jumpAndReturn(): 0 | Errno {
    return this.ctx.release.quirks.luoSerializesForReturn ? this.#liveupdateReboot() : 0;
  }

  /**
   * A whole kexec: finalises where the release has such a step, loads, jumps, and boots the next kernel on what is left.
   * @returns the next kernel, whatever became of it, or the error with which this one refused; not ok where this one fell.
   */
  kexec(options: KernelOptions): KernelResult<Kernel | Errno> {
    const finalized = this.call(() => this.kho.finalize());
    if (!finalized.ok) return finalized;
    if (finalized.value !== 0) return { ok: true, value: finalized.value };
    const loaded = this.load(options.cmdline ?? '', options.image);
    if (!loaded.ok) return loaded;
    if (isErrno(loaded.value)) return { ok: true, value: loaded.value };
    const refused = this.jump(loaded.value);
    if (refused !== 0) return { ok: true, value: refused };
    if (this.#outcome.kind !== 'jumped') return { ok: false, outcome: this.#outcome };
    return { ok: true, value: Kernel.boot(this.machine, options) };
  }

  #sabotageJump(): void {
    const { clearBit, imageOverlap } = this.#boot.sabotage;
    const map = this.kho.outgoingMap;
    if (map === undefined || (clearBit === undefined && imageOverlap === undefined)) return;
    const blocks: { phys: number; order: number }[] = [];
    map.forEach((lo, hi, order) => {
      blocks.push({ phys: hi * 0x1_0000_0000 + lo, order });
    });
    const { page, memory } = this.ctx;
    const overwritten = imageOverlap === undefined ? undefined : blocks[imageOverlap];
    if (overwritten !== undefined) {
      memory.setWriter('kexec');
      memory.fillPages(pfnOf(page, overwritten.phys as PhysAddr), 1, junk(0x696d_6167));
    }
    const cleared = clearBit === undefined ? undefined : blocks[clearBit];
    if (cleared !== undefined) {
      map.unpreserve(pfnOf(page, cleared.phys as PhysAddr), cleared.order as Parameters<typeof map.unpreserve>[1]);
    }
  }
}

/**
 * What firmware and boot loader do on power-on, and what is assumed of a kexec loader where memory was captured
 * elsewhere: kernel, initrd and boot DT are somewhere in RAM.
 */
function loadFirstKernel(machine: Machine, image: KernelImage, cmdline: string, abi: CompiledAbi): void {
  const { registers, memory, arch, map, page } = machine;
  if (registers.kind === 'given') {
    const placed = machine.segments.length > 0 ? [] : segmentsForCapture(machine, image, abi);
    machine.segments = [...machine.segments, ...placed];
    for (const segment of placed) {
      memory.fillPages(pfnOf(page, segment.base), segment.sizeBytes / page.sizeBytes, junk(mix32(machine.seed)));
    }
    return;
  }
  if (registers.kind !== 'power-on' || machine.segments.length > 0) return;
  memory.setWriter('firmware');
  machine.segments = coldBootSegments(arch, map, image, page);
  for (const segment of machine.segments) {
    memory.fillPages(pfnOf(page, segment.base), segment.sizeBytes / page.sizeBytes, junk(mix32(machine.seed)));
  }
  const dt = machine.segments.find((segment) => segment.name === 'boot-dt');
  if (dt !== undefined) {
    memory.writeBytes(dt.base, buildBootDt(map, cmdline));
    machine.registers = { kind: 'boot-dt', phys: dt.base };
  }
}

/** Where the loader of a captured handover must have put the kernel that was to run: into scratch, beside the array. */
function segmentsForCapture(machine: Machine, image: KernelImage, abi: CompiledAbi): LoadedSegment[] {
  const { registers, memory, page, arch } = machine;
  if (registers.kind !== 'given') return [];
  const { scratch } = registers.handoff;
  if (!memory.contains(scratch.phys, scratch.sizeBytes)) return [];
  const areas = readScratchArray(memory, abi.struct('kho_scratch'), scratch.phys, Math.min(scratch.sizeBytes, 2 ** 16));
  const usable = areas.filter((area) => area.sizeBytes > 0 && memory.contains(area.base, area.sizeBytes));
  const array = { name: 'scratch-array', sizeBytes: Math.max(scratch.sizeBytes, 1), alignBytes: 0, topDown: true };
  const taken = { ...array, minAddr: scratch.phys, maxAddr: scratch.phys + page.sizeBytes - 1 };
  const placed = placeSegments(usable, [taken, ...kexecRequests(arch, image)], page.sizeBytes);
  return isErrno(placed) ? [] : placed.filter((segment) => segment.name !== 'scratch-array');
}
