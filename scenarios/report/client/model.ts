/*
 * What a report shows, as plain data: it is written into the page as JSON. Nothing here knows kernels. Page frame numbers
 * and sizes are plain numbers (below 2^53), whatever may be wider comes as `0x` hex text.
 */

/** What a page is, from the most harmless to the worst: zoomed out, the worst state in a column is the one that shows. */
export const STATE_KINDS = [
  'free',
  'kernel',
  'scratch',
  'client',
  'preserved',
  'incoming',
  'tree',
  'fdt',
  'leaked',
  'lost',
  'damaged',
] as const;

export type StateKind = (typeof STATE_KINDS)[number];

/** Something that pages have in common. */
export interface PageState {
  readonly kind: StateKind;
  /** Order of the block that the page is in; -1 where there is none. */
  readonly order: number;
  /** Whose it is: an object of the scenario, a client, a part of the kernel; '' when nobody's. */
  readonly owner: string;
  /** Who wrote the block's first page last; '' when it doesn't matter or isn't known. */
  readonly writer: string;
}

/** A range of RAM. */
export interface BankView {
  /** First page frame. */
  readonly pfn: number;
  readonly nrPages: number;
  readonly nid: number;
}

/** RAM through all frames of a report. */
export interface MemoryModel {
  readonly pageShift: number;
  readonly banks: readonly BankView[];
  /** What `Frame.runs` refers to by index. */
  readonly states: readonly PageState[];
}

/** A change of control state as immer tells it. */
export interface PatchView {
  readonly op: 'replace' | 'remove' | 'add';
  readonly path: readonly (string | number)[];
  readonly value?: unknown;
}

/** What happens to a kernel's control state in a frame. */
export type ControlChange =
  /** A kernel that has just started: all of it. */
  | { readonly kind: 'state'; readonly state: unknown }
  | { readonly kind: 'patches'; readonly patches: readonly PatchView[]; readonly inverse: readonly PatchView[] };

/** Something that went wrong with a page. */
export interface BadEvent {
  readonly kind: 'damaged' | 'lost' | 'leaked' | 'wrongState';
  readonly pfn: number;
  readonly text: string;
}

/** The outgoing map at a moment. */
export interface MapFigures {
  /** Pages that the map itself takes, at each level (a chunk list has one level). Leaves first. */
  readonly nodesPerLevel: readonly number[];
  readonly nrBlocks: number;
  readonly nrPages: number;
}

/** The state of the machine after something happened. */
export interface Frame {
  /** `boot`: a kernel started; `step`: a step of the scenario; `jump`: RAM as the next kernel finds it; `image`: memory from elsewhere. */
  readonly phase: 'boot' | 'step' | 'jump' | 'image';
  readonly title: string;
  /** What it came to: `ok`, an errno, an outcome. */
  readonly result: string;
  /** Went as the scenario expects. */
  readonly ok: boolean;
  /** Line of the scenario file; 0 for none. */
  readonly line: number;
  /** 1 for the first. */
  readonly kernel: number;
  /** Virtual time of that kernel. */
  readonly microseconds: number;
  /** How RAM differs from the frame before (client/runs.ts); the first frame: from RAM full of state 0. */
  readonly runs: string;
  /** Pages to the grain of `runs`: 1 unless there was too much to show page by page. */
  readonly grainPages: number;
  /** Pages that were written since the frame before: how many, and the first ranges of [page frame, pages]. */
  readonly written: { readonly nrPages: number; readonly ranges: readonly (readonly [number, number])[] };
  readonly control: ControlChange;
  /** Lines of this kernel's log that were printed up to here. */
  readonly logLines: number;
  readonly map: MapFigures | null;
  readonly scratchUsedPages: number;
  readonly bad: readonly BadEvent[];
}

/** A node of a radix tree. */
export interface TreeNode {
  readonly pfn: number;
  /** Index of its parent in the level above; -1 for the root. */
  readonly parent: number;
  /** Slot of the parent that points to it. */
  readonly slot: number;
  /** Slots or bits in use. */
  readonly used: number;
}

/** How keys of a tree are made, and its nodes. */
export interface RadixView {
  readonly kind: 'radix-tree';
  readonly depth: number;
  readonly keyWidth: number;
  readonly tableLog2: number;
  readonly bitmapLog2: number;
  /** Lowest key bit of each level's index. */
  readonly levelShifts: readonly number[];
  /** Marker bit of each order. */
  readonly markerBits: readonly number[];
  /** How far the address is shifted right for each order. */
  readonly addressShifts: readonly number[];
  /** Nodes by level, leaves (level 0) first, each in key order; the first ones of a level that has very many. */
  readonly levels: readonly { readonly nrNodes: number; readonly nodes: readonly TreeNode[] }[];
}

