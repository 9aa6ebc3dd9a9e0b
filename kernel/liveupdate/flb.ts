import type { PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import type { CompiledAbi } from '../abi/contract.ts';
import { EEXIST, ENODATA, ENOENT, ENOSPC, EOPNOTSUPP, type Errno, isErrno } from '../errno.ts';
import { KernelHang } from '../failure.ts';
import type { Kho } from '../kho/kho.ts';
import type { KernelLog } from '../log.ts';
import type { Release } from '../release.ts';
import type { FileHandler } from './file-handler.ts';

/** The state that an FLB's callbacks hand to each other. */
export interface FlbState {
  /** Crosses as a u64. */
  readonly data: bigint;
  /** The live object, of this kernel only. */
  readonly obj: unknown;
}

/**
 * File-lifecycle-bound data (struct liveupdate_flb): global state that files of some handlers depend on. It is
 * preserved with the first such file, and finished in the next kernel with the last.
 */
export interface Flb {
  readonly compatible: string;
  preserve(): FlbState | Errno;
  unpreserve(state: FlbState): void;
  /** @returns the live object. */
  retrieve(data: bigint): { readonly obj: unknown } | Errno;
  finish(obj: unknown): void;
}

interface FlbPrivate {
  users: number;
  readonly outgoing: { count: number; data: bigint; obj: unknown };
  readonly incoming: { count: number; data: bigint; obj: unknown; status: 0 | 1 | Errno; finished: boolean };
}

export interface FlbContext {
  readonly memory: PhysicalMemory;
  readonly kho: Kho;
  readonly abi: CompiledAbi;
  readonly log: KernelLog;
  readonly release: Release;
}

/** The first four bytes of a string as a u32, which tell most names apart; undefined for a shorter string. */
function firstWordOf(text: string): number | undefined {
  if (text.length < 4) return undefined;
  const bytes = [0, 1, 2, 3].map((i) => text.charCodeAt(i));
  return new DataView(Uint8Array.from(bytes).buffer).getUint32(0, true);
}

/** How far an unbounded count of incoming FLBs is followed. */
const MAX_FLBS_WALKED = 1 << 17;

const INT_MAX = 0x7fff_ffff;
const REFCOUNT_SATURATED = -0x4000_0000;

/** All FLBs of a kernel, which handlers depend on which, and their two tables in RAM. */
export class FlbRegistry {
  readonly #ctx: FlbContext;
  readonly #enabled: () => boolean;
  readonly #private = new Map<Flb, FlbPrivate>();
  readonly #global: Flb[] = [];
  readonly #byHandler = new Map<FileHandler, Flb[]>();
  #incoming: PhysAddr | undefined;
  #outgoing: PhysAddr | undefined;

  /** @param enabled whether `liveupdate=on` is in force. */
  constructor(ctx: FlbContext, enabled: () => boolean) {
    this.#ctx = ctx;
    this.#enabled = enabled;
  }

  #privateOf(flb: Flb): FlbPrivate {
    let found = this.#private.get(flb);
    if (found === undefined) {
      found = {
        users: 0,
        outgoing: { count: 0, data: 0n, obj: undefined },
        incoming: { count: 0, data: 0n, obj: undefined, status: 0, finished: false },
      };
      this.#private.set(flb, found);
    }
    return found;
  }

  #of(handler: FileHandler): Flb[] {
    let list = this.#byHandler.get(handler);
    if (list === undefined) this.#byHandler.set(handler, (list = []));
    return list;
  }

  /**
   * Makes a handler's files depend on an FLB.
   * @returns 0, -EOPNOTSUPP with live update off, -EEXIST when it already does or another FLB has that string, -ENOSPC
   * when the table has no more room (63 at 4K).
   */
  register(handler: FileHandler, flb: Flb): 0 | Errno {
    if (!this.#enabled()) return EOPNOTSUPP;
    const list = this.#of(handler);
    if (list.includes(flb)) return EEXIST;
    const state = this.#privateOf(flb);
    if (state.users === 0) {
      if (this.#global.length === this.#ctx.abi.constant('flb', 'LUO_FLB_MAX')) return ENOSPC;
      if (this.#global.some((other) => other.compatible === flb.compatible)) return EEXIST;
      this.#global.push(flb);
    }
    state.users++;
    list.push(flb);
    return 0;
  }

  /** The FLB of that string, if some handler depends on one. */
  named(compatible: string): Flb | undefined {
    return this.#global.find((flb) => flb.compatible === compatible);
  }

  /** Ends a dependency; with the last one the FLB is no longer in the table. */
  unregister(handler: FileHandler, flb: Flb): void {
    if (!this.#enabled()) return;
    const list = this.#of(handler);
    const at = list.indexOf(flb);
    if (at < 0) {
      this.#ctx.log.warn(
        `luo: Failed to unregister FLB '${flb.compatible}': not found in file handler '${handler.compatible}'`,
      );
      return;
    }
    list.splice(at, 1);
    if (--this.#privateOf(flb).users === 0) this.#global.splice(this.#global.indexOf(flb), 1);
  }

  /** A file is about to be preserved: the first one preserves the FLBs. All or, after an error, none. */
  filePreserve(handler: FileHandler): 0 | Errno {
    const list = this.#of(handler);
    for (const [i, flb] of list.entries()) {
      const { outgoing } = this.#privateOf(flb);
      if (outgoing.count === 0) {
        const state = flb.preserve();
        if (isErrno(state)) {
          for (const done of list.slice(0, i).reverse()) this.#putOutgoing(done);
          return state;
        }
        outgoing.data = state.data;
        outgoing.obj = state.obj;
      }
      outgoing.count++;
    }
    return 0;
  }

  #putOutgoing(flb: Flb): void {
    const { outgoing } = this.#privateOf(flb);
    if (outgoing.count === 0 || --outgoing.count > 0) return;
    flb.unpreserve({ data: outgoing.data, obj: outgoing.obj });
    outgoing.data = 0n;
    outgoing.obj = undefined;
  }

  /** A preserved file was given up: the last one unpreserves the FLBs, in reverse order. */
  fileUnpreserve(handler: FileHandler): void {
    for (const flb of [...this.#of(handler)].reverse()) this.#putOutgoing(flb);
  }

  #retrieveOne(flb: Flb): 0 | Errno {
    const { incoming } = this.#privateOf(flb);
    if (incoming.finished) return ENODATA;
    if (incoming.status < 0) return incoming.status as Errno;
    if (incoming.status > 0) return 0;
    if (this.#incoming === undefined) return ENODATA;
    const entry = this.#find(this.#incoming, flb.compatible);
    if (entry === undefined) return ENOENT;
    const struct = this.#ctx.abi.struct('luo_flb_ser');
    incoming.data = struct.getBig(this.#ctx.memory, entry, 'data');
    // refcount_set of an int, by a number that nobody checks.
    incoming.count = Number(BigInt.asIntN(32, struct.getBig(this.#ctx.memory, entry, 'count')));
    const result = flb.retrieve(incoming.data);
    if (isErrno(result)) {
      if (this.#ctx.release.quirks.flbRemembersFailure) incoming.status = result;
      return result;
    }
    incoming.obj = result.obj;
    incoming.status = 1;
    return 0;
  }

  /** The entry of a name; the count comes from the predecessor and is not checked, so the walk may leave RAM. */
  #find(header: PhysAddr, compatible: string): PhysAddr | undefined {
    const { memory, abi } = this.#ctx;
    const headerStruct = abi.struct('luo_flb_header_ser');
    const struct = abi.struct('luo_flb_ser');
    const count = headerStruct.get(memory, header, 'count');
    const nameOffset = struct.offsetOf('name');
    const start = firstWordOf(compatible);
    for (let i = 0; i < count; i++) {
      if (i >= MAX_FLBS_WALKED) throw new KernelHang('luo_flb_retrieve_one');
      const entry = (header + headerStruct.sizeBytes + i * struct.sizeBytes) as PhysAddr;
      if (start !== undefined && memory.readU32((entry + nameOffset) as PhysAddr) !== start) continue;
      if (struct.getString(memory, entry, 'name') === compatible) return entry;
    }
    return undefined;
  }

  /**
   * The live object of an incoming FLB, made on the first call; takes a reference from 7.1 on.
   * Before, the FLB goes with its last file, whoever works with it.
   * @returns -EOPNOTSUPP with live update off, -ENODATA without a handover or after finish, -ENOENT when the
   * predecessor had none of that name, or what its callback said.
   */
  getIncoming(flb: Flb): { readonly obj: unknown } | Errno {
    if (!this.#enabled()) return EOPNOTSUPP;
    const { incoming } = this.#privateOf(flb);
    if (incoming.obj === undefined) {
      const err = this.#retrieveOne(flb);
      if (err !== 0) return err;
    }
    if (this.#ctx.release.quirks.flbCountsUsers) this.#refcountInc(incoming);
    return { obj: incoming.obj };
  }

  /** refcount_inc: a counter that is 0 or was never right becomes one that never ends. */
  #refcountInc(counter: { count: number }): void {
    if (counter.count > 0 && counter.count < INT_MAX) counter.count++;
    else this.#saturate(counter, counter.count === 0 ? 'add on 0' : 'add overflow');
  }

  /** refcount_dec_and_test. */
  #refcountDecAndTest(counter: { count: number }): boolean {
    if (counter.count <= 0) this.#saturate(counter, 'sub underflow');
    else counter.count--;
    return counter.count === 0;
  }

  #saturate(counter: { count: number }, site: string): void {
    counter.count = REFCOUNT_SATURATED;
    this.#ctx.log.warnOnOnce('refcount_warn_saturate', `refcount_warn_saturate: ${site}`);
  }

  /** Drops a reference; the last one finishes the FLB, retrieving it first when nobody has. */
  putIncoming(flb: Flb): void {
    const { incoming } = this.#privateOf(flb);
    // A plain number up to 7.0: one that went below zero never comes to an end.
    const last = this.#ctx.release.quirks.flbCountsUsers ? this.#refcountDecAndTest(incoming) : --incoming.count === 0;
    if (!last) return;
    if (incoming.status <= 0 && this.#retrieveOne(flb) !== 0) {
      this.#ctx.log.warnOn('liveupdate_flb_put_incoming');
      return;
    }
    flb.finish(incoming.obj);
    incoming.data = 0n;
    incoming.obj = undefined;
    incoming.finished = true;
  }

  /** A file of a handler was finished: drops its reference to each FLB, in reverse order. */
  fileFinish(handler: FileHandler): void {
    for (const flb of [...this.#of(handler)].reverse()) this.putIncoming(flb);
  }

  /** Makes the outgoing table. @returns its address, or an errno. */
  setupOutgoing(): PhysAddr | Errno {
    const { memory, kho, abi } = this.#ctx;
    const pages = abi.constant('flb', 'LUO_FLB_PGCNT');
    const header = kho.allocPreserve(pages * memory.page.sizeBytes);
    if (isErrno(header)) return header;
    abi.struct('luo_flb_header_ser').set(memory, header, 'pgcnt', pages);
    this.#outgoing = header;
    return header;
  }

  /** Remembers where the predecessor's table is; 0 for none. */
  setupIncoming(header: PhysAddr): void {
    if (header !== 0) this.#incoming = header;
  }

  /** Writes the FLBs that files depend on into the outgoing table: data and number of files. */
  serialize(): void {
    if (this.#outgoing === undefined) return;
    const { memory, abi } = this.#ctx;
    const header = abi.struct('luo_flb_header_ser');
    const struct = abi.struct('luo_flb_ser');
    let count = 0;
    for (const flb of this.#global) {
      const { outgoing } = this.#privateOf(flb);
      if (outgoing.count === 0) continue;
      const entry = (this.#outgoing + header.sizeBytes + count * struct.sizeBytes) as PhysAddr;
      struct.setString(memory, entry, 'name', flb.compatible);
      struct.set(memory, entry, 'data', outgoing.data);
      struct.set(memory, entry, 'count', outgoing.count);
      count++;
    }
    header.set(memory, this.#outgoing, 'count', count);
  }
}
