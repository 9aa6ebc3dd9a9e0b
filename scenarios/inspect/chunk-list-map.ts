import type { ChunkListContract, CompiledAbi } from '../../kernel/abi/contract.ts';
import { evaluate } from '../../kernel/abi/expression.ts';
import { pageConstants } from '../../kernel/abi/struct.ts';
import type { PageSize } from '../../machine/page-size.ts';
import { type BoundedReader, type Bytes, hexAddr } from './bounded-reader.ts';
import { fetchMetadata } from './fetch.ts';
import type { Findings } from './findings.ts';
import type { ChunkListDocument, MapReading, MetadataPage } from './memory-map.ts';
import { PreservedSetBuilder } from './preserved-set.ts';
import { StructView } from './struct-view.ts';

/** How big a bitmap of this contract is. */
export function bitmapBytesOf(contract: ChunkListContract, page: PageSize): number {
  return evaluate(contract.bitmap.sizeBytes, pageConstants(page));
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Reads the memory map of 6.16 to 7.0: a list of chunks of (start, bitmap) pairs. Every chunk and bitmap is looked at
 * once; a list that comes back to itself ends there.
 */
export function readChunkList(
  reader: BoundedReader,
  page: PageSize,
  contract: ChunkListContract,
  abi: CompiledAbi,
  first: number,
  maxBlocks: number,
  findings: Findings,
): MapReading {
  const bitmapBytes = bitmapBytesOf(contract, page);
  const struct = abi.struct('khoser_mem_chunk');
  const capacity = struct.countOf('bitmaps');
  const builder = new PreservedSetBuilder(maxBlocks);
  const pages: MetadataPage[] = [];
  const chunks: { phys: string; order: number; entries: { physStart: string; bitmap: string }[] }[] = [];
  const seenChunks = new Set<number>();
  const bitmaps = new Map<number, string>();
  let lastOrder = -1;

  for (let phys = first, n = 0; phys !== 0; n++) {
    const where = `chunk ${n} at ${hexAddr(phys)}`;
    if (seenChunks.has(phys)) {
      findings.add('chunk-cycle', where, 'the list was there already');
      break;
    }
    seenChunks.add(phys);
    if (!reader.inRam(phys, page.sizeBytes)) {
      findings.add('chunk-outside-ram', where, 'is not RAM');
      break;
    }
    if (phys % page.sizeBytes !== 0) findings.add('chunk-alignment', where, 'is not at a page');
    const bytes = fetchMetadata(reader, findings, phys, page.sizeBytes, where, 'a chunk');
    if (bytes === undefined) break;
    pages.push({ phys, sizeBytes: page.sizeBytes, what: 'chunk of the memory map' });
    const chunk = new StructView(bytes, struct);
    const order = chunk.num('hdr.order');
    const count = chunk.num('hdr.num_elms');
    const document: Mutable<ChunkListDocument['chunks'][number]> & {
      entries: { physStart: string; bitmap: string }[];
    } = {
      phys: hexAddr(phys),
      order,
      entries: [],
    };
    chunks.push(document);
    if (count > capacity) findings.add('chunk-count', where, `${count} entries, of at most ${capacity}`);
    if (order + page.shift >= 31 || order > page.physBits - page.shift) {
      findings.add('chunk-order', where, `order ${order}: the readers compute its size as an int`);
    }
    if (order < lastOrder) findings.add('chunk-disorder', where, `order ${order} comes after order ${lastOrder}`);
    lastOrder = order;
    let lastStart = -1;
    for (let i = 0; i < Math.min(count, capacity); i++) {
      const start = chunk.num('bitmaps.phys_start', i);
      const bitmap = chunk.num('bitmaps.bitmap', i);
      document.entries.push({ physStart: hexAddr(start), bitmap: hexAddr(bitmap) });
      if (start <= lastStart)
        findings.add('chunk-disorder', where, `entry ${i} starts at ${hexAddr(start)}, not above the one before`);
      lastStart = start;
      readEntry(order, start, bitmap, `entry ${i} of ${where}`);
    }
    phys = chunk.num('hdr.next');
  }

  function readEntry(order: number, start: number, bitmap: number, where: string): void {
    const reach = bitmapBytes * 8 * page.sizeBytes * 2 ** order;
    if (!Number.isFinite(reach)) return;
    if (start % reach !== 0) {
      findings.add('chunk-phys-start', where, `${hexAddr(start)} is not a multiple of ${hexAddr(reach)}`);
    }
    if (bitmap === 0 || !reader.inRam(bitmap, bitmapBytes)) {
      findings.add('chunk-outside-ram', where, `its bitmap at ${hexAddr(bitmap)} is not RAM`);
      return;
    }
    if (bitmap % bitmapBytes !== 0) {
      findings.add('chunk-alignment', where, `its bitmap at ${hexAddr(bitmap)} is not aligned to ${bitmapBytes} bytes`);
    }
    const key = Math.floor(bitmap / bitmapBytes);
    const other = bitmaps.get(key);
    if (other !== undefined)
      findings.add('bitmap-shared', where, `its bitmap at ${hexAddr(bitmap)} is also that of ${other}`);
    bitmaps.set(key, where);
    const bytes = fetchMetadata(reader, findings, bitmap, bitmapBytes, where, 'its bitmap');
    if (bytes === undefined) return;
    pages.push({ phys: bitmap, sizeBytes: bitmapBytes, what: `bitmap of order ${order}` });
    addBits(bytes, order, start);
  }

  function addBits(bytes: Bytes, order: number, start: number): void {
    if (order > 63) return;
    const step = page.sizeBytes * 2 ** order;
    for (let w = 0; w < bitmapBytes / 4; w++) {
      let word = bytes.u32(w * 4);
      while (word !== 0) {
        const low = word & -word;
        builder.add(start + (w * 32 + 31 - Math.clz32(low)) * step, order);
        word ^= low;
      }
    }
  }

  if (builder.dropped > 0) {
    findings.add('read-budget', 'memory map', `${builder.dropped} preserved blocks more than inspect keeps`);
  }
  return {
    document: { kind: 'chunk-list', bitmapBytes, first: hexAddr(first), chunks },
    preserved: builder.finish(page.sizeBytes),
    pages,
  };
}
