import { DEFAULT_LOW_ADDRESS_LIMIT, PHYS_ADDR_MAX } from '../../machine/memblock/flags.ts';
import type { Memblock } from '../../machine/memblock/memblock.ts';
import { fromU64, roundUp64, toU64 } from '../../machine/memblock/u64.ts';
import type { PageSize } from '../../machine/page-size.ts';
import { NUMA_NO_NODE } from '../../machine/units.ts';
import type { KernelLog } from '../log.ts';
import type { ReleaseQuirks } from '../release-quirks.ts';

/** What `kho_scratch=` asks for. Sizes in bytes; they count only while `scale` is 0. */
export interface ScratchSizes {
  /** Percent of what memblock holds for the kernel; 0: the fixed sizes. */
  readonly scale: number;
  readonly lowmem: number;
  readonly global: number;
  readonly pernode: number;
}

/** Without `kho_scratch=`: 200 percent. */
export const DEFAULT_SCRATCH_SIZES: ScratchSizes = { scale: 200, lowmem: 0, global: 0, pernode: 0 };

const U64_MASK = (1n << 64n) - 1n;

/**
 * memparse on 64 bits. As in the kernel, a bare suffix is a number too: `K` is 0.
 * @returns undefined when nothing was read.
 */
function parseSize(text: string): { readonly value: bigint; readonly rest: string } | undefined {
  const match = /^(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)?([KMGTPEkmgtpe]?)/.exec(text);
  const length = match?.[0].length ?? 0;
  if (match === null || length === 0) return undefined;
  const digits = match[1] ?? '0';
  const number = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
  const power = ' KMGTPE'.indexOf((match[2] ?? '').toUpperCase() || ' ');
  return { value: (number << BigInt(10 * power)) & U64_MASK, rest: text.slice(length) };
}

function parseScale(value: string, before: ScratchSizes): ScratchSizes | undefined {
  // kstrtouint on at most ten characters: decimal, a plus sign allowed.
  const digits = value.slice(0, -1);
  if (value.length > 11 || !/^\+?[0-9]+$/.test(digits)) return undefined;
  const scale = Number(digits);
  return scale > 0xffff_ffff ? undefined : { ...before, scale };
}

function parseFixed(value: string, quirks: Pick<ReleaseQuirks, 'scratchSizeMayBeZero'>): ScratchSizes | undefined {
  const sizes: bigint[] = [];
  let rest = value;
  for (let i = 0; i < 3; i++) {
    if (i > 0) {
      if (!rest.startsWith(',')) return undefined;
      rest = rest.slice(1);
    }
    const size = parseSize(rest);
    if (size === undefined || (size.value === 0n && !quirks.scratchSizeMayBeZero)) return undefined;
    sizes.push(size.value);
    rest = size.rest;
  }
  const [lowmem = 0n, global = 0n, pernode = 0n] = sizes;
  if (quirks.scratchSizeMayBeZero && (((lowmem + global + pernode) & U64_MASK) === 0n || rest !== '')) return undefined;
  return { scale: 0, lowmem: fromU64(lowmem), global: fromU64(global), pernode: fromU64(pernode) };
}

/**
 * Reads one `kho_scratch=`: `N%`, or `LOWMEM,GLOBAL,PERNODE` with suffixes K, M, G... Malformed: what held before stays.
 * 6.16 and 6.17 refuse any size of 0 and ignore what follows the third; later releases allow 0 as long as the sum is
 * not, and refuse what follows.
 * What was understood is a debug line here (a notice in the kernel, printed with the command line long before anything of
 * KHO): logs of a boot are about the handover.
 * @param value undefined for the bare parameter.
 * @param before what an earlier one on the same command line, or the default, says.
 */
export function parseScratchSizes(
  value: string | undefined,
  quirks: Pick<ReleaseQuirks, 'scratchSizeMayBeZero'>,
  before: ScratchSizes = DEFAULT_SCRATCH_SIZES,
  log?: Pick<KernelLog, 'print'>,
): ScratchSizes {
  const text = value ?? '';
  const sizes = text.endsWith('%') ? parseScale(text, before) : parseFixed(text, quirks);
  if (sizes === undefined) {
    log?.print('warn', "Malformed early option 'kho_scratch'");
    return before;
  }
  if (text.endsWith('%')) {
    log?.print('debug', `KHO: scratch scale is ${sizes.scale | 0}%`);
  } else {
    const mib = (bytes: number) => `${toU64(bytes) >> 20n}MiB`;
    const { lowmem, global, pernode } = sizes;
    log?.print('debug', `KHO: scratch areas: lowmem: ${mib(lowmem)} global: ${mib(global)} pernode: ${mib(pernode)}`);
  }
  return sizes;
}