/** A chunk list and its bitmaps. */
export interface ChunkListView {
  readonly kind: 'chunk-list';
  readonly bitmapBytes: number;
  readonly chunks: readonly {
    readonly phys: string;
    readonly order: number;
    readonly entries: readonly { readonly physStart: string; readonly bitmap: string }[];
  }[];
  readonly nrChunks: number;
}

/** A line of an annotated dump. */
export interface DumpRow {
  readonly offset: number;
  readonly hex: string;
  readonly text: string;
}

/** A devicetree node. */
export interface FdtNodeView {
  readonly name: string;
  readonly properties: readonly { readonly name: string; readonly hex: string; readonly text: string }[];
  readonly children: readonly FdtNodeView[];
}

/** A flattened devicetree in memory. */
export interface FdtDocument {
  readonly title: string;
  readonly phys: string;
  readonly sizeBytes: number;
  readonly root: FdtNodeView | null;
  readonly rows: readonly DumpRow[];
}

/** What one kernel left for the next, as read out of the bytes. */
export interface HandoverView {
  readonly title: string;
  /** The frame whose RAM this is. */
  readonly frame: number;
  readonly compatible: string;
  /** Releases that take it. */
  readonly candidates: readonly string[];
  readonly facts: readonly (readonly [string, string])[];
  readonly byOrder: readonly (readonly [number, number])[];
  readonly map: RadixView | ChunkListView | null;
  readonly fdts: readonly FdtDocument[];
  readonly clients: readonly { readonly title: string; readonly lines: readonly string[] }[];
  readonly findings: readonly {
    readonly severity: 'error' | 'warning' | 'note';
    readonly code: string;
    readonly message: string;
    readonly where: string;
  }[];
}

/** A line of a kernel's log. */
export type LogRow = readonly [microseconds: number, level: string, text: string];

/** A table of memblock: `memory` or `reserved`. */
export interface MemblockTable {
  readonly name: string;
  readonly nrRegions: number;
  /** gap since the end before, size, flags, node + 1 (0 for none) of each region, as client/runs.ts writes numbers; the first ones of very many. */
  readonly regions: string;
}

/** One kernel of a run. */
export interface KernelView {
  readonly release: string;
  readonly cmdline: string;
  readonly outcome: string;
  readonly reason: string;
  readonly log: readonly LogRow[];
  /** The boot as it went: name and virtual time of each step. */
  readonly boot: readonly { readonly name: string; readonly microseconds: number; readonly endMicroseconds: number }[];
  /** memblock when it ended. */
  readonly memblock: readonly MemblockTable[];
  readonly figures: Readonly<Record<string, number>>;
}

/** How much, as the report shows it. */
export interface AmountView {
  readonly pages: number;
  readonly bytes: number;
}

/** One run of a scenario. */
export interface RunView {
  readonly kind: 'run';
  readonly title: string;
  readonly scenario: string;
  readonly arch: string;
  readonly pageSize: number;
  readonly seed: number;
  readonly ok: boolean;
  readonly outcome: string;
  readonly reason: string;
  readonly verdict: string;
  readonly totals: Readonly<Record<'preserved' | 'restored' | 'damaged' | 'leaked' | 'lost' | 'untested', AmountView>>;
  readonly checks: readonly {
    readonly name: string;
    readonly ok: boolean;
    readonly detail: string;
    readonly firstBadEvent: string | null;
  }[];
  readonly objects: readonly {
    readonly name: string;
    readonly kind: string;
    readonly pages: number;
    readonly bytes: number;
    readonly state: string;
    readonly detail: string;
  }[];
  readonly digest: string;
  readonly command: string;
  readonly memory: MemoryModel;
  readonly frames: readonly Frame[];
  readonly handovers: readonly HandoverView[];
  readonly kernels: readonly KernelView[];
}

/** A memory image that was inspected. */
export interface ImageView {
  readonly kind: 'image';
  readonly title: string;
  readonly command: string;
  readonly memory: MemoryModel;
  readonly frames: readonly Frame[];
  readonly handovers: readonly HandoverView[];
}

/** What a page with time travel and memory is made of. */
export interface ReportData {
  readonly schema: 1;
  readonly kind: 'run' | 'inspect';
  readonly version: string;
  readonly views: readonly (RunView | ImageView)[];
}
