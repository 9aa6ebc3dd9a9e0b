import { type Order, type PhysAddr, pfnOf, physOf } from '../../machine/index.ts';
import type { KhoContext } from '../context.ts';
import type { Errno } from '../errno.ts';
import { BITMAP_SITE, CHUNK_SITE, RADIX_NODE_SITE } from '../fault-sites.ts';
import { ChunkListMap, ChunkListReader } from './chunk-list.ts';
import { radixGeometry } from './geometry.ts';
import type { IncomingMap, OutgoingMap } from './memory-map.ts';
import { arm64Pointer, exactPointer } from './node-source.ts';
import { RadixTree } from './radix-tree.ts';
import { RadixReader, STEPS_PER_KEY } from './radix-walk.ts';

/** An empty map in the format of the kernel's release. -ENOMEM when its first page cannot be had. */
export function makeOutgoingMap(ctx: KhoContext): OutgoingMap | Errno {
  const { release, page, memory, allocator, kfence, log, faults, random } = ctx;
  if (release.map.format === 'chunk-list') {
    return new ChunkListMap({
      memory,
      allocator,
      contract: release.map,
      quirks: release.quirks,
      kfence,
      seed: random.u32(),
      failsBitmap: () => faults.fails(BITMAP_SITE),
      failsChunk: () => faults.fails(CHUNK_SITE),
      warnOnOnce: (functionName) => log.warnOnOnce(functionName),
    });
  }
  const nodes = {
    allocNode: (): PhysAddr | undefined => {
      if (faults.fails(RADIX_NODE_SITE)) return undefined;
      const pfn = allocator.allocPages(0 as Order, { zero: true });
      return pfn === undefined ? undefined : physOf(page, pfn);
    },
    freeNode: (phys: PhysAddr): void => allocator.freePages(pfnOf(page, phys), 0 as Order),
  };
  const tree = new RadixTree(memory, radixGeometry(page, release.map), nodes, {
    log,
    rejectWideKeys: release.quirks.refusesWideKeys,
    leavesDanglingEntry: release.quirks.radixLeavesDanglingEntry,
  });
  const err = tree.init();
  return err === 0 ? tree : err;
}

/** Blocks that a walk may visit for each page of RAM before it is taken to have no end: no honest map has so many. */
const MAX_VISITS_PER_PAGE = 4;

/** The reader of the kernel's release. */
export function makeIncomingMap(ctx: Pick<KhoContext, 'release' | 'page' | 'map' | 'arch'>): IncomingMap {
  const { release, page } = ctx;
  if (release.map.format === 'chunk-list') return new ChunkListReader(release.map, page, ctx.arch);
  const nrPages = ctx.map.banks.reduce((sum, bank) => sum + bank.sizeBytes, 0) / page.sizeBytes;
  const maxSteps = MAX_VISITS_PER_PAGE * STEPS_PER_KEY * nrPages + 2 ** 24;
  const translate = ctx.arch === 'arm64' ? arm64Pointer : exactPointer;
  return new RadixReader(radixGeometry(page, release.map), { maxSteps, translate });
}
