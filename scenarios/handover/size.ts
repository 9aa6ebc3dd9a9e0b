import { type PageSize, physAddr, type RamBank } from '../../machine/index.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;

/** How much machine a handover gets, and how much is handed over on it. */
export interface HandoverSize {
  readonly name: 'full' | 'probe';
  readonly ramBytes: (page: PageSize) => number;
  /** Bytes of each of the three scratch areas, as `kho_scratch=` writes them. */
  readonly scratch: (page: PageSize) => string;
  /** Folios of order 0. */
  readonly singles: number;
  readonly foliosPerOrder: number;
  /** Folios of an order take no more than this, so that the largest of 64K pages are left out. */
  readonly folioBytesPerOrder: number;
  /** Pages of each range. No piece of one is larger than 2^MAX_PAGE_ORDER pages, which kernels up to 7.0 do not restore. */
  readonly ranges: readonly number[];
  readonly vmallocPages: (page: PageSize) => number;
  /** Memfds: session, token, bytes. */
  readonly files: readonly (readonly [string, bigint, number])[];
}

/** The matrix: scratch that holds the memory map of 8 GiB, which kernels before 7.3 must find there. */
export const FULL: HandoverSize = {
  name: 'full',
  ramBytes: () => 8 * GIB,
  scratch: (page) => (page.shift === 16 ? '512M' : '256M'),
  singles: 64,
  foliosPerOrder: 4,
  folioBytesPerOrder: 128 * MIB,
  ranges: [2, 3, 7, 100, 1000, 1023],
  vmallocPages: () => 600,
  files: [
    ['vm-1', 0x11n, 17],
    ['vm-1', 0x22n, 3 * 65536],
    ['vm-2', 0xdead_beef_cafe_0044n, 1_000_000],
    ['vm-2', 0x55n, 0],
  ],
};

/**
 * The prover of `abi check`, which answers while somebody waits: every kind of thing that FULL hands over, but fewer, on
 * the least RAM that leaves room next to scratch. More than one file, session and chunk, so that arrays have strides.
 */
export const PROBE: HandoverSize = {
  name: 'probe',
  ramBytes: (page) => (page.shift === 16 ? 4 * GIB : 3 * GIB),
  scratch: (page) => (page.shift === 16 ? '512M' : '64M'),
  singles: 16,
  foliosPerOrder: 2,
  folioBytesPerOrder: 16 * MIB,
  ranges: [2, 7, 100, 1023, 1023],
  // Two chunks where a chunk is small; larger pages would need thousands.
  vmallocPages: (page) => (page.shift === 12 ? 520 : 24),
  files: [
    ['vm-1', 0x11n, 17],
    ['vm-1', 0x22n, 9_000],
    ['vm-2', 0xdead_beef_cafe_0044n, 5_000],
  ],
};

/** The one bank of the machine, where QEMU's arm64 board has it. */
export function banksOf(size: HandoverSize, page: PageSize): readonly RamBank[] {
  return [{ base: physAddr(GIB), sizeBytes: size.ramBytes(page), nid: 0 }];
}
