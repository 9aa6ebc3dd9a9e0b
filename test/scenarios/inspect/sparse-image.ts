import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { bytesSource } from '../../../machine/image/byte-source.ts';
import { ImageRam } from '../../../machine/image/image-ram.ts';
import type { MemoryImage } from '../../../machine/image/memory-image.ts';
import { parseSparseManifest, sparseImage } from '../../../machine/image/sparse.ts';
import { handoverImage } from '../../../scenarios/inspect/image-source.ts';
import type { HandoverImage } from '../../../scenarios/inspect/inspect.ts';

export const FIXTURES = resolve(import.meta.dirname, '../../fixtures');

/** Bytes to change before an image is read. */
export interface Patch {
  readonly phys: number;
  readonly bytes: Uint8Array;
}

/** A fixture of real memory, by the name of its folder. */
export function loadFixture(name: string): MemoryImage {
  const folder = join(FIXTURES, name);
  const manifest = parseSparseManifest(JSON.parse(readFileSync(join(folder, 'image.json'), 'utf8')));
  return sparseImage(manifest, bytesSource(gunzipSync(readFileSync(join(folder, manifest.data)))));
}

/** The image with changes. */
export function patched(image: MemoryImage, patches: readonly Patch[]): HandoverImage {
  const ram = new ImageRam(image);
  for (const { phys, bytes } of patches) ram.patch(phys, bytes);
  return handoverImage(image, ram);
}
