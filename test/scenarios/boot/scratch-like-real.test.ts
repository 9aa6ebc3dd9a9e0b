import { expect, test } from 'vitest';
import { Kernel, releaseByName } from '../../../kernel/index.ts';
import { Machine, pageSizeByBytes, physAddr } from '../../../machine/index.ts';
import { fixtureJson } from './subject.ts';

interface ImageDocument {
  readonly pageSize: number;
  readonly ram: readonly { readonly base: string; readonly size: string }[];
}

interface Expected {
  readonly scratch: readonly { readonly base: string; readonly size: string }[];
}

const IMAGES = [
  ['6.17.8', '4k', '32M,16M,16M'],
  ['6.18.15', '4k', '32M,16M,16M'],
  ['6.19.11', '4k', '32M,16M,16M'],
  ['7.1.13', '4k', '32M,16M,16M'],
  ['7.3.4', '4k', '32M,16M,16M'],
  ['7.3.4', '64k', '512M,512M,512M'],
] as const;

test.each(IMAGES)('a machine like that of the %s %s image gets scratch areas like its', (uts, size, scratch) => {
  const folder = `linux-${uts}-arm64-${size}`;
  const image = fixtureJson<ImageDocument>(`${folder}/image.json`);
  const page = pageSizeByBytes(image.pageSize);
  const release = releaseByName(uts);
  if (page === undefined || release === undefined) throw new Error('unknown');
  const banks = image.ram.map((bank) => ({ base: physAddr(Number(bank.base)), sizeBytes: Number(bank.size), nid: 0 }));
  const kernel = Kernel.boot(Machine.powerOn({ arch: 'arm64', page, banks, seed: 1 }), {
    release,
    cmdline: `kho=on liveupdate=on reserve_mem=2M:64K:khosim_rm kho_scratch=${scratch} test_kho.max_mem=262144`,
  });
  const real = fixtureJson<Expected>(`${folder}/expected.json`).scratch;
  const align = (base: number) => base % (page.sizeBytes * 2 ** (size === '64k' ? 13 : 9));
  // Addresses depend on what firmware and initrd took; number, order, sizes and alignment do not.
  expect(kernel.kho.scratch.map((area) => [area.sizeBytes, align(area.base)])).toEqual(
    real.map((area) => [Number(area.size), align(Number(area.base))]),
  );
  expect(kernel.kho.scratch.every((area) => align(area.base) === 0)).toBe(true);
});
