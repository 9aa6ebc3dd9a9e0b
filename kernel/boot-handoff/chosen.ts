import type { BootHandoff } from '../../machine/machine.ts';
import type { RamBank } from '../../machine/memory-map.ts';
import type { PhysAddr } from '../../machine/units.ts';
import { isFdtErr } from '../fdt/error.ts';
import { be32 } from '../fdt/layout.ts';
import { fdtFirstSubnode, fdtGetprop, fdtNextSubnode, fdtPathOffset } from '../fdt/read.ts';
import { findNul } from '../fdt/text.ts';

/*
 * What an arm64 kernel takes from its boot devicetree. A missing or odd property is not an error there: the kernel
 * behaves as if it were not told, so no handoff means a cold boot without a message.
 */

/** Properties of `/chosen`, one address range each: the root FDT, and the scratch array. */
export const KHO_FDT_PROPERTY = 'linux,kho-fdt';
export const KHO_SCRATCH_PROPERTY = 'linux,kho-scratch';

/** Cells of addresses and sizes below the root: the kernel's defaults, 1 and 1, where the root doesn't say. */
function rootCells(dt: Uint8Array): { address: number; size: number } {
  const cells = (name: string) => {
    const property = fdtGetprop(dt, 0, name);
    return isFdtErr(property) ? 1 : be32(property.value, 0);
  };
  return { address: cells('#address-cells'), size: cells('#size-cells') };
}

/** A big-endian number of some cells; the low 64 bits of more than two. */
function readCells(bytes: Uint8Array, at: number, cells: number): bigint {
  let value = 0n;
  for (let i = 0; i < cells; i++) value = ((value << 32n) | BigInt(be32(bytes, at + 4 * i))) & 0xffff_ffff_ffff_ffffn;
  return value;
}

interface Range {
  readonly phys: PhysAddr;
  readonly sizeBytes: number;
}

/** The ranges of a property, undefined if it isn't there or has no whole number of them. */
function readRanges(dt: Uint8Array, node: number, name: string): Range[] | undefined {
  const property = fdtGetprop(dt, node, name);
  const { address, size } = rootCells(dt);
  const entryBytes = (address + size) * 4;
  if (isFdtErr(property) || entryBytes === 0 || property.length % entryBytes !== 0) return undefined;
  const ranges: Range[] = [];
  for (let at = 0; at + entryBytes <= property.value.length; at += entryBytes) {
    ranges.push({
      phys: Number(readCells(property.value, at, address)) as PhysAddr,
      sizeBytes: Number(readCells(property.value, at + address * 4, size)),
    });
  }
  return ranges;
}

function chosenOffset(dt: Uint8Array): number | undefined {
  let node = fdtPathOffset(dt, '/chosen');
  if (node < 0) node = fdtPathOffset(dt, '/chosen@0');
  return node < 0 ? undefined : node;
}

/** The handoff: both properties, each exactly one range; undefined otherwise, as if there were none. */
export function readChosenHandoff(dt: Uint8Array): BootHandoff | undefined {
  const chosen = chosenOffset(dt);
  if (chosen === undefined) return undefined;
  const fdt = readRanges(dt, chosen, KHO_FDT_PROPERTY);
  const scratch = readRanges(dt, chosen, KHO_SCRATCH_PROPERTY);
  if (fdt?.length !== 1 || scratch?.length !== 1 || fdt[0] === undefined || scratch[0] === undefined) return undefined;
  return { fdt: fdt[0], scratch: scratch[0] };
}

/** The command line in `/chosen`; empty if there is none. */
export function readChosenCmdline(dt: Uint8Array): string {
  const chosen = chosenOffset(dt);
  const property = chosen === undefined ? undefined : fdtGetprop(dt, chosen, 'bootargs');
  if (property === undefined || isFdtErr(property)) return '';
  const nul = findNul(property.value, 0, property.length);
  const bytes = nul < 0 ? property.value : property.value.subarray(0, nul);
  return String.fromCharCode(...bytes);
}

/** The initrd in `/chosen`, undefined if there is none. */
export function readChosenInitrd(dt: Uint8Array): Range | undefined {
  const chosen = chosenOffset(dt);
  if (chosen === undefined) return undefined;
  const number = (name: string) => {
    const property = fdtGetprop(dt, chosen, name);
    return isFdtErr(property) ? undefined : Number(readCells(property.value, 0, Math.floor(property.length / 4)));
  };
  const start = number('linux,initrd-start');
  const end = number('linux,initrd-end');
  if (start === undefined || end === undefined || end < start) return undefined;
  return { phys: start as PhysAddr, sizeBytes: end - start };
}

/** The RAM that memory nodes describe, in the order of the DT; empty ranges are left out. */
export function readMemoryNodes(dt: Uint8Array): RamBank[] {
  const banks: RamBank[] = [];
  for (let node = fdtFirstSubnode(dt, 0); node >= 0; node = fdtNextSubnode(dt, node)) {
    const type = fdtGetprop(dt, node, 'device_type');
    if (isFdtErr(type) || String.fromCharCode(...type.value) !== 'memory\0') continue;
    const nid = fdtGetprop(dt, node, 'numa-node-id');
    for (const range of readRanges(dt, node, 'reg') ?? []) {
      if (range.sizeBytes === 0) continue;
      banks.push({ base: range.phys, sizeBytes: range.sizeBytes, nid: isFdtErr(nid) ? 0 : be32(nid.value, 0) });
    }
  }
  return banks;
}

/** The reserve map: ranges that firmware keeps. */
export { fdtGetMemRsv, fdtNumMemRsv } from '../fdt/read.ts';
