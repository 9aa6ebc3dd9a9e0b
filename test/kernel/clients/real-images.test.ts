import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ReserveMem } from '../../../kernel/clients/reserve-mem.ts';
import { TestKho } from '../../../kernel/clients/test-kho.ts';
import { type FdtTreeNode, parseFdt } from '../../../kernel/fdt/parse.ts';
import { fdtViewAt } from '../../../kernel/kho/fdt-view.ts';
import type { SubtreeLocation } from '../../../kernel/kho/kho.ts';
import { readKexecMetadata } from '../../../kernel/kho/metadata.ts';
import { Luo } from '../../../kernel/liveupdate/luo.ts';
import type { Memfd } from '../../../kernel/liveupdate/memfd-file.ts';
import { releaseByName } from '../../../kernel/release.ts';
import { loadImage } from '../../../machine/image/load.ts';
import { type PhysAddr, pageSizeByBytes, pfnOf } from '../../../machine/index.ts';
import { realImage } from '../../machine/image/real-images.ts';
import { FakeKernel } from '../fake-kernel.ts';
import { ok } from '../liveupdate/luo-world.ts';

/*
 * What real kernels left in memory, read by the clients. Map and root FDT are not under test here: what they hold
 * comes from expected.json.
 */

interface ExpectedFile {
  token: string;
  pos: number;
  size: number;
  seals: number;
  sha256: string;
}

interface Expected {
  pageSize: number;
  preserved: { walkOrder: [string, number][] };
  subtrees: { name: string; phys: string; size?: number }[];
  reserveMem: { name: string; start: string; size: string; sha256: string }[];
  khoTest: { csumHex: string };
  kexecMetadata?: { previousRelease: string; kexecCount: number };
  luo?: { liveupdateNumber: number; sessions: { name: string; files: ExpectedFile[] }[] };
}

const IMAGES = [
  ['6.17.8', 'linux-6.17.8-arm64-4k'],
  ['6.18.15', 'linux-6.18.15-arm64-4k'],
  ['6.19.11', 'linux-6.19.11-arm64-4k'],
  ['7.1.13', 'linux-7.1.13-arm64-4k'],
  ['7.3.4', 'linux-7.3.4-arm64-4k'],
  ['7.3.4', 'linux-7.3.4-arm64-64k'],
] as const;

function kernelOn(uts: string, name: string): { kernel: FakeKernel; expected: Expected } {
  const expected = JSON.parse(
    readFileSync(new URL(`../../fixtures/${name}/expected.json`, import.meta.url), 'utf8'),
  ) as Expected;
  const page = pageSizeByBytes(expected.pageSize);
  const release = releaseByName(uts);
  if (page === undefined || release === undefined) throw new Error(`${name} is of no known kind`);
  const memory = loadImage(realImage(name), page);
  const blocks = new Map(
    expected.preserved.walkOrder.map(([phys, order]) => [pfnOf(page, Number(phys) as PhysAddr) as number, order]),
  );
  const subtrees = new Map<string, SubtreeLocation>(
    expected.subtrees.map(({ name: node, phys, size }) => [node, { phys: Number(phys) as PhysAddr, sizeBytes: size }]),
  );
  const cmdline = 'liveupdate=on test_kho.max_mem=262144';
  return { kernel: new FakeKernel(page, { release, cmdline, from: { memory, blocks, subtrees } }), expected };
}

