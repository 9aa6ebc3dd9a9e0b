/*
 * What a run comes to, as plain data: what `khosim run --json` prints, and all that reports read. Nothing here refers
 * to a kernel or to simulated memory, so results travel between workers and are compared as text.
 */

/** So much memory, in pages of the smallest size that a kernel of the run has. */
export interface Amount {
  readonly pages: number;
  readonly bytes: number;
}

/** What a kernel came to, as its log and behaviour say. */
export type Outcome = 'handover' | 'cold-boot' | 'panic' | 'oops' | 'refused';

/**
 * What the oracle outside both kernels says of all handovers of a run together, worst last:
 * - `intact`: all that was preserved came back as it was;
 * - `refused`: a kernel said no, in time or by booting cold: what it did not take over is gone, with a message;
 * - `leaked`: preserved memory that nobody restored, or memory set aside that nobody preserved: it stays unused until the
 *   next reboot;
 * - `crashed`: a kernel fell over (an oops, a panic, a loop without end), and of what came back nothing was found wrong;
 * - `damaged`: content or structure came back wrong, and a kernel said something about it (a WARN, an oops, a panic);
 * - `corrupt`: the same, and no kernel said a word. The worst there is.
 */
export const VERDICTS = ['intact', 'refused', 'leaked', 'crashed', 'damaged', 'corrupt'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** One thing that was checked. */
export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** What was found; for a check that failed, the pages by range. */
  readonly detail: string;
  /** The first thing that happened to the first bad page, where it is known. */
  readonly firstBadEvent: string | null;
}

/** One kernel of a run. */
export interface KernelResult {
  readonly release: string;
  /** How it started: the first boots cold. */
  readonly outcome: Outcome;
  /** Why it fell over, refused, or booted cold. */
  readonly reason: string | null;
  /** Its log, lines without time. */
  readonly log: readonly string[];
  /** When each line was printed, virtual microseconds since this kernel's start. */
  readonly logMicroseconds: readonly number[];
  readonly warnings: number;
  /** Bytes of its pages, where they are not those of the first kernel. */
  readonly pageSize?: number;
  readonly cmdline: string;
  readonly kexecCount: number | null;
  readonly liveupdateNumber: number | null;
  readonly khoTest: 'ok' | 'failed' | 'absent';
  readonly revivedReserveMem: readonly string[];
  /** What clients preserved for the kernel after it, what they restored of its predecessor, and what went wrong. */
  readonly preserved: Amount;
  readonly restored: Amount;
  readonly damaged: Amount;
  readonly leaked: Amount;
  readonly lost: Amount;
  /** Preserved by kernel code of its own (root FDT, metadata, sub-FDTs, tree pages not among them), and never restored. */
  readonly leakedByKernel: Amount;
  /** Figures by id: tree-nodes, tree-bytes, memblock-regions, kernel-retrieval-steps... */
  readonly figures: Readonly<Record<string, number>>;
}

/** One step as it went. */
export interface StepResult {
  readonly index: number;
  readonly line: number;
  readonly text: string;
  /** Which kernel did it, 1 for the first. */
  readonly kernel: number;
  /** `ok`, an errno's name, or an outcome. */
  readonly result: string;
  /** Virtual time at its end, microseconds since the start of that kernel. */
  readonly microseconds: number;
}

/** What became of one thing that the scenario preserved. */
export interface ObjectResult {
  readonly name: string;
  readonly kind: 'folios' | 'pages' | 'vmalloc' | 'subtree' | 'session' | 'reserve_mem';
  readonly pages: number;
  readonly bytes: number;
  /** `untested`: its content is zero, which proves nothing, or it never crossed a jump. */
  readonly state: 'intact' | 'damaged' | 'leaked' | 'lost' | 'freed' | 'untested';
  readonly detail: string;
}

/** One scenario at one page size. */
export interface RunResult {
  readonly scenario: string;
  readonly name: string;
  readonly file: string;
  readonly arch: string;
  /** Bytes of the first kernel's pages. */
  readonly pageSize: number;
  readonly seed: number;
  readonly ok: boolean;
  /** Of the last kernel. */
  readonly outcome: Outcome;
  readonly reason: string | null;
  readonly verdict: Verdict;
  readonly kernels: readonly KernelResult[];
  readonly checks: readonly CheckResult[];
  readonly steps: readonly StepResult[];
  readonly objects: readonly ObjectResult[];
  /** Sums over all handovers of the run. */
  readonly preserved: Amount;
  readonly restored: Amount;
  readonly damaged: Amount;
  readonly leaked: Amount;
  readonly lost: Amount;
  /** Set aside in a new kernel although nobody had preserved it. */
  readonly phantom: Amount;
  /** Preserved pages whose content proves nothing, because it is zero. */
  readonly untested: Amount;
  /** sha256 over everything that happened: logs with their times, results, and RAM at the end. */
  readonly digest: string;
}
