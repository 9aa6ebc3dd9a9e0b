import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isErrno } from '../../../kernel/errno.ts';
import { KernelHang, KernelPanic } from '../../../kernel/failure.ts';
import { RELEASES } from '../../../kernel/release.ts';
import { MachineFault, PAGE_4K, type PhysAddr } from '../../../machine/index.ts';
import { LuoWorld, ok } from './luo-world.ts';

const LUO_RELEASES = RELEASES.filter((release) => release.luo !== undefined);

/** Opens, retrieves, reads and finishes whatever is there. */
function useEverything(world: LuoWorld): void {
  const device = world.luo.open();
  if (isErrno(device)) return;
  for (const { name, files } of [...world.luo.sessions.incoming.values()]) {
    const session = device.retrieveSession(name);
    if (isErrno(session)) continue;
    for (const { token } of files.files.slice(1)) session.retrieveFd(token);
    session.release();
  }
}

it('whatever a predecessor left, the kernel refuses, faults, panics or hangs: nothing else happens', () => {
  const patch = fc.record({
    page: fc.nat(),
    offset: fc.oneof(fc.nat({ max: 127 }), fc.nat({ max: 4088 })),
    value: fc.oneof(fc.constantFrom(0n, 1n, 2n ** 64n - 1n, 2n ** 63n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    /** Points to another preserved page instead. */
    target: fc.option(fc.nat()),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...LUO_RELEASES),
      fc.array(patch, { minLength: 1, maxLength: 3 }),
      (release, patches) => {
        const old = LuoWorld.boot(PAGE_4K, { release, nrPages: 512 });
        const device = old.device();
        for (const name of ['a', 'b']) {
          const session = ok(device.createSession(name));
          for (let token = 0; token < 3; token++) session.preserveFd(token, old.memfd(token * 3000));
        }
        expect(old.luo.reboot()).toBe(0);
        const preserved = [...old.kernel.kho.blocks.keys()];
        const pageAt = (nth: number) => ((preserved[nth % preserved.length] ?? 0) * 4096) as PhysAddr;
        for (const { page, offset, value, target } of patches) {
          const at = (pageAt(page) + offset - (offset % 8)) as PhysAddr;
          old.kernel.memory.writeU64Big(at, target === null ? value : BigInt(pageAt(target)));
        }
        try {
          useEverything(old.jump());
        } catch (error) {
          const expected = error instanceof MachineFault || error instanceof KernelPanic || error instanceof KernelHang;
          if (!expected) throw error;
        }
      },
    ),
    { numRuns: 60, seed: 6 },
  );
});
