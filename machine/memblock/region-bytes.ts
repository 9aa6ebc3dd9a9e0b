import type { PhysicalMemory } from '../physical-memory.ts';
import type { PhysAddr } from '../units.ts';
import { MEMBLOCK_REGION_BYTES, PHYS_ADDR_MAX } from './flags.ts';
import { NO_REGION, type RegionTable } from './region-table.ts';
import { zeroPhysicalRange } from './zero.ts';

const HALF = 2 ** 32;

/**
 * Writes a table to where the kernel's array of it lies, 24 bytes a region (base u64, size u64, flags u32, nid s32), and
 * zeroes behind the last.
 * @throws MachineFault outside RAM.
 */
export function writeRegionArray(memory: PhysicalMemory, table: RegionTable, numa: boolean): void {
  const bytes = new Uint8Array(table.count * MEMBLOCK_REGION_BYTES);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (let pos = table.first(); pos !== NO_REGION; pos = table.next(pos)) {
    const base = table.base(pos);
    const end = table.end(pos);
    // By halves, which setUint32 takes modulo 2^32: exact for every double, and 2^64 stands for one less.
    const lowSize = (end >>> 0) - (base >>> 0) - (end === PHYS_ADDR_MAX ? 1 : 0);
    const highSize = Math.floor(end / HALF) - Math.floor(base / HALF) - (lowSize < 0 ? 1 : 0);
    view.setUint32(at, base, true);
    view.setUint32(at + 4, base / HALF, true);
    view.setUint32(at + 8, lowSize, true);
    view.setUint32(at + 12, highSize, true);
    view.setUint32(at + 16, table.flags(pos), true);
    view.setInt32(at + 20, numa ? table.nid(pos) : 0, true);
    at += MEMBLOCK_REGION_BYTES;
  }
  memory.writeBytes(table.arrayPhys as PhysAddr, bytes);
  const used = table.arrayPhys + bytes.length;
  zeroPhysicalRange(memory, used, table.arrayPhys + table.max * MEMBLOCK_REGION_BYTES);
}
