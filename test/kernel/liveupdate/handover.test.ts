import { describe, expect, it } from 'vitest';
import { isErrno, Kernel, type KernelOptions, RELEASES, type Release } from '../../../kernel/index.ts';
import { Memfd } from '../../../kernel/liveupdate/memfd-file.ts';
import { Seal } from '../../../kernel/mm/shmem.ts';
import {
  ARCHES,
  type Arch,
  Machine,
  type Order,
  PAGE_SIZES,
  type PageSize,
  physAddr,
  type RamBank,
} from '../../../machine/index.ts';
import { contentOf, intact, ok } from './luo-world.ts';

/*
 * The clients on a whole kernel: booted, handed over, booted on what is in RAM. What is under test is that they come
 * up in the right order and find in each other's places what they left; their own rules are tested apart.
 */

const GIB = 2 ** 30;

function banksOf(arch: Arch, page: PageSize): RamBank[] {
  const sizeBytes = page.shift === 16 ? 4 * GIB : GIB;
  if (arch === 'arm64') return [{ base: physAddr(GIB), sizeBytes, nid: 0 }];
  return [
    { base: physAddr(0), sizeBytes: 0x80000, nid: 0 },
    { base: physAddr(2 ** 20), sizeBytes: sizeBytes - 2 ** 20, nid: 0 },
  ];
}

function optionsFor(page: PageSize, release: Release): KernelOptions {
  const scratch = page.shift === 16 ? '512M,512M,512M' : '64M,32M,32M';
  const cmdline = `kho=on liveupdate=on reserve_mem=2M:64K:rm kho_scratch=${scratch} test_kho.max_mem=${32 * page.sizeBytes}`;
  return { release, cmdline };
}

function bootFresh(page: PageSize, arch: Arch, release: Release): Kernel {
  const machine = Machine.powerOn({ arch, page, banks: banksOf(arch, page), seed: 1 });
  return Kernel.boot(machine, optionsFor(page, release));
}

function kexec(kernel: Kernel, release: Release): Kernel {
  const options = optionsFor(kernel.ctx.page, release);
  if (kernel.ctx.release.quirks.finalize === 'before-load') expect(kernel.kho.finalize()).toBe(0);
  const loaded = kernel.load(options.cmdline ?? '');
  if (!loaded.ok || isErrno(loaded.value)) throw new Error('the image does not load');
  expect(kernel.luo?.reboot() ?? 0).toBe(0);
  if (kernel.ctx.release.quirks.finalize === 'before-jump') expect(kernel.kho.finalize()).toBe(0);
  kernel.jump(loaded.value);
  return Kernel.boot(kernel.machine, options);
}

function memfd(kernel: Kernel, sizeBytes: number, folioOrder = 0): Memfd {
  const file = Memfd.create(kernel.ctx, 'test', { folioOrder: folioOrder as Order });
  if (sizeBytes > 0) expect(file.inode.write(0, contentOf(sizeBytes))).toBe(0);
  return file;
}

const SIZES = [0, 17, 4096, 131_072, 300_001];

const CASES = PAGE_SIZES.flatMap(
  (page) =>
    ARCHES.flatMap((arch) =>
      RELEASES.map((release) => ({ page, arch, release, name: `${release.name}, ${arch} ${page.name}` })),
    ),
  // Every release at 4K on arm64; the newest everywhere.
).filter(({ page, arch, release }) => release === RELEASES.at(-1) || (page.shift === 12 && arch === 'arm64'));

describe.each(CASES)('clients of $name', ({ page, arch, release }) => {
  it('find what they left, without a warning', () => {
    const old = bootFresh(page, arch, release);
    expect(old.outcome).toEqual({ kind: 'running' });
    const start = old.clients.reserveMem.regions[0]?.start ?? physAddr(0);
    old.ctx.memory.writeBytes(start, contentOf(2 ** 20));
    const { luo } = old;
    if (luo !== undefined) {
      const session = ok(ok(luo.open()).createSession('vm'));
      for (const [token, sizeBytes] of SIZES.entries()) {
        const file = memfd(old, sizeBytes, token === 3 ? page.shift - 3 : 0);
        file.inode.seals = Seal.GROW;
        expect(session.preserveFd(token, file)).toBe(0);
        file.inode.pos = token;
      }
    }

    const kernel = kexec(old, release);
    expect(kernel.outcome).toEqual({ kind: 'running' });
    expect(kernel.isKhoBoot).toBe(true);
    expect(kernel.clients.reserveMem.regions).toEqual([{ name: 'rm', start, sizeBytes: 2 ** 21, revived: true }]);
    expect(Buffer.from(contentOf(2 ** 20)).equals(kernel.ctx.memory.readBytes(start, 2 ** 20))).toBe(true);
    if (release.test !== undefined) expect(kernel.testKho?.verdict).toBe('ok');
    if (release.metadata !== undefined) expect(kernel.ctx.control.state).toMatchObject({ kexecCount: 1 });
    if (kernel.luo !== undefined) {
      expect(kernel.luo.liveupdateNumber).toBe(1n);
      const session = ok(ok(kernel.luo.open()).retrieveSession('vm'));
      for (const [token, sizeBytes] of SIZES.entries()) {
        expect(intact(session, token, sizeBytes)).toBe(true);
        const { inode } = ok(session.retrieveFd(token)) as Memfd;
        expect([inode.pos, inode.seals]).toEqual([
          token,
          release.memfd?.compatible === 'memfd-v1' ? Seal.SEAL : Seal.GROW,
        ]);
      }
      expect(session.release()).toBe(0);
    }
    expect(kernel.ctx.log.warnings).toBe(0);
  });
});

it('a chain of ten handovers loses nothing when sessions are renewed at each hop', () => {
  const release = RELEASES.at(-1) as Release;
  const [page] = PAGE_SIZES;
  if (page === undefined) throw new Error('no page size');
  let kernel = bootFresh(page, 'arm64', release);
  let device = ok(kernel.luo?.open());
  let session = ok(device.createSession('s'));
  for (const [token, sizeBytes] of SIZES.entries()) session.preserveFd(token, memfd(kernel, sizeBytes));
  const leaked: number[] = [];
  for (let hop = 1; hop <= 10; hop++) {
    kernel = kexec(kernel, release);
    expect(kernel.luo?.liveupdateNumber).toBe(BigInt(hop));
    expect(kernel.ctx.control.state.kexecCount).toBe(hop);
    device = ok(kernel.luo?.open());
    const found = ok(device.retrieveSession('s'));
    const files: Memfd[] = [];
    for (const [token, sizeBytes] of SIZES.entries()) {
      expect(intact(found, token, sizeBytes)).toBe(true);
      files.push(ok(found.retrieveFd(token)) as Memfd);
    }
    expect(found.finish()).toBe(0);
    session = ok(device.createSession('s'));
    for (const [token, file] of files.entries()) expect(session.preserveFd(token, file)).toBe(0);
    let magic = 0;
    for (const bank of kernel.ctx.memory.banks) {
      const first = bank.base / page.sizeBytes;
      for (const _pfn of kernel.ctx.pages.withPrivate(first as never, bank.sizeBytes / page.sizeBytes)) magic++;
    }
    leaked.push(magic);
    expect(kernel.ctx.log.warnings).toBe(0);
  }
  // Root FDT, metadata, memblock's FDT and its region, the FLB header. With each second hop also test_kho's FDT: a
  // kernel that finds test data leaves none.
  expect(leaked).toEqual([6, 5, 6, 5, 6, 5, 6, 5, 6, 5]);
});
