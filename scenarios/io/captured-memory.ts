import { deducePageSize, searchHandoff } from '../../kernel/boot-handoff/search.ts';
import { ImageRam } from '../../machine/image/image-ram.ts';
import { loadImage } from '../../machine/image/load.ts';
import type { MemoryImage } from '../../machine/image/memory-image.ts';
import type { BootHandoff } from '../../machine/machine.ts';
import { PAGE_4K, type PageSize } from '../../machine/page-size.ts';
import type { PhysicalMemory } from '../../machine/physical-memory.ts';
import { hex, type PhysAddr } from '../../machine/units.ts';
import { InputError } from '../input-error.ts';
import { debugfsImage, handoverImage } from '../inspect/image-source.ts';
import type { HandoverImage } from '../inspect/inspect.ts';
import type { ImageOptions } from './image-options.ts';
import { openImage } from './open-image.ts';

/** A handover in captured memory: opened, patched, and with everything known that can be known about it. */
export interface CapturedMemory {
  readonly image: MemoryImage;
  /** Its RAM, patches included, as one reads foreign memory. */
  readonly ram: ImageRam;
  /** undefined where neither image nor options tell, and a search found nothing. */
  readonly fdt: BootHandoff['fdt'] | undefined;
  readonly scratch: BootHandoff['scratch'] | undefined;
  readonly handoffFrom: 'image' | 'options' | 'search' | undefined;
  /** From the options or the image. */
  readonly page: PageSize | undefined;
  /** What was guessed, found or left out, in sentences for a user. */
  readonly notes: readonly string[];
  /** The page size that a kernel is booted with: what is known, or else deduced. */
  readonly bootPage: PageSize;
  /** What `inspectImage` takes. */
  readonly handover: HandoverImage;
  /** The handoff as firmware would pass it: undefined unless both parts of it are known. */
  readonly handoff: BootHandoff | undefined;
  /** RAM to boot on, patches included. Each call gives RAM of its own. */
  load(): PhysicalMemory;
  close(): void;
}

/**
 * Opens captured memory for `inspect`, `boot` and `explain`. The handoff is taken from the options, then from the image,
 * then searched for.
 * @throws InputError for an image that cannot be used, and for a debugfs directory, which has no RAM.
 */
export function openCapturedMemory(path: string, options: ImageOptions = {}): CapturedMemory {
  const opened = openImage(path, { ramBase: options.ramBase });
  if (opened.kind === 'debugfs') {
    throw new InputError({
      message: 'has blobs, but no RAM around them',
      file: path,
      hint: 'take an image of the whole memory: dump-guest-memory, virsh dump --memory-only, /proc/vmcore',
    });
  }
  return closingOnError(opened, () => captured(path, opened.image, options, opened.close));
}

/** What `inspect` looks at: captured memory, or the blobs of a debugfs directory. */
export interface Inspectable {
  readonly handover: HandoverImage;
  readonly notes: readonly string[];
  close(): void;
}

/** Opens whatever `inspect` takes. @throws InputError for what cannot be used, and for options that blobs cannot have. */
export function openInspectable(path: string, options: ImageOptions = {}): Inspectable {
  const opened = openImage(path, { ramBase: options.ramBase });
  if (opened.kind === 'memory') {
    return closingOnError(opened, () => captured(path, opened.image, options, opened.close));
  }
  if (options.fdt !== undefined || options.scratch !== undefined || (options.patches ?? []).length > 0) {
    throw new InputError({
      message: 'has blobs, but no RAM: --fdt, --scratch and --patch have nothing to point into',
      file: path,
    });
  }
  const notes = [`blobs of ${opened.handover.directory}: the memory map and what clients point to cannot be seen`];
  return { handover: debugfsImage(opened.handover, options.page?.sizeBytes), notes, close: opened.close };
}

function closingOnError<T>(opened: { close(): void }, work: () => T): T {
  try {
    return work();
  } catch (error) {
    opened.close();
    throw error;
  }
}

