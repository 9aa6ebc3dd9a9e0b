import { describe, expect, it } from 'vitest';
import { EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, ENOSPC } from '../../../kernel/errno.ts';
import { FREEZE_SITE, MEMFD_CHARGE_SITE } from '../../../kernel/fault-sites.ts';
import type { FileHandler } from '../../../kernel/liveupdate/file-handler.ts';
import type { Memfd } from '../../../kernel/liveupdate/memfd-file.ts';
import { withQuirks } from '../../../kernel/quirks.ts';
import { knownRelease } from '../../../kernel/release.ts';
import { PAGE_4K } from '../../../machine/index.ts';
import { intact, LuoWorld, luoPhys, ok } from './luo-world.ts';

describe('preserving files', () => {
  it('refuses a token twice, a file twice, and what no handler takes', () => {
    const world = LuoWorld.boot(PAGE_4K);
    const device = world.device();
    const session = ok(device.createSession('a'));
    const other = ok(device.createSession('b'));
    const file = world.memfd(10);
    expect(session.preserveFd(1, file)).toBe(0);
    expect(session.preserveFd(1, world.memfd(10))).toBe(EEXIST);
    expect(session.preserveFd(2, file)).toBe(EBUSY);
    expect(other.preserveFd(2, file.reopen())).toBe(EBUSY);
    expect(session.preserveFd(3, { inode: {}, get() {}, put() {} })).toBe(ENOENT);
    session.release();
    expect(other.preserveFd(2, file)).toBe(0);
  });

  it('has room for a fixed number before 7.2', () => {
    const world = LuoWorld.boot(PAGE_4K, { release: knownRelease('7.1') });
    const session = ok(world.device().createSession('a'));
    for (let token = 0; token < 128; token++) expect(session.preserveFd(token, world.memfd(0))).toBe(0);
    expect(session.preserveFd(128, world.memfd(0))).toBe(ENOSPC);
  });

  it('takes a file twice in 6.19', () => {
    const world = LuoWorld.boot(PAGE_4K, { release: knownRelease('6.19') });
    const session = ok(world.device().createSession('a'));
    const file = world.memfd(0);
    expect([session.preserveFd(1, file), session.preserveFd(2, file)]).toEqual([0, 0]);
  });

  it('gives everything back when the session is closed', () => {
    const world = LuoWorld.boot(PAGE_4K);
    const before = [...world.kernel.kho.blocks];
    const free = world.kernel.allocator.nrFreePages();
    const session = ok(world.device().createSession('a'));
    const file = world.memfd(10_000);
    session.preserveFd(1, file);
    expect(file.inode.frozen).toBe(true);
    session.preserveFd(2, world.memfd(0));
    expect(session.release()).toBe(0);
    expect(file.inode.frozen).toBe(false);
    expect([...world.kernel.kho.blocks]).toEqual(before);
    file.put();
    expect(world.kernel.allocator.nrFreePages()).toBe(free);
    expect(world.kernel.control.state.sessions).toEqual([]);
  });

  it('leaves nothing behind at whichever step it fails', () => {
    const tried = new Set<number>();
    for (let nth = 1; nth < 60; nth++) {
      const world = LuoWorld.boot(PAGE_4K);
      const session = ok(world.device().createSession('a'));
      session.preserveFd(1, world.memfd(5));
      const file = world.memfd(30_000);
      const before = [...world.kernel.kho.blocks];
      world.kernel.faults.arm('kho.preserve', nth);
      const result = session.preserveFd(2, file);
      tried.add(result);
      if (result === 0) break;
      expect(result).toBe(ENOMEM);
      expect([...world.kernel.kho.blocks].sort()).toEqual(before.sort());
      expect(file.inode.frozen).toBe(false);
      expect(session.preserveFd(2, file)).toBe(0);
    }
    expect([...tried].sort()).toEqual([ENOMEM, 0].sort());
  });
});

