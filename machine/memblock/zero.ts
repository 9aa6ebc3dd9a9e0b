import { MachineFault } from '../fault.ts';
import { ZERO_FILL } from '../fill.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import { alignDown, alignUp, type Pfn, type PhysAddr } from '../units.ts';

/**
 * Zeroes [start, end) of RAM: memset. Whole pages become a fill and cost nothing.
 * @throws MachineFault at the first byte outside RAM, with what lies before it zeroed.
 */
export function zeroPhysicalRange(memory: PhysicalMemory, start: number, end: number): void {
  const pageBytes = memory.page.sizeBytes;
  let at = start;
  while (at < end) {
    const bank = memory.banks.find((b) => at >= b.base && at < b.base + b.sizeBytes);
    if (bank === undefined) throw new MachineFault('write', at);
    const stop = Math.min(end, bank.base + bank.sizeBytes);
    const firstPage = Math.min(alignUp(at, pageBytes), stop);
    memory.writeBytes(at as PhysAddr, new Uint8Array(firstPage - at));
    const lastPage = Math.max(alignDown(stop, pageBytes), firstPage);
    memory.fillPages((firstPage / pageBytes) as Pfn, (lastPage - firstPage) / pageBytes, ZERO_FILL);
    memory.writeBytes(lastPage as PhysAddr, new Uint8Array(stop - lastPage));
    at = stop;
  }
}
