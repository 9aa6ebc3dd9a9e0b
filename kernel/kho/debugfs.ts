import { MachineFault, type PhysAddr, type PhysicalMemory } from '../../machine/index.ts';
import type { Release } from '../release.ts';
import type { SubtreeEntry } from './root-fdt.ts';

/**
 * What an administrator reads from debugfs `kho/out/sub_fdts/NAME`: the blob, with the size that it was added with. Up to 7.0
 * the size is what an FDT would say of itself in its second word, big-endian, whatever the blob is.
 * @returns the file's bytes; no more than the first `limitBytes` of them are copied out.
 * @throws MachineFault when the file ends outside RAM: reading it to its end does.
 */
export function readSubtreeFile(
  { memory, release }: { readonly memory: PhysicalMemory; readonly release: Release },
  entry: SubtreeEntry,
  limitBytes: number,
): { readonly sizeBytes: number; readonly bytes: Uint8Array } {
  const sizeBytes = release.quirks.debugfsTrustsTotalsize ? totalsize(memory, entry.phys) : entry.sizeBytes;
  const bank = memory.banks.find(({ base, sizeBytes: size }) => entry.phys >= base && entry.phys < base + size);
  const end = bank === undefined ? entry.phys : bank.base + bank.sizeBytes;
  if (entry.phys + sizeBytes > end) throw new MachineFault('read', BigInt(end));
  return { sizeBytes, bytes: memory.readBytes(entry.phys, Math.min(sizeBytes, limitBytes)) };
}

function totalsize(memory: PhysicalMemory, phys: PhysAddr): number {
  return memory.readBytes((phys + 4) as PhysAddr, 4).reduce((value, byte) => value * 256 + byte, 0);
}
