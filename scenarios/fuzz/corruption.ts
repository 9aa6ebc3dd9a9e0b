import { LATEST_RELEASE, type Release } from '../../kernel/release.ts';
import { loadImage } from '../../machine/image/load.ts';
import type { MemoryImage } from '../../machine/image/memory-image.ts';
import {
  type Arch,
  type BootHandoff,
  type MemoryVersion,
  PAGE_4K,
  type PageSize,
  type PhysAddr,
  type PhysicalMemory,
  type Random,
} from '../../machine/index.ts';
import { type BootDocument, bootImage } from '../boot/boot-image.ts';
import { handoverInMemory } from '../inspect/image-source.ts';
import { type InspectDocument, inspectImage } from '../inspect/inspect.ts';
import type { MetadataPage } from '../inspect/memory-map.ts';

/*
 * Corrupt handovers by the thousand: memory is loaded once, and set back to how it was after every try. Reading it and
 * booting on it have to end, soon, with a word for what came of it; an exception is a bug of khosim.
 */

/** Bytes to put somewhere in RAM. */
export interface Patch {
  readonly phys: number;
  readonly bytes: Uint8Array;
}

/** How a try ended. */
export interface Attempt {
  readonly outcome: BootDocument['outcome'];
  readonly reason: string | null;
  readonly findings: InspectDocument['findings'];
  readonly files: BootDocument['files'];
  readonly milliseconds: number;
}

/** RAM to be corrupted: where it comes from, since a fresh copy is fetched now and then. */
export interface CorruptionSource {
  readonly arch: Arch;
  readonly page: PageSize;
  readonly handoff: BootHandoff;
  readonly cmdline: string;
  load(): PhysicalMemory;
}

/** What a captured image makes of itself as a source. @throws RangeError for one without a handoff. */
export function sourceOfImage(image: MemoryImage, cmdline: string): CorruptionSource {
  if (image.handoff === undefined) throw new RangeError('the image has no handoff');
  const page = image.page ?? PAGE_4K;
  const { handoff } = image;
  return { arch: image.arch ?? 'arm64', page, handoff, cmdline, load: () => loadImage(image, page) };
}

/** Every restore leaves the pages behind that the try wrote; after so many bytes of them a new copy is loaded. */
const RELOAD_BYTES = 96 * 2 ** 20;

/** One handover in memory, to be corrupted again and again. */
export class CorruptionBench {
  readonly release: Release;
  /** Pages that hold what one kernel tells the next, and not just content. */
  readonly metadata: readonly MetadataPage[];
  readonly #source: CorruptionSource;
  readonly #now: () => number;
  readonly #knownFiles: readonly (readonly [string, string])[];
  #memory: PhysicalMemory;
  #clean: MemoryVersion;
  #cleanBytes: number;

  /** @param now a clock in milliseconds (CPU time where it can be had), to see which try takes long. */
  constructor(source: CorruptionSource, now: () => number, release?: Release) {
    this.#source = source;
    this.#now = now;
    this.#memory = source.load();
    this.#clean = this.#memory.mark();
    this.#cleanBytes = this.#memory.committedBytes;
    const inspected = inspectImage(this.#handover(), { contents: false });
    this.release = release ?? inspected.release ?? LATEST_RELEASE;
    this.metadata = inspected.metadata;
    this.#knownFiles = (inspected.document.luo?.sessions ?? []).flatMap((session) =>
      session.files.map((file) => [session.name, file.token] as const),
    );
  }

  /** What firmware passes when nothing is corrupted. */
  get handoff(): BootHandoff {
    return this.#source.handoff;
  }

  #handover() {
    return handoverInMemory(this.#memory, this.#source.arch, this.#source.handoff);
  }

  /** The bytes as they are when nothing is corrupted. */
  read(phys: number, sizeBytes: number): Uint8Array {
    return this.#memory.readBytes(phys as PhysAddr, sizeBytes);
  }

