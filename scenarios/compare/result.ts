/*
 * What `khosim compare` comes to, as plain data: what --json prints and what the report reads. Every number is counted
 * in a run that was executed; the formulas that predict them are in the tests only.
 */

/** `bytes`, `pages`, `count`, `bits`, `per-gib` (bytes for each preserved GiB), `permille`. */
export type MetricUnit = 'bytes' | 'pages' | 'count' | 'bits' | 'per-gib' | 'permille';

/** One metric at each page size. */
export interface MetricRow {
  readonly id: string;
  /** For people, one short line. */
  readonly metric: string;
  /** Rows of one group belong together: `tree`, `preserved`, `boot`, `scratch`, `clients`, `machine`. */
  readonly group: MetricGroup;
  readonly unit: MetricUnit;
  /** By column, plain numbers; a page size at which the workload could not be run has none. */
  readonly values: Readonly<Record<string, number>>;
}

export type MetricGroup = 'tree' | 'preserved' | 'boot' | 'scratch' | 'clients' | 'machine';

/** Something to know about one page size, or (column null) about the comparison. */
export interface CompareNote {
  readonly column: string | null;
  /** `limit`: what this page size cannot do here; `remedy`: what to do about it, with what a run of it gave. */
  readonly kind: 'limit' | 'remedy' | 'remark';
  readonly text: string;
}

/** One point of the crossover plot: what keeping so many bytes as single pages costs. */
export interface SweepPoint {
  readonly column: string;
  /** `dense`: neighbouring pages; `sparse`: as many, evenly spread over all of RAM. */
  readonly density: 'dense' | 'sparse';
  readonly preservedBytes: number;
  /** Pages of the memory map, all levels. */
  readonly metadataBytes: number;
  readonly keys: number;
}

/** Where something lies in RAM at the jump. */
export interface MemoryRange {
  readonly base: number;
  readonly sizeBytes: number;
  /** `ram` ranges are the banks; the others lie on top of them. */
  readonly kind: 'ram' | 'scratch' | 'preserved' | 'map' | 'client';
}

/** How the workload's handover went at one page size. */
export interface ColumnResult {
  readonly column: string;
  readonly pageSize: number;
  /** `handover` when the new kernel took everything over; anything else, with the reason. */
  readonly outcome: string;
  readonly reason: string | null;
  readonly ramBytes: number;
  /** What the workload wants kept: the dot of the crossover plot, with `metadataBytes`. */
  readonly askedBytes: number;
  readonly metadataBytes: number;
  /** Tree pages by level, leaves first; empty where the map is no tree. */
  readonly nodesPerLevel: readonly number[];
  /** Preserved blocks by order. */
  readonly keysByOrder: Readonly<Record<string, number>>;
  /** RAM at the jump: neighbours of one kind joined, at most a few thousand ranges. */
  readonly memory: readonly MemoryRange[];
}

export interface CompareResult {
  readonly workload: string;
  /** What the workload is, in a line or two. */
  readonly about: string;
  readonly releases: readonly string[];
  readonly arch: string;
  readonly seed: number;
  readonly columns: readonly string[];
  readonly rows: readonly MetricRow[];
  readonly details: readonly ColumnResult[];
  readonly sweep: readonly SweepPoint[];
  readonly notes: readonly CompareNote[];
}
