import { hex, type PhysAddr, type PhysicalMemory } from '../../machine/index.ts';
import type { CompiledAbi } from '../abi/contract.ts';
import { EBUSY, EEXIST, EINVAL, ENOENT, ENOSPC, type Errno, isErrno } from '../errno.ts';
import { KernelHang } from '../failure.ts';
import type { FaultInjector } from '../fault-injection.ts';
import type { KernelLog } from '../log.ts';
import type { ReleaseQuirks } from '../release-quirks.ts';
import type { EntryTable } from './entry-table.ts';
import type { FileHandler, LiveFile, RetrieveStatus, SerializedFile } from './file-handler.ts';
import type { FlbRegistry } from './flb.ts';

/** A file of a session: being preserved, or waiting to be retrieved. */
export interface LuoFile {
  readonly token: bigint;
  readonly handler: FileHandler;
  serialized: SerializedFile;
  /** Undefined while an incoming file was not retrieved. */
  file: LiveFile | undefined;
  status: RetrieveStatus;
}

/** What all sessions of a kernel share. */
export interface FileSetContext {
  readonly memory: PhysicalMemory;
  readonly abi: CompiledAbi;
  readonly log: KernelLog;
  readonly flbs: FlbRegistry;
  readonly handlers: readonly FileHandler[];
  readonly quirks: ReleaseQuirks;
  readonly faults: FaultInjector | undefined;
  /** Identities of the files that are preserved in any session; undefined where a file may be preserved twice. */
  readonly preserved: Map<object, LiveFile> | undefined;
  newTable(): EntryTable;
}

/** How far an unbounded count of files is followed. */
const MAX_FILES_WALKED = 1 << 22;

/** The files of one session, and the table that carries them across. */
export class LuoFileSet {
  readonly files: LuoFile[] = [];
  /** The first file of each token: a predecessor's may be there twice. */
  readonly #byToken = new Map<bigint, LuoFile>();
  readonly #ctx: FileSetContext;
  readonly #table: EntryTable;
  /** Apart from the list's length, since 6.19 takes it from the predecessor before it reads the list. */
  #count = 0;

  constructor(ctx: FileSetContext) {
    this.#ctx = ctx;
    this.#table = ctx.newTable();
  }

  #add(file: LuoFile): void {
    this.files.push(file);
    if (!this.#byToken.has(file.token)) this.#byToken.set(file.token, file);
  }

  #takeLast(): LuoFile | undefined {
    const file = this.files.pop();
    if (file !== undefined && this.#byToken.get(file.token) === file) this.#byToken.delete(file.token);
    return file;
  }

