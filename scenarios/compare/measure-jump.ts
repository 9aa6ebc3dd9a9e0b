import type { Release } from '../../kernel/release.ts';
import type { BootHandoff, Machine } from '../../machine/index.ts';
import { handoverInMemory } from '../inspect/image-source.ts';
import { type InspectResult, inspectImage } from '../inspect/inspect.ts';
import type { OwnerKind } from '../inspect/ownership.ts';
import { measureTree, type TreeFigures } from './measure-map.ts';
import { joinRanges } from './memory-strip.ts';
import type { MemoryRange } from './result.ts';

/** What lies in RAM at the jump, read back as `khosim inspect` reads it. */
export interface JumpFigures {
  /** Undefined where the map is a list of chunks. */
  readonly tree: TreeFigures | undefined;
  /** Bytes of the memory map: tree pages, or chunks and bitmaps. */
  readonly mapBytes: number;
  readonly mapPages: number;
  readonly keys: number;
  readonly keysByOrder: Readonly<Record<string, number>>;
  readonly preservedBytes: number;
  /** Bytes that the root FDT uses of its page. */
  readonly fdtBytes: number;
  readonly scratch: readonly { readonly base: number; readonly sizeBytes: number }[];
  /** Preserved pages that hold bookkeeping, by what they hold: not what the workload wants kept. */
  readonly clientPages: Readonly<Partial<Record<OwnerKind, number>>>;
  readonly memory: readonly MemoryRange[];
}

/** Preserved memory that is somebody's data; all else that has an owner is bookkeeping about it. */
const DATA: readonly OwnerKind[] = ['memfd-folio', 'reserve-mem', 'test-folio'];

/** Reads a handover out of a machine that has just jumped. @returns undefined without one. */
export function measureJump(machine: Machine, handoff: BootHandoff | undefined): JumpFigures | undefined {
  if (handoff === undefined) return undefined;
  const image = handoverInMemory(machine.memory, machine.arch, handoff);
  const inspected = inspectImage(image, { contents: false });
  const { map, mapRoot, preserved, release, page } = inspected;
  if (map === undefined || mapRoot === undefined) return undefined;
  const tree = measureTree(machine.memory, page, release as Release, mapRoot);
  const mapBytes = tree?.bytes ?? map.pages.reduce((sum, each) => sum + each.sizeBytes, 0);
  return {
    tree,
    mapBytes,
    mapPages: Math.ceil(mapBytes / page.sizeBytes),
    keys: tree?.keys ?? preserved.count,
    keysByOrder: tree?.keysByOrder ?? preserved.byOrder(),
    preservedBytes: tree?.preservedBytes ?? preserved.bytes,
    fdtBytes: inspected.document.fdt?.totalsize ?? 0,
    scratch: inspected.scratch.map(({ base, sizeBytes }) => ({ base, sizeBytes })),
    ...ownersOf(inspected, machine),
  };
}

function ownersOf(
  inspected: InspectResult,
  machine: Machine,
): { readonly clientPages: JumpFigures['clientPages']; readonly memory: readonly MemoryRange[] } {
  const { preserved, owners, scratch, map, page } = inspected;
  const clientPages: Partial<Record<OwnerKind, number>> = {};
  const ranges: MemoryRange[] = [];
  preserved.inAddressOrder((phys, order, index) => {
    const kind = owners.ownersOf({ phys, order, index })[0]?.source.kind;
    const client = kind !== undefined && !DATA.includes(kind);
    if (client) clientPages[kind] = (clientPages[kind] ?? 0) + 2 ** order;
    const sizeBytes = page.sizeBytes * 2 ** order;
    const last = ranges.at(-1);
    const strip = client ? 'client' : 'preserved';
    if (last?.kind === strip && last.base + last.sizeBytes === phys) {
      ranges[ranges.length - 1] = { ...last, sizeBytes: last.sizeBytes + sizeBytes };
    } else ranges.push({ base: phys, sizeBytes, kind: strip });
  });
  for (const each of map?.pages ?? []) ranges.push({ base: each.phys, sizeBytes: each.sizeBytes, kind: 'map' });
  for (const area of scratch) {
    if (area.sizeBytes > 0) ranges.push({ base: area.base, sizeBytes: area.sizeBytes, kind: 'scratch' });
  }
  return { clientPages, memory: joinRanges(machine.map.banks, ranges) };
}
