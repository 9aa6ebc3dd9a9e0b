import type { RadixContract } from '../../kernel/abi/contract.ts';
import { bitmapIndex, encodeKey, radixGeometry, tableIndex } from '../../kernel/kho/geometry.ts';
import { type AuditMemory, auditRadixTree, type RadixFinding } from '../../kernel/kho/radix-audit.ts';
import { u64Of } from '../../kernel/kho/u64.ts';
import type { PageSize } from '../../machine/page-size.ts';
import { hexOfHalves } from '../../machine/units.ts';
import { type BoundedReader, hexAddr } from './bounded-reader.ts';
import { fetchMetadata } from './fetch.ts';
import type { FindingCode } from './finding-codes.ts';
import type { Findings } from './findings.ts';
import type { MapReading, MetadataPage } from './memory-map.ts';
import { PreservedSetBuilder } from './preserved-set.ts';

const CODES: Readonly<Record<RadixFinding['code'], FindingCode>> = {
  'outside-ram': 'radix-node-outside-ram',
  alignment: 'radix-node-alignment',
  shared: 'radix-node-shared',
  key: 'radix-key',
  budget: 'read-budget',
};

/**
 * Audits a radix tree in foreign memory: every node once, every pointer checked before it is followed. Keys come out in
 * the kernel's order. The work is bounded by the number of pages in RAM, and by the reader's budget.
 * @param root the map property's value; beyond 2^53 it is no RAM.
 */
export function readRadixTree(
  reader: BoundedReader,
  page: PageSize,
  contract: RadixContract,
  root: number,
  maxBlocks: number,
  findings: Findings,
): MapReading {
  const geometry = radixGeometry(page, contract);
  const builder = new PreservedSetBuilder(maxBlocks);
  const place = (linkPhys: number | undefined) =>
    linkPhys === undefined || linkPhys < 0 ? 'preserved-memory-map' : hexAddr(linkPhys);
  const memory: AuditMemory = {
    inRam: (phys, sizeBytes) => reader.inRam(phys, sizeBytes),
    words: (phys, level, linkPhys) => {
      const what = `a node of level ${level}`;
      const raw = fetchMetadata(reader, findings, phys, page.sizeBytes, place(linkPhys), what)?.raw;
      if (raw === undefined) return undefined;
      const aligned = raw.byteOffset % 4 === 0 ? raw : raw.slice();
      return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 2);
    },
  };
  const { lo, hi } = Number.isSafeInteger(root) ? u64Of(root) : { lo: 0, hi: 0xffff_ffff };
  const audit = auditRadixTree(memory, geometry, lo, hi, {
    report: ({ code, where, message }) => findings.add(CODES[code], place(where), message),
    visit: (physLo, physHi, order) => builder.add(physHi * 0x1_0000_0000 + physLo, order),
  });
  if (builder.dropped > 0) {
    findings.add('read-budget', 'preserved-memory-map', `${builder.dropped} preserved blocks more than inspect keeps`);
  }
  const pages: MetadataPage[] = [];
  for (const [phys, level] of audit.nodes) {
    pages.push({ phys, sizeBytes: page.sizeBytes, what: level === 0 ? 'radix leaf' : `radix table, level ${level}` });
  }
  const nodesPerLevel: Record<string, number> = {};
  for (let level = geometry.depth - 1; level >= 0; level--) {
    nodesPerLevel[String(level)] = audit.nodesPerLevel[level] ?? 0;
  }
  return {
    document: { kind: 'radix-tree', root: hexAddr(root), depth: geometry.depth, nodesPerLevel },
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
  const geometry = radixGeometry(page, contract);
  const halves = u64Of(phys);
  const key = encodeKey(geometry, halves.lo, halves.hi, order);
  const path: PathStep[] = [];
  let node = root;
  for (let level = geometry.depth - 1; level >= 0; level--) {
    const index = level === 0 ? bitmapIndex(geometry, key.lo) : tableIndex(geometry, key.lo, key.hi, level);
    path.push({ level, node: hexAddr(node), index });
    if (level === 0) break;
    const slot = reader.bytes(node + index * 8, 8);
    if (slot === undefined) break;
    node = slot.u64(0);
    if (node === 0) break;
  }
  return { key: hexOfHalves(key.lo, key.hi), path };
}
