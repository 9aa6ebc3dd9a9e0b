import type { PageSize } from '../../machine/index.ts';
import type { BootFigures } from './measure-boot.ts';
import type { JumpFigures } from './measure-jump.ts';

/** A workload's handover at one page size, as it was executed. */
export interface Measurement {
  readonly page: PageSize;
  /** How the new kernel came up; for a handover that went wrong, the verdict on it. */
  readonly outcome: string;
  readonly reason: string | null;
  /** The handover was taken over, and everything came back as it should. */
  readonly works: boolean;
  readonly releases: readonly string[];
  readonly arch: string;
  readonly seed: number;
  readonly ramBytes: number;
  /** What the kernel aligns scratch areas to: a block of the largest order that its page allocator has. */
  readonly scratchAlignBytes: number;
  readonly askedBytes: number;
  /** Undefined where there was no handover to measure. */
  readonly jump: JumpFigures | undefined;
  readonly boot: BootFigures | undefined;
}
