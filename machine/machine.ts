import { VirtualClock } from './clock.ts';
import { DeadMachineError } from './fault.ts';
import { type FirmwareReservation, type MemoryMap, makeMemoryMap, type RamBank } from './memory-map.ts';
import type { PageSize } from './page-size.ts';
import { PhysicalMemory } from './physical-memory.ts';
import type { PhysAddr } from './units.ts';

/** The two architectures that KHO runs on in khosim. */
export type Arch = 'arm64' | 'x86_64';

/** Every architecture, in the order of lists. */
export const ARCHES: readonly Arch[] = ['arm64', 'x86_64'];

/** The four numbers that one kernel leaves for the next, beside the bytes in RAM. */
export interface BootHandoff {
  readonly fdt: { readonly phys: PhysAddr; readonly sizeBytes: number };
  readonly scratch: { readonly phys: PhysAddr; readonly sizeBytes: number };
}

/**
 * What a kernel finds in its registers when it starts: where the loader's description of the machine lies, or (for
 * memory that somebody captured) the handoff itself.
 */
export type BootRegisters =
  | { readonly kind: 'power-on' }
  | { readonly kind: 'boot-dt'; readonly phys: PhysAddr }
  | { readonly kind: 'setup-data'; readonly phys: PhysAddr }
  | { readonly kind: 'given'; readonly handoff: BootHandoff };

/** A range that the loader filled before it started the kernel. */
export interface LoadedSegment extends FirmwareReservation {
  /** `kernel`, `initrd`, `boot-dt`, `setup-data`, `scratch-array`, `purgatory`. */
  readonly name: string;
}

/** How a machine is built. */
export interface MachineConfig {
  readonly arch: Arch;
  readonly page: PageSize;
  readonly banks: readonly RamBank[];
  readonly reservations?: readonly FirmwareReservation[];
  /** NUMA nodes that have processors and no RAM. */
  readonly memorylessNodes?: readonly number[];
  /** Everything random in the machine and its kernels comes from here. */
  readonly seed: number;
}

/**
 * Hardware: RAM, firmware's map and the clock. A kernel runs on it until it resets or jumps; then `memory` is a new
 * object over the same bytes, and whatever still holds the old one gets DeadMachineError.
 */
export class Machine {
  readonly arch: Arch;
  readonly seed: number;
  readonly clock = new VirtualClock();
  /** How many kernels have run: 0 for the first. */
  generation = 0;
  registers: BootRegisters = { kind: 'power-on' };
  /** What the loader of the present kernel put where. */
  segments: readonly LoadedSegment[] = [];
  #page: PageSize;
  #map: MemoryMap;
  #memory: PhysicalMemory;

  private constructor(config: MachineConfig, memory: PhysicalMemory) {
    this.arch = config.arch;
    this.#page = config.page;
    this.seed = config.seed;
    const { banks, page, reservations, memorylessNodes } = config;
    this.#map = makeMemoryMap(banks, page.sizeBytes, reservations, memorylessNodes);
    this.#memory = memory;
  }

  /** Switches a machine on: RAM is zero. @throws RangeError for a memory map that cannot be. */
  static powerOn(config: MachineConfig): Machine {
    return new Machine(config, new PhysicalMemory(config.page, config.banks));
  }

  /** A machine at the very moment of a jump, with memory from elsewhere (an image) and the handoff that goes with it. */
  static resume(config: MachineConfig, memory: PhysicalMemory, registers: BootRegisters): Machine {
    const machine = new Machine(config, memory);
    machine.registers = registers;
    machine.generation = 1;
    return machine;
  }

  get memory(): PhysicalMemory {
    return this.#memory;
  }

  /** The page size of the kernel that runs, or starts next. */
  get page(): PageSize {
    return this.#page;
  }

  get map(): MemoryMap {
    return this.#map;
  }

  /**
   * The kernel that starts next has pages of another size. Nothing that is in RAM or in registers changes.
   * @throws RangeError when RAM is no whole number of such pages.
   */
  changePages(page: PageSize): void {
    if (page === this.#page) return;
    const { banks, reservations, memorylessNodes } = this.#map;
    this.#map = makeMemoryMap(banks, page.sizeBytes, reservations, memorylessNodes);
    this.#memory = this.#memory.transferTo(page);
    this.#page = page;
  }

  /**
   * The kexec jump: RAM stays, everything else goes.
   * @param registers what the next kernel finds in its registers.
   * @param segments where the image's parts were moved to.
   */
  jump(registers: BootRegisters, segments: readonly LoadedSegment[]): void {
    if (!this.#memory.alive) throw new DeadMachineError('this machine');
    this.#memory = this.#memory.transfer();
    this.registers = registers;
    this.segments = segments;
    this.generation++;
  }

  /** The reset button or a reboot through firmware: nothing crosses, RAM is zero again. */
  reset(): void {
    this.#memory.transfer();
    this.#memory = new PhysicalMemory(this.page, this.map.banks);
    this.registers = { kind: 'power-on' };
    this.segments = [];
    this.generation++;
  }
}
