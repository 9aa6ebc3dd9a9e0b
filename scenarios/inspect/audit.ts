import { type BoundedReader, hexAddr } from './bounded-reader.ts';
import type { Findings } from './findings.ts';
import type { MapReading } from './memory-map.ts';
import { describeOwner, type OwnershipMap } from './ownership.ts';
import type { PreservedSet } from './preserved-set.ts';
import { overlappingScratch, type ScratchArea } from './scratch-array.ts';

/** Checks that hold for the blocks of any memory map: in RAM, disjoint, not in scratch, not the map itself. */
export function auditMap(
  reader: BoundedReader,
  map: MapReading,
  scratch: readonly ScratchArea[],
  findings: Findings,
): void {
  const { preserved } = map;
  auditBlocks(reader, preserved, scratch, findings);
  const chunks = map.document.kind === 'chunk-list';
  for (const { phys, sizeBytes, what } of map.pages) {
    const area = overlappingScratch(scratch, phys, sizeBytes);
    if (area >= 0) {
      findings.add(
        chunks ? 'chunk-in-scratch' : 'radix-node-in-scratch',
        hexAddr(phys),
        `${what} lies in scratch[${area}]`,
      );
    }
    const block = preserved.covering(phys);
    if (block !== undefined) {
      findings.add(
        chunks ? 'chunk-preserved' : 'radix-node-preserved',
        hexAddr(phys),
        `${what} lies in the preserved block ${hexAddr(block.phys)} of order ${block.order}`,
      );
    }
  }
}

/** How many blocks reach outside RAM: tells a wrong page size or layout. */
export function countOutsideRam(reader: BoundedReader, preserved: PreservedSet): number {
  let outside = 0;
  preserved.inAddressOrder((phys, order) => {
    if (!reader.inRam(phys, preserved.sizeOf(order))) outside++;
  });
  return outside;
}

function auditBlocks(
  reader: BoundedReader,
  preserved: PreservedSet,
  scratch: readonly ScratchArea[],
  findings: Findings,
): void {
  const banks = reader.memory.banks;
  let bank = banks[0];
  let endSoFar = -1;
  let holder = 0;
  let holderOrder = 0;
  preserved.inAddressOrder((phys, order) => {
    const sizeBytes = preserved.sizeOf(order);
    if (bank === undefined || phys < bank.base || phys + sizeBytes > bank.base + bank.sizeBytes) {
      bank = banks.find((b) => phys >= b.base && phys + sizeBytes <= b.base + b.sizeBytes);
      if (bank === undefined && !reader.inRam(phys, sizeBytes)) {
        findings.add(
          'preserved-outside-ram',
          hexAddr(phys),
          `a block of order ${order} (${hexAddr(sizeBytes)} bytes) is not RAM`,
        );
      }
    }
    if (phys < endSoFar) {
      const other = `${hexAddr(holder)} of order ${holderOrder}`;
      findings.add('preserved-overlap', hexAddr(phys), `a block of order ${order} lies in the block at ${other}`);
    }
    if (phys + sizeBytes > endSoFar) {
      endSoFar = phys + sizeBytes;
      holder = phys;
      holderOrder = order;
    }
  });
  for (const [i, area] of scratch.entries()) {
    if (area.sizeBytes === 0) continue;
    preserved.overlapping(area.base, area.base + area.sizeBytes, ({ phys, order }) => {
      findings.add('preserved-in-scratch', hexAddr(phys), `a block of order ${order} lies in scratch[${i}]`);
      return findings.count('preserved-in-scratch') < 1000;
    });
  }
}

/** Blocks that nobody points at, and blocks that two do. */
export function auditOwnership(preserved: PreservedSet, owners: OwnershipMap, findings: Findings): void {
  let start = -1;
  let end = -1;
  let count = 0;
  const flush = () => {
    if (count === 0) return;
    const what = count === 1 ? 'a block' : `${count} blocks`;
    findings.add('preserved-unowned', hexAddr(start), `nothing points at ${what} of ${hexAddr(end - start)} bytes`);
  };
  owners.forEachUnowned((phys, order) => {
    if (phys !== end) {
      flush();
      start = phys;
      count = 0;
    }
    end = phys + preserved.sizeOf(order);
    count++;
  });
  flush();
  for (const { block, owners: claims } of owners.contested) {
    findings.add('preserved-twice-owned', hexAddr(block.phys), claims.map(describeOwner).join(' and '));
  }
}
