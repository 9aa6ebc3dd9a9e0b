import { radixNumbersOf } from '../../kernel/abi/contract.ts';
import { abiOf, LATEST_RELEASE, type Release } from '../../kernel/release.ts';
import type { Arch } from '../../machine/machine.ts';
import type { PageSize } from '../../machine/page-size.ts';
import { countOutsideRam } from './audit.ts';
import { BoundedReader, type Bytes, type ForeignMemory, hexAddr } from './bounded-reader.ts';
import { ALL_RELEASES, Candidates, narrowByClients, narrowByRoot } from './candidates.ts';
import { bitmapBytesOf, readChunkList } from './chunk-list-map.ts';
import { type FdtView, type FdtViewNode, propOf, stringOf, viewFdt } from './fdt-view.ts';
import { fetchMetadata } from './fetch.ts';
import { Findings } from './findings.ts';
import type { MapReading } from './memory-map.ts';
import { readRadixTree } from './radix-map.ts';
import { type HandoffRange, readScratch, type ScratchArea } from './scratch-array.ts';
import { propertyName, u64Prop } from './subtrees.ts';

/** Memory with a handover in it, and what is known about it. */
export interface HandoverImage {
  readonly memory: ForeignMemory;
  /** `khosim-sparse-1`, `elf-core`, `raw`, ... */
  readonly format: string;
  readonly arch?: Arch | undefined;
  /** undefined where the image does not tell. */
  readonly pageSizeBytes?: number | undefined;
  /** Without a size: that of a page, as kernels pass it. */
  readonly fdt?: { readonly phys: number; readonly sizeBytes?: number | undefined } | undefined;
  readonly scratch?: HandoffRange | undefined;
  /** Where the handoff is from. */
  readonly handoffFrom?: 'image' | 'options' | 'search' | undefined;
  /** There is no RAM, only the blobs that debugfs shows: no memory map, and clients as far as their blobs go. */
  readonly debugfs?: { readonly scratch: readonly ScratchArea[] } | undefined;
}

/** How far an inspection goes. */
export interface InspectOptions {
  /** Put `preserved.walkOrder` into the document. */
  readonly list?: boolean;
  /** Hash contents and verify test_kho's checksum: true unless said otherwise. Without, inspection reads metadata only. */
  readonly contents?: boolean;
  /** Most bytes of metadata to read; 1 GiB. */
  readonly metadataBytes?: number;
  /** Most preserved blocks to keep; 16 million. */
  readonly maxBlocks?: number;
}

const DEFAULT_METADATA_BYTES = 2 ** 30;
const DEFAULT_MAX_BLOCKS = 2 ** 24;
/** Blocks to read before it is known in which layout: enough to tell, and a wrong layout can be full of them. */
export const TRIAL_BLOCKS = 2 ** 16;

/** The handoff, the root FDT and the memory map: what a kernel reads before it knows any client. */
export interface Entry {
  readonly reader: BoundedReader;
  readonly scratch: readonly ScratchArea[];
  readonly candidates: Candidates;
  readonly fdtBytes: Bytes | undefined;
  readonly view: FdtView | undefined;
  readonly compatible: string | undefined;
  readonly nodes: readonly { readonly name: string; readonly node: FdtViewNode }[];
  readonly mapRoot: number | undefined;
  readonly map: MapReading | undefined;
}

