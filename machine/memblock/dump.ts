import type { Memblock } from './memblock.ts';
import type { RegionTable } from './region-table.ts';
import { exactSizeBetween, hexPa, toU64 } from './u64.ts';

function pa(value: bigint): string {
  return `0x${value.toString(16).padStart(16, '0')}`;
}

function dumpTable(table: RegionTable, showNode: (nid: number) => boolean): string[] {
  const lines = [` ${table.name}.cnt  = 0x${table.count.toString(16)}`];
  let index = 0;
  for (const { base, end, flags, nid } of table) {
    const range = `${hexPa(base)}-${pa(toU64(end) - 1n)}], ${pa(exactSizeBetween(base, end))} bytes`;
    const node = showNode(nid) ? ` on node ${nid}` : '';
    lines.push(` ${table.name}[0x${index.toString(16)}]\t[${range}${node} flags: 0x${flags.toString(16)}`);
    index++;
  }
  return lines;
}

/** The lines that a kernel booted with `memblock=debug` prints of its memblock (`memblock_dump_all`). */
export function dumpMemblock(memblock: Memblock): string[] {
  const { memory, reserved, numa, maxNumnodes } = memblock;
  const showNode = (nid: number) => numa && nid >= 0 && nid < maxNumnodes;
  return [
    'MEMBLOCK configuration:',
    ` memory size = ${pa(memory.totalSize)} reserved size = ${pa(reserved.totalSize)}`,
    ...dumpTable(memory, showNode),
    ...dumpTable(reserved, showNode),
  ];
}