describe('retrieving and finishing files', () => {
  function handed(): { world: LuoWorld; session: ReturnType<typeof sessionOf> } {
    const old = LuoWorld.boot(PAGE_4K);
    const session = ok(old.device().createSession('a'));
    session.preserveFd(1, old.memfd(10));
    session.preserveFd(2, old.memfd(20));
    const world = old.next();
    return { world, session: sessionOf(world) };
  }
  const sessionOf = (world: LuoWorld) => ok(world.device().retrieveSession('a'));

  it('gives the same file for the second time', () => {
    const { session } = handed();
    expect(session.retrieveFd(1)).toBe(session.retrieveFd(1));
    expect(session.retrieveFd(3)).toBe(ENOENT);
  });

  it('remembers that retrieving failed', () => {
    const { world, session } = handed();
    for (const pfn of [...world.kernel.kho.incoming.keys()]) world.kernel.kho.incoming.delete(pfn);
    expect(session.retrieveFd(1)).toBe(EINVAL);
    const warnings = world.kernel.log.warnings;
    expect(session.retrieveFd(1)).toBe(EINVAL);
    expect(world.kernel.log.warnings).toBe(warnings);
  });

  it('keeps the session after finish, with no files in it', () => {
    const { session } = handed();
    ok(session.retrieveFd(1));
    expect([session.finish(), session.finish()]).toEqual([0, 0]);
    expect(session.retrieveFd(1)).toBe(ENOENT);
    expect(session.release()).toBe(0);
  });

  it('preserves again what was retrieved, once it is finished', () => {
    const { world, session } = handed();
    const file = ok(session.retrieveFd(2)) as Memfd;
    const device = world.luo;
    expect(device.open()).toBe(EBUSY);
    const own = world.luo.sessions.create('next');
    if (typeof own === 'number') throw new Error('no session');
    expect(own.files.preserve(7n, file)).toBe(EBUSY);
    expect(session.finish()).toBe(0);
    expect(own.files.preserve(7n, file)).toBe(0);
    const again = ok(world.next().device().retrieveSession('next'));
    expect(intact(again, 7, 20)).toBe(true);
  });

  it('waits for a handler that cannot finish', () => {
    const { world, session } = handed();
    const entry = world.luo.sessions.incoming.get('a')?.files.files[1];
    if (entry === undefined) throw new Error('no file');
    const handler: FileHandler = entry.handler;
    handler.canFinish = () => false;
    expect(session.finish()).toBe(EBUSY);
    expect(session.release()).toBe(EBUSY);
    expect(world.kernel.lines).toContain('luo: Unable to finish session [a] on release');
    handler.canFinish = () => true;
  });
});

describe('freezing', () => {
  it('is called off for all when one file fails', () => {
    const old = LuoWorld.boot(PAGE_4K);
    const device = old.device();
    const names = ['a', 'b', 'c'];
    for (const name of names) {
      const session = ok(device.createSession(name));
      session.preserveFd(1, old.memfd(10));
      session.preserveFd(0x22, old.memfd(10));
    }
    old.kernel.faults.arm(FREEZE_SITE, 4);
    expect(old.luo.reboot()).toBe(EIO);
    expect(old.kernel.lines.at(-1)).toBe('luo: Freeze failed for token[0x22] handler[memfd-v2] err[-5]');
    const { memory, abi } = old.kernel;
    const ser = luoPhys(old);
    expect(abi.struct('luo_ser').get(memory, ser, 'sessions_pa')).toBe(0);

    expect(old.luo.reboot()).toBe(0);
    const found = old.jump().device();
    for (const name of names) expect(intact(ok(found.retrieveSession(name)), 0x22, 10)).toBe(true);
  });

  it('writes the position of the last moment', () => {
    const old = LuoWorld.boot(PAGE_4K);
    const session = ok(old.device().createSession('a'));
    const file = old.memfd(100);
    session.preserveFd(1, file);
    file.inode.pos = 77;
    const { inode } = ok(ok(old.next().device().retrieveSession('a')).retrieveFd(1)) as Memfd;
    expect(inode.pos).toBe(77);
  });

  it('hands nothing over without it', () => {
    const old = LuoWorld.boot(PAGE_4K);
    ok(old.device().createSession('a')).preserveFd(1, old.memfd(1));
    expect(old.jump().device().retrieveSession('a')).toBe(ENOENT);
  });
});

describe('old ways with errors', () => {
  it('retrieves a file again that could not be retrieved, and takes back twice what is free', () => {
    const rel = withQuirks(knownRelease('7.3'), ['luo-retrieves-again']);
    const old = LuoWorld.boot(PAGE_4K, { release: rel });
    ok(old.device().createSession('a')).preserveFd(1, old.memfd(10));
    const world = old.next({ release: rel });
    const session = ok(world.device().retrieveSession('a'));
    world.kernel.faults.arm(MEMFD_CHARGE_SITE, 1);
    expect(session.retrieveFd(1)).toBe(ENOMEM);
    const { warnings } = world.kernel.log;
    expect(session.retrieveFd(1)).not.toBe(ENOMEM);
    expect(session.finish()).toBe(0);
    expect(world.kernel.log.warnings).toBeGreaterThan(warnings);
  });

  it('unfreezes a file without its handle, which is then neither frozen nor unpreserved', () => {
    const rel = withQuirks(knownRelease('7.3'), ['luo-unfreeze-drops-handle']);
    const world = LuoWorld.boot(PAGE_4K, { release: rel });
    const session = ok(world.device().createSession('a'));
    const file = world.memfd(10);
    for (const [token, each] of [file, world.memfd(20)].entries()) session.preserveFd(token, each);
    world.kernel.faults.arm(FREEZE_SITE, 2);
    expect([world.luo.reboot(), world.luo.reboot()]).toEqual([EIO, EINVAL]);
    expect(session.release()).toBe(0);
    expect(world.kernel.lines).toEqual(
      expect.arrayContaining(['WARNING: at memfd_luo_freeze', 'WARNING: at memfd_luo_unpreserve']),
    );
    expect(file.inode.frozen).toBe(true);
    expect(world.kernel.kho.blocks.has(file.inode.cache.find(0)?.pfn ?? -1)).toBe(true);
  });
});