function captured(path: string, image: MemoryImage, options: ImageOptions, close: () => void): CapturedMemory {
  const ram = new ImageRam(image);
  const patches = options.patches ?? [];
  for (const patch of patches) {
    if (ram.patch(patch.phys, patch.bytes)) continue;
    throw new InputError({
      message: `--patch: ${patch.bytes.length} bytes at ${hex(patch.phys)} are not in RAM`,
      file: path,
      hint: `RAM: ${image.banks.map((bank) => `${hex(bank.base)} to ${hex(bank.base + bank.sizeBytes)}`).join(', ')}`,
    });
  }
  const notes = [...image.notes];
  const page = options.page ?? image.page;
  const found = findHandoff(ram, image, options, notes);
  const bootPage = page ?? guessPage(ram, found.fdt?.phys, notes);
  const fdt = found.fdt && {
    phys: found.fdt.phys as PhysAddr,
    sizeBytes: options.fdtLengthBytes ?? found.fdt.sizeBytes ?? bootPage.sizeBytes,
  };
  const scratch = found.scratch && {
    phys: found.scratch.phys as PhysAddr,
    sizeBytes: options.scratchLengthBytes ?? found.scratch.sizeBytes,
  };
  return {
    image,
    ram,
    fdt,
    scratch,
    handoffFrom: found.from,
    page,
    notes,
    bootPage,
    handoff: fdt === undefined || scratch === undefined ? undefined : { fdt, scratch },
    handover: { ...handoverImage(image, ram), pageSizeBytes: page?.sizeBytes, fdt, scratch, handoffFrom: found.from },
    load() {
      const memory = loadImage(image, bootPage);
      for (const patch of patches) memory.writeBytes(patch.phys as PhysAddr, patch.bytes);
      return memory;
    },
    close,
  };
}

interface FoundHandoff {
  readonly fdt: { readonly phys: number; readonly sizeBytes?: number | undefined } | undefined;
  readonly scratch: { readonly phys: number; readonly sizeBytes: number } | undefined;
  readonly from: CapturedMemory['handoffFrom'];
}

function findHandoff(ram: ImageRam, image: MemoryImage, options: ImageOptions, notes: string[]): FoundHandoff {
  const told: FoundHandoff = {
    fdt: options.fdt ?? image.handoff?.fdt,
    scratch: options.scratch ?? image.handoff?.scratch,
    from: options.fdt === undefined && options.scratch === undefined ? 'image' : 'options',
  };
  if (told.fdt !== undefined && told.scratch !== undefined) return told;
  const search = searchHandoff(ram);
  const [fdt, ...otherFdts] = search.fdts;
  const [scratch, ...otherScratches] = search.scratches;
  if (told.fdt === undefined) {
    notes.push(
      fdt === undefined ? 'no root FDT found in RAM' : `root FDT found at ${hex(fdt.phys)} (${fdt.compatible})`,
    );
    for (const other of otherFdts)
      notes.push(`another root FDT is at ${hex(other.phys)}: --fdt ${hex(other.phys)} takes it`);
  }
  if (told.scratch === undefined) {
    notes.push(
      scratch === undefined
        ? 'no scratch array found in RAM'
        : `scratch array of ${scratch.areas.length} areas found at ${hex(scratch.phys)}`,
    );
    for (const other of otherScratches) {
      notes.push(
        `another scratch array is at ${hex(other.phys)}: --scratch ${hex(other.phys)},${other.sizeBytes} takes it`,
      );
    }
  }
  const both = { fdt: told.fdt ?? fdt, scratch: told.scratch ?? scratch };
  return {
    fdt: both.fdt && { phys: both.fdt.phys, sizeBytes: told.fdt?.sizeBytes },
    scratch: both.scratch && { phys: both.scratch.phys, sizeBytes: both.scratch.sizeBytes },
    from: both.fdt === undefined && both.scratch === undefined ? undefined : 'search',
  };
}

function guessPage(ram: ImageRam, fdtPhys: number | undefined, notes: string[]): PageSize {
  const guess = fdtPhys === undefined ? undefined : deducePageSize(ram, fdtPhys);
  if (guess === undefined) {
    notes.push('the page size is not known, and nothing to deduce it from: 4K taken; --page-size says otherwise');
    return PAGE_4K;
  }
  notes.push(`pages are ${guess.page.name}: ${guess.because}`);
  return guess.page;
}
