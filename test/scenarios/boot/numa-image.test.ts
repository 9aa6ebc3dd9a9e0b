import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type KernelConfig, knownRelease } from '../../../kernel/index.ts';
import { bytesSource } from '../../../machine/image/byte-source.ts';
import { loadImage } from '../../../machine/image/load.ts';
import { parseSparseManifest, sparseImage } from '../../../machine/image/sparse.ts';
import { pageSizeByName } from '../../../machine/index.ts';
import { type BootDocument, bootImage } from '../../../scenarios/boot/boot-image.ts';
import { packageRoot } from '../../../scenarios/package-root.ts';
import { type CapturedImage, captureImage } from '../../../scenarios/run/export.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

const CMDLINE = 'kho=on liveupdate=on reserve_mem=2M:64K:khosim_rm kho_scratch=32M,16M,16M test_kho.max_mem=262144';

interface Bank {
  readonly base: string;
  readonly size: string;
  readonly nid?: number;
}

/** All clients of the real images, on a machine of two nodes, at the moment of the jump. */
function twoNodes(arch: 'arm64' | 'x86_64', pageSize: '4K' | '64K'): CapturedImage {
  const name = arch === 'arm64' ? 'real-kernel' : 'real-kernel-x86_64';
  const text = readFileSync(`${packageRoot()}/scenarios/library/${name}.yaml`, 'utf8');
  const memory = pageSize === '4K' ? '1G' : '4G';
  const scenario = parseScenario(
    text.replace(/^machine:.*$/m, `machine: { arch: ${arch}, memory: ${memory}, nodes: 2 }`),
    'two-nodes.yaml',
  );
  const page = pageSizeByName(pageSize);
  if (page === undefined) throw new Error('no such page size');
  let image: CapturedImage | undefined;
  runScenario(scenario, {
    page,
    atLastJump: (machine, handoff) => {
      image = captureImage(machine, handoff);
    },
  });
  if (image === undefined) throw new Error('no handover');
  return image;
}

function boot(image: CapturedImage, config: Partial<KernelConfig>, ram?: readonly Bank[]): BootDocument {
  const document = { ...(image.document as { ram: Bank[] }), ...(ram === undefined ? {} : { ram }) };
  const sparse = sparseImage(parseSparseManifest(document), bytesSource(image.data));
  const { page, arch, handoff } = sparse;
  if (page === undefined || arch === undefined) throw new Error('an image of nothing');
  return bootImage(
    { arch, page, memory: loadImage(sparse, page), handoff, knownFiles: [] },
    { release: knownRelease('7.3'), cmdline: CMDLINE, config: { LIVEUPDATE_TEST: true, ...config } },
  );
}

/** What user space finds; where it lies and in how many regions depends on the nodes. */
function found(document: BootDocument) {
  const { outcome, khoTest, revivedReserveMem, liveupdateNumber, files, kexecMetadata, log } = document;
  const complaints = log.filter((line) => /WARNING|failed|Oops|panic/.test(line));
  return { outcome, khoTest, revivedReserveMem, liveupdateNumber, files, kexecMetadata, complaints };
}

const nidsOf = (document: BootDocument) => [...new Set(document.memblock.memory.map((region) => region.nid))];

test.each([
  ['arm64', '4K'],
  ['arm64', '64K'],
  ['x86_64', '4K'],
] as const)(
  'an image of two nodes, %s with pages of %s, boots with deferred struct pages and without',
  (arch, pageSize) => {
    const image = twoNodes(arch, pageSize);
    const { ram } = image.document as { ram: Bank[] };
    const deferred = boot(image, { DEFERRED_STRUCT_PAGE_INIT: true });
    expect(found(deferred)).toMatchObject({
      outcome: 'handover',
      khoTest: 'ok',
      revivedReserveMem: ['khosim_rm'],
      liveupdateNumber: 1,
      kexecMetadata: { kexecCount: 1 },
      complaints: [],
    });
    expect(Object.values(deferred.files).filter((file) => 'sha256' in file)).toHaveLength(6);
    expect(nidsOf(deferred)).toEqual([0, 1]);
    const early = boot(image, { DEFERRED_STRUCT_PAGE_INIT: false });
    expect(early).toEqual(deferred);

    // Without NUMA, and from an image that knows no nodes, all is node 0, and the same comes back.
    const plain = ram.map(({ base, size }) => ({ base, size }));
    for (const other of [
      boot(image, { DEFERRED_STRUCT_PAGE_INIT: true, NUMA: false }),
      boot(image, { DEFERRED_STRUCT_PAGE_INIT: true }, plain),
    ]) {
      expect(found(other)).toEqual(found(deferred));
      expect(nidsOf(other)).toEqual([0]);
    }
  },
);

test('nodes that interleave, and a border through a preserved folio, lose nothing', () => {
  const image = twoNodes('arm64', '4K');
  const whole = found(boot(image, { DEFERRED_STRUCT_PAGE_INIT: true }));
  const bank = (base: number, end: number, nid: number): Bank => ({
    base: `0x${base.toString(16)}`,
    size: `0x${(end - base).toString(16)}`,
    nid,
  });
  const start = 0x4000_0000;
  const step = 0x800_0000;
  const interleaved = Array.from({ length: 8 }, (_, i) => bank(start + i * step, start + (i + 1) * step, i % 2));
  const { preserved } = image.expected as { preserved: { walkOrder: readonly (readonly [string, number])[] } };
  const [phys, order] = preserved.walkOrder[0] ?? ['0x0', 0];
  expect(order).toBe(9);
  const border = Number(phys) + 0x10_0000;
  const crossing = [bank(start, border, 0), bank(border, start + 8 * step, 1)];
  for (const ram of [interleaved, crossing]) {
    const document = boot(image, { DEFERRED_STRUCT_PAGE_INIT: true }, ram);
    expect(found(document)).toEqual(whole);
    expect(nidsOf(document)).toEqual([0, 1]);
  }
});
