import type { PhysAddr } from '../../machine/index.ts';
import { EINVAL, ENOENT, type Errno, isErrno } from '../errno.ts';
import { type BlockSetContext, KhoBlockSet } from './block-set.ts';
import type { EntryTable } from './entry-table.ts';
import type { LuoContext } from './luo-context.ts';
import type { IncomingLuo, LuoFormat, OutgoingSessions } from './luo-state.ts';

/** LUO's state as one raw struct, sessions and files in blocks: luo-v5 of 7.2 and 7.3. */
export class RawLuoFormat implements LuoFormat {
  readonly #ctx: LuoContext;
  readonly #blocks: BlockSetContext;

  constructor(ctx: LuoContext) {
    this.#ctx = ctx;
    this.#blocks = {
      memory: ctx.memory,
      kho: ctx.kho,
      log: ctx.log,
      faults: ctx.faults,
      header: ctx.abi.struct('kho_block_header_ser'),
      blockSizeBytes: ctx.abi.constant('block', 'KHO_BLOCK_SIZE'),
    };
  }

  #newSessionSet(): KhoBlockSet {
    return new KhoBlockSet(this.#blocks, this.#ctx.abi.struct('luo_session_ser').sizeBytes);
  }

  newFileTable(): EntryTable {
    return new KhoBlockSet(this.#blocks, this.#ctx.abi.struct('luo_file_ser').sizeBytes);
  }

  readIncoming(found: (liveupdateNumber: bigint) => void): IncomingLuo | 0 | Errno {
    const { kho, log, memory, abi, contract } = this.#ctx;
    const name = contract.subtree.name;
    const location = kho.retrieveSubtree(name);
    if (isErrno(location)) {
      if (location === ENOENT) return 0;
      log.err(`luo: failed to retrieve LUO state '${name}' from KHO: ${location}`);
      return location;
    }
    const struct = abi.struct(contract.subtree.struct ?? 'luo_ser');
    const size = location.sizeBytes ?? 0;
    if (size < struct.sizeBytes) {
      log.err(`luo: LUO state is too small (${size} < ${struct.sizeBytes})`);
      return EINVAL;
    }
    const ser = location.phys;
    if (struct.getString(memory, ser, 'compatible') !== contract.compatible) {
      log.err(`luo: LUO state is incompatible with '${contract.compatible}'`);
      return EINVAL;
    }
    found(struct.getBig(memory, ser, 'liveupdate_num'));

    const head = struct.get(memory, ser, 'sessions_pa');
    const set = this.#newSessionSet();
    const err = head === 0 ? 0 : set.restore(head);
    const flbs = struct.get(memory, ser, 'flbs_pa');
    kho.restoreFree(ser);
    if (err !== 0) return err;
    const incomingFlbs = flbs === 0 ? (0 as PhysAddr) : kho.physToVirt(flbs);
    if (head === 0) return { sessions: undefined, flbs: incomingFlbs };
    const release = () => set.destroy();
    return { sessions: { cursor: () => set.cursor(), release, abandon: release }, flbs: incomingFlbs };
  }

  setupOutgoing(liveupdateNumber: bigint, setupFlbs: () => PhysAddr | Errno): OutgoingSessions | Errno {
    const { kho, log, memory, abi, contract } = this.#ctx;
    const struct = abi.struct(contract.subtree.struct ?? 'luo_ser');
    const ser = kho.allocPreserve(struct.sizeBytes);
    if (isErrno(ser)) {
      log.err('luo: failed to allocate/preserve LUO state memory');
      return ser;
    }
    struct.setString(memory, ser, 'compatible', String(contract.compatible));
    struct.set(memory, ser, 'liveupdate_num', liveupdateNumber);
    const flbs = setupFlbs();
    let err: 0 | Errno = isErrno(flbs) ? flbs : 0;
    if (!isErrno(flbs)) {
      struct.set(memory, ser, 'flbs_pa', flbs);
      err = kho.addSubtree(contract.subtree.name, ser, struct.sizeBytes);
    }
    if (err !== 0) {
      kho.unpreserveFree(ser, struct.sizeBytes);
      log.err(`luo: failed to prepare LUO state: ${err}`);
      return err;
    }
    const set = this.#newSessionSet();
    const announce = (head: number) => struct.set(memory, ser, 'sessions_pa', head);
    return {
      grow: (count) => set.grow(count),
      shrink: (count) => set.shrink(count),
      begin: () => announce(0),
      cursor: () => set.cursor(),
      commit: (count) => {
        if (count > 0) announce(set.head);
      },
    };
  }
}
