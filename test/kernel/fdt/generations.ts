import { fdtAddSubnode, fdtDelNode, fdtOpenInto, fdtPack, fdtSetprop } from '../../../kernel/fdt/edit.ts';
import { type FdtErr, isFdtErr } from '../../../kernel/fdt/error.ts';
import { fdtFirstSubnode, fdtGetprop, fdtNextSubnode } from '../../../kernel/fdt/read.ts';
import {
  fdtBeginNode,
  fdtCreate,
  fdtEndNode,
  fdtFinish,
  fdtFinishReservemap,
  fdtProperty,
  fdtPropertyString,
} from '../../../kernel/fdt/write.ts';

/*
 * The calls that kernels of each generation make to build their root FDT, in their order, as the tests' own copy: the
 * vectors were made by libfdt in that order.
 */

export function u64le(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/** 6.16 to 6.18: all in one go, when the handover is finalized. */
export function buildSequential(
  fdt: Uint8Array,
  compatible: string,
  map: number,
  nodes: readonly (readonly [name: string, phys: number])[],
): number {
  let error: number = fdtCreate(fdt);
  error |= fdtFinishReservemap(fdt);
  error |= fdtBeginNode(fdt, '');
  error |= fdtPropertyString(fdt, 'compatible', compatible);
  error |= fdtProperty(fdt, 'preserved-memory-map', u64le(map));
  for (const [name, phys] of nodes) {
    error |= fdtBeginNode(fdt, name);
    error |= fdtProperty(fdt, 'fdt', u64le(phys));
    error |= fdtEndNode(fdt);
  }
  error |= fdtEndNode(fdt);
  error |= fdtFinish(fdt);
  return error;
}

/** 6.19 on: an empty root from boot, to which nodes are added. */
export function buildEmpty(fdt: Uint8Array, compatible: string, map: number): number {
  return buildSequential(fdt, compatible, map, []);
}

/** Adds a sub-tree as 6.19 (`fdt`) or, with a size, as 7.1 and later do. */
export function addSubtree(
  fdt: Uint8Array,
  name: string,
  property: string,
  phys: number,
  sizeBytes?: number,
): 0 | FdtErr {
  const opened = fdtOpenInto(fdt, fdt);
  if (opened !== 0) return opened;
  const node = fdtAddSubnode(fdt, 0, name);
  let error: 0 | FdtErr = 0;
  if (isFdtErr(node)) {
    error = node;
  } else {
    error = fdtSetprop(fdt, node, property, u64le(phys));
    if (error === 0 && sizeBytes !== undefined) error = fdtSetprop(fdt, node, 'blob-size', u64le(sizeBytes));
    if (error !== 0) fdtDelNode(fdt, node);
  }
  fdtPack(fdt);
  return error;
}

/** Removes the sub-tree whose property holds `phys`. */
export function removeSubtree(fdt: Uint8Array, property: string, phys: number): 0 | FdtErr {
  const opened = fdtOpenInto(fdt, fdt);
  if (opened !== 0) return opened;
  let node = fdtFirstSubnode(fdt, 0);
  for (; node >= 0; node = fdtNextSubnode(fdt, node)) {
    const found = fdtGetprop(fdt, node, property);
    if (!isFdtErr(found) && found.value.every((byte, i) => byte === u64le(phys)[i])) break;
  }
  const error = isFdtErr(node) ? node : fdtDelNode(fdt, node);
  fdtPack(fdt);
  return error;
}
