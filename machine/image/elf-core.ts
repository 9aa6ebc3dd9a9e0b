import type { Arch } from '../machine.ts';
import type { RamBank } from '../memory-map.ts';
import { hex, type PhysAddr } from '../units.ts';
import type { ByteSource } from './byte-source.ts';
import { ImageError, ProblemList } from './image-error.ts';
import { type ImageExtent, joinBanks, MAX_BANK_BYTES, type MemoryImage } from './memory-image.ts';

/*
 * ELF cores of a machine's RAM, as QEMU's dump-guest-memory, virsh dump --memory-only and /proc/vmcore give them:
 * ELF64, little-endian, one PT_LOAD for each range of RAM, p_paddr its physical address (System V gABI, chapter 5).
 *
 *      ELF header (64)          program header (56)
 *      4   class 2              0   p_type 1 = PT_LOAD    32  p_filesz
 *      5   data 1               8   p_offset              40  p_memsz
 *      16  e_type 4 = ET_CORE   16  p_vaddr
 *      18  e_machine            24  p_paddr
 *      32  e_phoff, 40 e_shoff, 54 e_phentsize, 56 e_phnum (0xffff: see sh_info of section header 0)
 */

const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;
const ET_CORE = 4;
const PT_LOAD = 1;
const PN_XNUM = 0xffff;
const NO_ADDRESS = 0xffff_ffff_ffff_ffffn;
/** More segments than any machine has ranges of RAM; each costs 56 bytes of file, so a lying count is found out. */
const MAX_PROGRAM_HEADERS = 0x10_0000;

const MACHINES: Readonly<Record<number, Arch>> = { 62: 'x86_64', 183: 'arm64' };

interface Segment extends ImageExtent {
  readonly index: number;
}

