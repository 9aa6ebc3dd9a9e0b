import type { PhysicalMemory } from '../physical-memory.ts';
import type { PhysAddr } from '../units.ts';
import { MEMBLOCK_REGION_BYTES } from './flags.ts';
import { NO_REGION, type RegionTable } from './region-table.ts';
import { exactSizeBetween, toU64 } from './u64.ts';
import { zeroPhysicalRange } from './zero.ts';

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
    if (end <= Number.MAX_SAFE_INTEGER) {
      view.setUint32(at, base >>> 0, true);
      view.setUint32(at + 4, base / 0x1_0000_0000, true);
      const size = end - base;
      view.setUint32(at + 8, size >>> 0, true);
      view.setUint32(at + 12, size / 0x1_0000_0000, true);
    } else {
      view.setBigUint64(at, toU64(base), true);
      view.setBigUint64(at + 8, exactSizeBetween(base, end), true);
    }
    view.setUint32(at + 16, table.flags(pos), true);
    view.setInt32(at + 20, numa ? table.nid(pos) : 0, true);
    at += MEMBLOCK_REGION_BYTES;
  }
  memory.writeBytes(table.arrayPhys as PhysAddr, bytes);
  const used = table.arrayPhys + bytes.length;
  zeroPhysicalRange(memory, used, table.arrayPhys + table.max * MEMBLOCK_REGION_BYTES);
}
