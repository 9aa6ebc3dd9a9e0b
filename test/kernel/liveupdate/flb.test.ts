import { describe, expect, it } from 'vitest';
import { EIO } from '../../../kernel/errno.ts';
import type { Flb } from '../../../kernel/liveupdate/flb.ts';
import { knownRelease } from '../../../kernel/release.ts';
import { PAGE_4K, type PhysAddr } from '../../../machine/index.ts';
import { LuoWorld, luoPhys, ok } from './luo-world.ts';

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

describe('whoever works with an incoming FLB', () => {
  it.each([
    ['7.0', true],
    ['7.1', false],
    ['7.3', false],
  ])('is asked before it is finished from 7.1 on: %s', (name, early) => {
    const old = LuoWorld.boot(PAGE_4K, { release: knownRelease(name) });
    ok(old.device().createSession('a')).preserveFd(1, old.memfd(1));
    const world = old.next();
    const { flbs } = world.luo;
    const flb = flbs.named('liveupdate-test-flb-v0');
    if (flb === undefined) throw new Error('no FLB of that name');
    expect(flbs.named('another')).toBeUndefined();
    ok(flbs.getIncoming(flb));
    const finished = () => world.kernel.lines.some((line) => line.endsWith('flb-v0: finish was triggered'));
    expect(ok(world.device().retrieveSession('a')).release()).toBe(0);
    expect(finished()).toBe(early);
    if (early) return;
    flbs.putIncoming(flb);
    expect(finished()).toBe(true);
    expect(world.kernel.log.warnings).toBe(0);
  });

  it.each([
    ['7.1', 2],
    ['7.2', 1],
  ])('gets the error of the first attempt from 7.2 on, without another: %s', (name, attempts) => {
    const old = LuoWorld.boot(PAGE_4K, { release: knownRelease(name) });
    const flb: Flb = {
      compatible: 'mine',
      preserve: () => ({ data: 7n, obj: undefined }),
      unpreserve: () => {},
      retrieve: () => EIO,
      finish: () => {},
    };
    const [handler] = old.luo.handlers;
    if (handler === undefined) throw new Error('no handler');
    expect(old.luo.flbs.register(handler, flb)).toBe(0);
    ok(old.device().createSession('a')).preserveFd(1, old.memfd(1));
    const world = old.next();
    let asked = 0;
    const again: Flb = {
      ...flb,
      retrieve: () => {
        asked++;
        return EIO;
      },
    };
    expect([world.luo.flbs.getIncoming(again), world.luo.flbs.getIncoming(again)]).toEqual([EIO, EIO]);
    expect(asked).toBe(attempts);
  });
});
