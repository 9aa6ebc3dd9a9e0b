import { EBADF, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, type Errno } from '../errno.ts';
import { KernelHang, TaskBlocked } from '../failure.ts';
import { SESSION_SITE } from '../fault-sites.ts';
import type { ReleaseQuirks } from '../release-quirks.ts';
import type { EntryCursor } from './entry-table.ts';
import type { LiveFile } from './file-handler.ts';
import { type FileSetContext, LuoFileSet } from './file-set.ts';
import type { IncomingSessions, OutgoingSessions } from './luo-state.ts';

/** A named group of files that crosses as one (struct luo_session). */
export class LuoSession {
  readonly name: string;
  readonly direction: 'incoming' | 'outgoing';
  readonly files: LuoFileSet;
  /** An incoming session that user space has asked for. */
  retrieved = false;

  constructor(name: string, direction: 'incoming' | 'outgoing', files: LuoFileSet) {
    this.name = name;
    this.direction = direction;
    this.files = files;
  }
}

/** How far an unbounded count of sessions is followed. */
const MAX_SESSIONS_WALKED = 1 << 20;

/** The sessions of both directions. */
export class LuoSessions {
  /** By name, in the predecessor's order. */
  readonly incoming = new Map<string, LuoSession>();
  /** By name, in the order of creation. */
  readonly outgoing = new Map<string, LuoSession>();
  readonly #files: FileSetContext;
  readonly #quirks: ReleaseQuirks;
  readonly #nameLength: number;
  #tableIn: IncomingSessions | undefined;
  #tableOut: OutgoingSessions | undefined;
  #deserialized = false;
  /** luo_session_serialize_rwsem is held for writing, and will be until the jump. */
  #locked = false;
  #savedError: 0 | Errno = 0;

  constructor(files: FileSetContext, quirks: ReleaseQuirks) {
    this.#files = files;
    this.#quirks = quirks;
    this.#nameLength = files.abi.struct('luo_session_ser').sizeOf('name');
  }

  /**
   * What every call on sessions does first, from 7.1 on. @throws TaskBlocked once sessions are written, when the jump is all that is
   * left to happen.
   */
  lockShared(): void {
    if (this.#locked) throw new TaskBlocked('luo_session_serialize_rwsem');
  }

  /** kzalloc of a session's record. */
  #noMemory(): boolean {
    return this.#files.faults?.fails(SESSION_SITE) === true;
  }

  setupIncoming(table: IncomingSessions | undefined): void {
    this.#tableIn = table;
  }

  setupOutgoing(table: OutgoingSessions): void {
    this.#tableOut = table;
  }

