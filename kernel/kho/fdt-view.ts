import { alignDown, MachineFault, type PhysAddr, type PhysicalMemory } from '../../machine/index.ts';
import { fdtAt } from '../fdt/read.ts';

/** No blob of KHO's is larger; a totalsize beyond it is foreign nonsense, of which only this much is looked at. */
const MAX_BLOB_BYTES = 2 ** 21;

const HEADER_BYTES = 40;

/**
 * An FDT as kernel code sees it through a pointer: whatever lies at `phys`, as long as its own totalsize says. Bytes
 * behind the end of its RAM bank are not there.
 * @param mappedBytes how much is mapped, where it is less than all of RAM (early_memremap).
 * @throws MachineFault when not even the header lies in RAM.
 */
export function fdtViewAt(memory: PhysicalMemory, phys: number, mappedBytes = MAX_BLOB_BYTES): Uint8Array {
  const bank = memory.banks.find((each) => phys >= each.base && phys < each.base + each.sizeBytes);
  if (bank === undefined || !Number.isSafeInteger(phys)) throw new MachineFault('read', phys);
  const room = Math.min(bank.base + bank.sizeBytes - phys, mappedBytes, MAX_BLOB_BYTES);
  if (room < HEADER_BYTES) throw new MachineFault('read', phys + room);
  const header = memory.readBytes(phys as PhysAddr, 8);
  const totalsize = new DataView(header.buffer).getUint32(4);
  const sizeBytes = Math.min(room, Math.max(HEADER_BYTES, totalsize));
  return fdtAt(phys, memory.readBytes(phys as PhysAddr, sizeBytes));
}

/** What early_memremap can map: its slots, by architecture (x86: 64 pages; arm64: 256 KiB). */
export function earlyMemremapFits(
  arch: 'arm64' | 'x86_64',
  pageBytes: number,
  phys: number,
  sizeBytes: number,
): boolean {
  if (sizeBytes <= 0 || phys + sizeBytes - 1 >= 2 ** 64) return false;
  const nrPages = Math.ceil((phys - alignDown(phys, pageBytes) + sizeBytes) / pageBytes);
  return nrPages <= (arch === 'x86_64' ? 64 : 0x40000 / pageBytes);
}
