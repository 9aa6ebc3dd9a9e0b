import { alignDown, hex, type PhysAddr } from './units.ts';

/** One range of RAM as firmware reports it. */
export interface RamBank {
  readonly base: PhysAddr;
  readonly sizeBytes: number;
  /** NUMA node, 0 where firmware tells none. */
  readonly nid: number;
}

/** A range that firmware keeps for itself, or that holds what it loaded. */
export interface FirmwareReservation {
  readonly base: PhysAddr;
  readonly sizeBytes: number;
  /** What it is: `real-mode`, `boot-dt`, ... */
  readonly name: string;
}

/** What firmware tells the kernel about memory: banks by ascending address, and what is taken already. */
export interface MemoryMap {
  readonly banks: readonly RamBank[];
  readonly reservations: readonly FirmwareReservation[];
}

/**
 * Checks and sorts the banks of a memory map.
 * @throws RangeError when a bank is empty, not aligned to `alignBytes`, or overlaps another.
 */
export function makeMemoryMap(
  banks: readonly RamBank[],
  alignBytes: number,
  reservations: readonly FirmwareReservation[] = [],
): MemoryMap {
  const sorted = [...banks].sort((a, b) => a.base - b.base);
  let end = 0;
  for (const bank of sorted) {
    if (bank.sizeBytes <= 0) throw new RangeError(`the bank at ${hex(bank.base)} is empty`);
    if (alignDown(bank.base, alignBytes) !== bank.base || alignDown(bank.sizeBytes, alignBytes) !== bank.sizeBytes) {
      throw new RangeError(`the bank at ${hex(bank.base)} is not aligned to ${hex(alignBytes)}`);
    }
    if (bank.base < end) throw new RangeError(`the bank at ${hex(bank.base)} overlaps the one before it`);
    end = bank.base + bank.sizeBytes;
  }
  if (sorted.length === 0) throw new RangeError('a machine needs at least one bank of RAM');
  return { banks: sorted, reservations: [...reservations].sort((a, b) => a.base - b.base) };
}

/** All RAM of a map, in bytes. */
export function totalRamBytes(map: MemoryMap): number {
  return map.banks.reduce((sum, bank) => sum + bank.sizeBytes, 0);
}

/** The bank that holds an address, undefined for a hole. */
export function bankOf(map: MemoryMap, addr: number): RamBank | undefined {
  return map.banks.find((bank) => addr >= bank.base && addr < bank.base + bank.sizeBytes);
}
