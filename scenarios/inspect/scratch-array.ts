import type { CompiledStruct } from '../../kernel/abi/struct.ts';
import type { PageSize } from '../../machine/page-size.ts';
import { type BoundedReader, hexAddr } from './bounded-reader.ts';
import { fetchMetadata } from './fetch.ts';
import type { Findings } from './findings.ts';
import { StructView } from './struct-view.ts';

/** One scratch area; `sizeBytes` may be 0. */
export interface ScratchArea {
  readonly base: number;
  readonly sizeBytes: number;
}

/** What the handoff says about a piece of memory. */
export interface HandoffRange {
  readonly phys: number;
  readonly sizeBytes: number;
}

/** As many early mapping slots as the architecture with fewer has: 64 pages of 4K. */
const EARLY_MAPPING_BYTES = 256 * 1024;

/** Low memory, global, and one for each node with memory. */
const FEWEST_AREAS = 3;

/** log2 of the usual pageblock for 4K, 16K and 64K pages with transparent huge pages: that of a PMD. */
const PAGEBLOCK_SHIFT: Readonly<Record<number, number>> = { 12: 21, 14: 25, 16: 29 };

/** Reads the scratch array and checks it against RAM and itself. Entries of size 0 are normal. */
export function readScratch(
  reader: BoundedReader,
  page: PageSize,
  struct: CompiledStruct,
  handoff: HandoffRange | undefined,
  findings: Findings,
): ScratchArea[] {
  const where = 'scratch array';
  if (handoff === undefined) {
    findings.add('scratch-array-unreadable', where, 'the handoff does not tell where it is');
    return [];
  }
  const count = Math.floor(handoff.sizeBytes / struct.sizeBytes);
  if (count === 0 || !reader.inRam(handoff.phys, handoff.sizeBytes)) {
    findings.add('scratch-array-unreadable', where, `${hexAddr(handoff.phys)}, ${handoff.sizeBytes} bytes`);
    return [];
  }
  if (handoff.sizeBytes > EARLY_MAPPING_BYTES) {
    findings.add('scratch-array-unreadable', where, `${handoff.sizeBytes} bytes are more than can be mapped early`);
    return [];
  }
  if (handoff.sizeBytes % struct.sizeBytes !== 0 || count < FEWEST_AREAS) {
    findings.add(
      'scratch-array-length',
      where,
      `${handoff.sizeBytes} bytes: ${count} whole entries, of at least ${FEWEST_AREAS}`,
    );
  }
  const bytes = fetchMetadata(reader, findings, handoff.phys, count * struct.sizeBytes, where, 'it');
  if (bytes === undefined) return [];
  const areas: ScratchArea[] = [];
  for (let i = 0; i < count; i++) {
    const entry = new StructView(bytes, struct, i * struct.sizeBytes);
    areas.push({ base: entry.num('addr'), sizeBytes: entry.num('size') });
  }
  checkAreas(reader, page, areas, handoff, findings);
  return areas;
}

function checkAreas(
  reader: BoundedReader,
  page: PageSize,
  areas: readonly ScratchArea[],
  handoff: HandoffRange,
  findings: Findings,
): void {
  const used = areas.filter((area) => area.sizeBytes > 0);
  if (used.length === 0) findings.add('scratch-none', 'scratch array', 'no entry has a size');
  const pageblock = 2 ** (PAGEBLOCK_SHIFT[page.shift] ?? page.shift);
  for (const [i, { base, sizeBytes }] of areas.entries()) {
    if (sizeBytes === 0) continue;
    const where = `scratch[${i}]`;
    if (!reader.inRam(base, sizeBytes)) {
      findings.add('scratch-outside-ram', where, `${hexAddr(base)}, ${hexAddr(sizeBytes)} bytes, is not RAM`);
      continue;
    }
    if (base % page.sizeBytes !== 0 || sizeBytes % page.sizeBytes !== 0) {
      findings.add('scratch-alignment', where, `${hexAddr(base)}, ${hexAddr(sizeBytes)} bytes`);
    } else if (base % pageblock !== 0 || sizeBytes % pageblock !== 0) {
      findings.add(
        'scratch-pageblock',
        where,
        `${hexAddr(base)}, ${hexAddr(sizeBytes)} bytes; pageblocks are ${hexAddr(pageblock)}`,
      );
    }
  }
  const sorted = [...used].sort((a, b) => a.base - b.base);
  for (const [i, area] of sorted.entries()) {
    const next = sorted[i + 1];
    if (next !== undefined && area.base + area.sizeBytes > next.base) {
      findings.add('scratch-overlap', hexAddr(next.base), `overlaps the area at ${hexAddr(area.base)}`);
    }
  }
  if (used.length > 0 && !used.some((area) => inArea(area, handoff.phys, handoff.sizeBytes))) {
    findings.add('scratch-array-place', hexAddr(handoff.phys), 'the array lies in none of its areas');
  }
}

function inArea(area: ScratchArea, phys: number, sizeBytes: number): boolean {
  return phys >= area.base && phys + sizeBytes <= area.base + area.sizeBytes;
}

/** The scratch area that overlaps a range, by index; -1 for none. */
export function overlappingScratch(areas: readonly ScratchArea[], phys: number, sizeBytes: number): number {
  return areas.findIndex((area) => phys < area.base + area.sizeBytes && area.base < phys + sizeBytes);
}
