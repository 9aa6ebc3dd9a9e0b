import { ImageRam } from '../../machine/image/image-ram.ts';
import type { MemoryImage } from '../../machine/image/memory-image.ts';
import type { Arch, BootHandoff } from '../../machine/machine.ts';
import type { PhysicalMemory } from '../../machine/physical-memory.ts';
import type { PhysAddr } from '../../machine/units.ts';
import type { ForeignMemory } from './bounded-reader.ts';
import type { HandoverImage } from './entry.ts';
import { viewFdt } from './fdt-view.ts';
import { Findings } from './findings.ts';
import type { ScratchArea } from './scratch-array.ts';

/** The RAM of an image as a bounded reader wants it. */
function foreignMemory(ram: ImageRam): ForeignMemory {
  return {
    banks: ram.image.banks,
    inRam: (addr, sizeBytes) => ram.inRam(addr, sizeBytes),
    readBytes: (addr, sizeBytes) => ram.readBounded(addr, sizeBytes)?.bytes ?? new Uint8Array(sizeBytes),
    carries: (addr) => ram.carries(addr, 1),
  };
}

/**
 * What `inspectImage` takes, of an image in any format.
 * @param ram the image's RAM, with patches applied or not.
 */
export function handoverImage(image: MemoryImage, ram: ImageRam = new ImageRam(image)): HandoverImage {
  return {
    memory: foreignMemory(ram),
    format: image.format,
    arch: image.arch,
    pageSizeBytes: image.page?.sizeBytes,
    fdt: image.handoff?.fdt,
    scratch: image.handoff?.scratch,
    handoffFrom: image.handoff === undefined ? undefined : 'image',
  };
}

/** What `inspectImage` takes, of the RAM of a simulated machine. */
export function handoverInMemory(memory: PhysicalMemory, arch: Arch, handoff: BootHandoff): HandoverImage {
  const banks = [...memory.banks].sort((a, b) => a.base - b.base);
  return {
    memory: {
      banks,
      inRam: (addr, sizeBytes) => {
        let at = addr;
        for (const bank of banks) {
          if (bank.base <= at && at < bank.base + bank.sizeBytes) at = bank.base + bank.sizeBytes;
        }
        return at >= addr + sizeBytes;
      },
      readBytes: (addr, sizeBytes) => memory.readBytes(addr as PhysAddr, sizeBytes),
      carries: () => true,
    },
    format: 'memory',
    arch,
    pageSizeBytes: memory.page.sizeBytes,
    fdt: handoff.fdt,
    scratch: handoff.scratch,
    handoffFrom: 'image',
  };
}

/** The blobs that /sys/kernel/debug/kho shows. */
export interface HandoverBlobs {
  readonly fdt: Uint8Array;
  readonly subtrees: ReadonlyMap<string, Uint8Array>;
  readonly scratch: readonly { readonly phys: number; readonly sizeBytes: number }[] | undefined;
}

/** Where the root FDT is put: debugfs does not tell its address, and no RAM lies so high. */
const NOWHERE = 2 ** 51;

/**
 * Handover blobs as an image without RAM: each subtree lies where the root FDT says, and everything else is absent. The
 * memory map and what clients chain up cannot be looked at.
 * @param pageSizeBytes undefined: deduced, which blobs allow only as far as their layout.
 */
export function debugfsImage(blobs: HandoverBlobs, pageSizeBytes: number | undefined): HandoverImage {
  const pieces = [{ phys: NOWHERE, bytes: blobs.fdt }];
  for (const node of viewFdt(blobs.fdt, '', new Findings())?.root?.children ?? []) {
    const bytes = blobs.subtrees.get(node.name);
    // Every release has exactly one 8-byte property that is an address; sizes are smaller than any page's address.
    const values = node.properties.filter((property) => property.value.length === 8).map(({ value }) => value.u64(0));
    const phys = Math.max(0, ...values);
    if (bytes !== undefined && phys > 0) pieces.push({ phys, bytes });
  }
  const pieceAt = (addr: number) => pieces.find(({ phys, bytes }) => addr >= phys && addr < phys + bytes.length);
  const memory: ForeignMemory = {
    banks: [],
    inRam: (addr, sizeBytes) => addr + sizeBytes <= 2 ** 52,
    readBytes: (addr, sizeBytes) => {
      const out = new Uint8Array(sizeBytes);
      const piece = pieceAt(addr);
      if (piece !== undefined) out.set(piece.bytes.subarray(addr - piece.phys, addr - piece.phys + sizeBytes));
      return out;
    },
    carries: (addr) => pieceAt(addr) !== undefined,
  };
  const scratch: ScratchArea[] = (blobs.scratch ?? []).map(({ phys, sizeBytes }) => ({ base: phys, sizeBytes }));
  return {
    memory,
    format: 'debugfs',
    pageSizeBytes,
    fdt: { phys: NOWHERE },
    debugfs: { scratch },
  };
}