/** Reads what a kernel reads first. Whatever is missing is undefined, and has its finding. */
export function enter(image: HandoverImage, page: PageSize, options: InspectOptions, findings: Findings): Entry {
  const partial = image.debugfs !== undefined;
  const reader = new BoundedReader(image.memory, options.metadataBytes ?? DEFAULT_METADATA_BYTES, partial);
  const candidates = new Candidates();
  const scratch = image.debugfs?.scratch ?? scratchOf(image, reader, page, findings);
  const empty: Entry = {
    reader,
    scratch,
    candidates,
    fdtBytes: undefined,
    view: undefined,
    compatible: undefined,
    nodes: [],
    mapRoot: undefined,
    map: undefined,
  };
  const fdtRange = image.fdt;
  if (fdtRange === undefined) {
    findings.add('handoff-missing', 'image', 'no root FDT');
    return empty;
  }
  if (!partial) reportFdtRange(fdtRange.phys, fdtRange.sizeBytes ?? page.sizeBytes, page, findings);
  if (!reader.inRam(fdtRange.phys, page.sizeBytes)) {
    findings.add('fdt-unreadable', 'root FDT', `${hexAddr(fdtRange.phys)} is not RAM`);
    return empty;
  }
  const fdtBytes = fetchMetadata(reader, findings, fdtRange.phys, page.sizeBytes, 'root FDT', 'it');
  if (fdtBytes === undefined) return empty;
  const view = viewFdt(fdtBytes.raw, 'root FDT', findings);
  const root = view?.root;
  if (view === undefined || root === undefined) return { ...empty, fdtBytes, view };
  narrowByRoot(candidates, view, root);
  const compatible = reportCompatible(root, findings);
  const nodes = root.children.map((node) => ({ name: node.name, node }));
  narrowByClients(candidates, peekSubtrees(reader, page, candidates.newest, nodes));
  const mapRoot = readMapProperty(candidates.newest, root, findings);
  const map =
    mapRoot === undefined || partial ? undefined : readMap(reader, page, candidates, mapRoot, options, findings);
  return { reader, scratch, candidates, fdtBytes, view, compatible, nodes, mapRoot, map };
}

function scratchOf(
  image: HandoverImage,
  reader: BoundedReader,
  page: PageSize,
  findings: Findings,
): readonly ScratchArea[] {
  if (image.fdt === undefined && image.scratch === undefined) return [];
  return readScratch(reader, page, abiOf(LATEST_RELEASE, page).struct('kho_scratch'), image.scratch, findings);
}

function reportFdtRange(phys: number, sizeBytes: number, page: PageSize, findings: Findings): void {
  if (phys % page.sizeBytes !== 0) findings.add('fdt-alignment', 'root FDT', `${hexAddr(phys)} is not at a page`);
  if (sizeBytes !== page.sizeBytes) {
    findings.add(
      'handoff-fdt-length',
      'handoff',
      `${sizeBytes} bytes, of ${page.sizeBytes}`,
      sizeBytes === 0 || sizeBytes > 256 * 1024 ? 'error' : 'warning',
    );
  }
}

function reportCompatible(root: FdtViewNode, findings: Findings): string | undefined {
  const value = propOf(root, 'compatible');
  if (value === undefined) {
    findings.add('compatible-missing', 'root FDT', 'no compatible');
    return undefined;
  }
  const { text, terminated } = stringOf(value);
  if (!terminated)
    findings.add('compatible-missing', 'root FDT', `"${text}" does not end with its only NUL`, 'warning');
  if (!ALL_RELEASES.some((release) => release.root.compatible === text)) {
    findings.add('compatible-unknown', 'root FDT', `"${text}"`);
  }
  return text;
}

function readMapProperty(release: Release, root: FdtViewNode, findings: Findings): number | undefined {
  const name = propertyName(release.root, 'root', 'map');
  const value = propOf(root, name);
  if (value === undefined) {
    findings.add('map-missing', 'root FDT', `no ${name}`);
    return undefined;
  }
  if (value.length !== 8) {
    findings.add('map-size', 'root FDT', `${name} has ${value.length} bytes`);
    return undefined;
  }
  const phys = value.u64(0);
  if (phys === 0) {
    findings.add('map-zero', 'root FDT', `${name} is 0`);
    return undefined;
  }
  return phys;
}

/** Copies a page of each subtree, to see what form it has. */
function peekSubtrees(
  reader: BoundedReader,
  page: PageSize,
  release: Release,
  nodes: readonly { readonly name: string; readonly node: FdtViewNode }[],
): Map<string, Bytes | undefined> {
  const peeked = new Map<string, Bytes | undefined>();
  for (const { name, node } of nodes) {
    const phys = u64Prop(node, propertyName(release.root, 'subtree', 'data'));
    if (!peeked.has(name))
      peeked.set(name, phys === undefined || phys === 0 ? undefined : reader.bytes(phys, page.sizeBytes));
  }
  return peeked;
}

