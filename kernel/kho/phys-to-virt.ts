import { type Arch, MachineFault, type PhysAddr } from '../../machine/index.ts';

/** 2^52: what arm64 keeps of an address, see `physToVirt`. */
const ARM64_LINEAR_BYTES = 2 ** 52;

/**
 * phys_to_virt of an address that a predecessor wrote, as far as RAM is concerned: where a kernel reads when it
 * dereferences the pointer. Taking a page back by its address is another thing: its frame number has all bits.
 *
 * On arm64 this is ((x - PHYS_OFFSET) | PAGE_OFFSET), and PAGE_OFFSET has bits 63:52 set at every VA size: those bits of
 * an address are lost. Kernels of 48-bit addresses lose 51:48 too; khosim does not follow them there. On x86_64 all bits
 * count.
 *
 * @param phys not 0. As a number it is exact above 2^53 for multiples of 2048, which addresses of pages are.
 * @throws MachineFault for an address that no RAM can have.
 */
export function physToVirt(arch: Arch, phys: number | bigint): PhysAddr {
  const kept = arch === 'arm64' && phys >= ARM64_LINEAR_BYTES ? keptOnArm64(phys) : phys;
  if (kept > Number.MAX_SAFE_INTEGER) throw new MachineFault('read', BigInt(kept));
  return Number(kept) as PhysAddr;
}

/** Without bits 63:52; no RAM is at 0 there. */
function keptOnArm64(phys: number | bigint): number {
  const kept = typeof phys === 'bigint' ? Number(BigInt.asUintN(52, phys)) : phys % ARM64_LINEAR_BYTES;
  if (kept === 0) throw new MachineFault('read', 0);
  return kept;
}
