import { describe, expect, it } from 'vitest';
import { EIO, ENOENT } from '../../../kernel/errno.ts';
import { KernelPanic } from '../../../kernel/failure.ts';
import { knownRelease, type Release } from '../../../kernel/release.ts';
import { PAGE_4K, type PhysAddr } from '../../../machine/index.ts';
import { LuoWorld, luoPhys, ok } from './luo-world.ts';

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
    const old = LuoWorld.boot(PAGE_4K, { release: knownRelease('6.19') });
    const kernel = old.kernel.kexec({ release: knownRelease('7.0') });
    expect(() => new LuoWorld(kernel)).toThrow('The incoming tree failed to initialize properly [-2]');
    expect(kernel.lines.at(-1)).toBe('luo: Unable to get FLB node [luo-flb]');
    expect(
      LuoWorld.boot(PAGE_4K, { release: knownRelease('7.0') }).next({ release: knownRelease('6.19') }).luo.enabled,
    ).toBe(true);
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
