import type { Release } from '../../kernel/release.ts';
import type { PageSize } from '../../machine/index.ts';
import type { ExpectedObject } from '../check/expected-object.ts';
import { type Intervals, union } from '../handover/intervals.ts';
import type { AppliedCorruption } from '../run/corruption.ts';
import type { Outcome, RunResult } from '../run/result.ts';
import type { RunState } from '../run/run-state.ts';
import type { ConfigSpec } from '../run/schema.ts';
import type { Belongings } from './belongings.ts';
import type { Block } from './reader.ts';

/*
 * What is known of a run when it is over: what each jump carried, as the old kernel recorded it, and everything that the
 * checks outside both kernels found wrong. All page numbers are frames.
 */

/** An object as it was at a jump. */
export interface CrossedObject {
  readonly object: ExpectedObject;
  readonly pages: Intervals;
}

/** One jump. Kernels are numbered from 1; `to` is the number of the new one. */
export interface Jump {
  readonly to: number;
  readonly old: Release;
  readonly next: Release;
  readonly oldConfig: ConfigSpec;
  readonly config: ConfigSpec;
  readonly maxPageOrder: number;
  /** Whether the old kernel had LUO running. */
  readonly oldLuo: boolean;
  /** Whether the new kernel reads LUO's part: with kho=off it takes the memory over, and no client runs. */
  readonly readsLuo: boolean;
  /** Whether the loader passed a handover on. */
  readonly handed: boolean;
  readonly blocks: readonly Block[];
  /** The same as ranges. */
  readonly recorded: Intervals;
  readonly crossed: readonly CrossedObject[];
  /** Scratch of the old kernel. */
  readonly scratch: Intervals;
  /** The blocks as the new kernel's release reads them; the same as `blocks` where both mean the same by a map. */
  readonly read: readonly Block[];
  /** Blocks that were recorded, and are not among those; and those that nobody recorded. */
  readonly unread: Intervals;
  readonly misread: Intervals;
  /** Whether its walk falls over a map that means something else to it. */
  readonly readerFalls: boolean;
  /** Where the map itself lies, as far as it is in `scratch`: the new kernel's image and early memory come there. */
  readonly mapInScratch: Intervals;
  /** Whose pages were which. */
  readonly belongings: Belongings;
  /** What was recorded and belongs to no client: the old kernel's own. */
  readonly kernelPages: Intervals;
  /** Frames whose struct pages the new kernel initialises late. */
  readonly late: Intervals;
  /** What the new kernel's walk reserved. */
  readonly reserved: Intervals;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly log: readonly string[];
  /** Sites that failed in the old kernel, and in the new one while it came up. */
  readonly failedBefore: readonly string[];
  readonly failedInBoot: readonly string[];
  readonly corrupted: readonly AppliedCorruption[];
  /** vmalloc areas that the old kernel began to preserve, and could not. */
  readonly failedAreas: ReadonlySet<ExpectedObject>;
  /** kexecs that the old kernel had refused before this one, with the error. */
  readonly refusals: readonly string[];
}

/** Something that is not as it should be. */
export type Symptom =
  | {
      readonly kind: 'pages';
      readonly kernel: number;
      readonly what: 'damaged' | 'lost' | 'leaked' | 'wrongState';
      readonly object: ExpectedObject;
      readonly pages: Intervals;
      readonly text: string;
    }
  | { readonly kind: 'crash'; readonly kernel: number; readonly inBoot: boolean; readonly text: string }
  | {
      readonly kind: 'client';
      readonly kernel: number;
      readonly client: 'session' | 'subtree';
      readonly name: string;
      readonly text: string;
    }
  /** Memory that was set aside for nobody. */
  | { readonly kind: 'phantom'; readonly kernel: number; readonly pages: Intervals; readonly text: string }
  /** A step that restored an object which was not there to be restored. */
  | {
      readonly kind: 'step';
      readonly kernel: number;
      readonly step: number;
      readonly object: ExpectedObject;
      /** First pages of the blocks that others handed over, and that nobody had asked back by then. */
      readonly waiting: Intervals;
      readonly text: string;
    }
  /** The handover without faults did not come good. */
  | { readonly kind: 'second-phase'; readonly kernel: number; readonly text: string }
  /** A handover that was taken over, and had to be refused, or the other way round. */
  | { readonly kind: 'start'; readonly kernel: number; readonly text: string };

/** Pages of an object that somebody else had in the kernel of this number, too. */
export interface SharedPages {
  readonly kernel: number;
  readonly object: ExpectedObject;
  /** Who else has them. */
  readonly other: ExpectedObject;
  readonly pages: Intervals;
}

export type PageSymptom = Extract<Symptom, { kind: 'pages' }>;
export type StepSymptom = Extract<Symptom, { kind: 'step' }>;
export type ClientSymptom = Extract<Symptom, { kind: 'client' }>;

/** Everything about a run. */
export interface Evidence {
  readonly page: PageSize;
  readonly result: RunResult;
  readonly state: RunState;
  readonly jumps: readonly Jump[];
  readonly symptoms: readonly Symptom[];
  /** Scratch that the page allocator of the kernel of this number gives out: its deferred initialisation lost the CMA mark. */
  readonly lostCma: ReadonlyMap<number, Intervals>;
  /** Pages of each object that were somebody else's when it was made. */
  readonly foreign: ReadonlyMap<ExpectedObject, Intervals>;
  /** Objects that were freed while they were preserved, or by one of two owners, with the number of the kernel. */
  readonly freed: ReadonlyMap<ExpectedObject, number>;
  /** Pages that two had at the same time, or that one asked back and another had handed over. */
  readonly shared: readonly SharedPages[];
  /** Pages that a client asked back which had not handed them over, with the number of the kernel. */
  readonly wrongRestores: readonly { readonly kernel: number; readonly pages: Intervals }[];
  /** Kernels in which a vmalloc area was asked for again, whose descriptor went with the first time. */
  readonly readAfterFree: ReadonlySet<number>;
  /** Pages that somebody wrote to whose they are not, as an old kernel does that ignores what it preserved. */
  readonly strayWrites: Intervals;
  /** The first kernel in which such a write hit memory of the kernel itself: its map, a blob, a table. */
  readonly strayInKernel: number | undefined;
  /** Whether the second phase had its jump, and no fault in it. */
  readonly secondPhase: boolean;
  nidOf(pfn: number): number;
}

const framesOf = new WeakMap<ExpectedObject, Intervals>();

/** The frames of an object's blocks, ascending. */
export function pagesOf(object: ExpectedObject): Intervals {
  const known = framesOf.get(object);
  if (known !== undefined) return known;
  const { starts, nrPagesEach } = object.blocks;
  const pages = union([...starts].map((start) => [start, start + nrPagesEach] as const));
  framesOf.set(object, pages);
  return pages;
}

/** The part of `a` that is in `b`, too. */
export function intersect(a: Intervals, b: Intervals): Intervals {
  const out: (readonly [number, number])[] = [];
  let j = 0;
  for (const [start, end] of a) {
    while (j < b.length && (b[j] as readonly [number, number])[1] <= start) j++;
    for (let k = j; k < b.length; k++) {
      const [from, to] = b[k] as readonly [number, number];
      if (from >= end) break;
      out.push([Math.max(start, from), Math.min(end, to)]);
    }
  }
  return out;
}
