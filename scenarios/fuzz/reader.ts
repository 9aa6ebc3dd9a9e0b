import { KernelHang } from '../../kernel/failure.ts';
import { fdtViewAt } from '../../kernel/kho/fdt-view.ts';
import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { makeIncomingMap } from '../../kernel/kho/outgoing-map.ts';
import { mapOf } from '../../kernel/kho/root-fdt.ts';
import type { Release } from '../../kernel/release.ts';
import { type BootHandoff, type Machine, MachineFault, type PageSize, type PhysAddr } from '../../machine/index.ts';
import { type Intervals, union } from '../handover/intervals.ts';
import { bitmapBytesOf } from '../inspect/chunk-list-map.ts';

/*
 * A map through the eyes of a release that takes it for its own. Two releases may agree in the string and differ in what a
 * bitmap or a tree is: then what one recorded is not what the other reads.
 */

/** A block as a kernel recorded it, or as another reads it. */
export interface Block {
  readonly start: number;
  readonly order: number;
}

/** Blocks that are read before a map is taken to be nonsense through and through. */
const MAX_BLOCKS = 2 ** 20;

class Enough extends Error {}

type Visit = (phys: number, order: number) => void;

/** Walks a map in RAM as a release does. @returns false when that falls over. */
function walk(
  release: Release,
  old: Release,
  machine: Machine,
  handoff: BootHandoff,
  visit: Visit,
  node?: Visit,
): boolean {
  const { memory, map, arch, page } = machine;
  const root = mapOf(fdtViewAt(memory, handoff.fdt.phys), old.root) ?? 0;
  if (root === 0) return true;
  try {
    makeIncomingMap({ release, page, map, arch }).walk(
      memory,
      root as PhysAddr,
      (lo, hi, order) => visit((hi >>> 0) * 0x1_0000_0000 + (lo >>> 0), order),
      node,
    );
    return true;
  } catch (error) {
    if (!(error instanceof MachineFault || error instanceof KernelHang || error instanceof Enough)) throw error;
    return false;
  }
}

/** How far apart the parts of a map are: what two releases must agree in. */
function shapeOf({ map }: Release, page: PageSize): number {
  return map.format === 'radix-tree' ? radixGeometry(page, map).depth : bitmapBytesOf(map, page);
}

/** A map as another release takes it. */
export interface Reading {
  readonly blocks: readonly Block[];
  /** Whether its walk falls over; then `blocks` are those before that. */
  readonly falls: boolean;
}

/**
 * What a release reads in the RAM that another left.
 * @returns undefined when both mean the same by it, or say that they do not.
 */
export function readingOf(next: Release, old: Release, machine: Machine, handoff: BootHandoff): Reading | undefined {
  const { page } = machine;
  if (old.root.compatible !== next.root.compatible || shapeOf(old, page) === shapeOf(next, page)) return undefined;
  const blocks: Block[] = [];
  const ends = walk(next, old, machine, handoff, (phys, order) => {
    if (blocks.length === MAX_BLOCKS) throw new Enough();
    blocks.push({ start: phys / page.sizeBytes, order });
  });
  return { blocks, falls: !ends };
}

/** The frames of a map itself: the pages of a tree, or bitmaps and chunks. */
export function mapFrames(old: Release, machine: Machine, handoff: BootHandoff): Intervals {
  const { sizeBytes } = machine.page;
  const frames: (readonly [number, number])[] = [];
  const node = (phys: number, bytes: number) =>
    frames.push([Math.floor(phys / sizeBytes), Math.ceil((phys + bytes) / sizeBytes)]);
  walk(old, old, machine, handoff, () => {}, node);
  return union(frames);
}

/** The frames of some blocks. */
export function rangesOf(blocks: readonly Block[]): Intervals {
  return union(blocks.map(({ start, order }) => [start, start + 2 ** order] as const));
}

const keyOf = ({ start, order }: Block) => `${start}/${order}`;

/** The frames of those blocks that are not among others; none when there are no others. */
export function withoutBlocks(blocks: readonly Block[], others: readonly Block[] | undefined): Intervals {
  if (others === undefined) return [];
  const known = new Set(others.map(keyOf));
  return rangesOf(blocks.filter((block) => !known.has(keyOf(block))));
}
