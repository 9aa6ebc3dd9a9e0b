import { DEFAULT_LOW_ADDRESS_LIMIT, MEMBLOCK_ALLOC_ACCESSIBLE } from '../../machine/memblock/flags.ts';
import type { Memblock } from '../../machine/memblock/memblock.ts';
import { fromU64, hexPa, toU64 } from '../../machine/memblock/u64.ts';
import type { PhysicalMemory } from '../../machine/physical-memory.ts';
import { NUMA_NO_NODE, type PhysAddr } from '../../machine/units.ts';
import type { CompiledStruct } from '../abi/struct.ts';
import type { Errno } from '../errno.ts';
import type { KernelLog } from '../log.ts';
import type { ReleaseQuirks } from '../release-quirks.ts';
import { lowmemAndGlobalSize, nodeScratchSize, type ScratchSizing } from './scratch-size.ts';

/** One scratch area. Any may be of size 0; its address is then where a search for nothing ended. */
export interface ScratchArea {
  readonly base: PhysAddr;
  readonly sizeBytes: number;
}

/** The areas of a kernel, and where their array lies in RAM. */
export interface ReservedScratch {
  readonly arrayPhys: PhysAddr;
  readonly areas: readonly ScratchArea[];
}

/** What reserving scratch came to. */
export interface ScratchReservation extends ScratchSizing {
  readonly memory: PhysicalMemory;
  /** struct kho_scratch of the release. */
  readonly entry: CompiledStruct;
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
  const { memblock, memory, entry, alignBytes, nodes } = request;
  const { lowmem, global } = lowmemAndGlobalSize(request);
  const arrayBytes = (nodes.length + 2) * entry.sizeBytes;
  const arrayPhys = memblock.alloc(arrayBytes, memblock.pageBytes) as PhysAddr;
  request.onArray?.(arrayPhys, nodes.length + 2);
  const areas: ScratchArea[] = [];
  const keep = (sizeBytes: number, start: number, end: number, nid: number, exactNid: boolean): boolean => {
    const base = memblock.allocRangeNid(sizeBytes, alignBytes, start, end, nid, exactNid) as PhysAddr;
    if (base === 0) return false;
    writeScratchEntry(memory, entry, arrayPhys, areas.length, { base, sizeBytes });
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

/** Writes an area into the array at `arrayPhys`. @throws MachineFault outside RAM. */
export function writeScratchEntry(
  memory: PhysicalMemory,
  entry: CompiledStruct,
  arrayPhys: PhysAddr,
  index: number,
  area: ScratchArea,
): void {
  const at = (arrayPhys + index * entry.sizeBytes) as PhysAddr;
  entry.set(memory, at, 'addr', toU64(area.base));
  entry.set(memory, at, 'size', toU64(area.sizeBytes));
}

/** kho_scratch_overlap: whether a range touches an area. */
export function overlapsScratch(areas: readonly ScratchArea[], base: number, sizeBytes: number): boolean {
  return areas.some((area) => base < area.base + area.sizeBytes && base + sizeBytes > area.base);
}

/**
 * Reads the scratch array as the next kernel does: whole entries of `lenBytes`, whatever they hold.
 * @param entry struct kho_scratch of the kernel that reads.
 * @throws MachineFault outside RAM.
 */
export function readScratchArray(
  memory: PhysicalMemory,
  entry: CompiledStruct,
  arrayPhys: PhysAddr,
  lenBytes: number,
): ScratchArea[] {
  const areas: ScratchArea[] = [];
  for (let end = entry.sizeBytes; end <= lenBytes; end += entry.sizeBytes) {
    const at = (arrayPhys + end - entry.sizeBytes) as PhysAddr;
    const base = fromU64(entry.getBig(memory, at, 'addr')) as PhysAddr;
    areas.push({ base, sizeBytes: fromU64(entry.getBig(memory, at, 'size')) });
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
