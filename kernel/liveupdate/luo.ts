import { hex } from '../../machine/index.ts';
import type { FileState, SessionState } from '../control.ts';
import { EBADF, EBUSY, EEXIST, EINVAL, EIO, ENOENT, EOPNOTSUPP, type Errno, isErrno } from '../errno.ts';
import { KernelPanic } from '../failure.ts';
import type { FileHandler, LiveFile } from './file-handler.ts';
import type { FileSetContext, LuoFile } from './file-set.ts';
import { FlbRegistry } from './flb.ts';
import type { LuoContext, LuoKernel } from './luo-context.ts';
import { FdtLuoFormat } from './luo-fdt.ts';
import { RawLuoFormat } from './luo-raw.ts';
import type { LuoFormat } from './luo-state.ts';
import { MemfdHandler } from './memfd.ts';
import { type LuoSession, type LuoSessionFile, LuoSessions } from './session.ts';
import { TestFlbs } from './test-flb.ts';

/** /dev/liveupdate, open. */
export interface LuoDevice {
  /** LIVEUPDATE_IOCTL_CREATE_SESSION. A name has one byte for each character, up to U+00FF. */
  createSession(name: string): LuoSessionFile | Errno;
  /** LIVEUPDATE_IOCTL_RETRIEVE_SESSION. */
  retrieveSession(name: string): LuoSessionFile | Errno;
  close(): void;
}

/**
 * The Live Update Orchestrator of one kernel. Boot calls `earlyInit` (early_initcall), `lateInit` (late_initcall),
 * and after reserve_mem's late_initcall `registerHandlers`; user space opens the device; kexec calls `reboot`.
 *
 * What people ask for (sessions, files, the number) is mirrored into the control state once per call. What crosses is
 * in RAM only.
 */
export class Luo {
  /** Handovers by LUO since the last cold boot, as the predecessor counted. */
  liveupdateNumber = 0n;
  readonly flbs: FlbRegistry;
  readonly sessions: LuoSessions;
  readonly #ctx: LuoContext;
  readonly #format: LuoFormat;
  readonly #handlers: FileHandler[] = [];
  readonly #test: TestFlbs | undefined;
  /** All sessions in the order of the control state. */
  #mirrored: LuoSession[] = [];
  #enabled: boolean;
  #opened = false;

