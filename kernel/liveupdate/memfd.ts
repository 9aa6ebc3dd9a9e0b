import { type Pfn, type PhysAddr, ZERO_FILL } from '../../machine/index.ts';
import type { MemfdContract } from '../abi/contract.ts';
import { EFBIG, EINVAL, EIO, ENOMEM, ENOSPC, EOPNOTSUPP, type Errno, isErrno } from '../errno.ts';
import { FREEZE_SITE, MEMFD_ACCOUNT_SITE, MEMFD_CHARGE_SITE } from '../fault-sites.ts';
import type { Folio } from '../kho/kho.ts';
import {
  preserveVmalloc,
  readPreservation,
  restoreVmalloc,
  unpreserveVmalloc,
  type VmallocContext,
  writePreservation,
} from '../kho/vmalloc.ts';
import { folioOf, folioPut } from '../mm/folio.ts';
import { FolioFlag } from '../mm/page-cache.ts';
import { Seal, type ShmemFile } from '../mm/shmem.ts';
import { type VmallocArea, vfree, vmalloc } from '../mm/vmalloc-area.ts';
import type { ReleaseQuirks } from '../release-quirks.ts';
import type { FileHandler, LiveFile, RetrieveStatus, SerializedFile } from './file-handler.ts';
import { type FolioRun, type FolioSer, FolioSerCodec } from './folio-ser.ts';
import { Memfd } from './memfd-file.ts';

/** Seals that F_SEAL_EXEC brings along on an executable file, as a retrieved one is. */
const EXEC_IMPLIES = Seal.SHRINK | Seal.GROW | Seal.WRITE | Seal.FUTURE_WRITE;

/** pr_warn_ratelimited: as many lines in a burst. */
const RATELIMIT_BURST = 10;

/** One more than an unsigned int holds. */
const TWO_32 = 2 ** 32;

/** The end of loff_t. */
const MAX_LFS_FILESIZE = 2 ** 63;

/**
 * Preserved memfds (mm/memfd_luo.c): size, position, seals (memfd-v2, from 7.1) and every folio, holes filled.
 *
 * data --> memfd_luo_ser --> kho_vmalloc --> chunks --> pages of memfd_luo_folio_ser { pfn | flags, index } -->
 * folios
 */
export class MemfdHandler implements FileHandler {
  readonly compatible: string;
  readonly #ctx: VmallocContext;
  readonly #contract: MemfdContract;
  readonly #codec: FolioSerCodec;
  readonly #quirks: ReleaseQuirks;

  /** @throws RangeError for a release without memfd preservation. */
  constructor(ctx: VmallocContext) {
    const contract = ctx.release.memfd;
    if (contract === undefined) throw new RangeError(`${ctx.release.name} cannot preserve memfds`);
    this.#ctx = ctx;
    this.#contract = contract;
    this.#codec = new FolioSerCodec(ctx.abi);
    this.#quirks = ctx.release.quirks;
    this.compatible = contract.compatible;
  }

  canPreserve(file: LiveFile): boolean {
    return file instanceof Memfd;
  }

  idOf(file: LiveFile): object {
    return file.inode;
  }

