import type { MmContext } from '../mm/folio.ts';
import { ShmemFile, type ShmemOptions } from '../mm/shmem.ts';
import type { LiveFile } from './file-handler.ts';

/** Descriptors that are open on an inode. */
const openFiles = new WeakMap<ShmemFile, number>();

/** An open memfd: a descriptor of a file in memory. The file goes when its last descriptor loses its last reference. */
export class Memfd implements LiveFile {
  readonly inode: ShmemFile;
  #references = 1;

  /** @param inode a new file, or one that another descriptor has open. */
  constructor(inode: ShmemFile) {
    this.inode = inode;
    openFiles.set(inode, (openFiles.get(inode) ?? 0) + 1);
  }

  /** memfd_create: an empty file. */
  static create(mm: MmContext, name: string, options?: ShmemOptions): Memfd {
    return new Memfd(new ShmemFile(mm, name, options));
  }

  /** Another descriptor of the same file, as an open of /proc/self/fd gives. */
  reopen(): Memfd {
    return new Memfd(this.inode);
  }

  get(): void {
    this.#references++;
  }

  put(): void {
    if (this.#references === 0) throw new Error(`${this.inode.name}: no reference left to drop`);
    if (--this.#references > 0) return;
    const left = (openFiles.get(this.inode) ?? 1) - 1;
    openFiles.set(this.inode, left);
    if (left === 0) this.inode.release();
  }
}
