import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EBADF, EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM } from '../../../kernel/errno.ts';
import { KernelPanic } from '../../../kernel/failure.ts';
import { FREEZE_SITE } from '../../../kernel/fault-sites.ts';
import type { FileHandler } from '../../../kernel/liveupdate/file-handler.ts';
import type { Memfd } from '../../../kernel/liveupdate/memfd-file.ts';
import { Seal } from '../../../kernel/mm/shmem.ts';
import { RELEASES, type Release, releaseByName } from '../../../kernel/release.ts';
import { type Order, PAGE_4K, PAGE_64K, PAGE_SIZES, type PhysAddr, pattern } from '../../../machine/index.ts';
import { contentOf, intact, LuoWorld, ok } from './luo-world.ts';

/** Where the outgoing LUO state lies. */
function luoPhys(world: LuoWorld): PhysAddr {
  return world.kernel.kho.subtrees.get('LUO')?.phys ?? (0 as PhysAddr);
}

const LUO_RELEASES = RELEASES.filter((release) => release.luo !== undefined);

function release(name: string): Release {
  const found = releaseByName(name);
  if (found === undefined) throw new Error(`no release ${name}`);
  return found;
}

describe.each(LUO_RELEASES.map((each) => [each.name, each] as const))('LUO of %s', (_name, rel) => {
  it.each(PAGE_SIZES)('hands sessions and their files over with $name pages', (page) => {
    const old = LuoWorld.boot(page, { release: rel });
    const device = old.device();
    const one = ok(device.createSession('vm-1'));
    const two = ok(device.createSession('vm-2'));
    expect(one.preserveFd(0x11, old.memfd(17))).toBe(0);
    expect(one.preserveFd(0xdead_beef_cafe_0044n, old.memfd(3 * page.sizeBytes + 5))).toBe(0);
    expect(two.preserveFd(0x11, old.memfd(0))).toBe(0);

    const world = old.next();
    expect(world.luo.liveupdateNumber).toBe(1n);
    const found = world.device();
    const first = ok(found.retrieveSession('vm-1'));
    expect(intact(first, 0x11, 17)).toBe(true);
    expect(intact(first, 0xdead_beef_cafe_0044n, 3 * page.sizeBytes + 5)).toBe(true);
    expect(first.finish()).toBe(0);
    expect(first.release()).toBe(0);
    expect(intact(ok(found.retrieveSession('vm-2')), 0x11, 0)).toBe(true);
    expect(world.kernel.log.warnings).toBe(0);
    expect(world.kernel.control.state.sessions.map(({ name }) => name)).toEqual(['vm-2']);
  });

  it('restores all that is restored at all when everything is finished', () => {
    const old = LuoWorld.boot(PAGE_4K, { release: rel });
    const session = ok(old.device().createSession('s'));
    for (let token = 0; token < 70; token++) session.preserveFd(token, old.memfd(token * 100));
    const world = old.next();
    const found = ok(world.device().retrieveSession('s'));
    ok(found.retrieveFd(69));
    expect(found.release()).toBe(0);
    // The FLB header always stays, and before 7.2 the FDT as well.
    const leaked = world.kernel.kho.incoming.size;
    expect(leaked).toBe(Number(rel.flb !== undefined) + Number(rel.block === undefined));
  });

  it('counts live updates', () => {
    let world = LuoWorld.boot(PAGE_4K, { release: rel });
    for (let hop = 1; hop <= 3; hop++) {
      world = world.next();
      expect(world.luo.liveupdateNumber).toBe(BigInt(hop));
      expect(world.kernel.lines).toContain(`luo: Retrieved live update data, liveupdate number: ${hop}`);
      expect(world.kernel.control.state.liveupdateNumber).toBe(hop);
    }
  });
});