  /**
   * Corrupts, inspects, boots, and sets memory back.
   * @param handoff in place of what firmware passes.
   * @throws what inspection or boot throws: nothing, or khosim has a bug.
   */
  attempt(patches: readonly Patch[], handoff: BootHandoff = this.#source.handoff): Attempt {
    const { arch, page, cmdline } = this.#source;
    const started = this.#now();
    try {
      for (const { phys, bytes } of patches) this.#memory.writeBytes(phys as PhysAddr, bytes);
      const { document } = inspectImage(handoverInMemory(this.#memory, arch, handoff), { contents: false });
      const subject = { arch, page, memory: this.#memory, handoff, knownFiles: this.#knownFiles };
      const { outcome, reason, files } = bootImage(subject, { release: this.release, cmdline });
      return { outcome, reason, files, findings: document.findings, milliseconds: this.#now() - started };
    } finally {
      this.#reset();
    }
  }

  #reset(): void {
    if (this.#memory.committedBytes - this.#cleanBytes < RELOAD_BYTES) this.#memory.restore(this.#clean);
    else this.reload();
  }

  /** Fetches a fresh copy of memory: the bench then holds what it did when it was made. */
  reload(): void {
    this.#memory = this.#source.load();
    this.#clean = this.#memory.mark();
    this.#cleanBytes = this.#memory.committedBytes;
  }
}

/** u64s that are an edge of something. */
const EDGES: readonly bigint[] = [
  0n,
  1n,
  8n,
  0x1000n,
  2n ** 31n - 1n,
  2n ** 32n - 1n,
  2n ** 52n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
];

/** A u64 as it lies in memory, little-endian. */
export function u64Bytes(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  return bytes;
}

/** One to eight bytes of metadata changed: at random, one bit, to an edge, or into a pointer to other metadata. */
export function randomPatch(random: Random, metadata: readonly MetadataPage[]): Patch {
  const range = random.pick(metadata);
  // Every other change hits the front of a page, where headers and pointers are.
  const reach = random.below(2) === 0 ? Math.min(range.sizeBytes, 512) : range.sizeBytes;
  const phys = range.phys + random.below(reach);
  if (random.below(3) !== 0) {
    const sizeBytes = Math.min(1 + random.below(8), range.phys + range.sizeBytes - phys);
    return { phys, bytes: Uint8Array.from({ length: sizeBytes }, () => random.below(256)) };
  }
  const value = random.below(2) === 0 ? random.pick(EDGES) : BigInt(random.pick(metadata).phys);
  return { phys: phys - (phys % 8), bytes: u64Bytes(value) };
}

/** A try that took long, with what would repeat it by `--patch`. */
export interface SlowAttempt {
  readonly milliseconds: number;
  readonly patch: string;
}

/** What many tries came to. */
export interface CorruptionSummary {
  /** How many tries ended so, by outcome. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly withFindings: number;
  /** The ten slowest, the slowest first. */
  readonly slowest: readonly SlowAttempt[];
  /** Exceptions, each with its patch. */
  readonly exceptions: readonly string[];
}

const NR_SLOWEST = 10;

function slowestOf(attempts: SlowAttempt[]): SlowAttempt[] {
  return attempts.sort((a, b) => b.milliseconds - a.milliseconds).slice(0, NR_SLOWEST);
}

/** `PHYS:HEX`, as the command line takes it. */
export function patchText({ phys, bytes }: Patch): string {
  return `0x${phys.toString(16)}:${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** Tries each patch on its own. */
export function attemptAll(bench: CorruptionBench, patches: Iterable<Patch>): CorruptionSummary {
  const outcomes: Record<string, number> = {};
  const exceptions: string[] = [];
  let withFindings = 0;
  let slowest: SlowAttempt[] = [];
  for (const patch of patches) {
    try {
      const attempt = bench.attempt([patch]);
      outcomes[attempt.outcome] = (outcomes[attempt.outcome] ?? 0) + 1;
      if (attempt.findings.length > 0) withFindings++;
      if (attempt.milliseconds > (slowest[NR_SLOWEST - 1]?.milliseconds ?? 0)) {
        slowest = slowestOf([...slowest, { milliseconds: attempt.milliseconds, patch: patchText(patch) }]);
      }
    } catch (error) {
      exceptions.push(`${patchText(patch)}: ${error instanceof Error ? error.stack : error}`);
    }
  }
  return { outcomes, withFindings, slowest, exceptions };
}

/** Several summaries as one. */
export function summedUp(summaries: readonly CorruptionSummary[]): CorruptionSummary {
  const outcomes: Record<string, number> = {};
  for (const summary of summaries) {
    for (const [outcome, count] of Object.entries(summary.outcomes)) {
      outcomes[outcome] = (outcomes[outcome] ?? 0) + count;
    }
  }
  return {
    outcomes,
    withFindings: summaries.reduce((sum, each) => sum + each.withFindings, 0),
    slowest: slowestOf(summaries.flatMap((each) => each.slowest)),
    exceptions: summaries.flatMap((each) => each.exceptions),
  };
}

/**
 * Every byte of the root FDT changed, one at a time.
 * @param values what to put in place of a byte.
 */
export function* fdtBytePatches(bench: CorruptionBench, values: (byte: number) => readonly number[]): Generator<Patch> {
  const { phys } = bench.handoff.fdt;
  const [, b0 = 0, b1 = 0, b2 = 0, b3 = 0] = [0, ...bench.read(phys + 4, 4)];
  const bytes = bench.read(phys, b0 * 2 ** 24 + b1 * 2 ** 16 + b2 * 2 ** 8 + b3);
  for (const [offset, byte] of bytes.entries()) {
    for (const value of values(byte)) yield { phys: phys + offset, bytes: Uint8Array.of(value) };
  }
}

/** Every u64 of the memory map that is not 0, and the zero behind it, replaced by each of the edges. */
export function* mapWordPatches(bench: CorruptionBench): Generator<Patch> {
  for (const page of bench.metadata.filter(({ what }) => /radix|tree|chunk|bitmap/.test(what))) {
    const bytes = bench.read(page.phys, page.sizeBytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    let before = 0n;
    for (let offset = 0; offset + 8 <= bytes.length; offset += 8) {
      const value = view.getBigUint64(offset, true);
      if (value !== 0n || before !== 0n) {
        for (const edge of [...EDGES, BigInt(page.phys)]) yield { phys: page.phys + offset, bytes: u64Bytes(edge) };
      }
      before = value;
    }
  }
}

/** So many random patches of an image's metadata. */
export function* randomPatches(random: Random, bench: CorruptionBench, count: number): Generator<Patch> {
  for (let i = 0; i < count; i++) yield randomPatch(random, bench.metadata);
}
