import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { bytesSource } from '../../../machine/image/byte-source.ts';
import { loadImage } from '../../../machine/image/load.ts';
import { parseSparseManifest, sparseImage } from '../../../machine/image/sparse.ts';
import { type BootHandoff, PAGE_4K, physAddr } from '../../../machine/index.ts';
import type { BootSubject } from '../../../scenarios/boot/boot-image.ts';

/** What is changed before the boot: `PHYS:HEX` patches, and what firmware passes. */
export interface Changes {
  readonly patches?: readonly string[];
  readonly handoff?: { readonly fdt_len?: number; readonly scratch_len?: number };
}

export function fixture(path: string): Buffer {
  return readFileSync(new URL(`../../fixtures/${path}`, import.meta.url));
}

export function fixtureJson<T>(path: string): T {
  return JSON.parse(fixture(path).toString('utf8')) as T;
}

const unpacked = new Map<string, Uint8Array>();

/** A captured handover among the fixtures, ready to boot on. */
export function subjectOf(folder: string, changes: Changes = {}): BootSubject {
  const manifest = parseSparseManifest(fixtureJson(`${folder}/image.json`));
  let data = unpacked.get(folder);
  if (data === undefined) unpacked.set(folder, (data = gunzipSync(fixture(`${folder}/image.bin.gz`))));
  const image = sparseImage(manifest, bytesSource(data));
  const page = image.page ?? PAGE_4K;
  const memory = loadImage(image, page);
  for (const patch of changes.patches ?? []) {
    const [phys = '', hex = ''] = patch.split(':');
    memory.writeBytes(physAddr(Number(phys)), Buffer.from(hex, 'hex'));
  }
  const expected = fixtureJson<{ luo?: { sessions: { name: string; files: { token: string }[] }[] } }>(
    `${folder}/expected.json`,
  );
  const sessions = expected.luo?.sessions ?? [];
  return {
    arch: image.arch ?? 'arm64',
    page,
    memory,
    handoff: image.handoff === undefined ? undefined : handoffWith(image.handoff, changes.handoff ?? {}),
    knownFiles: sessions.flatMap(({ name, files }) => files.map(({ token }) => [name, token] as const)),
  };
}

function handoffWith(handoff: BootHandoff, changes: NonNullable<Changes['handoff']>): BootHandoff {
  return {
    fdt: { ...handoff.fdt, sizeBytes: changes.fdt_len ?? handoff.fdt.sizeBytes },
    scratch: { ...handoff.scratch, sizeBytes: changes.scratch_len ?? handoff.scratch.sizeBytes },
  };
}
