import type { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import type { LuoSessionFile } from '../../kernel/liveupdate/session.ts';
import type { ShmemFile } from '../../kernel/mm/shmem.ts';
import { type Fill, generatePage, mix32, type PageSize, type Pfn, ZERO_FILL } from '../../machine/index.ts';
import type { FileSpec } from './schema.ts';

/** F_SEAL_* under their names in scenario files. */
const SEAL_BITS: Readonly<Record<string, number>> = {
  SEAL: 1,
  SHRINK: 2,
  GROW: 4,
  WRITE: 8,
  FUTURE_WRITE: 16,
  EXEC: 32,
};

/** The seals of a spec as a mask. */
export function sealMask(seals: readonly string[] | undefined): number {
  return (seals ?? []).reduce((mask, seal) => mask | (SEAL_BITS[seal] ?? 0), 0);
}

/** What a file was when it was preserved: what must come back. */
export interface ExpectedFile {
  /** 0x hex. */
  readonly token: string;
  readonly spec: FileSpec;
  readonly fill: Fill;
  /** For each page of the file the frame that its content was made for, -1 for a hole. */
  readonly madeFor: Float64Array;
  seals: number;
  /** The open file, while a kernel has it. */
  open: Memfd | undefined;
}

/** A session as the scenario remembers it, outside all kernels. */
export interface BookedSession {
  readonly name: string;
  readonly files: ExpectedFile[];
  /** Made in this kernel; left for the next; retrieved there; finished; gone with a kernel that nobody asked. */
  state: 'outgoing' | 'crossed' | 'retrieved' | 'finished' | 'lost';
  /** The open session, while a kernel has it. */
  open: LuoSessionFile | undefined;
  /** What came back wrong. */
  readonly wrong: string[];
  /** How often all files were read back as they should be. */
  verified: number;
  crossings: number;
}

/** All sessions of a run: what was put into them, and what came back. */
export class SessionBook {
  readonly sessions = new Map<string, BookedSession>();
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Notes a new session; its files come as they are made. */
  open(name: string, open: LuoSessionFile): BookedSession {
    const session: BookedSession = { name, files: [], state: 'outgoing', open, wrong: [], verified: 0, crossings: 0 };
    this.sessions.set(name, session);
    return session;
  }

  /** The content of a file, different from that of all others. */
  fillOf(session: string, token: string): Fill {
    let state = this.#seed;
    for (const character of `${session}/${token}`) state = mix32(state ^ (character.codePointAt(0) ?? 0));
    return { kind: 'pattern', seed: state };
  }

  /** The jump: outgoing sessions are the next kernel's to find; those that nobody renewed are over. */
  cross(): void {
    for (const session of this.sessions.values()) {
      session.open = undefined;
      for (const file of session.files) file.open = undefined;
      if (session.state === 'outgoing') {
        session.state = 'crossed';
        session.crossings++;
      } else if (session.state === 'crossed') session.state = 'lost';
      else if (session.state === 'retrieved') session.state = 'finished';
    }
  }
}

/**
 * Reads a file back and compares every byte, size and position: what user space would find.
 * @returns what is wrong, undefined when nothing is.
 */
export function compareFile(
  expected: ExpectedFile,
  file: ShmemFile,
  page: PageSize,
  seals: number,
): string | undefined {
  const { spec } = expected;
  if (file.sizeBytes !== spec.memfd) return `size ${file.sizeBytes}, preserved with ${spec.memfd}`;
  if (file.pos !== (spec.pos ?? 0)) return `position ${file.pos}, preserved with ${spec.pos ?? 0}`;
  if (file.seals !== seals) return `seals ${file.seals}, preserved with ${seals}`;
  for (let index = 0; index * page.sizeBytes < spec.memfd; index++) {
    const offset = index * page.sizeBytes;
    const frame = expected.madeFor[index] ?? -1;
    const fill = frame < 0 ? ZERO_FILL : expected.fill;
    const whole = offset + page.sizeBytes <= spec.memfd;
    if (whole && file.pageHoldsFill(index, fill, Math.max(frame, 0) as Pfn)) continue;
    const words = new Uint32Array(page.sizeBytes / 4);
    generatePage(fill, frame, words);
    const content = new Uint8Array(words.buffer);
    const at = file.read(offset, page.sizeBytes).findIndex((byte, i) => byte !== content[i]);
    if (at >= 0) return `content differs from byte ${offset + at} on`;
  }
  return undefined;
}
