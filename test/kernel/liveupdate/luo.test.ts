import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Memfd } from '../../../kernel/liveupdate/memfd-file.ts';
import { PAGE_4K, PAGE_SIZES } from '../../../machine/index.ts';
import { contentOf, intact, LUO_RELEASES, LuoWorld, ok } from './luo-world.ts';

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
