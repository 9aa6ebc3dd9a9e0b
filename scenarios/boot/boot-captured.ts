import type { KernelConfig, LogSink, Release } from '../../kernel/index.ts';
import type { Finding } from '../inspect/findings.ts';
import { inspectImage } from '../inspect/inspect.ts';
import type { CapturedMemory } from '../io/captured-memory.ts';
import { type BootDocument, bootImage } from './boot-image.ts';
import { fillSlabAround } from './slab-around.ts';

export interface BootCapturedOptions {
  /** Undefined: the newest release whose ABI fits the memory. */
  readonly release: Release | undefined;
  readonly cmdline: string;
  readonly config?: Partial<KernelConfig>;
  readonly seed?: number;
  readonly sink?: LogSink | undefined;
}

/** What `boot --json` prints. */
export interface BootCapturedDocument extends BootDocument {
  /** What inspection says of the same memory. A finding never decides an outcome. */
  readonly findings: readonly Finding[];
  /** What was guessed, found or filled in. */
  readonly notes: readonly string[];
}

/** `khosim boot`: a simulated kernel on somebody's memory, beside what inspection makes of it. */
export function bootCaptured(captured: CapturedMemory, options: BootCapturedOptions): BootCapturedDocument {
  const inspected = inspectImage(captured.handover, { contents: false });
  const notes = [...captured.notes];
  const memory = captured.load();
  const { memoryMap, luo } = inspected.document;
  if (captured.image.format === 'khosim-sparse-1' && memoryMap?.kind === 'chunk-list') {
    const filled = fillSlabAround(memory, captured.ram, memoryMap, options.seed ?? 1);
    if (filled > 0) {
      notes.push(`the image lacks the slab around its 512-byte bitmaps: ${filled} bytes filled with kernel objects`);
    }
  }
  const subject = {
    arch: captured.image.arch ?? 'arm64',
    page: captured.bootPage,
    memory,
    handoff: captured.handoff,
    knownFiles: (luo?.sessions ?? []).flatMap((session) =>
      session.files.map((file) => [session.name, file.token] as const),
    ),
  };
  const document = bootImage(subject, { ...options, release: options.release ?? inspected.release });
  return { ...document, findings: inspected.document.findings, notes };
}
