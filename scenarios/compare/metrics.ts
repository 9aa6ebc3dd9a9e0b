import type { Measurement } from './measurement.ts';
import type { MetricGroup, MetricRow, MetricUnit } from './result.ts';

interface Metric {
  readonly id: string;
  readonly metric: string;
  readonly group: MetricGroup;
  readonly unit: MetricUnit;
  /** Undefined where a release, or a handover that failed, has no such figure. */
  readonly value: (of: Measurement) => number | undefined;
}

const GIB = 2 ** 30;

/** Pages that hold bookkeeping of clients and of KHO itself. */
export function clientPages({ jump }: Measurement): number | undefined {
  if (jump === undefined) return undefined;
  return Object.values(jump.clientPages).reduce((sum, pages) => sum + pages, 0);
}

function clientPagesOf(of: Measurement, kinds: readonly string[]): number | undefined {
  const pages = of.jump?.clientPages as Readonly<Record<string, number>> | undefined;
  return pages === undefined ? undefined : kinds.reduce((sum, kind) => sum + (pages[kind] ?? 0), 0);
}

function clientBytes(of: Measurement): number | undefined {
  const pages = clientPages(of);
  return pages === undefined ? undefined : pages * of.page.sizeBytes;
}

/** Memory that is there for the handover alone: the map, and what is preserved for bookkeeping. */
export function metadataBytes(of: Measurement): number | undefined {
  const bytes = clientBytes(of);
  return of.jump === undefined || bytes === undefined ? undefined : of.jump.mapBytes + bytes;
}

function perGib(bytes: number | undefined, of: Measurement): number | undefined {
  return bytes === undefined || of.askedBytes === 0 ? undefined : Math.round(bytes / (of.askedBytes / GIB));
}

function scratchBytes({ jump }: Measurement): number | undefined {
  return jump?.scratch.reduce((sum, area) => sum + area.sizeBytes, 0);
}

function maxOrder({ jump }: Measurement): number | undefined {
  return jump === undefined ? undefined : Math.max(...Object.keys(jump.keysByOrder).map(Number));
}

/** Every metric but those that need runs of their own, in the order of the table. */
export const METRICS: readonly Metric[] = [
  metric('key-width', 'widest key', 'tree', 'bits', (of) => of.jump?.tree?.keyWidth),
  metric('bits-per-table', 'bits per level', 'tree', 'bits', (of) => of.jump?.tree?.tableBits),
  metric('bits-per-leaf', 'bits of a leaf', 'tree', 'bits', (of) => of.jump?.tree?.leafBits),
  metric('tree-depth', 'levels', 'tree', 'count', (of) => of.jump?.tree?.depth),
  metric('tree-nodes', 'tree pages', 'tree', 'pages', (of) => of.jump?.mapPages),
  metric('tree-leaves', '  of these, leaves', 'tree', 'pages', (of) => of.jump?.tree?.nodesPerLevel[0]),
  metric('tree-tables', '  of these, tables', 'tree', 'pages', (of) => tables(of)),
  metric('tree-bytes', 'tree size', 'tree', 'bytes', (of) => of.jump?.mapBytes),
  metric('metadata-bytes', 'all metadata', 'tree', 'bytes', metadataBytes),
  metric('metadata-per-gib', 'metadata per GiB', 'tree', 'per-gib', (of) => perGib(metadataBytes(of), of)),
  metric('tree-per-gib', 'tree per GiB', 'tree', 'per-gib', (of) => perGib(of.jump?.mapBytes, of)),
  metric('walk-slots', 'walk: slots read', 'tree', 'count', (of) => of.jump?.tree?.walkSlots),
  metric('walk-words', 'walk: bitmap words', 'tree', 'count', (of) => of.jump?.tree?.walkWords),

  metric('asked-bytes', 'asked to keep', 'preserved', 'bytes', (of) => of.askedBytes),
  metric('preserved-bytes', 'preserved', 'preserved', 'bytes', (of) => of.jump?.preservedBytes),
  metric('bytes-over-preserved', 'more than asked', 'preserved', 'bytes', over),
  metric('rounding-bytes', '  of this, rounding', 'preserved', 'bytes', (of) => minus(over(of), clientBytes(of))),
  metric('keys', 'keys', 'preserved', 'count', (of) => of.jump?.keys),
  metric('orders-used', 'orders used', 'preserved', 'count', (of) => ordersUsed(of)),
  metric('largest-order', 'largest order', 'preserved', 'count', maxOrder),

  metric('memblock-regions', 'reserved regions, peak', 'boot', 'count', (of) => of.boot?.reservedRegions),
  metric('memblock-doublings', 'array doublings', 'boot', 'count', (of) => of.boot?.doublings),
  metric('kernel-retrieval-steps', 'regions scanned', 'boot', 'count', (of) => of.boot?.retrievalSteps),
  metric('kernel-retrieval-bytes-moved', 'array bytes moved', 'boot', 'bytes', (of) => of.boot?.retrievalBytesMoved),

  metric('scratch-areas', 'scratch areas', 'scratch', 'count', (of) => areas(of).length),
  metric('scratch-bytes', 'scratch size', 'scratch', 'bytes', scratchBytes),
  metric('scratch-largest', 'largest area', 'scratch', 'bytes', (of) => Math.max(0, ...areas(of))),
  metric('scratch-alignment', 'scratch alignment', 'scratch', 'bytes', (of) => of.scratchAlignBytes),
  metric('scratch-share', 'share of RAM', 'scratch', 'permille', (of) => share(of)),

  metric('fdt-bytes', 'root FDT, used', 'clients', 'bytes', (of) => of.jump?.fdtBytes),
  metric('client-pages', 'bookkeeping pages', 'clients', 'pages', clientPages),
  metric('client-bytes', 'bookkeeping size', 'clients', 'bytes', clientBytes),
  metric('client-block-pages', '  session, file blocks', 'clients', 'pages', (of) =>
    clientPagesOf(of, ['session-block', 'file-block']),
  ),
  metric('client-chunk-pages', '  vmalloc chunks', 'clients', 'pages', (of) => clientPagesOf(of, ['vmalloc-chunk'])),
  metric('client-array-pages', '  folio arrays', 'clients', 'pages', (of) => clientPagesOf(of, ['vmalloc-page'])),
  metric('client-struct-pages', '  structs and FDTs', 'clients', 'pages', (of) =>
    clientPagesOf(of, ['root-fdt', 'subtree', 'luo-blob', 'flb-header', 'flb-data', 'memfd-struct']),
  ),
];

