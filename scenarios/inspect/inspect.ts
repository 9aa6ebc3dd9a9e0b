import { type ContractBase, radixNumbersOf } from '../../kernel/abi/contract.ts';
import { abiOf, LATEST_RELEASE, type Release, releaseByName } from '../../kernel/release.ts';
import type { Arch } from '../../machine/machine.ts';
import { PAGE_SIZES, type PageSize, pageSizeByBytes } from '../../machine/page-size.ts';
import { auditMap, auditOwnership, countOutsideRam } from './audit.ts';
import { BoundedReader, type Bytes, type ForeignMemory, hexAddr, hexBytes } from './bounded-reader.ts';
import { ALL_RELEASES, Candidates, narrowByClients, narrowByRoot } from './candidates.ts';
import { bitmapBytesOf, readChunkList } from './chunk-list-map.ts';
import { ContentHasher } from './content.ts';
import type { DecodeContext } from './context.ts';
import { type FdtView, type FdtViewNode, propOf, stringOf, viewFdt } from './fdt-view.ts';
import { type Finding, Findings } from './findings.ts';
import { type LuoDocument, readLuo } from './luo.ts';
import type { ChunkListDocument, MapReading, MetadataPage, RadixDocument } from './memory-map.ts';
import { OwnershipMap } from './ownership.ts';
import { PreservedSet } from './preserved-set.ts';
import { readRadixTree } from './radix-map.ts';
import { type HandoffRange, readScratch, type ScratchArea } from './scratch-array.ts';
import {
  type KhoTestDocument,
  type MetadataDocument,
  type ReserveMemDocument,
  readKhoTest,
  readMetadata,
  readReserveMem,
} from './simple-clients.ts';
import { checkProperties, claimSubtree, propertyName, propertySpecs, type Subtree, u64Prop } from './subtrees.ts';

/** Memory with a handover in it, and what is known about it. */
export interface HandoverImage {
  readonly memory: ForeignMemory;
  /** `khosim-sparse-1`, `elf-core`, `raw`, ... */
  readonly format: string;
  readonly arch?: Arch | undefined;
  /** undefined where the image does not tell. */
  readonly pageSizeBytes?: number | undefined;
  readonly fdt?: HandoffRange | undefined;
  readonly scratch?: HandoffRange | undefined;
  /** Where the handoff is from. */
  readonly handoffFrom?: 'image' | 'options' | 'search' | undefined;
}

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

/** What `inspect --json` prints. */
export interface InspectDocument {
  readonly image: {
    readonly format: string;
    readonly arch: Arch | null;
    readonly pageSize: number;
    readonly pageSizeFrom: 'image' | 'deduced';
    readonly ram: readonly { readonly base: string; readonly size: string; readonly nid?: number }[];
    readonly handoff: {
      readonly fdt: { readonly phys: string; readonly size: number } | null;
      readonly scratch: { readonly phys: string; readonly size: number } | null;
      readonly from: 'image' | 'options' | 'search' | null;
    };
  };
  readonly release: { readonly candidates: readonly string[]; readonly evidence: readonly string[] };
  readonly scratch: readonly { readonly base: string; readonly size: string }[];
  readonly compatible: string | null;
  readonly pageSize: number;
  readonly fdt: { readonly totalsize: number; readonly hex: string } | null;
  readonly memoryMap: RadixDocument | ChunkListDocument | null;
  readonly preserved: {
    readonly count: number;
    readonly bytes: number | string;
    readonly byOrder: Readonly<Record<string, number>>;
    readonly walkOrder?: readonly (readonly [string, number])[];
  };
  readonly subtrees: readonly { readonly name: string; readonly phys: string; readonly size?: number | string }[];
  readonly reserveMem?: readonly ReserveMemDocument[];
  readonly luo?: LuoDocument;
  readonly khoTest?: KhoTestDocument;
  readonly kexecMetadata?: MetadataDocument;
  readonly findings: readonly Finding[];
}

