import type { PhysAddr } from '../../machine/index.ts';
import { type FlbContract, nodeSpecOf, type SessionContract } from '../abi/contract.ts';
import { beginNode, getNumber, wholeNode } from '../clients/fdt-codec.ts';
import { EINVAL, ENOENT, ENOMEM, type Errno, isErrno } from '../errno.ts';
import { isFdtErr } from '../fdt/error.ts';
import { fdtTotalsize } from '../fdt/layout.ts';
import { fdtNodeCheckCompatible, fdtSubnodeOffset } from '../fdt/read.ts';
import { fdtCreate, fdtEndNode, fdtFinish, fdtFinishReservemap } from '../fdt/write.ts';
import { fdtViewAt } from '../kho/fdt-view.ts';
import { EntryArray } from './entry-array.ts';
import type { EntryCursor, EntryTable } from './entry-table.ts';
import type { LuoContext } from './luo-context.ts';
import type { IncomingLuo, IncomingSessions, LuoFormat, OutgoingSessions } from './luo-state.ts';

/*
 * LUO before 7.2: an FDT of one page, and contiguous pieces of a fixed number of pages.
 *
 *   LUO --> / compatible, liveupdate-number
 *             luo-session { compatible, luo-session-header } --> +-------+-----------+-----------+--  16 pages
 *             luo-flb     { compatible, luo-flb-header } (7.0)   | count | session 0 | session 1 |
 *                                                                +-------+-----------+-----------+--
 *                                                                             files --> 2 pages of files
 */

/** LUO's state as an FDT: luo-v1 of 6.19 (without FLBs), 7.0 and 7.1. */
export class FdtLuoFormat implements LuoFormat {
  readonly #ctx: LuoContext;
  readonly #session: SessionContract;
  readonly #flb: FlbContract | undefined;

  constructor(ctx: LuoContext) {
    this.#ctx = ctx;
    const { session, flb } = ctx.release;
    if (session === undefined) throw new RangeError(`${ctx.contract.name} without a contract for sessions`);
    this.#session = session;
    this.#flb = flb;
  }

  newFileTable(): EntryTable {
    const { abi, page } = this.#ctx;
    const sizeBytes = abi.constant('session', 'LUO_FILE_PGCNT') * page.sizeBytes;
    return new EntryArray(this.#ctx, abi.struct('luo_file_ser').sizeBytes, sizeBytes);
  }

  /** The address in a node's header property; an errno after saying why not. */
  #headerOf(fdt: Uint8Array, contract: SessionContract | FlbContract): PhysAddr | Errno {
    const { log } = this.#ctx;
    const role = contract.area;
    const isFlb = role === 'flb';
    const spec = nodeSpecOf(contract, role);
    const node = fdtSubnodeOffset(fdt, 0, spec.name);
    if (isFdtErr(node)) {
      log.err(`luo: Unable to get ${isFlb ? 'FLB node' : 'session node:'} [${spec.name}]`);
      return isFlb ? ENOENT : EINVAL;
    }
    const compatible = String(contract.compatible);
    const incompatible = fdtNodeCheckCompatible(fdt, node, compatible);
    if (incompatible !== 0) {
      log.err(
        isFlb
          ? `luo: FLB node is incompatible with '${compatible}' [${incompatible}]`
          : `luo: Session node incompatible [${compatible}]`,
      );
      return EINVAL;
    }
    const header = getNumber(fdt, node, contract, role, 'header');
    if (typeof header !== 'bigint') {
      const name = spec.properties.find(({ key }) => key === 'header')?.name;
      log.err(`luo: Unable to get ${isFlb ? 'FLB header property' : 'session header'} '${name}' [${header.length}]`);
      return EINVAL;
    }
    return header === 0n ? (0 as PhysAddr) : this.#ctx.kho.physToVirt(header);
  }

