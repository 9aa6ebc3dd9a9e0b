import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { buildSparseImage } from '../../machine/image/sparse-writer.ts';
import { type BootHandoff, type Machine, physAddr } from '../../machine/index.ts';
import type { ForeignMemory } from '../inspect/bounded-reader.ts';
import { inspectImage } from '../inspect/inspect.ts';
import { makeFolder } from '../io/make-folder.ts';

/** RAM and handoff as they were at a jump: the pages that matter, copied, since the next kernel goes on in the same RAM. */
export interface CapturedImage {
  readonly document: unknown;
  /** Unpacked: most runs that capture an image have one jump more to go. */
  readonly data: Uint8Array;
  /** What inspect finds in it: expected.json. */
  readonly expected: unknown;
}

const DATA_FILE = 'image.bin.gz';

/**
 * Captures what crosses, at the moment of a jump: scratch array, root FDT, subtrees, the map's own pages, all that is
 * preserved.
 * @returns undefined when there is no handover.
 */
export function captureImage(machine: Machine, handoff: BootHandoff | undefined): CapturedImage | undefined {
  if (handoff === undefined) return undefined;
  const { memory, page, arch } = machine;
  const touched: { phys: number; sizeBytes: number }[] = [];
  const foreign: ForeignMemory = {
    banks: memory.banks,
    readBytes: (addr, sizeBytes) => {
      touched.push({ phys: addr, sizeBytes });
      return memory.readBytes(physAddr(addr), sizeBytes);
    },
    inRam: (addr, sizeBytes) => memory.contains(addr, sizeBytes),
    carries: () => true,
  };
  const { document, preserved } = inspectImage(
    {
      memory: foreign,
      format: 'khosim-sparse-1',
      arch,
      pageSizeBytes: page.sizeBytes,
      ...handoff,
      handoffFrom: 'image',
    },
    { list: true },
  );
  const ranges = [...touched];
  for (let i = 0; i < preserved.count; i++) {
    const { phys, order } = preserved.at(i);
    ranges.push({ phys, sizeBytes: preserved.sizeOf(order) });
  }
  const image = buildSparseImage({ memory, arch, handoff, ranges, data: DATA_FILE });
  return { document: image.document, data: concat([...image.chunks()]), expected: document };
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Writes image.json, image.bin.gz and expected.json into a folder, made if need be. */
export function writeImage(folder: string, image: CapturedImage): void {
  makeFolder(folder);
  writeFileSync(join(folder, 'image.json'), `${JSON.stringify(image.document, undefined, 1)}\n`);
  writeFileSync(join(folder, DATA_FILE), gzipSync(image.data, { level: 6 }));
  writeFileSync(join(folder, 'expected.json'), `${JSON.stringify(image.expected, undefined, 1)}\n`);
}
