import type { BootHandoff, PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import { type Intervals, union } from '../handover/intervals.ts';
import type { RunState } from '../run/run-state.ts';

/*
 * What clients hand over beside the pages of their objects: where blobs and files lie at a jump, and the pages that
 * describe a vmalloc area. Without those they cannot have their memory back, whatever became of it.
 */

/** Whose pages are which at a jump, as ranges of frames. */
export interface Belongings {
  /** Blobs of subtrees, by name. */
  readonly subtrees: ReadonlyMap<string, Intervals>;
  /** Files of sessions, by the session's name; what LUO writes about them is the kernel's. */
  readonly sessions: ReadonlyMap<string, Intervals>;
  /** The root FDT: nobody finds anything without it. */
  readonly rootFdt: Intervals;
  /** The blob with the descriptor of each vmalloc area, and its chunks, by the object's name. */
  readonly areas: ReadonlyMap<string, Intervals>;
}

/** Chunks of one area that are looked at: each names hundreds of pages. */
const MAX_CHUNKS = 4096;

/** Looks what the kernel that is about to go leaves in RAM. */
export function belongingsOf(run: RunState, memory: PhysicalMemory, handoff: BootHandoff | undefined): Belongings {
  const { page } = run;
  const frames = (phys: number, sizeBytes: number): readonly [number, number] => [
    Math.floor(phys / page.sizeBytes),
    Math.ceil((phys + Math.max(sizeBytes, 1)) / page.sizeBytes),
  ];
  const subtrees = new Map<string, Intervals>();
  for (const { name, state, phys, content } of run.subtrees.values()) {
    if (state === 'outgoing') subtrees.set(name, [frames(phys, content.length)]);
  }
  const sessions = new Map<string, Intervals>();
  for (const { name, state, files } of run.sessions.sessions.values()) {
    if (state !== 'outgoing') continue;
    const ranges = files.flatMap((file) => file.frames.map(({ pfn, nrPages }) => [pfn, pfn + nrPages] as const));
    sessions.set(name, union(ranges));
  }
  const areas = new Map<string, Intervals>();
  for (const [name, blob] of run.vmallocBlobs) {
    const chunks = chunksOf(run, memory, blob).map((phys) => frames(phys, page.sizeBytes));
    areas.set(name, union([frames(blob, 1), ...chunks]));
  }
  const rootFdt = handoff === undefined ? [] : [frames(handoff.fdt.phys, page.sizeBytes)];
  return { subtrees, sessions, areas, rootFdt };
}

/** The chunks that a descriptor leads to, as far as they are RAM. */
function chunksOf(run: RunState, memory: PhysicalMemory, blob: PhysAddr): number[] {
  const { abi } = run.kernel.context;
  const { page } = run;
  const chunk = abi.struct('kho_vmalloc_chunk');
  const chunks: number[] = [];
  let at = abi.struct('kho_vmalloc').get(memory, blob, 'first');
  while (at !== 0 && at % page.sizeBytes === 0 && memory.contains(at, page.sizeBytes) && chunks.length < MAX_CHUNKS) {
    chunks.push(at);
    at = chunk.get(memory, at as PhysAddr, 'hdr.next');
  }
  return chunks;
}
