import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { hexOfHalves } from '../../machine/units.ts';
import type { BoundedReader } from '../inspect/bounded-reader.ts';
import type { InspectResult } from '../inspect/inspect.ts';
import type { ChunkListView, RadixView, TreeNode } from '../report/client/model.ts';

/** Nodes of a level that a report lists; more are only counted. */
const MAX_NODES = 2048;
const MAX_CHUNKS = 64;
const MAX_ENTRIES = 256;

/** The memory map of a handover as a report shows it: a tree's nodes level by level, or a list's chunks. */
export function mapView(result: InspectResult): RadixView | ChunkListView | null {
  const { map, release, page, mapRoot, reader } = result;
  if (map === undefined || mapRoot === undefined) return null;
  if (map.document.kind === 'chunk-list') {
    const { bitmapBytes, chunks } = map.document;
    return {
      kind: 'chunk-list',
      bitmapBytes,
      nrChunks: chunks.length,
      chunks: chunks
        .slice(0, MAX_CHUNKS)
        .map(({ phys, order, entries }) => ({ phys, order, entries: entries.slice(0, MAX_ENTRIES) })),
    };
  }
  if (release.map.format !== 'radix-tree') return null;
  const geometry = radixGeometry(page, release.map);
  const { depth, keyWidth, tableLog2, bitmapLog2, levelShifts, markerBits, addressShifts, nrOrders } = geometry;
  const { nodesPerLevel } = map.document;
  const nodes = nodesOf(reader, page.sizeBytes, depth, mapRoot);
  return {
    kind: 'radix-tree',
    depth,
    keyWidth,
    tableLog2,
    bitmapLog2,
    levelShifts: [...levelShifts],
    markerBits: Array.from(markerBits.subarray(0, nrOrders)),
    addressShifts: Array.from(addressShifts.subarray(0, nrOrders)),
    levels: nodes.map((level, i) => ({ nrNodes: nodesPerLevel[String(i)] ?? level.length, nodes: level })),
  };
}

/** The nodes level by level from the root down, leaves first in the result; what is not RAM has no node. */
function nodesOf(reader: BoundedReader, pageBytes: number, depth: number, root: number): TreeNode[][] {
  const levels: TreeNode[][] = [];
  let present: { phys: number; parent: number; slot: number }[] = [{ phys: root, parent: -1, slot: 0 }];
  for (let level = depth - 1; level >= 0; level--) {
    const nodes: TreeNode[] = [];
    const below: { phys: number; parent: number; slot: number }[] = [];
    for (const { phys, parent, slot } of present.slice(0, MAX_NODES)) {
      const bytes = phys % pageBytes === 0 ? reader.bytes(phys, pageBytes) : undefined;
      if (bytes === undefined) continue;
      const index = nodes.length;
      const raw = bytes.raw.byteOffset % 4 === 0 ? bytes.raw : bytes.raw.slice();
      const words = new Uint32Array(raw.buffer, raw.byteOffset, pageBytes / 4);
      let used = 0;
      if (level === 0) {
        for (const word of words) used += bitsOf(word);
      } else {
        for (let i = 0; i < words.length; i += 2) {
          const lo = words[i] as number;
          const hi = words[i + 1] as number;
          if (lo === 0 && hi === 0) continue;
          used++;
          const child = Number(hexOfHalves(lo, hi));
          if (Number.isSafeInteger(child) && below.length < MAX_NODES)
            below.push({ phys: child, parent: index, slot: i / 2 });
        }
      }
      nodes.push({ pfn: phys / pageBytes, parent, slot, used });
    }
    levels.unshift(nodes);
    present = below;
  }
  return levels;
}

function bitsOf(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
