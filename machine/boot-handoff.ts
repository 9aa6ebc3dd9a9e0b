import type { BootHandoff } from './machine.ts';
import type { PhysicalMemory } from './physical-memory.ts';
import { hex, type PhysAddr } from './units.ts';

/*
 * How an x86 loader passes the handoff: a node in the setup_data list, whose head is in boot_params.
 *
 *      0          8      12     16                                                48
 *     +----------+------+------+-----------+-----------+-------------+-----------+
 *     |   next   | type | len  | fdt_addr  | fdt_size  | scratch_addr| scr._size |
 *     +----------+------+------+-----------+-----------+-------------+-----------+
 *                   10     32   (len counts what follows it; all little-endian)
 */

/** SETUP_KEXEC_KHO. */
export const SETUP_DATA_TYPE_KHO = 10;
/** `len` of a KHO node: its four numbers. */
export const SETUP_DATA_KHO_LENGTH_BYTES = 32;
/** next, type and len. */
export const SETUP_DATA_HEADER_SIZE_BYTES = 16;
export const SETUP_DATA_KHO_NODE_SIZE_BYTES = SETUP_DATA_HEADER_SIZE_BYTES + SETUP_DATA_KHO_LENGTH_BYTES;

/** A node of the list, of whatever type. */
export interface SetupDataNode {
  readonly phys: PhysAddr;
  readonly type: number;
  readonly lengthBytes: number;
}

/** What walking the list came to. */
export interface SetupDataList {
  readonly nodes: readonly SetupDataNode[];
  /** What each KHO node says, in list order. A loader writes one; a kernel would take each in turn. */
  readonly handoffs: readonly BootHandoff[];
  /**
   * How the list ended: with a next of 0; at a pointer outside RAM, where a kernel would fault; or never, where it would
   * go round for ever.
   */
  readonly end: 'complete' | 'wild' | 'cycle';
  /** The pointer at which it ended, unless it is complete: `0x`-hex, exact. */
  readonly endPointer?: string;
}

/**
 * Writes a KHO node at `phys` in front of a list. @returns the new head of the list.
 * @param next the head so far, 0 for an empty list.
 */
export function writeKhoSetupData(
  memory: PhysicalMemory,
  phys: PhysAddr,
  next: PhysAddr,
  handoff: BootHandoff,
): PhysAddr {
  memory.writeU64(phys, next);
  memory.writeU32((phys + 8) as PhysAddr, SETUP_DATA_TYPE_KHO);
  memory.writeU32((phys + 12) as PhysAddr, SETUP_DATA_KHO_LENGTH_BYTES);
  memory.writeU64((phys + 16) as PhysAddr, handoff.fdt.phys);
  memory.writeU64((phys + 24) as PhysAddr, handoff.fdt.sizeBytes);
  memory.writeU64((phys + 32) as PhysAddr, handoff.scratch.phys);
  memory.writeU64((phys + 40) as PhysAddr, handoff.scratch.sizeBytes);
  return phys;
}

/** Walks a setup_data list from its head (0: empty). Never throws, and visits no node twice. */
export function readSetupData(memory: PhysicalMemory, head: PhysAddr): SetupDataList {
  const nodes: SetupDataNode[] = [];
  const handoffs: BootHandoff[] = [];
  const seen = new Set<number>();
  let phys = head;
  let pointer = hex(head);
  while (phys !== 0) {
    if (seen.has(phys)) return { nodes, handoffs, end: 'cycle', endPointer: pointer };
    seen.add(phys);
    if (!memory.contains(phys, SETUP_DATA_HEADER_SIZE_BYTES))
      return { nodes, handoffs, end: 'wild', endPointer: pointer };
    const type = memory.readU32((phys + 8) as PhysAddr);
    nodes.push({ phys, type, lengthBytes: memory.readU32((phys + 12) as PhysAddr) });
    if (type === SETUP_DATA_TYPE_KHO) {
      if (!memory.contains(phys, SETUP_DATA_KHO_NODE_SIZE_BYTES)) {
        return { nodes, handoffs, end: 'wild', endPointer: pointer };
      }
      const u64 = (offset: number) => memory.readU64((phys + offset) as PhysAddr);
      handoffs.push({
        fdt: { phys: u64(16) as PhysAddr, sizeBytes: u64(24) },
        scratch: { phys: u64(32) as PhysAddr, sizeBytes: u64(40) },
      });
    }
    pointer = memory.readU64Hex(phys);
    phys = memory.readU64(phys) as PhysAddr;
  }
  return { nodes, handoffs, end: 'complete' };
}
