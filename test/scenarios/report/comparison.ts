import type { ColumnResult, CompareResult, SweepPoint } from '../../../scenarios/compare/result.ts';

const GIB = 2 ** 30;

function column(name: string, pageSize: number, nodesPerLevel: readonly number[]): ColumnResult {
  return {
    column: name,
    pageSize,
    outcome: 'handover',
    reason: null,
    ramBytes: 16 * GIB,
    askedBytes: 4 * GIB,
    metadataBytes: nodesPerLevel.reduce((sum, nodes) => sum + nodes, 0) * pageSize,
    nodesPerLevel,
    keysByOrder: { 9: 2048 },
    memory: [
      { base: GIB, sizeBytes: 16 * GIB, kind: 'ram' },
      { base: 2 * GIB, sizeBytes: GIB / 4, kind: 'scratch' },
      { base: 4 * GIB, sizeBytes: 4 * GIB, kind: 'preserved' },
      { base: 9 * GIB, sizeBytes: 65536, kind: 'map' },
    ],
  };
}

function sweep(name: string, pageSize: number): SweepPoint[] {
  return [pageSize, 2 ** 24, 2 ** 30].flatMap((preservedBytes) =>
    (['dense', 'sparse'] as const).map((density) => ({
      column: name,
      density,
      preservedBytes,
      metadataBytes: pageSize * (density === 'dense' ? 6 : 60),
      keys: preservedBytes / pageSize,
    })),
  );
}

/** A made-up comparison: numbers that a page can be checked against. */
export const COMPARISON: CompareResult = {
  workload: 'made-up',
  about: 'Numbers for a test.',
  releases: ['7.3'],
  arch: 'arm64',
  seed: 1,
  columns: ['4K', '16K', '64K'],
  rows: [
    {
      id: 'key-width',
      metric: 'bits of a key',
      group: 'tree',
      unit: 'bits',
      values: { '4K': 53, '16K': 51, '64K': 49 },
    },
    {
      id: 'scratch-bytes',
      metric: 'scratch',
      group: 'scratch',
      unit: 'bytes',
      values: { '4K': 100663296, '16K': 100663296, '64K': 1610612736 },
    },
  ],
  details: [
    column('4K', 4096, [4, 2, 2, 2, 1, 1]),
    column('16K', 16384, [2, 1, 1, 1, 1]),
    column('64K', 65536, [1, 1, 1, 1]),
  ],
  sweep: [...sweep('4K', 4096), ...sweep('16K', 16384), ...sweep('64K', 65536)],
  notes: [{ column: '64K', kind: 'limit', text: 'scratch areas are 512 MiB at least' }],
};
