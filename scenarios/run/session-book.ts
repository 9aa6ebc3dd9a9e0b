import type { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import type { LuoSessionFile } from '../../kernel/liveupdate/session.ts';
import type { ShmemFile } from '../../kernel/mm/shmem.ts';
import { type Fill, mix32, type PageSize, type Pfn } from '../../machine/index.ts';
import type { FileContent } from './file-content.ts';

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
  sizeBytes: number;
  readonly pos: number;
  readonly content: FileContent;
  seals: number;
  /** The open file, while a kernel has it. */
  open: Memfd | undefined;
  /** The frames that were preserved, as ranges; as the run counts them. */
  frames: readonly { readonly pfn: Pfn; readonly nrPages: number }[];
}

/** A session as the scenario remembers it, outside all kernels. */
export interface BookedSession {
  readonly name: string;
  readonly files: ExpectedFile[];
  /** Files that it could not take: their owner keeps them, and they go with the kernel. */
  readonly left: ExpectedFile[];
  /** Made in this kernel; left for the next; retrieved there; finished; gone with a kernel that nobody asked. */
  state: 'outgoing' | 'crossed' | 'retrieved' | 'finished' | 'lost';
  /** The open session, while a kernel has it. */
  open: LuoSessionFile | undefined;
  /** What came back wrong. */
  readonly wrong: string[];
  /** How many of these a kernel said itself, with an error. */
  told: number;
  /** Pages of files that nobody can have any more. */
  leakedPages: number;
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
    const session: BookedSession = {
      name,
      files: [],
      left: [],
      state: 'outgoing',
      open,
      wrong: [],
      told: 0,
      leakedPages: 0,
      verified: 0,
      crossings: 0,
    };
    this.sessions.set(name, session);
    return session;
  }

  /** A file by session and token. */
  fileOf(session: string, token: string): ExpectedFile | undefined {
    return this.sessions.get(session)?.files.find((file) => file.token === token);
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
      session.left.splice(0);
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
 * @param page of the kernel that has the file.
 * @returns what is wrong, undefined when nothing is.
 */
export function compareFile(
  expected: ExpectedFile,
  file: ShmemFile,
  seals: number,
  page: PageSize,
): string | undefined {
  if (file.sizeBytes !== expected.sizeBytes) return `size ${file.sizeBytes}, preserved with ${expected.sizeBytes}`;
  if (file.pos !== expected.pos) return `position ${file.pos}, preserved with ${expected.pos}`;
  if (file.seals !== seals) return `seals ${file.seals}, preserved with ${seals}`;
  const different = expected.content.firstDifference(file, page);
  return different === undefined ? undefined : `content differs from byte ${different} on`;
}
