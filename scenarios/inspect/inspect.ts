import type { ContractBase } from '../../kernel/abi/contract.ts';
import { abiOf, type Release, releaseByName } from '../../kernel/release.ts';
import type { Arch } from '../../machine/machine.ts';
import { PAGE_4K, PAGE_SIZES, type PageSize, pageSizeByBytes } from '../../machine/page-size.ts';
import { auditMap, auditOwnership, countOutsideRam } from './audit.ts';
import { type BoundedReader, hexAddr, hexBytes } from './bounded-reader.ts';
import { ALL_RELEASES, type Candidates } from './candidates.ts';
import { ContentHasher } from './content.ts';
import type { DecodeContext } from './context.ts';
import { type Entry, enter, type HandoverImage, type InspectOptions, TRIAL_BLOCKS } from './entry.ts';
import { propOf } from './fdt-view.ts';
import { type Finding, Findings } from './findings.ts';
import { type LuoDocument, readLuo } from './luo.ts';
import type { ChunkListDocument, MapReading, MetadataPage, RadixDocument } from './memory-map.ts';
import { OwnershipMap } from './ownership.ts';
import { PreservedSet } from './preserved-set.ts';
import type { HandoffRange, ScratchArea } from './scratch-array.ts';
import {
  type KhoTestDocument,
  type MetadataDocument,
  type ReserveMemDocument,
  readKhoTest,
  readMetadata,
  readReserveMem,
} from './simple-clients.ts';
import { checkProperties, claimSubtree, propertyName, propertySpecs, type Subtree, u64Prop } from './subtrees.ts';

export type { HandoverImage, InspectOptions } from './entry.ts';

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
  if (image.debugfs !== undefined) return { page: PAGE_4K, why: 'blobs alone do not tell, 4K is taken' };
  const trials = PAGE_SIZES.map((page) => {
    const findings = new Findings();
    const entry = enter(image, page, { ...options, maxBlocks: TRIAL_BLOCKS }, findings);
    const outside = entry.map === undefined ? 1 : countOutsideRam(entry.reader, entry.map.preserved);
    const rootMissing = image.fdt !== undefined && entry.map?.preserved.exact(image.fdt.phys, 0) === undefined ? 1 : 0;
    const lengthWrong = (image.fdt?.sizeBytes ?? page.sizeBytes) === page.sizeBytes ? 0 : 1;
    return { page, errors: findings.nrErrors + outside + rootMissing, lengthWrong };
  });
  trials.sort((a, b) => a.errors - b.errors || a.lengthWrong - b.lengthWrong);
  const [best, second] = trials;
  const page = best?.page ?? (PAGE_SIZES[0] as PageSize);
  const why =
    best !== undefined && second !== undefined && best.errors === second.errors
      ? `${best.errors} contradictions, as with another size; the FDT length decides`
      : `${best?.errors ?? 0} contradictions, other sizes have at least ${second?.errors ?? 0}`;
  return { page, why };
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
  const ctx: DecodeContext = {
    reader,
    page,
    arch: image.arch,
    findings,
    preserved,
    owners,
    hasher: new ContentHasher(
      reader,
      options.contents === false || image.debugfs !== undefined
        ? undefined
        : Math.min(reader.ramBytes, 2 * preserved.bytes + 2 ** 24),
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
    handoff: { fdt: fdtRangeOf(image, page), scratch: image.scratch },
    metadata: metadataPages(image, entry, subtrees, ctx),
    mapRoot: entry.mapRoot,
  };
}

function fdtRangeOf(image: HandoverImage, page: PageSize): HandoffRange | undefined {
  return image.fdt === undefined
    ? undefined
    : { phys: image.fdt.phys, sizeBytes: image.fdt.sizeBytes ?? page.sizeBytes };
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
        fdt: image.debugfs === undefined ? range(fdtRangeOf(image, page)) : null,
        scratch: range(image.scratch),
        from: image.fdt === undefined || image.debugfs !== undefined ? null : (image.handoffFrom ?? 'image'),
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
