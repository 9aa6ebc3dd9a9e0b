import type { Kernel } from '../../kernel/kernel.ts';

/** What taking a handover over cost a booting kernel, in its own terms. */
export interface BootFigures {
  /** Reserved regions at their peak, and the slots of their array then. */
  readonly reservedRegions: number;
  readonly reservedSlots: number;
  readonly memoryRegions: number;
  readonly doublings: number;
  /** In `kho_memory_init` alone: regions that memblock looked at, and bytes of its arrays that it moved. */
  readonly retrievalSteps: number;
  readonly retrievalBytesMoved: number;
  /** In the whole of early boot. */
  readonly steps: number;
}

/** The boot step in which preserved memory is reserved, and the one before it. */
const RETRIEVAL = 'mm_core_init: KHO';

/** Watches a boot, step by step; the figures are those of the kernel that booted last. */
export class BootMeter {
  #kernel: Kernel | undefined;
  #before = { steps: 0, moved: 0 };
  #last = { steps: 0, moved: 0 };
  #figures: BootFigures | undefined;

  /** To be called after each boot step. */
  readonly onStep = (kernel: Kernel, step: string): void => {
    const { reserved, memory, cost } = kernel.memblock;
    if (kernel !== this.#kernel) {
      this.#kernel = kernel;
      this.#last = { steps: 0, moved: 0 };
      this.#figures = undefined;
    }
    const now = { steps: cost.regionsScanned, moved: cost.bytesMoved };
    const retrieval = step === RETRIEVAL;
    if (retrieval) this.#before = this.#last;
    const had = this.#figures;
    this.#figures = {
      reservedRegions: Math.max(had?.reservedRegions ?? 0, reserved.count),
      reservedSlots: reserved.max,
      memoryRegions: Math.max(had?.memoryRegions ?? 0, memory.count),
      doublings: cost.doublings,
      retrievalSteps: retrieval ? now.steps - this.#before.steps : (had?.retrievalSteps ?? 0),
      retrievalBytesMoved: retrieval ? now.moved - this.#before.moved : (had?.retrievalBytesMoved ?? 0),
      steps: now.steps,
    };
    this.#last = now;
  };

  /** Undefined before any boot. */
  get figures(): BootFigures | undefined {
    return this.#figures;
  }
}
