import type { BootHandoff } from '../../machine/machine.ts';
import {
  fdtAddMemRsv,
  fdtAddSubnode,
  fdtAppendpropAddrrange,
  fdtDelMemRsv,
  fdtDelprop,
  fdtOpenInto,
  fdtSetprop,
  fdtSetpropString,
} from '../fdt/edit.ts';
import { FDT_ERR_NOTFOUND, type FdtErr, isFdtErr } from '../fdt/error.ts';
import { fdtTotalsize, setBe64 } from '../fdt/layout.ts';
import { fdtGetMemRsv, fdtNumMemRsv, fdtPathOffset } from '../fdt/read.ts';
import { bytesOfText } from '../fdt/text.ts';
import { KHO_FDT_PROPERTY, KHO_SCRATCH_PROPERTY, readChosenInitrd } from './chosen.ts';

/** What the loader of the next kernel tells it through its devicetree. */
export interface KexecDtRequest {
  /** undefined: the handover is off, and stale properties go all the same. */
  readonly handoff?: BootHandoff | undefined;
  /** undefined: no command line. */
  readonly cmdline?: string | undefined;
  readonly initrd?: { readonly phys: number; readonly sizeBytes: number } | undefined;
  /** Random bytes for `kaslr-seed` (8) and `rng-seed` (128), each left out if the kernel's generator has none yet. */
  readonly kaslrSeed?: Uint8Array | undefined;
  readonly rngSeed?: Uint8Array | undefined;
}

/** Room beyond the present DT and the command line (drivers/of/kexec.c, 6.16 to 7.3). */
const EXTRA_SPACE_BYTES = 0x1000;

/**
 * Makes the devicetree of the next kernel from that of the running one, in the kernel's order: whatever describes the
 * last boot goes, then `/chosen` gets the initrd, the handoff, the command line and the seeds. The buffer is not packed.
 * @returns the DT with room at its end, or the libfdt error that the load fails with.
 */
export function makeKexecDt(running: Uint8Array, request: KexecDtRequest): Uint8Array | FdtErr {
  const cmdlineBytes = request.cmdline === undefined ? 0 : bytesOfText(request.cmdline).length;
  const size = fdtTotalsize(running) + cmdlineBytes + EXTRA_SPACE_BYTES;
  const fdt = new Uint8Array(size);
  const opened = fdtOpenInto(running, fdt);
  if (opened !== 0) return opened;
  let chosen = fdtPathOffset(fdt, '/chosen');
  if (chosen === FDT_ERR_NOTFOUND) chosen = fdtAddSubnode(fdt, 0, 'chosen');
  if (isFdtErr(chosen)) return chosen;
  const steps = [
    () => deleteIfThere(fdt, chosen, 'linux,elfcorehdr'),
    () => deleteIfThere(fdt, chosen, 'linux,usable-memory-range'),
    () => replaceInitrd(fdt, chosen, request.initrd),
    () => replaceHandoff(fdt, chosen, request.handoff),
    () => replaceCmdline(fdt, chosen, request.cmdline),
    () => deleteIfThere(fdt, chosen, 'kaslr-seed'),
    () => (request.kaslrSeed === undefined ? 0 : fdtSetprop(fdt, chosen, 'kaslr-seed', request.kaslrSeed)),
    () => (request.rngSeed === undefined ? 0 : fdtSetprop(fdt, chosen, 'rng-seed', request.rngSeed)),
    () => fdtSetprop(fdt, chosen, 'linux,booted-from-kexec', new Uint8Array(0)),
  ];
  for (const step of steps) {
    const error = step();
    if (error !== 0) return error;
  }
  return fdt;
}

function deleteIfThere(fdt: Uint8Array, node: number, name: string): 0 | FdtErr {
  const error = fdtDelprop(fdt, node, name);
  return error === FDT_ERR_NOTFOUND ? 0 : error;
}

/** Stale copies go first, even when there is nothing to hand over: the next kernel must not find this one's handoff. */
function replaceHandoff(fdt: Uint8Array, chosen: number, handoff: BootHandoff | undefined): 0 | FdtErr {
  const error = deleteIfThere(fdt, chosen, KHO_FDT_PROPERTY) || deleteIfThere(fdt, chosen, KHO_SCRATCH_PROPERTY);
  if (error !== 0 || handoff === undefined) return error;
  const range = (name: string, at: { readonly phys: number; readonly sizeBytes: number }) =>
    fdtAppendpropAddrrange(fdt, 0, chosen, name, BigInt(at.phys), BigInt(at.sizeBytes));
  return range(KHO_FDT_PROPERTY, handoff.fdt) || range(KHO_SCRATCH_PROPERTY, handoff.scratch);
}

function replaceCmdline(fdt: Uint8Array, chosen: number, cmdline: string | undefined): 0 | FdtErr {
  if (cmdline === undefined) return deleteIfThere(fdt, chosen, 'bootargs');
  return fdtSetpropString(fdt, chosen, 'bootargs', cmdline);
}

function replaceInitrd(fdt: Uint8Array, chosen: number, initrd: KexecDtRequest['initrd']): 0 | FdtErr {
  const old = readChosenInitrd(fdt);
  if (old !== undefined) forgetReservation(fdt, BigInt(old.phys), BigInt(old.sizeBytes));
  if (initrd === undefined) {
    return deleteIfThere(fdt, chosen, 'linux,initrd-start') || deleteIfThere(fdt, chosen, 'linux,initrd-end');
  }
  const u64 = (value: number) => {
    const bytes = new Uint8Array(8);
    setBe64(bytes, 0, BigInt(value));
    return bytes;
  };
  return (
    fdtSetprop(fdt, chosen, 'linux,initrd-start', u64(initrd.phys)) ||
    fdtSetprop(fdt, chosen, 'linux,initrd-end', u64(initrd.phys + initrd.sizeBytes)) ||
    // This moves the structure block, but `chosen` is an offset into it and stays.
    fdtAddMemRsv(fdt, BigInt(initrd.phys), BigInt(initrd.sizeBytes))
  );
}

function forgetReservation(fdt: Uint8Array, address: bigint, size: bigint): void {
  const count = fdtNumMemRsv(fdt);
  for (let i = 0; i < count; i++) {
    const entry = fdtGetMemRsv(fdt, i);
    if (isFdtErr(entry) || entry.address !== address || entry.size !== size) continue;
    fdtDelMemRsv(fdt, i);
    return;
  }
}
