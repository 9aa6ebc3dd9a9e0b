import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { bytesSource } from '../../../machine/image/byte-source.ts';
import type { MemoryImage } from '../../../machine/image/memory-image.ts';
import { parseSparseManifest, sparseImage } from '../../../machine/image/sparse.ts';

/** Memory that real kernels left at the jump. */
export const REAL_IMAGES = [
  'linux-6.17.8-arm64-4k',
  'linux-6.18.15-arm64-4k',
  'linux-6.19.11-arm64-4k',
  'linux-7.1.13-arm64-4k',
  'linux-7.3.4-arm64-4k',
  'linux-7.3.4-arm64-64k',
] as const;

const fixtures = new URL('../../fixtures/', import.meta.url);
const opened = new Map<string, MemoryImage>();

export function realDocument(name: string): { [key: string]: unknown; extents: Record<string, unknown>[] } {
  return JSON.parse(readFileSync(new URL(`${name}/image.json`, fixtures), 'utf8'));
}

/** Opens one of the real images; images are immutable, so tests share them. */
export function realImage(name: string): MemoryImage {
  let image = opened.get(name);
  if (image === undefined) {
    const manifest = parseSparseManifest(realDocument(name));
    image = sparseImage(manifest, bytesSource(gunzipSync(readFileSync(new URL(`${name}/${manifest.data}`, fixtures)))));
    opened.set(name, image);
  }
  return image;
}

interface Expected {
  readonly pageSize: number;
  readonly compatible: string;
  readonly fdt: { readonly totalsize: number; readonly hex: string };
  readonly preserved: { readonly walkOrder: readonly (readonly [string, number])[] };
  readonly scratch: readonly { readonly base: string; readonly size: string }[];
}

/** What an independent reader found in it. */
export function expectedOf(name: string): Expected {
  return JSON.parse(readFileSync(new URL(`${name}/expected.json`, fixtures), 'utf8'));
}
