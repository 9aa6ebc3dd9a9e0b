import { createHash } from 'node:crypto';
import { errnoName, isErrno, Kernel, type KernelConfig, type LogSink, type Release } from '../../kernel/index.ts';
import type { LuoDevice } from '../../kernel/liveupdate/luo.ts';
import { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import { type Arch, type BootHandoff, hex, Machine, type PageSize, type PhysicalMemory } from '../../machine/index.ts';
import { NO_REGION, type RegionTable } from '../../machine/memblock/region-table.ts';

/** Captured memory at the moment of a jump: what a kernel can be booted on. */
export interface BootSubject {
  readonly arch: Arch;
  readonly page: PageSize;
  readonly memory: PhysicalMemory;
  /** Undefined: firmware passes nothing, a cold boot. */
  readonly handoff: BootHandoff | undefined;
  /** Sessions and tokens that user space of the old kernel knows of, as `[session, token in hex]`. */
  readonly knownFiles: readonly (readonly [string, string])[];
}

/** The kernel that is booted on an image. */
export interface BootImageOptions {
  readonly release: Release;
  readonly cmdline: string;
  readonly config?: Partial<KernelConfig>;
  readonly seed?: number;
  readonly sink?: LogSink | undefined;
}

/** A file as user space finds it, or the name of the errno. */
export type BootedFile =
  | { readonly size: number; readonly pos: number | string; readonly seals: number; readonly sha256: string }
  | { readonly error: string };

export interface RegionDocument {
  readonly base: string;
  readonly size: string;
  readonly flags: number;
  readonly nid: number;
}

/** What `boot --json` prints, save the findings. */
export interface BootDocument {
  readonly release: string;
  readonly outcome: 'handover' | 'cold-boot' | 'panic' | 'oops';
  readonly reason: string | null;
  readonly log: readonly string[];
  readonly kexecMetadata: { readonly previousRelease: string; readonly kexecCount: number } | null;
  readonly khoTest: 'ok' | 'failed' | 'absent';
  readonly revivedReserveMem: readonly string[];
  readonly liveupdateNumber: number | string | null;
  readonly files: Readonly<Record<string, BootedFile>>;
  readonly memblock: { readonly memory: readonly RegionDocument[]; readonly reserved: readonly RegionDocument[] };
}

/** Files are hashed in pieces of this size. */
const READ_BYTES = 2 ** 16;

/**
 * So much of a file may be holes. What preserves a memfd fills them first, so that a size far beyond the folios is one
 * that nobody wrote; reading it to the end would show zeroes, by the TiB.
 */
const MOST_HOLE_BYTES = 2 ** 26;

/**
 * Boots a simulated kernel on captured memory, with the boot code that `run` uses, and retrieves every file as a user
 * would right after boot. The memory is written to: it cannot be booted twice.
 */
export function bootImage(subject: BootSubject, options: BootImageOptions): BootDocument {
  const { arch, page, memory, handoff } = subject;
  const config = { arch, page, banks: memory.banks, seed: options.seed ?? 1 };
  const machine = Machine.resume(
    config,
    memory,
    handoff === undefined ? { kind: 'power-on' } : { kind: 'given', handoff },
  );
  const snapshot: { memblock?: BootDocument['memblock'] } = {};
  const kernel = Kernel.boot(machine, {
    release: options.release,
    cmdline: options.cmdline,
    // Without poisoning a page that was lost keeps its content until somebody writes to it, as in most real kernels.
    config: { PAGE_POISONING: false, ...options.config },
    ...(options.sink === undefined ? {} : { sink: options.sink }),
    onStep: (running, step) => {
      if (step === 'mm_core_init: memblock_free_all') snapshot.memblock = memblockOf(running);
    },
  });
  const files = kernel.outcome.kind === 'running' ? retrieveFiles(kernel, subject.knownFiles) : {};
  const { state } = kernel.ctx.control;
  return {
    release: options.release.name,
    ...outcomeOf(kernel),
    log: kernel.ctx.log.lines.filter((line) => line.level !== 'debug').map((line) => line.text),
    kexecMetadata:
      state.previousRelease === null ? null : { previousRelease: state.previousRelease, kexecCount: state.kexecCount },
    khoTest: kernel.testKho?.verdict ?? 'absent',
    revivedReserveMem: kernel.clients.reserveMem.regions.filter((each) => each.revived).map((each) => each.name),
    liveupdateNumber: state.liveupdateNumber === null ? null : jsonU64(kernel.luo?.liveupdateNumber ?? 0n),
    files,
    memblock: snapshot.memblock ?? memblockOf(kernel),
  };
}

function jsonU64(value: bigint): number | string {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : hex(value);
}

function outcomeOf(kernel: Kernel): Pick<BootDocument, 'outcome' | 'reason'> {
  const { outcome } = kernel;
  if (outcome.kind === 'panic' || outcome.kind === 'oops') return { outcome: outcome.kind, reason: outcome.reason };
  if (kernel.isKhoBoot) return { outcome: 'handover', reason: null };
  const refusal = kernel.ctx.log.lines.findLast((line) => line.text.startsWith('KHO: ') && line.level !== 'info');
  return { outcome: 'cold-boot', reason: refusalReason(kernel) ?? refusal?.text ?? 'firmware passed no handoff' };
}

/** The line in front of "disabling KHO revival" says why. */
function refusalReason(kernel: Kernel): string | undefined {
  const { lines } = kernel.ctx.log;
  const at = lines.findIndex((line) => line.text.startsWith('KHO: disabling KHO revival'));
  return at > 0 ? lines[at - 1]?.text : lines[at]?.text;
}

function memblockOf(kernel: Kernel): BootDocument['memblock'] {
  const list = (table: RegionTable): RegionDocument[] => {
    const out: RegionDocument[] = [];
    for (let at = table.first(); at !== NO_REGION; at = table.next(at)) {
      const base = table.base(at);
      out.push({ base: hex(base), size: hex(table.end(at) - base), flags: table.flags(at), nid: table.nid(at) });
    }
    return out;
  };
  return { memory: list(kernel.memblock.memory), reserved: list(kernel.memblock.reserved) };
}

/** Opens /dev/liveupdate, retrieves every session and reads every file. What a kernel falls over on is its outcome. */
function retrieveFiles(kernel: Kernel, known: BootSubject['knownFiles']): Record<string, BootedFile> {
  const { luo } = kernel;
  if (luo === undefined) return {};
  const files: Record<string, BootedFile> = {};
  const result = kernel.call(() => {
    const device = luo.open();
    if (isErrno(device)) {
      for (const [session, token] of known) files[`${session}/${token}`] = { error: errnoName(device).slice(1) };
      return;
    }
    const wanted = new Map<string, Set<string>>();
    const want = (session: string, token: string) => {
      const tokens = wanted.get(session) ?? new Set<string>();
      wanted.set(session, tokens.add(token));
    };
    for (const [session, token] of known) want(session, token);
    for (const session of kernel.ctx.control.state.sessions) {
      if (session.direction !== 'incoming') continue;
      for (const file of session.files) want(session.name, file.token);
    }
    for (const [session, tokens] of wanted)
      retrieveSession(device, session, [...tokens], kernel.ctx.page.sizeBytes, files);
    device.close();
  });
  // The process that retrieves dies with an oops, and with it what it had read.
  return result.ok ? files : {};
}

function retrieveSession(
  device: LuoDevice,
  name: string,
  tokens: string[],
  pageBytes: number,
  files: Record<string, BootedFile>,
): void {
  const session = device.retrieveSession(name);
  for (const token of tokens) {
    const key = `${name}/${token}`;
    if (isErrno(session)) {
      files[key] = { error: errnoName(session).slice(1) };
      continue;
    }
    const file = session.retrieveFd(BigInt(token));
    if (isErrno(file)) files[key] = { error: errnoName(file).slice(1) };
    else if (file instanceof Memfd) files[key] = readMemfd(file, pageBytes);
    else files[key] = { error: 'not a memfd' };
  }
}

function readMemfd(file: Memfd, pageBytes: number): BootedFile {
  const { inode } = file;
  if (inode.sizeBytes > inode.cache.nrPages * pageBytes + MOST_HOLE_BYTES) return { error: 'EFBIG' };
  const hash = createHash('sha256');
  for (let at = 0; at < inode.sizeBytes; at += READ_BYTES) hash.update(inode.read(at, READ_BYTES));
  return { size: inode.sizeBytes, pos: jsonU64(BigInt(inode.pos)), seals: inode.seals, sha256: hash.digest('hex') };
}