/**
 * The order of a pageblock: with huge pages built in what a PMD maps (2 MiB, 32 MiB, 512 MiB), unless the largest buddy
 * block is smaller.
 */
export function pageblockOrder(page: PageSize, maxPageOrder: number): number {
  return Math.min(page.shift - 3, maxPageOrder);
}

/** What scratch areas are aligned to, in bytes: the largest buddy block (7.2 on), or a pageblock. */
export function scratchAlignBytes(
  page: PageSize,
  maxPageOrder: number,
  quirks: Pick<ReleaseQuirks, 'scratchAlignment'>,
): number {
  const order = quirks.scratchAlignment === 'max-order' ? maxPageOrder : pageblockOrder(page, maxPageOrder);
  return page.sizeBytes * 2 ** order;
}

/** What the sizes of scratch areas depend on. */
export interface ScratchSizing {
  readonly memblock: Memblock;
  readonly sizes: ScratchSizes;
  readonly quirks: Pick<ReleaseQuirks, 'scratchIgnoresHugetlb' | 'scratchRoundsGivenSizes'>;
  /** What areas are aligned to and rounded up to. */
  readonly alignBytes: number;
  /** The architecture's low limit; 4 GiB - 1 by default. */
  readonly lowLimit?: number;
}

/** The scaled size of what is reserved for the kernel, modulo 2^64. */
function scaled(sizing: ScratchSizing, limit: number, nid: number): bigint {
  const { memblock, sizes, quirks } = sizing;
  let bytes = toU64(memblock.reservedKernSize(limit, nid));
  if (quirks.scratchIgnoresHugetlb) bytes -= toU64(memblock.reservedHugetlbSize(limit, nid));
  return ((bytes * BigInt(sizes.scale)) & U64_MASK) / 100n;
}

/**
 * Sizes of the lowmem and the global area. By default 200 percent of what is reserved for the kernel, counted before
 * anything of scratch is reserved: below the low limit for lowmem, and the rest for global. Up to 7.0, lowmem is
 * rounded up before it is taken off, and sizes from the command line are not rounded at all.
 */
export function lowmemAndGlobalSize(sizing: ScratchSizing): { readonly lowmem: number; readonly global: number } {
  const { sizes, quirks, alignBytes } = sizing;
  const roundsGiven = quirks.scratchRoundsGivenSizes;
  if (sizes.scale === 0) {
    if (!roundsGiven) return { lowmem: sizes.lowmem, global: sizes.global };
    return { lowmem: roundUp64(sizes.lowmem, alignBytes), global: roundUp64(sizes.global, alignBytes) };
  }
  const low = fromU64(scaled(sizing, sizing.lowLimit ?? DEFAULT_LOW_ADDRESS_LIMIT, NUMA_NO_NODE));
  const lowmem = roundUp64(low, alignBytes);
  const rest = (scaled(sizing, PHYS_ADDR_MAX, NUMA_NO_NODE) - toU64(roundsGiven ? low : lowmem)) & U64_MASK;
  return { lowmem, global: roundUpU64(rest, alignBytes) };
}

/** A difference just below 2^64 (a small negative number) has no double of its own: rounded as a BigInt. */
function roundUpU64(value: bigint, alignBytes: number): number {
  const align = BigInt(alignBytes);
  return fromU64((((value + align - 1n) / align) * align) & U64_MASK);
}

/**
 * Size of a node's area, counted in the moment it is reserved, so that the array and the areas before it count too.
 * Only regions whose nid is that node do: often none.
 */
export function nodeScratchSize(sizing: ScratchSizing, nid: number): number {
  const { sizes, alignBytes } = sizing;
  const size = sizes.scale === 0 ? sizes.pernode : fromU64(scaled(sizing, PHYS_ADDR_MAX, nid));
  return roundUp64(size, alignBytes);
}