/** The document, and what `explain` and pictures need beside it. */
export interface InspectResult {
  readonly document: InspectDocument;
  readonly page: PageSize;
  readonly reader: BoundedReader;
  readonly scratch: readonly ScratchArea[];
  readonly map: MapReading | undefined;
  readonly preserved: PreservedSet;
  readonly owners: OwnershipMap;
  /** The contracts that the memory was decoded with. */
  readonly release: Release;
  readonly handoff: { readonly fdt: HandoffRange | undefined; readonly scratch: HandoffRange | undefined };
  /** Every page of metadata that was read: handoff, memory map, subtrees, and what clients chain up. */
  readonly metadata: readonly MetadataPage[];
  /** Address of the map's root or first chunk. */
  readonly mapRoot: number | undefined;
}

const DEFAULT_METADATA_BYTES = 2 ** 30;
const DEFAULT_MAX_BLOCKS = 2 ** 24;

/**
 * Reads a handover out of foreign memory and audits it. Whatever the memory holds, this returns: what is wrong with it
 * are findings.
 */
export function inspectImage(image: HandoverImage, options: InspectOptions = {}): InspectResult {
  const given = image.pageSizeBytes === undefined ? undefined : pageSizeByBytes(image.pageSizeBytes);
  if (given !== undefined) return inspectWith(image, given, options, new Findings(), 'image');
  const deduced = deducePageSize(image, options);
  const findings = new Findings();
  findings.add('page-size-deduced', 'image', `${deduced.page.name}: ${deduced.why}`);
  return inspectWith(image, deduced.page, options, findings, 'deduced');
}

/** Tries all page sizes as far as the memory map, and takes the one with the fewest errors. */
function deducePageSize(image: HandoverImage, options: InspectOptions): { page: PageSize; why: string } {
  const trials = PAGE_SIZES.map((page) => {
    const findings = new Findings();
    const entry = enter(image, page, options, findings);
    const outside = entry.map === undefined ? 1 : countOutsideRam(entry.reader, entry.map.preserved);
    const rootMissing = image.fdt !== undefined && entry.map?.preserved.exact(image.fdt.phys, 0) === undefined ? 1 : 0;
    const lengthWrong = image.fdt?.sizeBytes === page.sizeBytes ? 0 : 1;
    return { page, errors: findings.nrErrors + outside + rootMissing, lengthWrong };
  });
  trials.sort((a, b) => a.errors - b.errors || a.lengthWrong - b.lengthWrong);
  const [best, second] = trials;
  const page = best?.page ?? (PAGE_SIZES[0] as PageSize);
  const why =
    best !== undefined && second !== undefined && best.errors === second.errors
      ? `several sizes fit; the FDT length ${best.lengthWrong === 0 ? 'tells' : 'does not tell'}`
      : `${best?.errors ?? 0} contradictions, other sizes have at least ${second?.errors ?? 0}`;
  return { page, why };
}