// --- the memory map ------------------------------------------------------------------------------------------------

/**
 * Reads the memory map in each layout that the candidates have. The one with the fewest errors is taken and tells the
 * candidates apart; layouts that read the same bytes without contradiction are told apart by what their writers do.
 */
function readMap(
  reader: BoundedReader,
  page: PageSize,
  candidates: Candidates,
  mapRoot: number,
  options: InspectOptions,
  findings: Findings,
): MapReading {
  const maxBlocks = options.maxBlocks ?? DEFAULT_MAX_BLOCKS;
  const layouts = new Map<string, Release>();
  for (const release of candidates.releases) layouts.set(layoutKey(release, page), release);
  const trials = [...layouts].map(([key, release]) => {
    const own = new Findings();
    const one = layouts.size === 1;
    const map = readMapAs(reader, page, release, mapRoot, one ? maxBlocks : Math.min(maxBlocks, TRIAL_BLOCKS), own);
    const errors = one ? 0 : own.nrErrors + countOutsideRam(reader, map.preserved);
    return { key, release, map, own, errors };
  });
  const fewest = Math.min(...trials.map((trial) => trial.errors));
  let best = trials.filter((trial) => trial.errors === fewest);
  if (best.length > 1) best = tellApart(best, page);
  const keys = new Set(best.map((trial) => trial.key));
  candidates.narrow(`layout of the memory map is ${[...keys].join(' or ')}`, (release) =>
    keys.has(layoutKey(release, page)),
  );
  const chosen = best.find((trial) => trial.key === layoutKey(candidates.newest, page)) ?? best.at(-1) ?? trials[0];
  if (chosen === undefined) throw new Error('no candidate is left to read the memory map with');
  if (keys.size > 1)
    findings.add('map-ambiguous', 'memory map', `${[...keys].join(' and ')} both fit; read as ${chosen.key}`);
  if (layouts.size > 1 && chosen.map.preserved.count >= TRIAL_BLOCKS) {
    return readMapAs(reader, page, chosen.release, mapRoot, maxBlocks, findings);
  }
  findings.absorb(chosen.own);
  return chosen.map;
}

/** What decides how a release reads the map's bytes. */
function layoutKey(release: Release, page: PageSize): string {
  const { map } = release;
  if (map.format === 'chunk-list') return `chunk list with bitmaps of ${bitmapBytesOf(map, page)} bytes`;
  return `radix tree of depth ${radixNumbersOf(map, page).depth}`;
}

function readMapAs(
  reader: BoundedReader,
  page: PageSize,
  release: Release,
  mapRoot: number,
  maxBlocks: number,
  findings: Findings,
): MapReading {
  const { map } = release;
  if (map.format === 'chunk-list')
    return readChunkList(reader, page, map, abiOf(release, page), mapRoot, maxBlocks, findings);
  return readRadixTree(reader, page, map, mapRoot, maxBlocks, findings);
}

/** Bitmaps from slab land at a page's start once in PAGE_SIZE / 512 times; three in a row are no chance. */
const TELLING_BITMAPS = 3;

/**
 * Chunk lists whose bitmaps are all page-aligned: a reader of small bitmaps finds nothing wrong with big ones. Big
 * ones they are if a bit is set behind the first 512 bytes, or if there are several of them.
 */
function tellApart<T extends { key: string; map: MapReading }>(trials: T[], page: PageSize): T[] {
  const lists = trials.filter((trial) => trial.map.document.kind === 'chunk-list');
  const big = lists.find(
    (trial) => trial.map.document.kind === 'chunk-list' && trial.map.document.bitmapBytes === page.sizeBytes,
  );
  if (lists.length !== trials.length || big === undefined) return trials;
  const small = lists.filter((trial) => trial !== big);
  const bitmaps =
    big.map.document.kind === 'chunk-list' ? big.map.document.chunks.flatMap((chunk) => chunk.entries).length : 0;
  if (bitmaps >= TELLING_BITMAPS || small.some((trial) => trial.map.preserved.count < big.map.preserved.count))
    return [big];
  return trials;
}