function metric(
  id: string,
  text: string,
  group: MetricGroup,
  unit: MetricUnit,
  value: (of: Measurement) => number | undefined,
): Metric {
  return { id, metric: text, group, unit, value };
}

function tables({ jump }: Measurement): number | undefined {
  return jump?.tree?.nodesPerLevel.slice(1).reduce((sum, nodes) => sum + nodes, 0);
}

function over(of: Measurement): number | undefined {
  return minus(of.jump?.preservedBytes, of.askedBytes);
}

function minus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a - b;
}

function ordersUsed({ jump }: Measurement): number | undefined {
  return jump === undefined ? undefined : Object.keys(jump.keysByOrder).length;
}

function areas({ jump }: Measurement): number[] {
  return (jump?.scratch ?? []).map((area) => area.sizeBytes).filter((bytes) => bytes > 0);
}

function share(of: Measurement): number | undefined {
  const bytes = scratchBytes(of);
  return bytes === undefined ? undefined : Math.round((1000 * bytes) / of.ramBytes);
}

/** The rows that measurements give: one for each metric that any of them has. */
export function metricRows(measurements: readonly Measurement[]): MetricRow[] {
  const rows: MetricRow[] = [];
  for (const { value, ...metric } of METRICS) {
    const values = valuesOf(measurements, value);
    if (Object.keys(values).length > 0) rows.push({ ...metric, values });
    if (metric.id === 'tree-bytes') rows.push(...levelRows(measurements));
    if (metric.id === 'largest-order') rows.push(...orderRows(measurements));
  }
  return rows;
}

function valuesOf(
  measurements: readonly Measurement[],
  value: (of: Measurement) => number | undefined,
): Record<string, number> {
  const values: Record<string, number> = {};
  for (const of of measurements) {
    const number = value(of);
    if (number !== undefined) values[of.page.name] = number;
  }
  return values;
}

/** Bytes of the tree by level, from the root (the highest) to the leaves; a page size has only as many as it needs. */
function levelRows(measurements: readonly Measurement[]): MetricRow[] {
  const depth = Math.max(0, ...measurements.map((of) => of.jump?.tree?.depth ?? 0));
  const rows: MetricRow[] = [];
  for (let level = depth - 1; level >= 0; level--) {
    rows.push({
      id: `tree-bytes-level-${level}`,
      metric: level === 0 ? '  level 0, leaves' : `  level ${level}`,
      group: 'tree',
      unit: 'bytes',
      values: valuesOf(measurements, (of) => {
        const nodes = of.jump?.tree?.nodesPerLevel[level];
        return nodes === undefined ? undefined : nodes * of.page.sizeBytes;
      }),
    });
  }
  return rows;
}

/** Keys of each order that any page size used. */
function orderRows(measurements: readonly Measurement[]): MetricRow[] {
  const orders = new Set(measurements.flatMap((of) => Object.keys(of.jump?.keysByOrder ?? {}).map(Number)));
  return [...orders]
    .sort((a, b) => a - b)
    .map((order) => ({
      id: `keys-order-${order}`,
      metric: `  keys of order ${order}`,
      group: 'preserved' as const,
      unit: 'count' as const,
      values: valuesOf(measurements, (of) => (of.jump === undefined ? undefined : (of.jump.keysByOrder[order] ?? 0))),
    }));
}
