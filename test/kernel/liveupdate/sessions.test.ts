import { describe, expect, it } from 'vitest';
import { EBADF, EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, isErrno } from '../../../kernel/errno.ts';
import { TaskBlocked } from '../../../kernel/failure.ts';
import { FREEZE_SITE, SESSION_SITE } from '../../../kernel/fault-sites.ts';
import { knownRelease } from '../../../kernel/release.ts';
import { PAGE_4K, PAGE_64K } from '../../../machine/index.ts';
import { intact, LuoWorld, ok } from './luo-world.ts';

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
    const world = LuoWorld.boot(page, { release: knownRelease('7.1') });
    const capacity = world.kernel.abi.constant('session', 'LUO_SESSION_MAX');
    expect(capacity).toBe(max);
    if (page !== PAGE_4K) return;
    const device = world.device();
    for (let i = 0; i < max; i++) ok(device.createSession(`s${i}`));
    expect(device.createSession('one too many')).toBe(ENOMEM);
    expect(world.next().luo.open()).toBeTypeOf('object');
  });
});

describe('without memory for the record of a session', () => {
  it('makes none, and the next attempt succeeds', () => {
    const world = LuoWorld.boot(PAGE_4K);
    const device = world.device();
    world.kernel.faults.arm(SESSION_SITE, 1);
    expect(device.createSession('a')).toBe(ENOMEM);
    ok(device.createSession('a'));
  });

  it.each([
    ['6.19', ENOENT],
    ['7.0', ENOENT],
    ['7.1', EIO],
    ['7.3', EIO],
  ])('fails every open from then on, but for those that forget: %s', (name, second) => {
    const old = LuoWorld.boot(PAGE_4K, { release: knownRelease(name) });
    const device = old.device();
    for (const session of ['a', 'b']) ok(device.createSession(session));
    const world = old.next();
    world.kernel.faults.arm(SESSION_SITE, 2);
    expect(world.luo.open()).toBe(EIO);
    expect(world.kernel.lines.at(-1)).toBe('luo: Failed to allocate session [b] during deserialization -12');
    const again = world.luo.open();
    expect(isErrno(again) ? again : again.retrieveSession('b')).toBe(second);
  });
});

describe('calls between serialisation and jump', () => {
  function serialized(name: string) {
    const old = LuoWorld.boot(PAGE_4K, { release: knownRelease(name) });
    ok(old.device().createSession('in'));
    const world = old.next({ release: knownRelease(name) });
    const device = world.device();
    const incoming = ok(device.retrieveSession('in'));
    const own = ok(device.createSession('own'));
    expect(own.preserveFd(1, world.memfd(10))).toBe(0);
    return { world, device, incoming, own };
  }

  it.each(['7.1', '7.3'])('wait for ever in %s', (name) => {
    const { world, device, incoming, own } = serialized(name);
    expect(world.luo.reboot()).toBe(0);
    const calls = [
      () => device.createSession('late'),
      () => device.retrieveSession('in'),
      () => own.preserveFd(2, world.memfd(10)),
      () => incoming.retrieveFd(1),
      () => incoming.finish(),
      () => own.release(),
    ];
    for (const call of calls) expect(call).toThrow(TaskBlocked);
    expect(intact(ok(world.jump().device().retrieveSession('own')), 1, 10)).toBe(true);
  });

  it('go on when the reboot is refused', () => {
    const { world, device, own } = serialized('7.3');
    world.kernel.faults.arm(FREEZE_SITE, 1);
    expect(world.luo.reboot()).toBe(EIO);
    expect(own.preserveFd(2, world.memfd(10))).toBe(0);
    ok(device.createSession('late'));
  });

  it('are done in 7.0: a session that is closed then is announced, and its files are not preserved any more', () => {
    const { world, own } = serialized('7.0');
    expect(world.luo.reboot()).toBe(0);
    expect(own.release()).toBe(0);
    const found = ok(world.jump().device().retrieveSession('own'));
    expect(found.retrieveFd(1)).not.toBeTypeOf('object');
  });
});

it.each([
  ['7.1', 0],
  ['7.2', EINVAL],
])('looks at the reserved field of FINISH from 7.2 on: %s', (name, expected) => {
  const old = LuoWorld.boot(PAGE_4K, { release: knownRelease(name) });
  ok(old.device().createSession('a')).preserveFd(1, old.memfd(10));
  const session = ok(old.next().device().retrieveSession('a'));
  expect(session.finish(1)).toBe(expected);
  expect(session.retrieveFd(1)).toEqual(expected === 0 ? ENOENT : expect.anything());
  expect(session.finish(0)).toBe(0);
});
