import type { MemoryVersion, PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import type { CORRUPT_TARGETS } from './schema.ts';

/*
 * Lost and stale writes: what a kernel wrote stays in a cache, and never reaches RAM. That kernel sees its own writes, so it
 * notices nothing; the next one finds what was there before: older contents, or in a page that was allocated since, whatever it
 * held when it was free. Only at a jump do the two differ, so that is where it shows.
 */

/** What may be stale, what is lost with it, and what a new kernel makes of that. */
export interface StaleMemory {
  readonly what: (typeof CORRUPT_TARGETS)[number];
  readonly lost: string;
  /** What must follow, and nothing else. */
  readonly follows: string;
}

/** Everything that `corrupt: { what: TARGET, stale: true }` may name. */
export const STALE_MEMORY: readonly StaleMemory[] = [
  {
    what: 'tree-leaf',
    lost: 'bits of the first leaf (7.1)',
    follows:
      'of its blocks, those that were preserved since are lost, with a WARN for who restores them; those that were unpreserved since stay set aside',
  },
  {
    what: 'tree-node',
    lost: 'links of the first table of a level (7.1)',
    follows: 'what hangs from a link that was made since is lost, with a WARN for who restores it',
  },
  { what: 'tree-root', lost: 'links of the root table (7.1)', follows: 'the same, for whole orders' },
  {
    what: 'bitmap',
    lost: 'bits of the first bitmap (up to 7.0)',
    follows: 'as of a leaf; up to 6.17 without a WARN, for lack of magic numbers',
  },
  {
    what: 'chunk',
    lost: 'the first chunk, which finalising writes (up to 7.0)',
    follows: 'an oops, where what the page held before leads',
  },
  {
    what: 'fdt',
    lost: 'changes of the root FDT',
    follows:
      'subtrees that were added since are not found; up to 7.0 the handover is refused, since finalising writes the FDT, or the map property',
  },
  { what: 'subtree', lost: 'data of a client', follows: 'the client finds what was there before; no kernel notices' },
  {
    what: 'session-files',
    lost: 'what LUO serializes of a session’s files',
    follows: '-EIO for who opens the device (7.2); before, files that are not found',
  },
  {
    what: 'scratch-array',
    lost: 'the copy of the array that loading makes',
    follows: 'an oops, where the new kernel allocates from what it takes for scratch',
  },
];

/**
 * The bytes that a range held in an earlier state of RAM.
 * @param version of the same machine, with pages of the same size.
 * @throws MachineFault outside RAM.
 */
export function bytesAsOf(memory: PhysicalMemory, version: MemoryVersion, phys: PhysAddr, sizeBytes: number) {
  const present = memory.mark();
  memory.restore(version);
  const bytes = memory.readBytes(phys, sizeBytes);
  memory.restore(present);
  return bytes;
}
