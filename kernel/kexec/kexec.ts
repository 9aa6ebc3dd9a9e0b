import {
  type BootHandoff,
  type BootRegisters,
  junk,
  type LoadedSegment,
  type PageSize,
  type PhysAddr,
  pfnOf,
} from '../../machine/index.ts';
import { type KernelImage, kexecRequests } from '../boot/image-layout.ts';
import { buildBootDt } from '../boot-handoff/boot-dt.ts';
import { makeKexecDt } from '../boot-handoff/kexec-dt.ts';
import { writeKhoSetupData } from '../boot-handoff/setup-data.ts';
import type { KernelContext } from '../context.ts';
import { type Errno, isErrno } from '../errno.ts';
import type { KhoCore } from '../kho/kho-core.ts';
import { abiOf } from '../release.ts';
import { type PlacedSegment, placeSegments } from './segments.ts';

/** The scratch array is aligned to this, which makes it easy to map (7.3, and every release before). */
const SCRATCH_ARRAY_ALIGN = 0x10000;

/** A kernel image that is loaded and waits for the jump. */
export interface LoadedKernel {
  readonly image: KernelImage;
  readonly cmdline: string;
  readonly segments: readonly PlacedSegment[];
  /** Undefined when KHO has no part in it: off, or (up to 6.18) not finalised when it was loaded. */
  readonly kho: { readonly fdtPhys: PhysAddr; readonly arrayBytes: Uint8Array } | undefined;
}

/** What loading and jumping need of the running kernel. */
export type KexecContext = Pick<KernelContext, 'arch' | 'page' | 'map' | 'memory' | 'release' | 'config' | 'log'>;

/**
 * kexec_file_load of a kernel, its initrd and its command line.
 * @returns the loaded image, or -EADDRNOTAVAIL when its parts do not fit the scratch areas (without KHO: RAM).
 */
export function kexecFileLoad(
  ctx: KexecContext,
  kho: KhoCore,
  image: KernelImage,
  cmdline: string,
): LoadedKernel | Errno {
  const requests = kexecRequests(ctx.arch, image);
  const fdtPhys = kho.outgoingFdtPhys;
  const finalisesFirst = ctx.release.quirks.finalize === 'before-load';
  if (!kho.enabled || fdtPhys === undefined || (finalisesFirst && !kho.finalized)) {
    const segments = placeSegments(ctx.map.banks, requests, ctx.page.sizeBytes);
    return isErrno(segments) ? segments : { image, cmdline, segments, kho: undefined };
  }
  const arrayBytes = kho.scratchArrayBytes();
  const array = { name: 'scratch-array', sizeBytes: arrayBytes.length, alignBytes: SCRATCH_ARRAY_ALIGN, topDown: true };
  const segments = placeSegments(kho.scratch, [array, ...requests], ctx.page.sizeBytes);
  return isErrno(segments) ? segments : { image, cmdline, segments, kho: { fdtPhys, arrayBytes } };
}

function segmentOf(loaded: LoadedKernel, name: string): PlacedSegment | undefined {
  return loaded.segments.find((segment) => segment.name === name);
}

/** What the next kernel will find, in numbers; undefined without KHO. The FDT's length is always a page. */
export function handoffOf(loaded: LoadedKernel, page: PageSize): BootHandoff | undefined {
  const array = segmentOf(loaded, 'scratch-array');
  if (loaded.kho === undefined || array === undefined) return undefined;
  return {
    fdt: { phys: loaded.kho.fdtPhys, sizeBytes: page.sizeBytes },
    scratch: { phys: array.base, sizeBytes: loaded.kho.arrayBytes.length },
  };
}

/**
 * Copies the image to its destinations, as the relocation code does between the kernels: kernel and initrd (junk, for
 * what matters is that they overwrite what was there), the scratch array, and the boot parameters that carry the
 * handoff in the architecture's form.
 * @returns what the next kernel finds in its registers.
 */
export function moveSegments(ctx: KexecContext, loaded: LoadedKernel, imageSeed: number): BootRegisters {
  const { memory, page } = ctx;
  memory.setWriter('kexec');
  for (const segment of loaded.segments) {
    const nrPages = segment.sizeBytes / page.sizeBytes;
    memory.fillPages(pfnOf(page, segment.base), nrPages, junk(imageSeed));
  }
  const handoff = handoffOf(loaded, page);
  if (handoff !== undefined && loaded.kho !== undefined) {
    memory.writeBytes(handoff.scratch.phys, loaded.kho.arrayBytes);
  }
  return writeBootParameters(ctx, loaded, handoff);
}

function writeBootParameters(
  ctx: Pick<KexecContext, 'arch' | 'memory' | 'map' | 'release' | 'page'>,
  loaded: LoadedKernel,
  handoff: BootHandoff | undefined,
): BootRegisters {
  const { arch, memory, map } = ctx;
  const { cmdline } = loaded;
  if (arch === 'arm64') {
    const segment = segmentOf(loaded, 'boot-dt');
    if (segment === undefined) return { kind: 'power-on' };
    const initrd = segmentOf(loaded, 'initrd');
    const range = initrd === undefined ? undefined : { phys: initrd.base, sizeBytes: initrd.sizeBytes };
    const dt = makeKexecDt(buildBootDt(map, ''), { handoff, cmdline, initrd: range });
    if (typeof dt === 'number') throw new Error(`the boot DT cannot be made: ${dt}`);
    memory.writeBytes(segment.base, dt);
    return { kind: 'boot-dt', phys: segment.base };
  }
  const segment = segmentOf(loaded, 'boot-params');
  if (segment === undefined || handoff === undefined) return { kind: 'power-on' };
  const abi = abiOf(ctx.release, ctx.page);
  return { kind: 'setup-data', phys: writeKhoSetupData(memory, abi, segment.base, 0 as PhysAddr, handoff) };
}

/** The segments as the machine remembers them. */
export function loadedSegments(loaded: LoadedKernel): LoadedSegment[] {
  return loaded.segments.map((segment) => ({ ...segment }));
}