  /** @throws RangeError for a release without LUO (before 6.19). */
  constructor(kernel: LuoKernel) {
    const { release, cmdline, config } = kernel;
    if (release.luo === undefined) throw new RangeError(`${release.name} has no LUO`);
    const ctx: LuoContext = { ...kernel, contract: release.luo };
    this.#ctx = ctx;
    this.#enabled = cmdline.flag('liveupdate', false);
    this.#format = makeLuoFormat(ctx);
    this.flbs = new FlbRegistry(ctx, () => this.#enabled);
    // Releases without FLBs have no test of them.
    this.#test =
      config.LIVEUPDATE_TEST && release.flb !== undefined
        ? new TestFlbs(this.flbs, ctx.log, release.quirks.flbCountsUsers)
        : undefined;
    const files: FileSetContext = {
      memory: ctx.memory,
      abi: ctx.abi,
      log: ctx.log,
      flbs: this.flbs,
      handlers: this.#handlers,
      quirks: ctx.release.quirks,
      faults: ctx.faults,
      preserved: ctx.release.quirks.luoOwnsFiles ? new Map() : undefined,
      newTable: () => this.#format.newFileTable(),
    };
    this.sessions = new LuoSessions(files, ctx.release.quirks);
  }

  /** The file handlers, in the order in which they were registered. */
  get handlers(): readonly FileHandler[] {
    return this.#handlers;
  }

  /** liveupdate_enabled: asked for, and nothing went wrong. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /**
   * early_initcall: looks for a predecessor's state, with `liveupdate=on` or without.
   * @throws KernelPanic for a state that is there but can't be read.
   */
  earlyInit(): void {
    const { kho, log } = this.#ctx;
    if (!kho.enabled) {
      if (this.#enabled) log.warn('luo: Disabling liveupdate because KHO is disabled');
      this.#enabled = false;
      return;
    }
    const incoming = this.#format.readIncoming((number) => {
      this.liveupdateNumber = number;
      const signed = BigInt.asIntN(64, number);
      log.info(`luo: Retrieved live update data, liveupdate number: ${signed}`);
      this.#ctx.control.update((draft) => {
        draft.liveupdateNumber = Number(signed);
      });
    });
    if (incoming === 0) return;
    if (isErrno(incoming)) {
      this.#enabled = false;
      throw new KernelPanic(`The incoming tree failed to initialize properly [${incoming}], disabling live update`);
    }
    this.sessions.setupIncoming(incoming.sessions);
    this.flbs.setupIncoming(incoming.flbs);
  }

  /** late_initcall: with `liveupdate=on`, makes the state for the successor. LUO is off after an error. */
  lateInit(): 0 | Errno {
    if (!this.#enabled) return 0;
    const sessions = this.#format.setupOutgoing(BigInt.asUintN(64, this.liveupdateNumber + 1n), () =>
      this.flbs.setupOutgoing(),
    );
    if (isErrno(sessions)) {
      this.#enabled = false;
      return sessions;
    }
    this.sessions.setupOutgoing(sessions);
    return 0;
  }

  /** liveupdate_register_file_handler: -EOPNOTSUPP with live update off, -EEXIST for a string that is taken. */
  registerFileHandler(handler: FileHandler): 0 | Errno {
    if (!this.#enabled) return EOPNOTSUPP;
    if (this.#handlers.some((other) => other.compatible === handler.compatible)) {
      this.#ctx.log.err(
        `luo: File handler registration failed: Compatible string '${handler.compatible}' already registered.`,
      );
      return EEXIST;
    }
    this.#handlers.push(handler);
    this.#test?.register(handler);
    return 0;
  }

  /** late_initcall of the file handlers in the tree: memfd's. */
  registerHandlers(): void {
    const err = this.registerFileHandler(new MemfdHandler(this.#ctx));
    if (err !== 0 && err !== EOPNOTSUPP) {
      this.#ctx.log.err(`memfd_luo: Could not register luo filesystem handler: ${err}`);
    }
  }

  /**
   * Opens /dev/liveupdate. The first open reads the predecessor's sessions.
   * @returns -ENOENT when live update is off (there is no device), -EBUSY while it is open, -EIO for ever when the
   * sessions can't be read.
   * @throws MachineFault when what is read leads out of RAM.
   */
  open(): LuoDevice | Errno {
    if (!this.#enabled) return ENOENT;
    if (this.#opened) return EBUSY;
    this.#opened = true;
    const err = this.sessions.deserialize();
    this.#mirrorAll();
    if (err !== 0) {
      this.#opened = false;
      return EIO;
    }
    let closed = false;
    return {
      createSession: (name) => (closed ? EBADF : this.#handOut(this.sessions.create(name))),
      retrieveSession: (name) => (closed ? EBADF : this.#handOut(this.sessions.retrieve(name))),
      close: () => {
        if (!closed) this.#opened = false;
        closed = true;
      },
    };
  }

  #handOut(session: LuoSession | Errno): LuoSessionFile | Errno {
    if (isErrno(session)) return session;
    this.#mirror(session);
    let closed = false;
    const { luoChecksDirection, luoChecksReserved } = this.#ctx.release.quirks;
    const wrong = (needsRetrieved: boolean): Errno | undefined => {
      if (closed) return EBADF;
      if (luoChecksDirection && session.retrieved !== needsRetrieved) return EINVAL;
      this.sessions.lockShared();
      return undefined;
    };
    const done = <T>(result: T): T => {
      this.#mirror(session);
      return result;
    };
    const fileDone = <T>(token: bigint | number, result: T): T => {
      if (!isErrno(result)) this.#mirrorFile(session, u64(token));
      return result;
    };
    return {
      name: session.name,
      preserveFd: (token: bigint | number, file: LiveFile) =>
        wrong(false) ?? fileDone(token, session.files.preserve(u64(token), file)),
      retrieveFd: (token: bigint | number) => wrong(true) ?? fileDone(token, session.files.retrieve(u64(token))),
      finish: (reserved = 0) =>
        wrong(true) ?? (luoChecksReserved && reserved !== 0 ? EINVAL : done(session.files.finish())),
      release: () => {
        if (closed) return EBADF;
        this.sessions.lockShared();
        closed = true;
        return done(this.sessions.release(session));
      },
    };
  }

  /**
   * liveupdate_reboot: freezes and writes everything that is to cross, right before the jump. Kernels before 7.1
   * finalise KHO after that, which is the caller's business.
   * @returns 0, or the error of a file that can't be frozen; then all are unfrozen and the reboot is off.
   */
  reboot(): 0 | Errno {
    if (!this.#enabled) return 0;
    const err = this.sessions.serialize();
    if (err !== 0) return err;
    if (this.#ctx.release.flb !== undefined) this.flbs.serialize();
    return 0;
  }

  #mirror(session: LuoSession): void {
    const { incoming, outgoing } = this.sessions;
    const gone = (session.direction === 'incoming' ? incoming : outgoing).get(session.name) !== session;
    const at = this.#mirrored.indexOf(session);
    if (gone) {
      if (at >= 0) this.#mirrored.splice(at, 1);
    } else if (at < 0) this.#mirrored.push(session);
    this.#ctx.control.update((draft) => {
      if (gone) draft.sessions.splice(at, at < 0 ? 0 : 1);
      else if (at < 0) draft.sessions.push(draftOf(session));
      else draft.sessions[at] = draftOf(session);
    });
  }

  /** Only one file of a session changed: the others' entries stay as they are. */
  #mirrorFile(session: LuoSession, token: bigint): void {
    const at = this.#mirrored.indexOf(session);
    const { files } = session.files;
    // What was just preserved is the last; of an incoming token that is there twice the first counts.
    const index =
      session.direction === 'outgoing' ? files.length - 1 : files.findIndex((candidate) => candidate.token === token);
    const file = files[index];
    if (file === undefined) return;
    this.#ctx.control.update((draft) => {
      const mirrored = draft.sessions[at];
      if (mirrored !== undefined) mirrored.files[index] = fileDraftOf(file);
    });
  }

  #mirrorAll(): void {
    this.#mirrored = [...this.sessions.incoming.values(), ...this.sessions.outgoing.values()];
    this.#ctx.control.update((draft) => {
      draft.sessions = this.#mirrored.map(draftOf);
    });
  }
}

type Mutable<T> = T extends readonly (infer U)[]
  ? Mutable<U>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;

function draftOf(session: LuoSession): Mutable<SessionState> {
  return {
    name: session.name,
    direction: session.direction,
    retrieved: session.retrieved,
    files: session.files.files.map(fileDraftOf),
  };
}

function fileDraftOf({ token, handler, status }: LuoFile): Mutable<FileState> {
  return { token: hex(token), compatible: handler.compatible, retrieved: status === 1 };
}

/** A token as ioctls carry it. */
function u64(token: bigint | number): bigint {
  return BigInt.asUintN(64, BigInt(token));
}

/** The format that a release's contract describes. */
function makeLuoFormat(ctx: LuoContext): LuoFormat {
  return ctx.contract.subtree.payload === 'raw' ? new RawLuoFormat(ctx) : new FdtLuoFormat(ctx);
}
