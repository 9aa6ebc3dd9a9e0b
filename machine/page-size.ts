import { alignUp, type Order, type Pfn, type PhysAddr } from './units.ts';

/**
 * Everything that follows from the page shift alone. A `PageSize` is an immutable value that is made once and passed
 * around; whoever needs a power of two in a hot loop copies it into a local.
 */
export interface PageSize {
  /** log2 of the page size: 12, 14, 16; 6 or so for the tiny test geometries. */
  readonly shift: number;
  readonly sizeBytes: number;
  /** `4K`, `16K`, `64K`; the number of bytes for others, as `64B`. */
  readonly name: string;
  /** The largest order of the buddy allocator by default: 10, 11, 13. A build option in the kernel. */
  readonly defaultMaxPageOrder: number;
  /**
   * Bits of a physical address (64 in every kernel). Beside the shift it decides how wide a radix key is, and so how
   * deep the tree; the tiny test geometries set it low to keep their trees small enough to enumerate.
   */
  readonly physBits: number;
}

const DEFAULT_MAX_PAGE_ORDER: Readonly<Record<number, number>> = { 12: 10, 14: 11, 16: 13 };

/**
 * Makes the description of a page size.
 * @param shift log2 of the size in bytes, 4 to 16.
 * @param physBits bits of a physical address: 64, or fewer for a test geometry.
 */
export function makePageSize(shift: number, physBits = 64): PageSize {
  if (!Number.isInteger(shift) || shift < 4 || shift > 16) throw new RangeError(`not a page shift: ${shift}`);
  const sizeBytes = 2 ** shift;
  return Object.freeze({
    shift,
    sizeBytes,
    name: sizeBytes >= 1024 ? `${sizeBytes / 1024}K` : `${sizeBytes}B`,
    defaultMaxPageOrder: DEFAULT_MAX_PAGE_ORDER[shift] ?? 3,
    physBits,
  });
}

export const PAGE_4K: PageSize = makePageSize(12);
export const PAGE_16K: PageSize = makePageSize(14);
export const PAGE_64K: PageSize = makePageSize(16);

/** The three page sizes of released kernels, smallest first. */
export const PAGE_SIZES: readonly PageSize[] = [PAGE_4K, PAGE_16K, PAGE_64K];

/** Finds `4K`, `16K` or `64K`; undefined for any other name. */
export function pageSizeByName(name: string): PageSize | undefined {
  return PAGE_SIZES.find((size) => size.name === name.toUpperCase());
}

/** Finds a released kernel's page size by its bytes; undefined for any other number. */
export function pageSizeByBytes(bytes: number): PageSize | undefined {
  return PAGE_SIZES.find((size) => size.sizeBytes === bytes);
}

/** The frame that an address lies in. */
export function pfnOf(page: PageSize, addr: PhysAddr): Pfn {
  return Math.floor(addr / page.sizeBytes) as Pfn;
}

/** The address of a frame's first byte. */
export function physOf(page: PageSize, frame: Pfn): PhysAddr {
  return (frame * page.sizeBytes) as PhysAddr;
}

/** The first page border at or above an address. */
export function pageAlignUp(page: PageSize, addr: number): PhysAddr {
  return alignUp(addr, page.sizeBytes) as PhysAddr;
}

/** How many pages `sizeBytes` bytes need. */
export function nrPagesOf(page: PageSize, sizeBytes: number): number {
  return Math.ceil(sizeBytes / page.sizeBytes);
}

/** The smallest order whose folio holds `sizeBytes` bytes (get_order): 0 for 0 and for anything up to a page. */
export function orderForSize(page: PageSize, sizeBytes: number): Order {
  let order = 0;
  let size = page.sizeBytes;
  while (size < sizeBytes) {
    size *= 2;
    order++;
  }
  return order as Order;
}