  /**
   * Makes a session to be handed over.
   * @returns -EINVAL for an empty name or one of 64 bytes and more, -EEXIST for a name in use, -ENOMEM or -ENOSPC
   * without room.
   */
  create(name: string): LuoSession | Errno {
    if (this.#quirks.luoChecksNames && (name.length === 0 || name.length > this.#nameLength - 1)) return EINVAL;
    if (this.#noMemory()) return ENOMEM;
    this.lockShared();
    const table = this.#tableOut;
    if (table === undefined) return EBADF;
    const kept = name.slice(0, this.#nameLength - 1);
    const room = table.grow(this.outgoing.size + 1);
    if (room !== 0) return room;
    // The room made for a name that turns out to be taken stays, as in the kernel.
    if (this.outgoing.has(kept)) return EEXIST;
    const session = new LuoSession(kept, 'outgoing', new LuoFileSet(this.#files));
    this.outgoing.set(kept, session);
    return session;
  }

  /** Hands an incoming session out: -ENOENT for an unknown name, -EINVAL for the second time. */
  retrieve(name: string): LuoSession | Errno {
    this.lockShared();
    const session = this.incoming.get(name);
    if (session === undefined) return ENOENT;
    if (session.retrieved) return EINVAL;
    session.retrieved = true;
    return session;
  }

  /**
   * The descriptor of a session is closed: an incoming one finishes (-EBUSY when it can't yet, and it stays), an
   * outgoing one gives its files up.
   */
  release(session: LuoSession): 0 | Errno {
    this.lockShared();
    if (session.retrieved) {
      const err = session.files.finish();
      if (err !== 0) {
        this.#files.log.warn(`luo: Unable to finish session [${session.name}] on release`);
        return err;
      }
      this.incoming.delete(session.name);
      return 0;
    }
    session.files.unpreserveAll();
    this.outgoing.delete(session.name);
    this.#tableOut?.shrink(this.outgoing.size);
    return 0;
  }

  /** Reads the predecessor's sessions, once: later calls give the first one's answer. */
  deserialize(): 0 | Errno {
    if (this.#deserialized) return this.#savedError;
    this.#deserialized = true;
    const table = this.#tableIn;
    if (table === undefined) return 0;
    const cursor = table.cursor();
    for (let entry = cursor.read(); entry !== undefined; entry = cursor.read()) {
      if (this.incoming.size >= MAX_SESSIONS_WALKED) throw new KernelHang('luo_session_deserialize');
      const err = this.#deserializeOne(entry);
      if (err !== 0) {
        table.abandon();
        const forgotten = err === ENOMEM && this.#quirks.luoForgetsAllocFailure;
        this.#savedError = forgotten ? 0 : err;
        return err;
      }
    }
    table.release();
    return 0;
  }

  #deserializeOne(at: NonNullable<ReturnType<EntryCursor['read']>>): 0 | Errno {
    const { memory, abi, log } = this.#files;
    const struct = abi.struct('luo_session_ser');
    const name = struct.getString(memory, at, 'name').slice(0, this.#nameLength - 1);
    if (this.#noMemory()) {
      log.warn(`luo: Failed to allocate session [${name}] during deserialization ${ENOMEM}`);
      return ENOMEM;
    }
    if (this.incoming.has(name)) {
      log.warn(`luo: Failed to insert session [${name}] ${EEXIST}`);
      return EEXIST;
    }
    const session = new LuoSession(name, 'incoming', new LuoFileSet(this.#files));
    this.incoming.set(name, session);
    const err = session.files.deserialize(struct.elementAt(at, 'file_set_ser', 0), this.#quirks.luoFileErrorsFail);
    if (err === 0 || !this.#quirks.luoFileErrorsFail) return 0;
    log.warn(`luo: Failed to deserialize files for session [${name}] ${err}`);
    return err;
  }

  /** Freezes and writes all outgoing sessions. After an error all are unfrozen and nothing is announced. */
  serialize(): 0 | Errno {
    const { memory, abi, log } = this.#files;
    const table = this.#tableOut;
    if (table === undefined) return 0;
    const struct = abi.struct('luo_session_ser');
    table.begin();
    const cursor = table.cursor();
    const frozen: LuoSession[] = [];
    for (const session of this.outgoing.values()) {
      const entry = cursor.reserve();
      let err: 0 | Errno = 0;
      if (entry === undefined) {
        log.warnOnOnce('luo_session_serialize');
        err = ENOSPC;
      } else {
        err = session.files.freeze(struct.elementAt(entry, 'file_set_ser', 0));
        if (err === 0) struct.setString(memory, entry, 'name', session.name);
        else cursor.prev();
      }
      if (err === 0) {
        frozen.push(session);
        continue;
      }
      for (const done of frozen.reverse()) {
        const undone = cursor.prev();
        if (undone === undefined) break;
        done.files.unfreeze(struct.elementAt(undone, 'file_set_ser', 0));
        struct.setString(memory, undone, 'name', '');
      }
      return err;
    }
    table.commit(this.outgoing.size);
    this.#locked = this.#quirks.luoLocksSessions;
    return 0;
  }
}

/** What user space holds of a session: the descriptor that create and retrieve give. */
export interface LuoSessionFile {
  readonly name: string;
  /** LIVEUPDATE_SESSION_PRESERVE_FD. -EINVAL on a retrieved session. */
  preserveFd(token: bigint | number, file: LiveFile): 0 | Errno;
  /** LIVEUPDATE_SESSION_RETRIEVE_FD. -EINVAL on a session of this kernel's own. */
  retrieveFd(token: bigint | number): LiveFile | Errno;
  /**
   * LIVEUPDATE_SESSION_FINISH. -EINVAL on a session of this kernel's own, -EBUSY when a file can't yet.
   * @param reserved the field of that name, which is 0 in what well-behaved programs pass (-EINVAL else, from 7.2 on).
   */
  finish(reserved?: number): 0 | Errno;
  /** close(): finishes a retrieved session, gives up one of this kernel's own. */
  release(): 0 | Errno;
}
