import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Arch } from '../../../machine/machine.ts';
import type { HandoverImage } from '../../../scenarios/inspect/inspect.ts';

export const FIXTURES = resolve(import.meta.dirname, '../../fixtures');

interface Extent {
  phys: number;
  size: number;
  stored: number;
  offset: number;
}

/** A loaded image whose bytes tests may change. */
export interface TestImage extends HandoverImage {
  patch(phys: number, bytes: Uint8Array): void;
  undo(): void;
  metadataExtents: readonly Extent[];
}

/** Loads a khosim-sparse-1 image; pages are found by a table of 512-byte units. */
export function loadSparse(name: string): TestImage {
  const json = JSON.parse(readFileSync(join(FIXTURES, name, 'image.json'), 'utf8'));
  const data = gunzipSync(readFileSync(join(FIXTURES, name, json.data)));
  const extents: Extent[] = json.extents.map((extent: Record<string, unknown>) => ({
    ...extent,
    phys: Number(extent['phys']),
  }));
  extents.sort((a, b) => a.phys - b.phys);
  const patches: { phys: number; bytes: Uint8Array }[] = [];
  const find = (addr: number): number => {
    let low = 0;
    let high = extents.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const extent = extents[middle] as Extent;
      if (extent.phys + extent.size <= addr) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    format: 'khosim-sparse-1',
    arch: json.arch as Arch,
    pageSizeBytes: json.pageSize,
    fdt: { phys: Number(json.handoff.fdt.phys), sizeBytes: json.handoff.fdt.size },
    scratch: { phys: Number(json.handoff.scratch.phys), sizeBytes: json.handoff.scratch.size },
    memory: {
      banks: json.ram.map((bank: { base: string; size: string }) => ({
        base: Number(bank.base),
        sizeBytes: Number(bank.size),
      })),
      readBytes(addr, sizeBytes) {
        const out = new Uint8Array(sizeBytes);
        for (let i = find(addr); i < extents.length; i++) {
          const extent = extents[i] as Extent;
          if (extent.phys >= addr + sizeBytes) break;
          const from = Math.max(extent.phys, addr);
          const to = Math.min(extent.phys + extent.stored, addr + sizeBytes);
          if (to > from) {
            const at = extent.offset + from - extent.phys;
            out.set(data.subarray(at, at + to - from), from - addr);
          }
        }
        for (const { phys, bytes } of patches) {
          for (let i = 0; i < bytes.length; i++) {
            const at = phys + i - addr;
            if (at >= 0 && at < sizeBytes) out[at] = bytes[i] as number;
          }
        }
        return out;
      },
      carries(addr) {
        const extent = extents[find(addr)];
        return extent !== undefined && addr >= extent.phys;
      },
    },
    patch(phys, bytes) {
      patches.push({ phys, bytes });
    },
    undo() {
      patches.length = 0;
    },
    metadataExtents: extents,
  };
}