  readIncoming(found: (liveupdateNumber: bigint) => void): IncomingLuo | 0 | Errno {
    const { kho, log, memory, contract } = this.#ctx;
    const name = contract.subtree.name;
    const location = kho.retrieveSubtree(name);
    if (isErrno(location)) {
      if (location === ENOENT) return 0;
      log.err(`luo: failed to retrieve FDT '${name}' from KHO: ${location}`);
      return location;
    }
    const fdt = fdtViewAt(memory, location.phys);
    const incompatible = fdtNodeCheckCompatible(fdt, 0, String(contract.compatible));
    if (incompatible !== 0) {
      log.err(`luo: FDT '${name}' is incompatible with '${contract.compatible}' [${incompatible}]`);
      return EINVAL;
    }
    const number = getNumber(fdt, 0, contract, 'root', 'liveupdateNumber');
    if (typeof number !== 'bigint') {
      const property = nodeSpecOf(contract, 'root').properties.find(({ key }) => key === 'liveupdateNumber');
      log.err(`luo: Unable to get live update number '${property?.name}' [${number.length}]`);
      return EINVAL;
    }
    found(number);

    const sessions = this.#headerOf(fdt, this.#session);
    if (isErrno(sessions)) return sessions;
    const flbs = this.#flb === undefined ? (0 as PhysAddr) : this.#headerOf(fdt, this.#flb);
    if (isErrno(flbs)) return flbs;
    return { sessions: this.#incomingSessions(sessions), flbs };
  }

  #incomingSessions(header: PhysAddr): IncomingSessions {
    const { memory, kho } = this.#ctx;
    const struct = this.#ctx.abi.struct('luo_session_header_ser');
    return {
      cursor: () => this.#cursor(header, () => struct.get(memory, header, 'count')),
      release: () => kho.restoreFree(header),
      abandon: () => {},
    };
  }

  #cursor(header: PhysAddr, count: () => number): EntryCursor {
    const { abi } = this.#ctx;
    const first = header + abi.struct('luo_session_header_ser').sizeBytes;
    const entryBytes = abi.struct('luo_session_ser').sizeBytes;
    const capacity = abi.constant('session', 'LUO_SESSION_MAX');
    let i = 0;
    const entry = (index: number): PhysAddr => (first + index * entryBytes) as PhysAddr;
    return {
      reserve: () => (i < capacity ? entry(i++) : undefined),
      read: () => (i < count() ? entry(i++) : undefined),
      prev: () => (i > 0 ? entry(--i) : undefined),
    };
  }

  setupOutgoing(liveupdateNumber: bigint, setupFlbs: () => PhysAddr | Errno): OutgoingSessions | Errno {
    const { kho, log, memory, page, abi, contract } = this.#ctx;
    const at = kho.allocPreserve(page.sizeBytes);
    if (isErrno(at)) {
      log.err('luo: failed to allocate/preserve FDT memory');
      return at;
    }
    const fail = (err: number): Errno => {
      kho.unpreserveFree(at, page.sizeBytes);
      log.err(`luo: failed to prepare LUO FDT: ${err}`);
      return err as Errno;
    };
    const fdt = new Uint8Array(page.sizeBytes);
    let err = fdtCreate(fdt) | fdtFinishReservemap(fdt) | beginNode(fdt, contract, 'root', { liveupdateNumber });

    const sizeBytes = abi.constant('session', 'LUO_SESSION_PGCNT') * page.sizeBytes;
    const header = kho.allocPreserve(sizeBytes);
    if (isErrno(header)) return fail(header);
    err |= wholeNode(fdt, this.#session, 'session', { header });
    if (this.#flb !== undefined) {
      const flbs = setupFlbs();
      if (isErrno(flbs)) return fail(flbs);
      err |= wholeNode(fdt, this.#flb, 'flb', { header: flbs });
    }
    err |= fdtEndNode(fdt) | fdtFinish(fdt);
    if (err !== 0) return fail(err);
    memory.writeBytes(at, fdt);
    const added = kho.addSubtree(contract.subtree.name, at, fdtTotalsize(fdt));
    if (added !== 0) return fail(added);

    const capacity = abi.constant('session', 'LUO_SESSION_MAX');
    const struct = abi.struct('luo_session_header_ser');
    return {
      grow: (count) => (count > capacity ? ENOMEM : 0),
      shrink: () => {},
      begin: () => {},
      cursor: () => this.#cursor(header, () => struct.get(memory, header, 'count')),
      commit: (count) => struct.set(memory, header, 'count', count),
    };
  }
}
