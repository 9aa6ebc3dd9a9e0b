import { isErrno } from '../../../kernel/errno.ts';
import { Luo, type LuoDevice } from '../../../kernel/liveupdate/luo.ts';
import { Memfd } from '../../../kernel/liveupdate/memfd-file.ts';
import type { LuoSessionFile } from '../../../kernel/liveupdate/session.ts';
import type { ShmemOptions } from '../../../kernel/mm/shmem.ts';
import { RELEASES } from '../../../kernel/release.ts';
import type { PageSize, PhysAddr } from '../../../machine/index.ts';
import { FakeKernel, type FakeOptions } from '../fake-kernel.ts';

/** What must be there and not be an errno. */
export function ok<T>(value: T): Exclude<T, number | undefined> {
  if (isErrno(value) || typeof value === 'number' || value === undefined) throw new Error(`unexpected ${value}`);
  return value as Exclude<T, number | undefined>;
}

/** A kernel with LUO, booted as far as its initcalls. */
export class LuoWorld {
  readonly kernel: FakeKernel;
  readonly luo: Luo;

  constructor(kernel: FakeKernel) {
    this.kernel = kernel;
    this.luo = new Luo(kernel);
    this.luo.earlyInit();
    this.luo.lateInit();
    this.luo.registerHandlers();
  }

  static boot(page: PageSize, options: FakeOptions = {}): LuoWorld {
    return new LuoWorld(new FakeKernel(page, { cmdline: 'liveupdate=on', ...options }));
  }

  /** Serialises and jumps. @throws when the reboot is refused. */
  next(options: FakeOptions = {}): LuoWorld {
    const err = this.luo.reboot();
    if (err !== 0) throw new Error(`reboot refused: ${err}`);
    return this.jump(options);
  }

  /** Jumps without serialising. */
  jump(options: FakeOptions = {}): LuoWorld {
    return new LuoWorld(this.kernel.kexec({ cmdline: 'liveupdate=on', ...options }));
  }

  device(): LuoDevice {
    return ok(this.luo.open());
  }

  memfd(bytes: Uint8Array | number, options?: ShmemOptions): Memfd {
    const file = Memfd.create(this.kernel, 'test', options);
    const content = typeof bytes === 'number' ? contentOf(bytes) : bytes;
    if (content.length > 0 && file.inode.write(0, content) !== 0) throw new Error('out of memory');
    return file;
  }
}

/** `sizeBytes` bytes, none of them zero, different for each size. */
export function contentOf(sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  for (let i = 0; i < sizeBytes; i++) bytes[i] = 1 + ((i * 7 + (i >>> 8) * 13 + sizeBytes) % 255);
  return bytes;
}

/** Whether a file that is retrieved holds `contentOf(sizeBytes)`. */
export function intact(session: LuoSessionFile, token: bigint | number, sizeBytes: number): boolean {
  const { inode } = ok(session.retrieveFd(token)) as Memfd;
  return inode.sizeBytes === sizeBytes && Buffer.from(contentOf(sizeBytes)).equals(inode.read(0, sizeBytes));
}

/** The releases that have LUO. */
export const LUO_RELEASES = RELEASES.filter((release) => release.luo !== undefined);

/** Where the outgoing LUO state lies. */
export function luoPhys(world: LuoWorld): PhysAddr {
  return world.kernel.kho.subtrees.get('LUO')?.phys ?? (0 as PhysAddr);
}