/** The handoff, the root FDT and the memory map: what a kernel reads before it knows any client. */
interface Entry {
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

function enter(image: HandoverImage, page: PageSize, options: InspectOptions, findings: Findings): Entry {
  const reader = new BoundedReader(image.memory, options.metadataBytes ?? DEFAULT_METADATA_BYTES);
  const abi = abiOf(LATEST_RELEASE, page);
  const candidates = new Candidates();
  const nothing = { reader, candidates, fdtBytes: undefined, view: undefined, compatible: undefined, nodes: [] };
  const fdtRange = image.fdt;
  if (fdtRange === undefined) {
    findings.add('handoff-missing', 'image', 'no root FDT');
    const scratch =
      image.scratch === undefined ? [] : readScratch(reader, page, abi.struct('kho_scratch'), image.scratch, findings);
    return { ...nothing, scratch, mapRoot: undefined, map: undefined };
  }
  const scratch = readScratch(reader, page, abi.struct('kho_scratch'), image.scratch, findings);
  reportFdtRange(fdtRange, page, findings);
  const fdtBytes = reader.bytes(fdtRange.phys, page.sizeBytes);
  if (fdtBytes === undefined) {
    findings.add('fdt-unreadable', 'root FDT', `${hexAddr(fdtRange.phys)} is not RAM`);
    return { ...nothing, scratch, mapRoot: undefined, map: undefined };
  }
  if (!reader.carries(fdtRange.phys))
    findings.add('not-in-image', 'root FDT', `${hexAddr(fdtRange.phys)} is not in the image`);
  const view = viewFdt(fdtBytes.raw, 'root FDT', findings);
  const root = view?.root;
  if (view === undefined || root === undefined) {
    return { ...nothing, scratch, fdtBytes, view, mapRoot: undefined, map: undefined };
  }
  narrowByRoot(candidates, view, root);
  const compatible = reportCompatible(root, findings);
  const nodes = root.children.map((node) => ({ name: node.name, node }));
  narrowByClients(candidates, peekSubtrees(reader, page, candidates.newest, nodes));
  const mapRoot = readMapProperty(candidates.newest, root, findings);
  const map = mapRoot === undefined ? undefined : readMap(reader, page, candidates, mapRoot, options, findings);
  return { reader, scratch, candidates, fdtBytes, view, compatible, nodes, mapRoot, map };
}

function reportFdtRange(range: HandoffRange, page: PageSize, findings: Findings): void {
  if (range.phys % page.sizeBytes !== 0)
    findings.add('fdt-alignment', 'root FDT', `${hexAddr(range.phys)} is not at a page`);
  if (range.sizeBytes !== page.sizeBytes) {
    findings.add(
      'handoff-fdt-length',
      'handoff',
      `${range.sizeBytes} bytes, of ${page.sizeBytes}`,
      range.sizeBytes === 0 || range.sizeBytes > 256 * 1024 ? 'error' : 'warning',
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
    const map = readMapAs(reader, page, release, mapRoot, maxBlocks, own);
    const errors = layouts.size === 1 ? 0 : own.nrErrors + countOutsideRam(reader, map.preserved);
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
  for (const finding of chosen.own.list()) findings.add(finding.code, finding.where, finding.message, finding.severity);
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

// --- everything ----------------------------------------------------------------------------------------------------

function inspectWith(
  image: HandoverImage,
  page: PageSize,
  options: InspectOptions,
  findings: Findings,
  pageSizeFrom: 'image' | 'deduced',
): InspectResult {
  if (image.handoffFrom === 'search')
    findings.add('handoff-searched', 'image', `root FDT at ${hexAddr(image.fdt?.phys ?? 0)}`);
  const entry = enter(image, page, options, findings);
  const { reader, scratch, candidates, map } = entry;
  const preserved = map?.preserved ?? new PreservedSet(new Float64Array(0), new Uint8Array(0), page.sizeBytes);
  const owners = new OwnershipMap(preserved, map === undefined);
  if (map !== undefined) auditMap(reader, map, scratch, findings);
  const release = candidates.newest;
  const ramBytes = image.memory.banks.reduce((sum, bank) => sum + bank.sizeBytes, 0);
  const ctx: DecodeContext = {
    reader,
    page,
    arch: image.arch,
    findings,
    preserved,
    owners,
    hasher: new ContentHasher(
      reader,
      options.contents === false ? undefined : Math.min(ramBytes, 2 * preserved.bytes + 2 ** 24),
    ),
    candidates: candidates.releases,
    release,
    abi: abiOf(release, page),
    seen: new Map(),
  };
  if (image.fdt !== undefined && entry.fdtBytes !== undefined && map !== undefined) {
    const claim = owners.claimBlock(image.fdt.phys, 0, { source: { kind: 'root-fdt', path: 'handoff' } });
    if (claim.fit !== 'exact')
      findings.add('root-fdt-not-preserved', hexAddr(image.fdt.phys), 'its page is not preserved as order 0');
  }
  const subtrees = readSubtrees(ctx, entry);
  const clients = decodeClients(ctx, subtrees);
  narrowByFiles(candidates, clients.luo);
  checkAcross(candidates, clients, findings);
  if (map !== undefined) auditOwnership(preserved, owners, findings);
  const document = makeDocument(image, page, pageSizeFrom, options, entry, preserved, subtrees, clients, findings);
  return {
    document,
    page,
    reader,
    scratch,
    map,
    preserved,
    owners,
    release,
    handoff: { fdt: image.fdt, scratch: image.scratch },
    metadata: metadataPages(image, entry, subtrees, ctx),
    mapRoot: entry.mapRoot,
  };
}

function metadataPages(
  image: HandoverImage,
  entry: Entry,
  subtrees: readonly Subtree[],
  ctx: DecodeContext,
): MetadataPage[] {
  const pages: MetadataPage[] = [];
  if (image.scratch !== undefined) pages.push({ ...image.scratch, what: 'scratch array' });
  if (image.fdt !== undefined) pages.push({ phys: image.fdt.phys, sizeBytes: ctx.page.sizeBytes, what: 'root FDT' });
  pages.push(...(entry.map?.pages ?? []));
  for (const { name, phys, blob } of subtrees) {
    if (blob !== undefined) pages.push({ phys, sizeBytes: blob.length, what: `subtree ${name}` });
  }
  for (const [phys, what] of ctx.seen) pages.push({ phys, sizeBytes: ctx.page.sizeBytes, what });
  return pages;
}

interface Listed extends Subtree {
  readonly sizeReported: number | string | undefined;
}

function readSubtrees(ctx: DecodeContext, entry: Entry): Listed[] {
  const { findings, release } = ctx;
  const rootSpecs = propertySpecs(release.root, 'root');
  const nodeSpecs = propertySpecs(release.root, 'subtree');
  if (entry.view?.root !== undefined) checkProperties(ctx, entry.view.root, rootSpecs, 'root FDT');
  const dataName = propertyName(release.root, 'subtree', 'data');
  const sizeName = propertyName(release.root, 'subtree', 'size');
  const out: Listed[] = [];
  for (const { name, node } of entry.nodes) {
    checkProperties(ctx, node, nodeSpecs, `root FDT/${name}`);
    const phys = u64Prop(node, dataName);
    if (phys === undefined) {
      findings.add('subtree-property', name, `${dataName} is not a u64`);
      continue;
    }
    const sizeValue = sizeName === '' ? undefined : propOf(node, sizeName);
    if (sizeName !== '' && sizeValue?.length !== 8) findings.add('subtree-property', name, `${sizeName} is not a u64`);
    const sizeBytes = sizeValue?.length === 8 ? sizeValue.u64(0) : undefined;
    const sizeReported = sizeValue?.length === 8 ? sizeValue.u64Reported(0) : undefined;
    if (!isKnownClient(name)) findings.add('subtree-unknown', name, `at ${hexAddr(phys)}`);
    out.push({ name, phys, sizeBytes, sizeReported, blob: claimSubtree(ctx, name, phys, sizeBytes) });
  }
  return out;
}

function clientsOf(release: Release): (ContractBase | undefined)[] {
  return [release.luo, release.metadata, release.memblock, release.test];
}

function isKnownClient(name: string): boolean {
  return ALL_RELEASES.some((release) => clientsOf(release).some((client) => client?.subtree?.name === name));
}

interface Clients {
  reserveMem?: ReserveMemDocument[];
  luo?: LuoDocument;
  khoTest?: KhoTestDocument;
  kexecMetadata?: MetadataDocument;
}

/** Decodes what the release has clients for; of two nodes with one name the first, as a kernel finds it. */
function decodeClients(ctx: DecodeContext, subtrees: readonly Listed[]): Clients {
  const { release } = ctx;
  const find = (contract: ContractBase | undefined) =>
    subtrees.find((subtree) => subtree.name === contract?.subtree?.name);
  const clients: Clients = {};
  const memblock = find(release.memblock);
  if (memblock !== undefined) clients.reserveMem = readReserveMem(ctx, memblock);
  const luo = find(release.luo);
  const luoDocument = luo === undefined ? undefined : readLuo(ctx, luo);
  if (luoDocument !== undefined) clients.luo = luoDocument;
  const test = find(release.test);
  const testDocument = test === undefined ? undefined : readKhoTest(ctx, test);
  if (testDocument !== undefined) clients.khoTest = testDocument;
  const metadata = find(release.metadata);
  const metadataDocument = metadata === undefined ? undefined : readMetadata(ctx, metadata);
  if (metadataDocument !== undefined) clients.kexecMetadata = metadataDocument;
  return clients;
}

/** A file's string can tell releases apart that share everything else. */
function narrowByFiles(candidates: Candidates, luo: LuoDocument | undefined): void {
  for (const session of luo?.sessions ?? []) {
    for (const file of session.files) {
      candidates.narrow(`a file is "${file.compatible}"`, (release) => release.memfd?.compatible === file.compatible);
    }
  }
}

/** What clients say about each other. */
function checkAcross(candidates: Candidates, clients: Clients, findings: Findings): void {
  const metadata = clients.kexecMetadata;
  if (metadata === undefined) return;
  const { previousRelease, kexecCount } = metadata;
  const writer = releaseByName(previousRelease);
  if (previousRelease !== '' && (writer === undefined || !candidates.releases.includes(writer))) {
    findings.add('metadata-release', 'kexec-metadata', `"${previousRelease}" is none of the releases whose ABI fits`);
  }
  const number = clients.luo?.liveupdateNumber;
  if (typeof number !== 'number' || kexecCount < number) {
    if (number !== undefined) {
      findings.add(
        'metadata-count',
        'kexec-metadata',
        `kexec_count is ${kexecCount}, but there were ${number} live updates`,
      );
    }
  }
}

function makeDocument(
  image: HandoverImage,
  page: PageSize,
  pageSizeFrom: 'image' | 'deduced',
  options: InspectOptions,
  entry: Entry,
  preserved: PreservedSet,
  subtrees: readonly Listed[],
  clients: Clients,
  findings: Findings,
): InspectDocument {
  const range = (r: HandoffRange | undefined) =>
    r === undefined ? null : { phys: hexAddr(r.phys), size: r.sizeBytes };
  const bytes = preserved.bytes;
  return {
    image: {
      format: image.format,
      arch: image.arch ?? null,
      pageSize: page.sizeBytes,
      pageSizeFrom,
      ram: image.memory.banks.map(({ base, sizeBytes, nid }) => ({
        base: hexAddr(base),
        size: hexAddr(sizeBytes),
        ...(nid === undefined ? {} : { nid }),
      })),
      handoff: {
        fdt: range(image.fdt),
        scratch: range(image.scratch),
        from: image.fdt === undefined ? null : (image.handoffFrom ?? 'image'),
      },
    },
    release: {
      candidates: entry.candidates.releases.map((release) => release.name),
      evidence: entry.candidates.evidence,
    },
    scratch: entry.scratch.map(({ base, sizeBytes }) => ({ base: hexAddr(base), size: hexAddr(sizeBytes) })),
    compatible: entry.compatible ?? null,
    pageSize: page.sizeBytes,
    fdt: fdtDocument(entry),
    memoryMap: entry.map?.document ?? null,
    preserved: {
      count: preserved.count,
      bytes: Number.isSafeInteger(bytes) ? bytes : hexAddr(bytes),
      byOrder: preserved.byOrder(),
      ...(options.list === true ? { walkOrder: walkOrder(preserved) } : {}),
    },
    subtrees: subtrees.map(({ name, phys, sizeReported }) => ({
      name,
      phys: hexAddr(phys),
      ...(sizeReported === undefined ? {} : { size: sizeReported }),
    })),
    ...clients,
    findings: findings.list(),
  };
}

function fdtDocument(entry: Entry): InspectDocument['fdt'] {
  const { view, fdtBytes } = entry;
  if (view?.root === undefined || fdtBytes === undefined) return null;
  return { totalsize: view.totalsizeBytes, hex: hexBytes(fdtBytes.raw.subarray(0, view.totalsizeBytes)) };
}

function walkOrder(preserved: PreservedSet): [string, number][] {
  const out: [string, number][] = [];
  for (let i = 0; i < preserved.count; i++) {
    const { phys, order } = preserved.at(i);
    out.push([hexAddr(phys), order]);
  }
  return out;
}