  /**
   * Preserves a file under a token.
   * @returns 0, -EEXIST for a token in use, -ENOSPC or -ENOMEM without room, -ENOENT when no handler takes the file,
   * -EBUSY when it is preserved already, or what handler and FLBs return; after an error nothing has changed.
   */
  preserve(token: bigint, file: LiveFile): 0 | Errno {
    const { flbs, handlers, preserved } = this.#ctx;
    if (this.#byToken.has(token)) return EEXIST;
    const room = this.#table.grow(this.#count + 1);
    if (room !== 0) return room;
    const handler = handlers.find((candidate) => candidate.canPreserve(file));
    const fail = (err: Errno): Errno => {
      this.#table.shrink(this.#count);
      return err;
    };
    if (handler === undefined) return fail(ENOENT);
    const id = handler.idOf(file);
    if (preserved?.has(id) === true) return fail(EBUSY);
    preserved?.set(id, file);
    file.get();
    let err = flbs.filePreserve(handler);
    if (err === 0) {
      const serialized = handler.preserve(file);
      if (!isErrno(serialized)) {
        this.#add({ token, handler, serialized, file, status: 0 });
        this.#count++;
        return 0;
      }
      flbs.fileUnpreserve(handler);
      err = serialized;
    }
    preserved?.delete(id);
    file.put();
    return fail(err);
  }

  /** Where the table lies that carries the files across; 0 while there is none. */
  get tableHead(): PhysAddr {
    return this.#table.head;
  }

  /** Gives all files up, the last one first. */
  unpreserveAll(): void {
    const { flbs, preserved } = this.#ctx;
    for (let entry = this.#takeLast(); entry !== undefined; entry = this.#takeLast()) {
      const { handler, file, serialized } = entry;
      if (file === undefined) continue;
      handler.unpreserve(file, serialized);
      flbs.fileUnpreserve(handler);
      preserved?.delete(handler.idOf(file));
      this.#table.shrink(--this.#count);
      file.put();
    }
    this.#table.destroy();
  }

  #unfreezeBefore(failed: LuoFile | undefined): void {
    for (const entry of this.files) {
      if (entry === failed) break;
      if (entry.file === undefined) continue;
      entry.handler.unfreeze?.(entry.file, entry.serialized);
      if (this.#ctx.quirks.luoUnfreezeDropsHandle) entry.serialized = { ...entry.serialized, serializedData: 0n };
    }
    this.#table.clear();
  }

  /**
   * Freezes all files and writes them into the table; `at` is the luo_file_set_ser in the session's entry, which is
   * left alone for a session without files. After an error everything is unfrozen and the table empty.
   */
  freeze(at: PhysAddr): 0 | Errno {
    if (this.#count === 0) return 0;
    const { memory, abi, log } = this.#ctx;
    const struct = abi.struct('luo_file_ser');
    const cursor = this.#table.cursor();
    for (const entry of this.files) {
      const slot = cursor.reserve();
      let err: 0 | Errno = 0;
      if (slot === undefined) {
        log.warnOnOnce('luo_file_freeze');
        err = ENOSPC;
      } else if (entry.file !== undefined) {
        err = entry.handler.freeze?.(entry.file, entry.serialized) ?? 0;
        if (err !== 0) {
          log.warn(
            `luo: Freeze failed for token[${hex(entry.token)}] handler[${entry.handler.compatible}] err[${err}]`,
          );
        }
      }
      if (slot === undefined || err !== 0) {
        this.#unfreezeBefore(entry);
        return err === 0 ? ENOSPC : err;
      }
      struct.setString(memory, slot, 'compatible', entry.handler.compatible);
      struct.set(memory, slot, 'data', entry.serialized.serializedData);
      struct.set(memory, slot, 'token', entry.token);
    }
    const set = abi.struct('luo_file_set_ser');
    set.set(memory, at, 'count', this.#count);
    set.set(memory, at, 'files', this.#table.head);
    return 0;
  }

  /** Undoes a freeze of all files. */
  unfreeze(at: PhysAddr): void {
    if (this.#count === 0) return;
    this.#unfreezeBefore(undefined);
    this.#ctx.memory.writeBytes(at, new Uint8Array(this.#ctx.abi.struct('luo_file_set_ser').sizeBytes));
  }

  /**
   * Reads what a predecessor wrote. Nothing is retrieved yet.
   * @param dropsBroken whether a set with an error is emptied; 6.19 keeps what it read until then.
   * @returns 0, -EINVAL for a broken chain or a count that differs, -ENOENT for a file whose handler is unknown.
   * @throws MachineFault when an address leads out of RAM.
   */
  deserialize(at: PhysAddr, dropsBroken: boolean): 0 | Errno {
    const { memory, abi, log } = this.#ctx;
    const set = abi.struct('luo_file_set_ser');
    const head = set.get(memory, at, 'files');
    const expected = set.get(memory, at, 'count');
    if (head === 0) {
      if (expected !== 0) log.warnOn('luo_file_deserialize');
      return 0;
    }
    const broken = this.#table.restore(head, expected);
    if (broken !== 0) return broken;
    let err: 0 | Errno = 0;
    const cursor = this.#table.cursor();
    for (let entry = cursor.read(); entry !== undefined && err === 0; entry = err === 0 ? cursor.read() : undefined) {
      if (this.files.length >= MAX_FILES_WALKED) throw new KernelHang('luo_file_deserialize');
      err = this.#deserializeOne(entry);
    }
    this.#count = this.files.length;
    if (err === 0 && this.files.length !== expected) {
      log.warn(`luo: File count mismatch: expected ${set.getBig(memory, at, 'count')}, found ${this.files.length}`);
      err = EINVAL;
    }
    if (err === 0) return 0;
    if (!dropsBroken) {
      this.#count = expected;
      return err;
    }
    this.files.length = 0;
    this.#byToken.clear();
    this.#count = 0;
    this.#table.abandon();
    return err;
  }

  #deserializeOne(at: PhysAddr): 0 | Errno {
    const { memory, abi, log, handlers } = this.#ctx;
    const struct = abi.struct('luo_file_ser');
    const compatible = struct.getString(memory, at, 'compatible');
    const handler = handlers.find((candidate) => candidate.compatible === compatible);
    if (handler === undefined) {
      log.warn(`luo: No registered handler for compatible '${compatible}'`);
      return ENOENT;
    }
    this.#add({
      token: struct.getBig(memory, at, 'token'),
      handler,
      serialized: { serializedData: struct.getBig(memory, at, 'data'), privateData: undefined },
      file: undefined,
      status: 0,
    });
    return 0;
  }

  /**
   * Makes a file again. A second call gives the same file, or the error of the first. The reference returned belongs
   * to the caller, LUO keeps one of its own until finish.
   * @returns -ENOENT for an unknown token, or what the handler says.
   */
  retrieve(token: bigint): LiveFile | Errno {
    const entry = this.#byToken.get(token);
    if (entry === undefined) return ENOENT;
    if (entry.status < 0) return entry.status as Errno;
    if (entry.file !== undefined) {
      entry.file.get();
      return entry.file;
    }
    const file = entry.handler.retrieve(entry.serialized.serializedData);
    if (isErrno(file)) {
      if (!this.#ctx.quirks.luoForgetsFailure) entry.status = file;
      return file;
    }
    entry.file = file;
    entry.status = 1;
    file.get();
    this.#ctx.preserved?.set(entry.handler.idOf(file), file);
    return file;
  }

  /**
   * Ends the files' passage: -EBUSY, and nothing done, while one of them can't; else all finish, the last one first.
   */
  finish(): 0 | Errno {
    if (this.#count === 0) return 0;
    const { flbs, preserved } = this.#ctx;
    for (const { handler, file, serialized } of this.files) {
      if (handler.canFinish?.(file, serialized.serializedData) === false) return EBUSY;
    }
    for (let entry = this.#takeLast(); entry !== undefined; entry = this.#takeLast()) {
      const { handler, file, serialized, status } = entry;
      handler.finish(file, serialized.serializedData, status);
      flbs.fileFinish(handler);
      if (file !== undefined) {
        preserved?.delete(handler.idOf(file));
        file.put();
      }
      this.#table.shrink(--this.#count);
    }
    this.#table.destroy();
    return 0;
  }
}