/** Nodes and properties in order, and how long the values are whose length is fixed. */
function shapeOf(blob: Uint8Array): unknown {
  const tree = parseFdt(blob);
  if (tree.kind === 'error') throw new Error(tree.message);
  const shape = (node: FdtTreeNode): unknown => ({
    name: node.name,
    properties: node.properties.map(({ name, value }) => [name, name === 'folios_info' ? 'any' : value.length]),
    children: node.children.map(shape),
  });
  return shape(tree.root);
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe.each(IMAGES)('the clients of %s on %s', (uts, name) => {
  it('find test data intact, by the checksum of their architecture', () => {
    const { kernel } = kernelOn(uts, name);
    const test = new TestKho(kernel);
    expect(test.init()).toBe(0);
    expect(test.verdict).toBe('ok');
    expect(kernel.lines).toEqual(['test_kho: KHO restore succeeded']);
  });

  it('describe test data of their own with the same bytes, but for numbers and addresses', () => {
    const { kernel, expected } = kernelOn(uts, name);
    const { kernel: fresh } = kernelOn(uts, name);
    const theirs = expected.subtrees.find((subtree) => subtree.name === 'kho_test');
    if (theirs === undefined) throw new Error('no kho_test subtree');
    const old = new FakeKernel(fresh.page, { release: fresh.release, cmdline: 'test_kho.max_mem=262144' });
    const test = new TestKho(old);
    expect(test.init()).toBe(0);
    expect(test.finalize()).toBe(0);
    const ours = old.kho.subtrees.get('kho_test');
    if (ours === undefined) throw new Error('no kho_test subtree');
    const real = fdtViewAt(kernel.memory, Number(theirs.phys));
    expect(shapeOf(fdtViewAt(old.memory, ours.phys))).toEqual(shapeOf(real));
    if (kernel.release.vmalloc !== undefined) expect(ours.sizeBytes).toBe(240);
  });

  it('revive the reserved memory, whose content is there, and describe it with the same bytes', () => {
    const { kernel, expected } = kernelOn(uts, name);
    const reserveMem = new ReserveMem(kernel);
    const [region] = expected.reserveMem;
    if (region === undefined) throw new Error('no region');
    expect(reserveMem.parse('2M:64K:khosim_rm')).toBe(1);
    expect(kernel.lines).toEqual(["Revived memory reservation 'khosim_rm' from KHO"]);
    const start = Number(region.start) as PhysAddr;
    expect(reserveMem.regions).toEqual([{ name: region.name, start, sizeBytes: Number(region.size), revived: true }]);
    expect(sha256(kernel.memory.readBytes(start, Number(region.size)))).toBe(region.sha256);

    expect(reserveMem.lateInit()).toBe(0);
    expect(reserveMem.finalize()).toBe(0);
    const theirs = expected.subtrees.find((subtree) => subtree.name === 'memblock');
    const ours = kernel.kho.subtrees.get('memblock');
    if (theirs === undefined || ours === undefined) throw new Error('no memblock subtree');
    const sizeBytes = ours.sizeBytes ?? 0;
    expect(theirs.size ?? sizeBytes).toBe(sizeBytes);
    expect(Buffer.from(kernel.memory.readBytes(ours.phys, sizeBytes)).toString('hex')).toBe(
      Buffer.from(kernel.memory.readBytes(Number(theirs.phys) as PhysAddr, sizeBytes)).toString('hex'),
    );
  });

  it('know who handed over, where that crosses', () => {
    const { kernel, expected } = kernelOn(uts, name);
    const { previousRelease, kexecCount } = expected.kexecMetadata ?? {};
    const found = expected.kexecMetadata === undefined ? undefined : { previousRelease, kexecCount };
    expect(readKexecMetadata(kernel)).toEqual(found);
    expect(kernel.lines).toEqual(found === undefined ? [] : [`KHO: exec from: ${uts} (count 1)`]);
  });
});

describe.each(IMAGES.slice(2))('LUO of %s on %s', (uts, name) => {
  it('gives back every file: size, position, seals, content', () => {
    const { kernel, expected } = kernelOn(uts, name);
    const luo = new Luo(kernel);
    luo.earlyInit();
    luo.lateInit();
    luo.registerHandlers();
    expect(luo.liveupdateNumber).toBe(BigInt(expected.luo?.liveupdateNumber ?? 0));
    const device = ok(luo.open());
    for (const { name: sessionName, files } of expected.luo?.sessions ?? []) {
      const session = ok(device.retrieveSession(sessionName));
      for (const file of files) {
        const { inode } = ok(session.retrieveFd(BigInt(file.token))) as Memfd;
        const content = inode.read(0, inode.sizeBytes);
        expect({
          ...file,
          pos: inode.pos,
          size: inode.sizeBytes,
          seals: inode.seals,
          sha256: sha256(content),
        }).toEqual(file);
      }
      expect(session.finish()).toBe(0);
    }
    expect(kernel.log.warnings).toBe(0);
    if (kernel.release.flb !== undefined) {
      for (let i = 0; i < 3; i++) {
        expect(kernel.lines).toContain(
          `liveupdate test: liveupdate-test-flb-v${i}: found flb data from the previous boot`,
        );
        expect(kernel.lines).toContain(`liveupdate test: liveupdate-test-flb-v${i}: finish was triggered`);
      }
    }
  });

  it('describes itself with as many bytes as the real one, and the same ones but for addresses', () => {
    const { kernel, expected } = kernelOn(uts, name);
    const theirs = expected.subtrees.find((subtree) => subtree.name === 'LUO');
    if (theirs === undefined) throw new Error('no LUO subtree');
    const phys = Number(theirs.phys) as PhysAddr;
    const size = theirs.size ?? new DataView(kernel.memory.readBytes(phys, 8).buffer).getUint32(4);
    const real = kernel.memory.readBytes(phys, size);
    const luo = new Luo(kernel);
    luo.lateInit();
    luo.registerHandlers();
    ok(ok(luo.open()).createSession('any'));
    luo.reboot();
    const ours = kernel.kho.subtrees.get('LUO');
    if (ours === undefined) throw new Error('no LUO subtree');
    expect(ours.sizeBytes).toBe(size);
    const bytes = kernel.memory.readBytes(ours.phys, size);
    const different = [...bytes.keys()].filter((at) => bytes[at] !== real[at]);
    // Two addresses of eight bytes, one before there were FLBs.
    const words = new Set(different.map((at) => at - (at % 4)));
    expect(words.size).toBeLessThanOrEqual(kernel.release.flb === undefined ? 2 : 4);
  });
});
