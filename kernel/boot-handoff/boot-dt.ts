import { type MemoryMap, onlineNodes } from '../../machine/memory-map.ts';
import { hex } from '../../machine/units.ts';
import { type FdtErr, isFdtErr } from '../fdt/error.ts';
import { fdtTotalsize, setBe64 } from '../fdt/layout.ts';
import { cString } from '../fdt/text.ts';
import {
  fdtAddReservemapEntry,
  fdtBeginNode,
  fdtCreate,
  fdtEndNode,
  fdtFinish,
  fdtFinishReservemap,
  fdtProperty,
  fdtPropertyCells,
  fdtPropertyString,
} from '../fdt/write.ts';

/** How much room a boot DT for `map` and a command line certainly finds. */
function capacityFor(map: MemoryMap, cmdline: string): number {
  const nodes = map.banks.length + map.reservations.length + map.memorylessNodes.length;
  return 2048 + 128 * nodes + 4 * cmdline.length;
}

/** Addresses and sizes in 2+2 cells. */
function ranges(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  for (const [i, value] of values.entries()) setBe64(bytes, i * 8, BigInt(value));
  return bytes;
}

/**
 * The devicetree that firmware of an arm64 machine hands to the first kernel: memory nodes (with `numa-node-id` where
 * there are several nodes), one cpu and one more on each node without memory, `/chosen` with the command line, and firmware's reservations in the reserve map.
 * Valid for dtc; minimal beyond what this simulation needs.
 */
export function buildBootDt(map: MemoryMap, cmdline: string): Uint8Array {
  const fdt = new Uint8Array(capacityFor(map, cmdline));
  const errors: (0 | FdtErr)[] = [];
  const numa = onlineNodes(map).length > 1;
  errors.push(fdtCreate(fdt));
  for (const reservation of map.reservations) {
    errors.push(fdtAddReservemapEntry(fdt, BigInt(reservation.base), BigInt(reservation.sizeBytes)));
  }
  errors.push(
    fdtFinishReservemap(fdt),
    fdtBeginNode(fdt, ''),
    fdtPropertyString(fdt, 'compatible', 'khosim,machine'),
    fdtPropertyString(fdt, 'model', 'khosim machine'),
    fdtPropertyCells(fdt, '#address-cells', 2),
    fdtPropertyCells(fdt, '#size-cells', 2),
    fdtBeginNode(fdt, 'chosen'),
    fdtPropertyString(fdt, 'bootargs', cmdline),
    fdtEndNode(fdt),
    fdtBeginNode(fdt, 'cpus'),
    fdtPropertyCells(fdt, '#address-cells', 1),
    fdtPropertyCells(fdt, '#size-cells', 0),
  );
  for (const [cpu, nid] of [map.banks[0]?.nid ?? 0, ...map.memorylessNodes].entries()) {
    errors.push(
      fdtBeginNode(fdt, `cpu@${cpu}`),
      fdtPropertyString(fdt, 'device_type', 'cpu'),
      fdtProperty(fdt, 'compatible', cString('arm,armv8')),
      fdtPropertyCells(fdt, 'reg', cpu),
    );
    if (numa) errors.push(fdtPropertyCells(fdt, 'numa-node-id', nid));
    errors.push(fdtEndNode(fdt));
  }
  errors.push(fdtEndNode(fdt));
  for (const bank of map.banks) {
    errors.push(
      fdtBeginNode(fdt, `memory@${hex(bank.base).slice(2)}`),
      fdtPropertyString(fdt, 'device_type', 'memory'),
      fdtProperty(fdt, 'reg', ranges(bank.base, bank.sizeBytes)),
    );
    if (numa) errors.push(fdtPropertyCells(fdt, 'numa-node-id', bank.nid));
    errors.push(fdtEndNode(fdt));
  }
  errors.push(fdtEndNode(fdt), fdtFinish(fdt));
  const error = errors.find(isFdtErr);
  if (error !== undefined) throw new Error(`the boot DT does not fit ${fdt.length} bytes: ${error}`);
  return fdt.slice(0, fdtTotalsize(fdt));
}
