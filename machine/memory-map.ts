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
  /** Nodes with processors and no RAM, ascending: online, as those of the banks are. */
  readonly memorylessNodes: readonly number[];
}

/**
 * Checks and sorts the banks of a memory map.
 * @param memorylessNodes nodes without RAM.
 * @throws RangeError when a bank is empty, not aligned to `alignBytes`, or overlaps another, or when a node without RAM
 *   has a bank.
 */
export function makeMemoryMap(
  banks: readonly RamBank[],
  alignBytes: number,
  reservations: readonly FirmwareReservation[] = [],
  memorylessNodes: readonly number[] = [],
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
  for (const nid of memorylessNodes) {
    const bank = sorted.find((each) => each.nid === nid);
    if (bank !== undefined) throw new RangeError(`node ${nid} has memory: the bank at ${hex(bank.base)}`);
  }
  return {
    banks: sorted,
    reservations: [...reservations].sort((a, b) => a.base - b.base),
    memorylessNodes: ascending(memorylessNodes),
  };
}

function ascending(nids: readonly number[]): number[] {
  return [...new Set(nids)].sort((a, b) => a - b);
}

/** The nodes that have RAM (N_MEMORY), ascending. */
export function nodesWithMemory(map: MemoryMap): number[] {
  return ascending(map.banks.map((bank) => bank.nid));
}

/** All nodes of the machine, those without RAM too (N_ONLINE), ascending. */
export function onlineNodes(map: MemoryMap): number[] {
  return ascending([...map.banks.map((bank) => bank.nid), ...map.memorylessNodes]);
}
