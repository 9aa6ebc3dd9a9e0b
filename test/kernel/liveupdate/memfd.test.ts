import { describe, expect, it } from 'vitest';
import { EFBIG, EIO, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM } from '../../../kernel/errno.ts';
import { MEMFD_ACCOUNT_SITE, MEMFD_CHARGE_SITE } from '../../../kernel/fault-sites.ts';
import type { Memfd } from '../../../kernel/liveupdate/memfd-file.ts';
import { PageFlag } from '../../../kernel/mm/page-states.ts';
import { Seal } from '../../../kernel/mm/shmem.ts';
import { withQuirks } from '../../../kernel/quirks.ts';
import { knownRelease } from '../../../kernel/release.ts';
import { type Order, PAGE_4K, type Pfn, type PhysAddr, pattern } from '../../../machine/index.ts';
import { LUO_RELEASES, LuoWorld, ok } from './luo-world.ts';

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

describe('a memfd that cannot be retrieved', () => {
  function failing(name: string, site: string, nth: number) {
    const rel = knownRelease(name);
    const old = LuoWorld.boot(PAGE_4K, { release: rel });
    const session = ok(old.device().createSession('m'));
    session.preserveFd(1, old.memfd(4 * 4096));
    const world = old.next();
    const found = ok(world.device().retrieveSession('m'));
    world.kernel.faults.arm(site, nth);
    return { world, found, before: world.kernel.kho.incoming.size };
  }

  it.each([
    [MEMFD_CHARGE_SITE, 1, ENOMEM],
    [MEMFD_CHARGE_SITE, 4, ENOMEM],
    [MEMFD_ACCOUNT_SITE, 2, ENOSPC],
  ])('gives everything back: %s, call %i', (site, nth, err) => {
    const { world, found } = failing('7.3', site, nth);
    expect([found.retrieveFd(1), found.retrieveFd(1)]).toEqual([err, err]);
    const what = err === ENOMEM ? 'charge' : 'account';
    expect(world.kernel.lines.at(-1)).toBe(`memfd_luo: shmem: failed to ${what} folio index ${nth - 1}: ${err}`);
    expect(found.release()).toBe(0);
    // All but the FLB header.
    expect(world.kernel.kho.incoming.size).toBe(1);
    expect(world.kernel.log.warnings).toBe(0);
  });

  it('keeps the folios behind the failure in 7.0, and takes their frame numbers for addresses', () => {
    const { world, found } = failing('7.0', MEMFD_CHARGE_SITE, 2);
    const asked: number[] = [];
    const { kho } = world.kernel;
    const restore = kho.restoreFolio.bind(kho);
    kho.restoreFolio = (phys) => {
      asked.push(phys);
      return restore(phys);
    };
    expect(found.retrieveFd(1)).toBe(ENOMEM);
    expect(found.release()).toBe(0);
    const left = [...kho.incoming.keys()].filter((pfn) => asked.includes(pfn));
    expect(left).toHaveLength(2);
  });
});

it('frees what somebody else preserved, where a frame number of 7.0 is its address', () => {
  const old = LuoWorld.boot(PAGE_4K, { release: knownRelease('7.0'), base: 0 });
  // RAM from 0 on, and so small that every frame number is an address in its first page: LUO's own FDT, as it happens.
  const frame = 0 as Pfn;
  ok(old.device().createSession('m')).preserveFd(1, old.memfd(2 * 4096));
  const world = old.next();
  const found = ok(world.device().retrieveSession('m'));
  world.kernel.faults.arm(MEMFD_CHARGE_SITE, 1);
  expect(world.kernel.kho.incoming.has(frame)).toBe(true);
  expect(found.retrieveFd(1)).toBe(ENOMEM);
  expect(world.kernel.pages.has(frame, PageFlag.free)).toBe(true);
});

it('cuts the number of pages to 32 bits in 7.0, and refuses a file of more from 7.1 on', () => {
  for (const [name, expected] of [
    ['7.0', 0],
    ['7.1', EFBIG],
  ] as const) {
    const world = LuoWorld.boot(PAGE_4K, { release: knownRelease(name) });
    const file = world.memfd(4096);
    expect(file.inode.truncate((2 ** 32 + 1) * 4096)).toBe(0);
    expect(ok(world.device().createSession('m')).preserveFd(1, file)).toBe(expected);
    expect(file.inode.cache.nrFolios).toBe(1);
    expect(file.inode.frozen).toBe(expected === 0);
  }
});

describe('folio flags that cross as they were', () => {
  const rel = withQuirks(knownRelease('7.3'), ['memfd-saves-folio-flags']);

  it.each([
    ['never used: it reads as zeroes', (file: Memfd) => file.inode.fallocate(0, 4096), true],
    ['clean: reclaim takes it', (file: Memfd) => file.inode.truncate(4096), false],
  ])('lose what is written to a page that was %s', (_what, make, atOnce) => {
    for (const [release, loses] of [
      [rel, true],
      [knownRelease('7.3'), false],
    ] as const) {
      const old = LuoWorld.boot(PAGE_4K, { release });
      const file = old.memfd(0);
      expect(make(file)).toBe(0);
      ok(old.device().createSession('m')).preserveFd(1, file);
      expect(file.inode.write(7, Uint8Array.of(9))).toBe(0);
      const { inode } = ok(ok(old.next({ release }).device().retrieveSession('m')).retrieveFd(1)) as Memfd;
      expect(inode.read(7, 1)).toEqual(Uint8Array.of(loses && atOnce ? 0 : 9));
      expect(inode.reclaim()).toBe(loses ? 1 : 0);
      expect(inode.read(7, 1)).toEqual(Uint8Array.of(loses ? 0 : 9));
    }
  });
});
