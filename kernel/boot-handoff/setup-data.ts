import type { BootHandoff } from '../../machine/machine.ts';
import type { PhysicalMemory } from '../../machine/physical-memory.ts';
import { hex, type PhysAddr } from '../../machine/units.ts';
import type { CompiledAbi } from '../abi/contract.ts';

/*
 * How an x86 loader passes the handoff: a node in the setup_data list, whose head is in boot_params. The header is the
 * boot protocol's (Documentation/arch/x86/boot.rst), the payload is kho_data of the contract.
 *
 *      0          8      12     16                                                48
 *     +----------+------+------+-----------+-----------+-------------+-----------+
 *     |   next   | type | len  | fdt_addr  | fdt_size  | scratch_addr| scr._size |
 *     +----------+------+------+-----------+-----------+-------------+-----------+
 *                   10     32   (len counts what follows it; all little-endian)
 */

const TYPE_OFFSET = 8;
const LENGTH_OFFSET = 12;
/** next, type and len. */
export const SETUP_DATA_HEADER_SIZE_BYTES = 16;

/** A node of the list, of whatever type. */
export interface SetupDataNode {
  readonly phys: PhysAddr;
  readonly type: number;
  /** As it says itself; a u32. */
  readonly lengthBytes: number;
  /** What a KHO node says, whatever its length; undefined where its numbers are not in RAM, and for other types. */
  readonly handoff?: BootHandoff;
}

/** What walking the list came to. */
export interface SetupDataList {
  readonly nodes: readonly SetupDataNode[];
  /**
   * How the list ended: with a next of 0; at a pointer outside RAM, where a kernel would fault; or never, where it would
   * go round for ever.
   */
  readonly end: 'complete' | 'wild' | 'cycle';
  /** The pointer at which it ended, unless it is complete: `0x`-hex, exact. */
  readonly endPointer?: string;
}

/** Whether a node carries a handoff, as its type says. */
export function isKhoNode(abi: CompiledAbi, node: SetupDataNode): boolean {
  return node.type === abi.constant('scratch', 'SETUP_KEXEC_KHO');
}

/**
 * Writes a KHO node at `phys` in front of a list. @returns the new head of the list.
 * @param next the head so far, 0 for an empty list.
 */
export function writeKhoSetupData(
  memory: PhysicalMemory,
  abi: CompiledAbi,
  phys: PhysAddr,
  next: PhysAddr,
  { fdt, scratch }: BootHandoff,
): PhysAddr {
  const struct = abi.struct('kho_data');
  const data = (phys + SETUP_DATA_HEADER_SIZE_BYTES) as PhysAddr;
  memory.writeU64(phys, next);
  memory.writeU32((phys + TYPE_OFFSET) as PhysAddr, abi.constant('scratch', 'SETUP_KEXEC_KHO'));
  memory.writeU32((phys + LENGTH_OFFSET) as PhysAddr, struct.sizeBytes);
  struct.set(memory, data, 'fdt_addr', fdt.phys);
  struct.set(memory, data, 'fdt_size', fdt.sizeBytes);
  struct.set(memory, data, 'scratch_addr', scratch.phys);
  struct.set(memory, data, 'scratch_size', scratch.sizeBytes);
  return phys;
}

/** Walks a setup_data list from its head (0: empty). Never throws, and visits no node twice. */
export function readSetupData(memory: PhysicalMemory, abi: CompiledAbi, head: PhysAddr): SetupDataList {
  const nodes: SetupDataNode[] = [];
  const seen = new Set<number>();
  let phys = head;
  let pointer = hex(head);
  while (phys !== 0) {
    if (seen.has(phys)) return { nodes, end: 'cycle', endPointer: pointer };
    seen.add(phys);
    if (!memory.contains(phys, SETUP_DATA_HEADER_SIZE_BYTES)) return { nodes, end: 'wild', endPointer: pointer };
    const node: SetupDataNode = {
      phys,
      type: memory.readU32((phys + TYPE_OFFSET) as PhysAddr),
      lengthBytes: memory.readU32((phys + LENGTH_OFFSET) as PhysAddr),
    };
    const handoff = isKhoNode(abi, node) ? readHandoff(memory, abi, phys) : undefined;
    nodes.push(handoff === undefined ? node : { ...node, handoff });
    pointer = memory.readU64Hex(phys);
    phys = memory.readU64(phys) as PhysAddr;
  }
  return { nodes, end: 'complete' };
}

function readHandoff(memory: PhysicalMemory, abi: CompiledAbi, node: PhysAddr): BootHandoff | undefined {
  const struct = abi.struct('kho_data');
  const data = (node + SETUP_DATA_HEADER_SIZE_BYTES) as PhysAddr;
  if (!memory.contains(data, struct.sizeBytes)) return undefined;
  const field = (name: string) => struct.get(memory, data, name);
  return {
    fdt: { phys: field('fdt_addr') as PhysAddr, sizeBytes: field('fdt_size') },
    scratch: { phys: field('scratch_addr') as PhysAddr, sizeBytes: field('scratch_size') },
  };
}