  /** A limit of the contract, undefined where it has none. */
  #limit(name: string): number | undefined {
    return this.#contract.constants[name] === undefined ? undefined : this.#ctx.abi.constant('memfd', name);
  }

  get #serStruct() {
    return this.#ctx.abi.struct('memfd_luo_ser');
  }

  // --- in the old kernel -----------------------------------------------------------------------------------------

  /**
   * Freezes the file and preserves what is in it. -EOPNOTSUPP for seals that can't cross, -EFBIG for more than
   * UINT_MAX pages,
   * -ENOMEM; after an error the file is as before, but for the holes that were filled.
   */
  preserve(file: LiveFile): SerializedFile | Errno {
    if (!(file instanceof Memfd)) return EINVAL;
    const { memory, kho } = this.#ctx;
    const { inode } = file;
    const struct = this.#serStruct;
    inode.frozen = true;
    const ser = kho.allocPreserve(struct.sizeBytes);
    if (isErrno(ser)) {
      inode.frozen = false;
      return ser;
    }
    const fail = (err: Errno): Errno => {
      kho.unpreserveFree(ser, struct.sizeBytes);
      inode.frozen = false;
      return err;
    };
    const allSeals = this.#limit('MEMFD_LUO_ALL_SEALS');
    if (allSeals !== undefined && (inode.seals & ~allSeals) !== 0) return fail(EOPNOTSUPP);
    struct.set(memory, ser, 'pos', inode.pos);
    const maxFolios = this.#limit('MEMFD_LUO_MAX_FOLIOS');
    if (maxFolios !== undefined && Math.ceil(inode.sizeBytes / memory.page.sizeBytes) > maxFolios) return fail(EFBIG);
    struct.set(memory, ser, 'size', inode.sizeBytes);
    if (struct.has('seals')) struct.set(memory, ser, 'seals', inode.seals);

    const folios = this.#preserveFolios(file, ser);
    if (isErrno(folios)) return fail(folios);
    struct.set(memory, ser, 'nr_folios', folios?.count ?? 0);
    return { serializedData: BigInt(ser), privateData: folios?.list };
  }

  /** @returns undefined for an empty file. */
  #preserveFolios(file: Memfd, ser: PhysAddr): { count: number; list: VmallocArea } | undefined | Errno {
    const { memory, kho, log } = this.#ctx;
    const { inode } = file;
    if (inode.sizeBytes === 0) return undefined;
    const nrPages = Math.ceil(inode.sizeBytes / memory.page.sizeBytes);
    // So many at most are pinned, from the start of the file on: all, unless their number was cut to 32 bits.
    const maxFolios = this.#quirks.memfdCountsInInt ? nrPages % TWO_32 : nrPages;
    const err = inode.pin(maxFolios);
    if (err !== 0) {
      log.err(`memfd_luo: failed to pin folios: ${err}`);
      return err;
    }
    const runs = pinnedRuns(inode, nrPages, maxFolios);
    const count = runs.reduce((sum, run) => sum + run.nrFolios, 0);
    const list = vmalloc(this.#ctx, count * this.#codec.sizeBytes, { zero: true });
    if (list === undefined) return ENOMEM;
    const undo = (done: number, failure: Errno): Errno => {
      this.#unpreserveFirst(runs, done);
      vfree(this.#ctx, list);
      return failure;
    };
    let done = 0;
    for (const run of runs) {
      const size = 2 ** run.order;
      for (let i = 0; i < run.nrFolios; i++) {
        const failure = kho.preserveFolio({ pfn: (run.pfn + i * size) as Pfn, order: run.order });
        if (failure !== 0) return undo(done, failure);
        done++;
      }
      if (this.#quirks.memfdSavesFolioFlags || (run.flags & FolioFlag.uptodate) !== 0) continue;
      memory.fillPages(run.pfn, run.nrFolios * size, ZERO_FILL);
      for (let i = 0; i < run.nrFolios; i++) inode.cache.changeFlags(run.index + i * size, FolioFlag.uptodate);
    }
    const both = FolioFlag.dirty | FolioFlag.uptodate;
    if (!this.#quirks.memfdSavesFolioFlags) inode.cache.setAllFlags(FolioFlag.dirty);
    this.#codec.writeAll(list, runs, ({ flags }) => this.#abiFlags(this.#quirks.memfdSavesFolioFlags ? flags : both));
    const preservation = preserveVmalloc(this.#ctx, list);
    if (isErrno(preservation)) return undo(count, preservation);
    writePreservation(this.#ctx, this.#foliosAt(ser), preservation);
    return { count, list };
  }

  /** Unpreserves the first `count` folios of the runs. */
  #unpreserveFirst(runs: readonly FolioRun[], count: number): void {
    let left = count;
    for (const { pfn, order, nrFolios } of runs) {
      const nr = Math.min(nrFolios, left);
      for (let i = 0; i < nr; i++) this.#ctx.kho.unpreserveFolio({ pfn: (pfn + i * 2 ** order) as Pfn, order });
      left -= nr;
    }
  }

  #foliosAt(ser: PhysAddr): PhysAddr {
    return (ser + this.#serStruct.offsetOf('folios')) as PhysAddr;
  }

  #abiFlags(flags: number): number {
    const { abi } = this.#ctx;
    return (
      ((flags & FolioFlag.dirty) === 0 ? 0 : abi.constant('memfd', 'MEMFD_LUO_FOLIO_DIRTY')) |
      ((flags & FolioFlag.uptodate) === 0 ? 0 : abi.constant('memfd', 'MEMFD_LUO_FOLIO_UPTODATE'))
    );
  }

  /** Right before the jump: the position may have moved since. */
  freeze(file: LiveFile, { serializedData }: SerializedFile): 0 | Errno {
    if (serializedData === 0n || !(file instanceof Memfd)) {
      this.#ctx.log.warnOnOnce('memfd_luo_freeze');
      return EINVAL;
    }
    if (this.#ctx.faults?.fails(FREEZE_SITE) === true) return EIO;
    this.#serStruct.set(this.#ctx.memory, Number(serializedData) as PhysAddr, 'pos', file.inode.pos);
    return 0;
  }

  unpreserve(file: LiveFile, { serializedData, privateData }: SerializedFile): void {
    const { memory, kho, pages, log } = this.#ctx;
    if (serializedData === 0n || !(file instanceof Memfd)) {
      log.warnOnOnce('memfd_luo_unpreserve');
      return;
    }
    file.inode.frozen = false;
    const ser = Number(serializedData) as PhysAddr;
    const struct = this.#serStruct;
    const count = struct.get(memory, ser, 'nr_folios');
    if (count > 0) {
      const list = privateData as VmallocArea;
      unpreserveVmalloc(this.#ctx, readPreservation(this.#ctx, this.#foliosAt(ser)));
      for (const { pfn } of this.#codec.read(list, count)) {
        if (pfn !== 0) kho.unpreserveFolio(folioOf(pages, pfn as Pfn));
      }
      vfree(this.#ctx, list);
    }
    kho.unpreserveFree(ser, struct.sizeBytes);
  }

  // --- in the new kernel -----------------------------------------------------------------------------------------

  /**
   * Makes the file again from what the predecessor left.
   * @returns -EOPNOTSUPP for unknown seals, -EINVAL for a list that can't be restored, -EIO for a folio that was not
   * preserved, -EEXIST for two folios in one place, -ENOMEM and -ENOSPC for a folio that can't be charged or accounted.
   * The list and all folios are gone then.
   * @throws MachineFault when an address leads out of RAM, or the count out of the list.
   */
  retrieve(serializedData: bigint): Memfd | Errno {
    const { memory, kho, abi } = this.#ctx;
    const ser = this.#ctx.kho.physToVirt(serializedData);
    const struct = this.#serStruct;
    const hasSeals = struct.has('seals');
    const seals = hasSeals ? struct.get(memory, ser, 'seals') : Seal.SEAL;
    if (hasSeals && (seals & ~abi.constant('memfd', 'MEMFD_LUO_ALL_SEALS')) !== 0) {
      kho.restoreFree(ser);
      return EOPNOTSUPP;
    }
    const file = Memfd.create(this.#ctx, '', {
      seals: (seals & Seal.EXEC) === 0 ? seals : seals | EXEC_IMPLIES,
    });
    const pos = struct.get(memory, ser, 'pos');
    if (pos < MAX_LFS_FILESIZE) file.inode.pos = pos;
    const size = struct.get(memory, ser, 'size');
    file.inode.sizeBytes = size < MAX_LFS_FILESIZE ? size : 0;

    const err = this.#retrieveContent(file, ser);
    if (err !== 0) file.put();
    kho.restoreFree(ser);
    return err === 0 ? file : err;
  }

  #retrieveContent(file: Memfd, ser: PhysAddr): 0 | Errno {
    const count = this.#serStruct.get(this.#ctx.memory, ser, 'nr_folios');
    if (count === 0) return 0;
    const list = restoreVmalloc(this.#ctx, readPreservation(this.#ctx, this.#foliosAt(ser)));
    if (list === undefined) return EINVAL;
    const err = this.#retrieveFolios(file, list, count);
    vfree(this.#ctx, list);
    return err;
  }

  #retrieveFolios(file: Memfd, list: VmallocArea, count: number): 0 | Errno {
    let added = 0;
    let i = 0;
    for (const entry of this.#codec.read(list, count)) {
      const err = entry.pfn === 0 ? 0 : this.#retrieveFolio(file, entry, i);
      if (err !== 0) {
        this.#putFrom(list, count, i + 1);
        // Of a folio that could not be restored nothing but the variable's value tells, which the one before has set to 0.
        return this.#quirks.memfdForgetsErrors && err === EIO && added > 0 ? 0 : err;
      }
      if (entry.pfn !== 0) added++;
      i++;
    }
    return 0;
  }

  /** Restores the i-th folio and puts it into the file. After an error it is nobody's, and free if it could be restored. */
  #retrieveFolio(file: Memfd, entry: FolioSer, i: number): 0 | Errno {
    const { log, abi, faults } = this.#ctx;
    const folio = this.#restoreFolio(entry);
    if (folio === undefined) {
      log.err(`memfd_luo: Unable to restore folio at physical address: ${this.#physHex(entry)}`);
      return EIO;
    }
    const fail = (err: Errno, what: string): Errno => {
      log.err(`memfd_luo: shmem: failed to ${what} folio index ${i}: ${err}`);
      folioPut(this.#ctx, folio);
      return err;
    };
    if (faults?.fails(MEMFD_CHARGE_SITE) === true) return fail(ENOMEM, 'charge');
    const flags =
      ((entry.flags & abi.constant('memfd', 'MEMFD_LUO_FOLIO_UPTODATE')) === 0 ? 0 : FolioFlag.uptodate) |
      ((entry.flags & abi.constant('memfd', 'MEMFD_LUO_FOLIO_DIRTY')) === 0 ? 0 : FolioFlag.dirty);
    const err = file.inode.addFolio(entry.index, folio.pfn, folio.order, flags);
    if (err !== 0) return fail(err, 'add to page cache');
    if (faults?.fails(MEMFD_ACCOUNT_SITE) === true) {
      // Up to 7.0 it stays in the page cache, and goes with the file: a way that is longer by some lines, and ends alike.
      file.inode.cache.remove(entry.index);
      return fail(ENOSPC, 'account');
    }
    return 0;
  }

  /** Gives back the folios of a file that is given up, from entry `first` on. */
  #putFrom(list: VmallocArea, count: number, first: number): void {
    const wrong = this.#quirks.memfdPutsWrongFolios;
    for (const entry of this.#codec.read(list, count, first)) {
      if (entry.pfn === 0 && !wrong) continue;
      const folio: Folio | undefined = wrong
        ? this.#ctx.kho.restoreFolio(entry.pfn as number as PhysAddr)
        : this.#restoreFolio(entry);
      if (folio !== undefined) folioPut(this.#ctx, folio);
    }
  }

  /** PFN_PHYS: what does not fit 64 bits is lost. Exact, since only low bits of the frame number remain. */
  #physOf({ pfn }: FolioSer): number {
    return (pfn * this.#ctx.memory.page.sizeBytes) % 2 ** 64;
  }

  #physHex(entry: FolioSer): string {
    return this.#physOf(entry).toString(16);
  }

  #restoreFolio(entry: FolioSer) {
    const phys = this.#physOf(entry);
    // No struct page can be that far out: what the kernel answers for every such frame.
    return phys > Number.MAX_SAFE_INTEGER ? undefined : this.#ctx.kho.restoreFolio(phys as PhysAddr);
  }

  /** Nobody retrieved the file: gives its memory back. Else there is nothing left to do. */
  finish(_file: LiveFile | undefined, serializedData: bigint, status: RetrieveStatus): void {
    if (status !== 0) return;
    const { memory, kho, log } = this.#ctx;
    const ser = this.#ctx.kho.physToVirt(serializedData);
    const count = this.#serStruct.get(memory, ser, 'nr_folios');
    if (count > 0) {
      const list = restoreVmalloc(this.#ctx, readPreservation(this.#ctx, this.#foliosAt(ser)));
      if (list !== undefined) {
        let warned = 0;
        for (const entry of this.#codec.read(list, count)) {
          if (entry.pfn === 0) continue;
          const folio = this.#restoreFolio(entry);
          if (folio !== undefined) folioPut(this.#ctx, folio);
          else if (warned++ < RATELIMIT_BURST) {
            log.warn(`memfd_luo: Unable to restore folio at physical address: ${this.#physHex(entry)}`);
          }
        }
        vfree(this.#ctx, list);
      }
    }
    kho.restoreFree(ser);
  }
}

/** The folios that hold the first `nrPages` pages of a file, and no more than `maxFolios`; a last one that reaches further is whole. */
function pinnedRuns(inode: ShmemFile, nrPages: number, maxFolios: number): FolioRun[] {
  const runs: FolioRun[] = [];
  let left = maxFolios;
  for (const run of inode.cache.runs()) {
    const nrFolios = Math.min(run.nrFolios, Math.ceil((nrPages - run.index) / 2 ** run.order), left);
    if (nrFolios <= 0) break;
    runs.push({ ...run, nrFolios });
    left -= nrFolios;
  }
  return runs;
}
