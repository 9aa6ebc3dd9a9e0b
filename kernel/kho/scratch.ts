import { DEFAULT_LOW_ADDRESS_LIMIT, MEMBLOCK_ALLOC_ACCESSIBLE } from '../../machine/memblock/flags.ts';
import type { Memblock } from '../../machine/memblock/memblock.ts';
import { fromU64, hexPa } from '../../machine/memblock/u64.ts';
import type { PhysicalMemory } from '../../machine/physical-memory.ts';
import { NUMA_NO_NODE, type PhysAddr } from '../../machine/units.ts';
import type { Errno } from '../errno.ts';
import type { KernelLog } from '../log.ts';
import type { ReleaseQuirks } from '../release.ts';
import { lowmemAndGlobalSize, nodeScratchSize, type ScratchSizing } from './scratch-size.ts';

/** One scratch area. Any may be of size 0; its address is then where a search for nothing ended. */
export interface ScratchArea {
  readonly base: PhysAddr;
  readonly sizeBytes: number;
}

/** Bytes of an entry of the scratch array: address and size, u64 each. */
export const SCRATCH_ENTRY_BYTES = 16;

/** The areas of a kernel, and where their array lies in RAM. */
export interface ReservedScratch {
  readonly arrayPhys: PhysAddr;
  readonly areas: readonly ScratchArea[];
}

export interface ScratchReservation extends ScratchSizing {
  readonly memory: PhysicalMemory;
  readonly log?: Pick<KernelLog, 'print'>;
  readonly quirks: Pick<ReleaseQuirks, 'scratchIgnoresHugetlb' | 'scratchRoundsGivenSizes'>;
  /** The nodes that get an area each, ascending: those online (up to 6.18) or those with memory. */
  readonly nodes: readonly number[];
  /**
   * Told where the array lies (0: there was no memory) and how many entries it has. The kernel keeps both when reserving
   * fails, though what it points to is free memory then.
   */
  readonly onArray?: (arrayPhys: PhysAddr, nrEntries: number) => void;
}

/**
 * Reserves scratch on a cold boot: the array first, then lowmem (below the low limit), global, and one area on each
 * node. If any cannot be had, all are freed again, a warning says so, and KHO is off.
 * @returns undefined when KHO is off from now on.
 * @throws MachineFault when memblock hands out what is not RAM.
 */
export function reserveScratch(request: ScratchReservation): ReservedScratch | undefined {
  const { memblock, memory, alignBytes, nodes } = request;
  const { lowmem, global } = lowmemAndGlobalSize(request);
  const arrayBytes = (nodes.length + 2) * SCRATCH_ENTRY_BYTES;
  const arrayPhys = memblock.alloc(arrayBytes, memblock.pageBytes) as PhysAddr;
  request.onArray?.(arrayPhys, nodes.length + 2);
  const areas: ScratchArea[] = [];
  const keep = (sizeBytes: number, start: number, end: number, nid: number, exactNid: boolean): boolean => {
    const base = memblock.allocRangeNid(sizeBytes, alignBytes, start, end, nid, exactNid) as PhysAddr;
    if (base === 0) return false;
    const entry = arrayPhys + areas.length * SCRATCH_ENTRY_BYTES;
    memory.writeU64(entry as PhysAddr, base);
    memory.writeU64((entry + 8) as PhysAddr, sizeBytes);
    areas.push({ base, sizeBytes });
    return true;
  };
  const fail = (what: string): undefined => {
    // 6.16 to 7.0 have the last of these lines only.
    if (request.quirks.scratchRoundsGivenSizes) request.log?.print('err', `KHO: Failed to reserve ${what}`);
    for (const area of areas.reverse()) memblock.free(area.base, area.sizeBytes);
    if (arrayPhys !== 0) memblock.free(arrayPhys, arrayBytes);
    request.log?.print('warn', 'KHO: Failed to reserve scratch area, disabling kexec handover');
    return undefined;
  };
  if (arrayPhys === 0) return fail('scratch array');
  const lowLimit = request.lowLimit ?? DEFAULT_LOW_ADDRESS_LIMIT;
  if (!keep(lowmem, 0, lowLimit, NUMA_NO_NODE, false)) return fail('lowmem scratch buffer');
  if (!keep(global, 0, MEMBLOCK_ALLOC_ACCESSIBLE, NUMA_NO_NODE, false)) return fail('global scratch buffer');
  for (const nid of nodes) {
    const sizeBytes = nodeScratchSize(request, nid);
    if (!keep(sizeBytes, 0, MEMBLOCK_ALLOC_ACCESSIBLE, nid, true)) return fail(`nid ${nid} scratch buffer`);
  }
  return { arrayPhys, areas };
}

/** kho_scratch_overlap: whether a range touches an area. */
export function overlapsScratch(areas: readonly ScratchArea[], base: number, sizeBytes: number): boolean {
  return areas.some((area) => base < area.base + area.sizeBytes && base + sizeBytes > area.base);
}

/**
 * Reads the scratch array as the next kernel does: whole entries of `lenBytes`, whatever they hold.
 * @throws MachineFault outside RAM.
 */
export function readScratchArray(memory: PhysicalMemory, arrayPhys: PhysAddr, lenBytes: number): ScratchArea[] {
  const areas: ScratchArea[] = [];
  for (let at = 0; at + SCRATCH_ENTRY_BYTES <= lenBytes; at += SCRATCH_ENTRY_BYTES) {
    const base = fromU64(memory.readU64Big((arrayPhys + at) as PhysAddr)) as PhysAddr;
    areas.push({ base, sizeBytes: fromU64(memory.readU64Big((arrayPhys + at + 8) as PhysAddr)) });
  }
  return areas;
}

/**
 * The memblock part of kho_populate: each area becomes memory (if it is not yet) and is marked as scratch, the array
 * is reserved, and from now on allocations come from scratch only.
 * @returns 0, or the errno (a warning was printed) with which populate gives up: the boot goes on cold, and what was
 *   marked stays marked.
 */
export function populateScratch(
  memblock: Memblock,
  areas: readonly ScratchArea[],
  arrayPhys: PhysAddr,
  lenBytes: number,
  log?: Pick<KernelLog, 'print'>,
): 0 | Errno {
  for (const { base, sizeBytes } of areas) {
    memblock.add(base, sizeBytes);
    const err = memblock.markKhoScratch(base, sizeBytes) as 0 | Errno;
    if (err !== 0) {
      const area = `0x${hexPa(base)}+0x${hexPa(sizeBytes)}`;
      log?.print('warn', `KHO: failed to mark the scratch region ${area}: ${err}`);
      return err;
    }
  }
  memblock.reserve(arrayPhys, lenBytes);
  memblock.khoScratchOnly = true;
  return 0;
}
