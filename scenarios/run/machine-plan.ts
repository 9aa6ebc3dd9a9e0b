import {
  alignDown,
  type FirmwareReservation,
  type MachineConfig,
  makeMemoryMap,
  type PageSize,
  type PhysAddr,
  pageSizeByName,
  type RamBank,
} from '../../machine/index.ts';
import { InputError } from '../input-error.ts';
import type { Scenario } from './load.ts';
import { formatQuantity } from './quantity.ts';

const GIB = 2 ** 30;

/** Memory of a machine whose file doesn't say: enough for three scratch areas of 512 MiB at 64K. */
const DEFAULT_MEMORY_BYTES = 4 * GIB;

/** Where RAM begins on QEMU's arm64 board `virt`. */
const ARM64_RAM_BASE = 0x4000_0000;

/*
 * x86_64 as QEMU's boards lay it out: the range below 640 KiB (the last page is the BIOS's), a hole to 1 MiB, memory up to
 * 3 GiB, whose last 128 KiB firmware keeps for its tables, and the rest from 4 GiB on.
 *
 *     0        0x9f000   0x100000               low end            4 GiB
 *     |  RAM  |  hole    |  RAM            |fw| |  hole (devices)  |  RAM ...
 */
const X86_LOW_END = 0x9_f000;
const X86_RAM_BASE = 0x10_0000;
const X86_LOW_LIMIT = 3 * GIB;
const X86_FIRMWARE_BYTES = 0x2_0000;

/** Banks of a board with an amount of memory. */
function boardBanks(arch: MachineConfig['arch'], sizeBytes: number): RamBank[] {
  const bank = (base: number, size: number) => ({ base: base as PhysAddr, sizeBytes: size, nid: 0 });
  if (arch === 'arm64') return [bank(ARM64_RAM_BASE, sizeBytes)];
  const low = Math.min(sizeBytes, X86_LOW_LIMIT);
  const banks = [bank(0, X86_LOW_END), bank(X86_RAM_BASE, low - X86_RAM_BASE - X86_FIRMWARE_BYTES)];
  if (sizeBytes > low) banks.push(bank(4 * GIB, sizeBytes - low));
  return banks;
}

/** Splits banks evenly into nodes, lowest addresses first; borders at multiples of `alignBytes`. */
function splitIntoNodes(banks: readonly RamBank[], nodes: number, alignBytes: number): RamBank[] {
  const total = banks.reduce((sum, bank) => sum + bank.sizeBytes, 0);
  const share = total / nodes;
  const out: RamBank[] = [];
  let done = 0;
  for (const bank of banks) {
    let base: number = bank.base;
    const end = bank.base + bank.sizeBytes;
    while (base < end) {
      const nid = Math.min(Math.floor((done + alignBytes / 2) / share), nodes - 1);
      let stop = nid === nodes - 1 ? end : Math.min(end, base + (nid + 1) * share - done);
      if (stop < end) stop = alignDown(stop, alignBytes);
      if (stop <= base) stop = end;
      out.push({ base: base as PhysAddr, sizeBytes: stop - base, nid });
      done += stop - base;
      base = stop;
    }
  }
  return out;
}

/** The page sizes of a run's kernels, that of the first one first. */
export function pageSizesUsed(scenario: Scenario, page: PageSize): readonly PageSize[] {
  const later = scenario.steps.flatMap(({ spec }) => pageSizeByName(spec.kexec?.pageSize ?? '') ?? []);
  return [...new Set([page, ...later])];
}

/** What firmware keeps for itself. @throws InputError when ranges are empty or overlap at this page size. */
function firmwareReservations(scenario: Scenario, page: PageSize): FirmwareReservation[] {
  const out: FirmwareReservation[] = [];
  for (const [i, { base, size, count, every = size }] of (scenario.spec.machine.reserved ?? []).entries()) {
    const path = ['machine', 'reserved', i];
    if (size === 0 || every < size || base % page.sizeBytes !== 0 || every % page.sizeBytes !== 0) {
      throw new InputError({
        message: `these reserved ranges cannot be at ${page.name} pages`,
        file: scenario.file,
        line: scenario.lineOf(path) ?? 1,
        hint: 'none is empty, each begins with a page, and they do not overlap',
      });
    }
    for (let n = 0; n < count; n++) {
      out.push({ base: (base + n * every) as PhysAddr, sizeBytes: size, name: 'firmware' });
    }
  }
  return out;
}

/**
 * The machine that a scenario wants, at one page size.
 * @throws InputError when its memory cannot be so.
 */
export function planMachine(scenario: Scenario, page: PageSize, seed: number): MachineConfig {
  const { arch, memory, nodes, memorylessNodes = [] } = scenario.spec.machine;
  const line = scenario.lineOf(['machine', 'memory']) ?? scenario.lineOf(['machine']) ?? 1;
  const wrong = (message: string, hint?: string) =>
    new InputError({ message, file: scenario.file, line, ...(hint === undefined ? {} : { hint }) });
  let banks: RamBank[];
  if (Array.isArray(memory)) {
    banks = memory.map((bank) => ({ base: bank.base as PhysAddr, sizeBytes: bank.size, nid: bank.nid }));
  } else {
    const asked = typeof memory === 'object' ? memory[page.name as '4K'] : memory;
    const sizeBytes = asked ?? DEFAULT_MEMORY_BYTES;
    if (sizeBytes < 64 * 2 ** 20)
      throw wrong(`a machine of ${formatQuantity(sizeBytes)} boots no kernel`, '64M or more');
    if (sizeBytes % page.sizeBytes !== 0)
      throw wrong(`memory of ${sizeBytes} bytes is no whole number of ${page.name} pages`);
    banks = boardBanks(arch, sizeBytes);
    if (nodes !== undefined && nodes > 1) {
      const alignBytes = Math.max(page.sizeBytes * 2 ** page.defaultMaxPageOrder, 128 * 2 ** 20);
      if (sizeBytes / nodes < alignBytes) throw wrong(`${formatQuantity(sizeBytes)} are too little for ${nodes} nodes`);
      banks = splitIntoNodes(banks, nodes, alignBytes);
    }
  }
  const reservations = firmwareReservations(scenario, page);
  for (const each of pageSizesUsed(scenario, page)) {
    firmwareReservations(scenario, each);
    try {
      makeMemoryMap(banks, each.sizeBytes, reservations, memorylessNodes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw wrong(error.message, each === page ? `at ${page.name} pages` : `a later kernel has pages of ${each.name}`);
    }
  }
  if (banks.some((bank) => bank.base + bank.sizeBytes > 2 ** 52))
    throw wrong('memory ends above 2^52, the widest physical address');
  if (banks.some((bank) => bank.sizeBytes / page.sizeBytes > 2 ** 32)) {
    throw wrong(`a bank has more than 2^32 pages of ${page.name}`, 'give several smaller banks');
  }
  return { arch, page, banks, reservations, memorylessNodes, seed };
}