describe('creating and retrieving sessions', () => {
  it.each([
    ['', EINVAL],
    ['x'.repeat(64), EINVAL],
    ['x'.repeat(63), undefined],
  ])('checks the name: %j', (name, expected) => {
    const result = LuoWorld.boot(PAGE_4K).device().createSession(name);
    if (expected === undefined) expect(ok(result).name).toBe(name);
    else expect(result).toBe(expected);
  });

  it('refuses a name twice, and gives it again once it is free', () => {
    const device = LuoWorld.boot(PAGE_4K).device();
    const session = ok(device.createSession('a'));
    expect(device.createSession('a')).toBe(EEXIST);
    expect(session.release()).toBe(0);
    expect(session.release()).toBe(EBADF);
    ok(device.createSession('a'));
  });

  it('finds a session once', () => {
    const old = LuoWorld.boot(PAGE_4K);
    ok(old.device().createSession('a'));
    const device = old.next().device();
    expect(device.retrieveSession('b')).toBe(ENOENT);
    ok(device.retrieveSession('a'));
    expect(device.retrieveSession('a')).toBe(EINVAL);
    ok(device.createSession('a'));
  });

  it('looks at the direction of a session', () => {
    const old = LuoWorld.boot(PAGE_4K);
    const session = ok(old.device().createSession('a'));
    expect([session.retrieveFd(1), session.finish()]).toEqual([EINVAL, EINVAL]);
    const world = old.next();
    const found = ok(world.device().retrieveSession('a'));
    expect(found.preserveFd(1, world.memfd(1))).toBe(EINVAL);
  });

  it('opens the device one at a time, and not at all with live update off', () => {
    const world = LuoWorld.boot(PAGE_4K);
    const device = world.device();
    expect(world.luo.open()).toBe(EBUSY);
    device.close();
    expect(device.createSession('a')).toBe(EBADF);
    world.device();
    expect(LuoWorld.boot(PAGE_4K, { cmdline: '' }).luo.open()).toBe(ENOENT);
  });

  it('does not carry on what nobody retrieved', () => {
    const old = LuoWorld.boot(PAGE_4K);
    ok(old.device().createSession('a'));
    expect(old.next().next().device().retrieveSession('a')).toBe(ENOENT);
  });

  it.each([
    [PAGE_4K, 819],
    [PAGE_64K, 13107],
  ])('has room for a fixed number before 7.2: %o', (page, max) => {
    const world = LuoWorld.boot(page, { release: release('7.1') });
    const capacity = world.kernel.abi.constant('session', 'LUO_SESSION_MAX');
    expect(capacity).toBe(max);
    if (page !== PAGE_4K) return;
    const device = world.device();
    for (let i = 0; i < max; i++) ok(device.createSession(`s${i}`));
    expect(device.createSession('one too many')).toBe(ENOMEM);
    expect(world.next().luo.open()).toBeTypeOf('object');
  });
});

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
    const world = LuoWorld.boot(PAGE_4K, { release: release('7.1') });
    const session = ok(world.device().createSession('a'));
    for (let token = 0; token < 128; token++) expect(session.preserveFd(token, world.memfd(0))).toBe(0);
    expect(session.preserveFd(128, world.memfd(0))).toBe(ENOSPC);
  });

  it('takes a file twice in 6.19', () => {
    const world = LuoWorld.boot(PAGE_4K, { release: release('6.19') });
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

it('mirrors sessions and files into the control state', () => {
  const old = LuoWorld.boot(PAGE_4K);
  const session = ok(old.device().createSession('a'));
  session.preserveFd(0x11, old.memfd(1));
  session.preserveFd(0xffff_ffff_ffff_ffffn, old.memfd(1));
  const files = [
    { token: '0x11', compatible: 'memfd-v2', retrieved: false },
    { token: '0xffffffffffffffff', compatible: 'memfd-v2', retrieved: false },
  ];
  expect(old.kernel.control.state.sessions).toEqual([{ name: 'a', direction: 'outgoing', retrieved: false, files }]);
  const world = old.next();
  expect(world.kernel.control.state.sessions).toEqual([]);
  const device = world.device();
  expect(world.kernel.control.state.sessions).toEqual([{ name: 'a', direction: 'incoming', retrieved: false, files }]);
  const found = ok(device.retrieveSession('a'));
  ok(found.retrieveFd(-1n));
  expect(world.kernel.control.state.sessions).toEqual([
    { name: 'a', direction: 'incoming', retrieved: true, files: [files[0], { ...files[1], retrieved: true }] },
  ]);
  found.finish();
  expect(world.kernel.control.state.sessions[0]?.files).toEqual([]);
  found.release();
  expect(world.kernel.control.state.sessions).toEqual([]);
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

describe("a predecessor's state that cannot be read", () => {
  function damaged(damage: (world: LuoWorld, ser: PhysAddr) => void, rel?: Release) {
    const old = LuoWorld.boot(PAGE_4K, rel === undefined ? {} : { release: rel });
    const device = old.device();
    for (const name of ['a', 'b']) {
      const session = ok(device.createSession(name));
      session.preserveFd(1, old.memfd(10));
    }
    expect(old.luo.reboot()).toBe(0);
    damage(old, luoPhys(old));
    return old;
  }
  const memoryOf = ({ kernel }: LuoWorld) => kernel.memory;
  const sessionsOf = (world: LuoWorld, ser: PhysAddr) => memoryOf(world).readU64((ser + 16) as PhysAddr);

  it.each([
    [
      'a struct that is too short',
      (world: LuoWorld, ser: PhysAddr) => world.kernel.kho.subtrees.set('LUO', { phys: ser, sizeBytes: 31 }),
      'luo: LUO state is too small (31 < 32)',
    ],
    [
      'another string',
      (world: LuoWorld, ser: PhysAddr) => memoryOf(world).writeU8((ser + 5) as PhysAddr, 0x36),
      "luo: LUO state is incompatible with 'luo-v5'",
    ],
    [
      'a block without entries',
      (world: LuoWorld, ser: PhysAddr) => memoryOf(world).writeU64((sessionsOf(world, ser) + 8) as PhysAddr, 0),
      'luo: Block contains invalid entry count: 0',
    ],
  ])('makes the kernel panic: %s', (_what, damage, line) => {
    const old = damaged(damage);
    const kernel = old.kernel.kexec({ cmdline: '' });
    expect(() => new LuoWorld(kernel)).toThrow(
      new KernelPanic('The incoming tree failed to initialize properly [-22], disabling live update'),
    );
    expect(kernel.lines.at(-1)).toBe(line);
  });

  it('makes 7.0 panic on a 6.19 handover, for want of the FLB node, and not the other way round', () => {
    const old = LuoWorld.boot(PAGE_4K, { release: release('6.19') });
    const kernel = old.kernel.kexec({ release: release('7.0') });
    expect(() => new LuoWorld(kernel)).toThrow('The incoming tree failed to initialize properly [-2]');
    expect(kernel.lines.at(-1)).toBe('luo: Unable to get FLB node [luo-flb]');
    expect(LuoWorld.boot(PAGE_4K, { release: release('7.0') }).next({ release: release('6.19') }).luo.enabled).toBe(
      true,
    );
  });

  it.each([
    [
      'a name twice',
      (world: LuoWorld, ser: PhysAddr) => memoryOf(world).writeU8((sessionsOf(world, ser) + 16 + 80) as PhysAddr, 0x61),
      ['luo: Failed to insert session [a] -17'],
    ],
    [
      'a file of an unknown kind',
      (world: LuoWorld, ser: PhysAddr) => {
        const files = memoryOf(world).readU64((sessionsOf(world, ser) + 16 + 64) as PhysAddr);
        memoryOf(world).writeU8((files + 16 + 7) as PhysAddr, 0x39);
      },
      ["luo: No registered handler for compatible 'memfd-v9'", 'luo: Failed to deserialize files for session [a] -2'],
    ],
    [
      'another number of files',
      (world: LuoWorld, ser: PhysAddr) => memoryOf(world).writeU64((sessionsOf(world, ser) + 16 + 72) as PhysAddr, 2),
      ['luo: File count mismatch: expected 2, found 1', 'luo: Failed to deserialize files for session [a] -22'],
    ],
  ])('makes every open fail: %s', (_what, damage, lines) => {
    const world = damaged(damage).jump();
    const before = world.kernel.lines.length;
    expect([world.luo.open(), world.luo.open()]).toEqual([EIO, EIO]);
    expect(world.kernel.lines.slice(before)).toEqual(lines);
  });

  it('is a session without files when there is no chain, whatever the count', () => {
    const world = damaged((old, ser) => {
      memoryOf(old).writeU64((sessionsOf(old, ser) + 16 + 64) as PhysAddr, 0);
    }).jump();
    const session = ok(world.device().retrieveSession('a'));
    expect(session.retrieveFd(1)).toBe(ENOENT);
    expect(world.kernel.lines).toContain('WARNING: at luo_file_deserialize');
  });

  it('faults where sessions lead out of RAM', () => {
    const old = damaged((world, ser) => memoryOf(world).writeU64Big((ser + 16) as PhysAddr, 0xffff_ffff_ffff_f000n));
    expect(() => old.jump()).toThrow(expect.objectContaining({ name: 'MachineFault' }));
  });
});

describe('memfd', () => {
  function roundTrip(world: LuoWorld, file: Memfd): Memfd {
    const session = ok(world.device().createSession('m'));
    expect(session.preserveFd(1, file)).toBe(0);
    return ok(ok(world.next().device().retrieveSession('m')).retrieveFd(1)) as Memfd;
  }

  it('keeps seals from 7.1 on, and is sealed for good before', () => {
    for (const rel of LUO_RELEASES) {
      const world = LuoWorld.boot(PAGE_4K, { release: rel });
      const file = world.memfd(5);
      file.inode.seals = Seal.GROW | Seal.SHRINK;
      const expected = rel.memfd?.compatible === 'memfd-v1' ? Seal.SEAL : Seal.GROW | Seal.SHRINK;
      expect(roundTrip(world, file).inode.seals).toBe(expected);
    }
  });

  it('makes an executable file of one sealed against that, with all that this implies', () => {
    const world = LuoWorld.boot(PAGE_4K);
    const file = world.memfd(5);
    file.inode.seals = Seal.EXEC;
    expect(roundTrip(world, file).inode.seals).toBe(0x3e);
  });

  it('refuses seals that it does not know', () => {
    const world = LuoWorld.boot(PAGE_4K);
    const file = world.memfd(5);
    file.inode.seals = 0x40;
    expect(ok(world.device().createSession('m')).preserveFd(1, file)).toBe(EOPNOTSUPP);
    expect(file.inode.frozen).toBe(false);
  });

  it('cannot change its size while it is preserved', () => {
    const world = LuoWorld.boot(PAGE_4K);
    const file = world.memfd(5);
    ok(world.device().createSession('m')).preserveFd(1, file);
    expect([file.inode.truncate(4), file.inode.truncate(6), file.inode.fallocate(0, 10)]).toEqual([
      EPERM,
      EPERM,
      EPERM,
    ]);
    expect(file.inode.write(0, Uint8Array.of(9))).toBe(0);
  });

  it('fills holes, and keeps large folios', () => {
    const world = LuoWorld.boot(PAGE_4K);
    const file = world.memfd(0, { folioOrder: 9 as Order });
    expect(file.inode.truncate(5 * 2 ** 20)).toBe(0);
    expect(file.inode.fill(512, 512, pattern(3))).toBe(0);
    const before = file.inode.read(0, file.inode.sizeBytes);
    const found = roundTrip(world, file);
    expect(Buffer.from(before).equals(found.inode.read(0, found.inode.sizeBytes))).toBe(true);
    expect([...found.inode.cache.folios()].filter(({ order }) => order === 9).length).toBeGreaterThan(0);
  });

  it('oopses behind the end of the list when the count is too large', () => {
    const old = LuoWorld.boot(PAGE_4K);
    ok(old.device().createSession('m')).preserveFd(1, old.memfd(10));
    old.luo.reboot();
    const data = old.luo.sessions.outgoing.get('m')?.files.files[0]?.serialized.serializedData ?? 0n;
    old.kernel.memory.writeU64((Number(data) + 24) as PhysAddr, 1_000_000);
    const session = ok(old.jump().device().retrieveSession('m'));
    expect(() => session.retrieveFd(1)).toThrow(expect.objectContaining({ name: 'MachineFault' }));
  });

  it('is -EIO when one of its folios was not preserved, and the rest is freed', () => {
    const old = LuoWorld.boot(PAGE_4K);
    const file = old.memfd(3 * 4096);
    ok(old.device().createSession('m')).preserveFd(1, file);
    old.luo.reboot();
    const second = [...file.inode.cache.folios()][1];
    old.kernel.kho.blocks.delete(second?.pfn ?? 0);
    const world = old.jump();
    const session = ok(world.device().retrieveSession('m'));
    expect(session.retrieveFd(1)).toBe(EIO);
    expect(world.kernel.lines.slice(-2)).toEqual([
      'WARNING: at kho_restore_page',
      `memfd_luo: Unable to restore folio at physical address: ${((second?.pfn ?? 0) * 4096).toString(16)}`,
    ]);
    expect(session.finish()).toBe(0);
    expect(world.kernel.kho.incoming.size).toBe(1);
  });
});

describe('FLBs', () => {
  it('cross with the number of files that depend on them, and finish with the last', () => {
    const old = LuoWorld.boot(PAGE_4K);
    const session = ok(old.device().createSession('a'));
    for (let token = 0; token < 3; token++) session.preserveFd(token, old.memfd(token));
    const { memory, abi } = old.kernel;
    const world = (() => {
      expect(old.luo.reboot()).toBe(0);
      const header = abi.struct('luo_ser').get(memory, luoPhys(old), 'flbs_pa');
      const struct = abi.struct('luo_flb_ser');
      expect(memory.readU64((header + 8) as PhysAddr)).toBe(3);
      for (let i = 0; i < 3; i++) {
        const entry = (header + 16 + 64 * i) as PhysAddr;
        expect(struct.getString(memory, entry, 'name')).toBe(`liveupdate-test-flb-v${i}`);
        expect(struct.getBig(memory, entry, 'data')).toBe(0xfeed_f00d_cafe_bee0n + BigInt(i));
        expect(struct.get(memory, entry, 'count')).toBe(3);
      }
      return old.jump();
    })();
    expect(world.kernel.lines).toContain(
      'liveupdate test: liveupdate-test-flb-v2: found flb data from the previous boot',
    );
    const found = ok(world.device().retrieveSession('a'));
    expect(world.kernel.lines.some((line) => line.includes('finish was triggered'))).toBe(false);
    expect(found.finish()).toBe(0);
    expect(world.kernel.lines.filter((line) => line.includes('finish was triggered'))).toEqual(
      [2, 1, 0].map((i) => `liveupdate test: liveupdate-test-flb-v${i}: finish was triggered`),
    );
    expect(world.kernel.log.warnings).toBe(0);
  });

  it.each([
    ['a count of 0', 56, 0n, ['WARNING: at refcount_warn_saturate', 'WARNING: at refcount_warn_saturate']],
    [
      'other data',
      48,
      0x1234n,
      [
        'liveupdate test: liveupdate-test-flb-v0: ERROR - incorrect data handle: 1234, expected feedf00dcafebee0',
        'liveupdate test: liveupdate_flb_get_incoming for liveupdate-test-flb-v0 failed: -22',
      ],
    ],
  ])('are complained about with %s', (_what, offset, value, lines) => {
    const old = LuoWorld.boot(PAGE_4K);
    ok(old.device().createSession('a')).preserveFd(1, old.memfd(1));
    expect(old.luo.reboot()).toBe(0);
    const header = old.kernel.memory.readU64((luoPhys(old) + 24) as PhysAddr);
    old.kernel.memory.writeU64Big((header + 16 + offset) as PhysAddr, value);
    const said = old.jump().kernel.lines.filter((line) => /WARNING|ERROR|failed/.test(line));
    expect(said).toEqual(lines);
  });

  it('fault where they lead out of RAM, once a handler registers', () => {
    const old = LuoWorld.boot(PAGE_4K);
    old.kernel.memory.writeU64((luoPhys(old) + 24) as PhysAddr, 0x1000);
    expect(() => old.jump()).toThrow(expect.objectContaining({ name: 'MachineFault' }));
  });

  it('are not written without files, and are unpreserved with the last', () => {
    const old = LuoWorld.boot(PAGE_4K);
    const session = ok(old.device().createSession('a'));
    session.preserveFd(1, old.memfd(1));
    session.release();
    expect(old.kernel.lines.filter((line) => line.endsWith('unpreserve was triggered'))).toHaveLength(3);
    const world = old.next();
    expect(world.kernel.lines.some((line) => line.includes('found flb data'))).toBe(false);
  });
});

it('hands over whatever sessions and files one can build, at any page size', () => {
  const file = fc.record({
    sizeBytes: fc.oneof(fc.constantFrom(0, 1, 4096, 16384, 65536), fc.nat({ max: 70_000 })),
    seals: fc.nat({ max: 0x1f }),
    pos: fc.nat({ max: 2 ** 31 }),
  });
  const sessions = fc.uniqueArray(
    fc.record({
      name: fc.string({ minLength: 1, maxLength: 63, unit: 'grapheme-ascii' }),
      files: fc.array(file, { maxLength: 5 }),
    }),
    { selector: ({ name }) => name, maxLength: 4 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...PAGE_SIZES), fc.constantFrom(...LUO_RELEASES), sessions, (page, rel, wanted) => {
      const old = LuoWorld.boot(page, { release: rel, nrPages: 4096 });
      const device = old.device();
      for (const { name, files } of wanted) {
        const session = ok(device.createSession(name));
        for (const [token, { sizeBytes, seals, pos }] of files.entries()) {
          const memfd = old.memfd(sizeBytes);
          memfd.inode.seals = seals;
          expect(session.preserveFd(token, memfd)).toBe(0);
          memfd.inode.pos = pos;
        }
      }
      const world = old.next();
      const found = world.device();
      for (const { name, files } of wanted) {
        const session = ok(found.retrieveSession(name));
        for (const [token, { sizeBytes, seals, pos }] of files.entries()) {
          const { inode } = ok(session.retrieveFd(token)) as Memfd;
          expect([inode.sizeBytes, inode.pos]).toEqual([sizeBytes, pos]);
          if (rel.memfd?.compatible === 'memfd-v2') expect(inode.seals).toBe(seals);
          expect(Buffer.from(contentOf(sizeBytes)).equals(inode.read(0, sizeBytes))).toBe(true);
        }
        expect(session.release()).toBe(0);
      }
      expect(world.kernel.log.warnings).toBe(0);
    }),
    { numRuns: 12, seed: 4 },
  );
});