/** Whether bytes (the first four suffice) begin an ELF file. */
export function isElf(head: Uint8Array): boolean {
  return head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function readExactly(source: ByteSource, offset: number, length: number, what: string): DataView {
  if (offset + length > source.sizeBytes) {
    throw new ImageError({
      message: `the file ends at byte ${source.sizeBytes}, inside ${what} (bytes ${offset} to ${offset + length})`,
      where: what,
      hint: 'the dump is truncated: was the disk full?',
    });
  }
  return viewOf(source.read(offset, length));
}

/**
 * Opens an ELF core. Only headers are read; memory is fetched when somebody looks at it.
 * @throws ImageError for a file that is not such a core, or is truncated.
 */
export function elfCoreImage(source: ByteSource): MemoryImage {
  const header = readExactly(source, 0, ELF_HEADER_BYTES, 'the ELF header');
  const arch = checkHeader(header);
  const table = programHeaders(source, header);
  const problems = new ProblemList();
  const segments: Segment[] = [];
  let skipped = 0;
  for (let i = 0; i < table.count; i++) {
    const at = i * PROGRAM_HEADER_BYTES;
    if (table.view.getUint32(at, true) !== PT_LOAD) continue;
    const field = (offset: number) => table.view.getBigUint64(at + offset, true);
    const phys = field(24);
    const storedBytes = field(32);
    let memoryBytes = field(40);
    if (memoryBytes < storedBytes) memoryBytes = storedBytes;
    const where = `program header ${i}`;
    if (phys === NO_ADDRESS || memoryBytes === 0n) {
      skipped++;
      continue;
    }
    if (phys + memoryBytes > BigInt(Number.MAX_SAFE_INTEGER)) {
      problems.add(`${hex(phys)} + ${hex(memoryBytes)} is not a range of physical memory`, where);
      continue;
    }
    if (memoryBytes > BigInt(MAX_BANK_BYTES)) {
      problems.add(`${hex(memoryBytes)} bytes of RAM in one piece are more than ${hex(MAX_BANK_BYTES)}`, where);
      continue;
    }
    if (field(8) + storedBytes > BigInt(source.sizeBytes)) {
      problems.add(
        `RAM at ${hex(phys)} is in bytes ${field(8)} to ${field(8) + storedBytes} of a file of ${source.sizeBytes}`,
        where,
        'the dump is truncated: was the disk full?',
      );
      continue;
    }
    segments.push({
      index: i,
      phys: Number(phys),
      sizeBytes: Number(memoryBytes),
      storedBytes: Number(storedBytes),
      offset: Number(field(8)),
    });
  }
  problems.throwIfAny();
  checkSegments(segments);
  const { extents, overlapping } = withoutOverlap(segments);
  const notes: string[] = [];
  if (skipped > 0) notes.push(`${skipped} segments without a physical address or without bytes were left out`);
  if (overlapping > 0)
    notes.push(`${overlapping} segments describe memory again that an earlier one has; the first counts`);
  return { format: 'elf-core', arch, banks: banksOf(extents), extents, source, notes };
}

function checkHeader(header: DataView): Arch {
  const bytes = new Uint8Array(header.buffer, header.byteOffset, header.byteLength);
  if (!isElf(bytes)) throw new ImageError({ message: 'no ELF magic', where: 'byte 0' });
  if (header.getUint8(4) !== 2 || header.getUint8(5) !== 1) {
    throw new ImageError({
      message: 'not a 64-bit little-endian ELF file',
      where: 'byte 4',
      hint: 'KHO runs on arm64 and x86_64; a 32-bit core comes from another machine',
    });
  }
  const type = header.getUint16(16, true);
  if (type !== ET_CORE) {
    throw new ImageError({
      message: `ELF type ${type} is not a core (${ET_CORE})`,
      where: 'byte 16',
      hint: 'a dump of memory is wanted (dump-guest-memory, virsh dump --memory-only), not a program or a vmlinux',
    });
  }
  const machine = header.getUint16(18, true);
  const arch = MACHINES[machine];
  if (arch === undefined) {
    throw new ImageError({ message: `machine ${machine} is neither arm64 (183) nor x86_64 (62)`, where: 'byte 18' });
  }
  return arch;
}

function programHeaders(source: ByteSource, header: DataView): { view: DataView; count: number } {
  const entryBytes = header.getUint16(54, true);
  let count = header.getUint16(56, true);
  const offset = header.getBigUint64(32, true);
  if (count > 0 && entryBytes !== PROGRAM_HEADER_BYTES) {
    throw new ImageError({
      message: `program headers of ${entryBytes} bytes, not ${PROGRAM_HEADER_BYTES}`,
      where: 'byte 54',
    });
  }
  if (count === PN_XNUM) {
    const sections = header.getBigUint64(40, true);
    if (sections === 0n || sections > BigInt(source.sizeBytes)) {
      throw new ImageError({
        message: 'the number of segments is said to be in a section header that is not there',
        where: 'byte 56',
      });
    }
    count = readExactly(source, Number(sections), SECTION_HEADER_BYTES, 'section header 0').getUint32(44, true);
  }
  if (count === 0 || count > MAX_PROGRAM_HEADERS || offset > BigInt(source.sizeBytes)) {
    throw new ImageError({
      message: `${count} program headers at byte ${offset}`,
      where: 'byte 32',
      hint: 'an ELF core of RAM has one program header for each range of memory',
    });
  }
  return { view: readExactly(source, Number(offset), count * PROGRAM_HEADER_BYTES, 'the program headers'), count };
}

function checkSegments(segments: readonly Segment[]): void {
  if (segments.length === 0) {
    throw new ImageError({
      message: 'has no PT_LOAD segment with a physical address',
      hint: 'a core of a process has no physical addresses; dump the whole machine',
    });
  }
  if (segments.length > 1 && segments.every((segment) => segment.phys === 0)) {
    throw new ImageError({
      message: `all ${segments.length} PT_LOAD segments say physical address 0`,
      hint: 'a core of a process has no physical addresses; dump the whole machine',
    });
  }
}

/** Sorts by address; what a segment shares with one that comes earlier in the file is cut off. */
function withoutOverlap(segments: readonly Segment[]): { extents: ImageExtent[]; overlapping: number } {
  const sorted = [...segments].sort((a, b) => a.phys - b.phys || a.index - b.index);
  const disjoint = sorted.every((segment, i) => {
    const next = sorted[i + 1];
    return next === undefined || segment.phys + segment.sizeBytes <= next.phys;
  });
  if (disjoint) return { extents: sorted.map(({ index: _, ...extent }) => extent), overlapping: 0 };
  let kept: ImageExtent[] = [];
  let overlapping = 0;
  for (const { index: _, ...segment } of segments) {
    const pieces = subtract(segment, kept);
    if (pieces.length !== 1 || pieces[0]?.sizeBytes !== segment.sizeBytes) overlapping++;
    kept = [...kept, ...pieces].sort((a, b) => a.phys - b.phys);
  }
  return { extents: kept, overlapping };
}

/** The pieces of an extent that none of the others (sorted, disjoint) has. */
function subtract(extent: ImageExtent, others: readonly ImageExtent[]): ImageExtent[] {
  const pieces: ImageExtent[] = [];
  const end = extent.phys + extent.sizeBytes;
  let at = extent.phys;
  const take = (to: number) => {
    if (to <= at) return;
    const skip = at - extent.phys;
    const storedBytes = Math.max(0, Math.min(extent.storedBytes - skip, to - at));
    pieces.push({ phys: at, sizeBytes: to - at, storedBytes, offset: extent.offset + skip });
  };
  for (const other of others) {
    if (other.phys >= end) break;
    if (other.phys + other.sizeBytes <= at) continue;
    take(Math.min(other.phys, end));
    at = Math.max(at, other.phys + other.sizeBytes);
  }
  take(end);
  return pieces;
}

function banksOf(extents: readonly ImageExtent[]): RamBank[] {
  return joinBanks(extents.map(({ phys, sizeBytes }) => ({ base: phys as PhysAddr, sizeBytes, nid: 0 })));
}
