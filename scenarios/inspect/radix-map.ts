import { type RadixContract, type RadixNumbers, radixNumbersOf } from '../../kernel/abi/contract.ts';
import type { PageSize } from '../../machine/page-size.ts';
import { type BoundedReader, hexAddr } from './bounded-reader.ts';
import type { Findings } from './findings.ts';
import type { MapReading, MetadataPage } from './memory-map.ts';
import { PreservedSetBuilder } from './preserved-set.ts';

/** A contract's numbers, and which order the bit at each index tells. */
interface Geometry extends RadixNumbers {
  readonly byBit: ReadonlyMap<number, { readonly order: number; readonly shift: number }>;
}

function geometryOf(contract: RadixContract, page: PageSize): Geometry {
  const numbers = radixNumbersOf(contract, page);
  const byBit = new Map<number, { order: number; shift: number }>();
  for (const [order, bit] of numbers.orderBits.entries()) {
    byBit.set(bit, { order, shift: numbers.addressShifts[order] as number });
  }
  return { ...numbers, byBit };
}

/**
 * Walks a radix tree in foreign memory: every node once, every pointer checked before it is followed. Keys come out in
 * the kernel's order. A node that is reached again is reported and not walked again, so that no fan-out can multiply
 * the work: it is bounded by the number of pages in RAM, and by the reader's budget.
 */
export function readRadixTree(
  reader: BoundedReader,
  page: PageSize,
  contract: RadixContract,
  root: number,
  maxBlocks: number,
  findings: Findings,
): MapReading {
  const geometry = geometryOf(contract, page);
  const { depth, tableLog2, bitmapLog2 } = geometry;
  const builder = new PreservedSetBuilder(maxBlocks);
  const nodes = new Map<number, number>();
  const pages: MetadataPage[] = [];
  const perLevel = new Array<number>(depth).fill(0);

  const visit = (phys: number, level: number, start: bigint, where: string): void => {
    if (phys % page.sizeBytes !== 0) {
      findings.add('radix-node-alignment', where, `points to ${hexAddr(phys)}, which is not at a page`);
      return;
    }
    if (!reader.inRam(phys, page.sizeBytes)) {
      findings.add('radix-node-outside-ram', where, `points to ${hexAddr(phys)}, which is not RAM`);
      return;
    }
    const seen = nodes.get(phys);
    if (seen !== undefined) {
      findings.add(
        'radix-node-shared',
        where,
        `points to node ${hexAddr(phys)}, which is already a node of level ${seen}; here it is one of level ${level}`,
      );
      return;
    }
    if (!reader.carries(phys)) {
      findings.add(
        'not-in-image',
        where,
        `node ${hexAddr(phys)} of level ${level} is not in the image; read as zeroes`,
      );
    }
    const bytes = reader.bytes(phys, page.sizeBytes);
    if (bytes === undefined) {
      findings.add('read-budget', hexAddr(phys), 'the radix tree has more nodes than inspect reads');
      return;
    }
    nodes.set(phys, level);
    pages.push({ phys, sizeBytes: page.sizeBytes, what: level === 0 ? 'radix leaf' : `radix table, level ${level}` });
    perLevel[level] = (perLevel[level] ?? 0) + 1;
    if (level === 0) {
      readLeaf(bytes.raw, start, phys);
      return;
    }
    const shift = BigInt((level - 1) * tableLog2 + bitmapLog2);
    for (let slot = 0; slot < 2 ** tableLog2; slot++) {
      const lo = bytes.u32(slot * 8);
      const hi = bytes.u32(slot * 8 + 4);
      if (lo === 0 && hi === 0) continue;
      const child = hi * 0x1_0000_0000 + lo;
      if (!Number.isSafeInteger(child)) {
        findings.add(
          'radix-node-outside-ram',
          hexAddr(phys + slot * 8),
          `slot ${slot} of the table at ${hexAddr(phys)} (level ${level}) points to ${bytes.u64Hex(slot * 8)}`,
        );
        continue;
      }
      visit(child, level - 1, start | (BigInt(slot) << shift), hexAddr(phys + slot * 8));
    }
  };

  const readLeaf = (raw: Uint8Array, start: bigint, phys: number): void => {
    const aligned = raw.byteOffset % 4 === 0 ? raw : raw.slice();
    const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 2);
    const marker = start === 0n ? -1 : start.toString(2).length - 1;
    const fixed = start === 0n ? undefined : geometry.byBit.get(marker);
    const base =
      fixed === undefined
        ? 0
        : Number(((start ^ (1n << BigInt(marker))) << BigInt(fixed.shift)) & 0xffff_ffff_ffff_ffffn);
    const step = fixed === undefined ? 0 : 2 ** fixed.shift;
    const wide = marker >= geometry.keyWidth;
    for (let w = 0; w < words.length; w++) {
      let word = words[w] as number;
      while (word !== 0) {
        const low = word & -word;
        const bit = w * 32 + (31 - Math.clz32(low));
        word ^= low;
        if (fixed !== undefined && !wide) {
          builder.add(base + bit * step, fixed.order);
          continue;
        }
        const key = start | BigInt(bit);
        const top = key === 0n ? -1 : key.toString(2).length - 1;
        const own = top < geometry.keyWidth ? geometry.byBit.get(top) : undefined;
        if (own === undefined) {
          findings.add('radix-key', hexAddr(phys + (bit >>> 3)), `key 0x${key.toString(16)} has no valid order`);
        } else {
          builder.add((bit - 2 ** top) * 2 ** own.shift, own.order);
        }
      }
    }
  };

  visit(root, depth - 1, 0n, 'preserved-memory-map');
  if (builder.dropped > 0) {
    findings.add('read-budget', 'preserved-memory-map', `${builder.dropped} preserved blocks more than inspect keeps`);
  }
  const nodesPerLevel: Record<string, number> = {};
  for (let level = depth - 1; level >= 0; level--) nodesPerLevel[String(level)] = perLevel[level] ?? 0;
  return {
    document: { kind: 'radix-tree', root: hexAddr(root), depth, nodesPerLevel },
    preserved: builder.finish(page.sizeBytes),
    pages,
  };
}

/** One step on the way from the root of a tree to a key. */
export interface PathStep {
  readonly level: number;
  readonly node: string;
  /** Slot of a table, bit of a leaf. */
  readonly index: number;
}

/** The key of a block and the nodes on its way, as far as the tree goes: what `explain --page` shows. */
export function radixPath(
  reader: BoundedReader,
  page: PageSize,
  contract: RadixContract,
  root: number,
  phys: number,
  order: number,
): { key: string; path: PathStep[] } {
  const geometry = geometryOf(contract, page);
  let key = 0n;
  for (const [bit, { order: of, shift }] of geometry.byBit) {
    if (of === order) key = (1n << BigInt(bit)) | (BigInt(phys) >> BigInt(shift));
  }
  const path: PathStep[] = [];
  let node = root;
  for (let level = geometry.depth - 1; level >= 0; level--) {
    const shift = BigInt(level === 0 ? 0 : (level - 1) * geometry.tableLog2 + geometry.bitmapLog2);
    const mask = (1n << BigInt(level === 0 ? geometry.bitmapLog2 : geometry.tableLog2)) - 1n;
    const index = Number((key >> shift) & mask);
    path.push({ level, node: hexAddr(node), index });
    if (level === 0) break;
    const slot = reader.bytes(node + index * 8, 8);
    if (slot === undefined) break;
    node = slot.u64(0);
    if (node === 0) break;
  }
  return { key: `0x${key.toString(16)}`, path };
}
