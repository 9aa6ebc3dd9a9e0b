import { alignDown, alignUp, type PhysAddr } from '../../machine/index.ts';
import { EADDRNOTAVAIL, type Errno } from '../errno.ts';

/** A part of a kexec image that wants a destination. */
export interface SegmentRequest {
  readonly name: string;
  readonly sizeBytes: number;
  /** At least a page. */
  readonly alignBytes: number;
  /** From the top of an area downwards, or from its bottom upwards. */
  readonly topDown: boolean;
  /** Lowest and highest address allowed; the whole address space when absent. */
  readonly minAddr?: number;
  readonly maxAddr?: number;
}

/** A segment of a kexec image with its place in RAM. */
export interface PlacedSegment {
  readonly name: string;
  readonly base: PhysAddr;
  readonly sizeBytes: number;
}

interface Area {
  readonly base: number;
  readonly sizeBytes: number;
}

/**
 * Finds destinations for the segments of an image as kexec_file_load does with KHO on: inside scratch only, areas in
 * index order, the first that fits; segments in the order given, each keeping clear of those before it.
 *
 *      scratch[0]
 *     |kernel......|initrd...|                 |boot-dt|   |array|
 *      bottom up ->                                 <- top down
 *
 * @returns the segments with their destinations, or -EADDRNOTAVAIL.
 */
export function placeSegments(
  areas: readonly Area[],
  requests: readonly SegmentRequest[],
  pageBytes: number,
): readonly PlacedSegment[] | Errno {
  const placed: PlacedSegment[] = [];
  for (const request of requests) {
    const sizeBytes = alignUp(request.sizeBytes, pageBytes);
    const alignBytes = Math.max(request.alignBytes, pageBytes);
    const wanted = { ...request, sizeBytes, alignBytes };
    const base = firstFit(areas, wanted, placed, pageBytes);
    if (base === undefined) return EADDRNOTAVAIL;
    placed.push({ name: request.name, base, sizeBytes });
  }
  return placed;
}

function firstFit(
  areas: readonly Area[],
  request: SegmentRequest,
  placed: readonly PlacedSegment[],
  pageBytes: number,
): PhysAddr | undefined {
  for (const area of areas) {
    if (area.sizeBytes < request.sizeBytes) continue;
    const low = Math.max(area.base, request.minAddr ?? 0);
    const high = Math.min(area.base + area.sizeBytes, (request.maxAddr ?? Number.MAX_SAFE_INTEGER) + 1);
    const base = request.topDown
      ? topDown(low, high, request, placed)
      : bottomUp(low, high, request, placed, pageBytes);
    if (base !== undefined) return base as PhysAddr;
  }
  return undefined;
}

/** The segment that a range would overlap. */
function conflict(base: number, sizeBytes: number, placed: readonly PlacedSegment[]): PlacedSegment | undefined {
  return placed.find((other) => base < other.base + other.sizeBytes && other.base < base + sizeBytes);
}

function topDown(low: number, high: number, request: SegmentRequest, placed: readonly PlacedSegment[]) {
  let base = alignDown(high - request.sizeBytes, request.alignBytes);
  while (base >= low) {
    const other = conflict(base, request.sizeBytes, placed);
    if (other === undefined) return base;
    base = alignDown(other.base - request.sizeBytes, request.alignBytes);
  }
  return undefined;
}

function bottomUp(
  low: number,
  high: number,
  request: SegmentRequest,
  placed: readonly PlacedSegment[],
  pageBytes: number,
) {
  let base = alignUp(low, request.alignBytes);
  while (base + request.sizeBytes <= high) {
    const other = conflict(base, request.sizeBytes, placed);
    if (other === undefined) return base;
    base = alignUp(alignUp(other.base + other.sizeBytes, pageBytes), request.alignBytes);
  }
  return undefined;
}
