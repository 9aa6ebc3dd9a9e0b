import { type CompiledAbi, constantsOf, type MemfdContract } from '../../kernel/abi/contract.ts';
import { type CompiledStruct, compileStruct } from '../../kernel/abi/struct.ts';
import { hexAddr } from './bounded-reader.ts';
import type { ContentPart } from './content.ts';
import { type DecodeContext, firstTime } from './context.ts';
import { fetchMetadata } from './fetch.ts';
import { StructView } from './struct-view.ts';
import { fitText, readVmalloc, vmallocBytes } from './vmalloc.ts';

/** A memfd as results show it. */
export interface MemfdDocument {
  readonly pos: number | string;
  readonly size: number | string;
  readonly seals: number;
  /** Absent in memfd-v1, which has none. */
  readonly flags?: number;
  readonly folios: number | string;
  /** Of the content as the next kernel would give it back; null where it cannot be told. */
  readonly sha256: string | null;
}

/** Largest file size and position (MAX_LFS_FILESIZE): 2^63 - 1; as a double, 2^63. */
const MAX_LFS_FILESIZE = 2 ** 63;

/** F_SEAL_SEAL: what a memfd without a seals field comes back with. */
const F_SEAL_SEAL = 1;

interface MemfdStructs {
  readonly ser: CompiledStruct;
  readonly folio: CompiledStruct;
  readonly vmalloc: CompiledStruct;
  readonly constants: ReadonlyMap<string, number>;
}

const compiled = new WeakMap<CompiledAbi, Map<MemfdContract, MemfdStructs>>();

/** The structs of one memfd contract, beside the vmalloc descriptor of the release. */
function structsOf(ctx: DecodeContext, contract: MemfdContract): MemfdStructs {
  let ofAbi = compiled.get(ctx.abi);
  if (ofAbi === undefined) compiled.set(ctx.abi, (ofAbi = new Map()));
  let structs = ofAbi.get(contract);
  if (structs === undefined) ofAbi.set(contract, (structs = compileFor(ctx, contract)));
  return structs;
}

function compileFor(ctx: DecodeContext, contract: MemfdContract): MemfdStructs {
  const vmalloc = ctx.abi.struct('kho_vmalloc');
  const specs = new Map(contract.structs.map((spec) => [spec.name, spec]));
  for (const other of ctx.abi.contracts)
    for (const spec of other.structs) if (!specs.has(spec.name)) specs.set(spec.name, spec);
  const constants = constantsOf(contract, ctx.page);
  const compile = (name: string): CompiledStruct => {
    const spec = specs.get(name);
    if (spec === undefined) throw new RangeError(`${contract.name} has no struct ${name}`);
    return compileStruct(spec, ctx.page, { constants, structs: specs });
  };
  return { ser: compile('memfd_luo_ser'), folio: compile('memfd_luo_folio_ser'), vmalloc, constants };
}

interface FolioAt {
  readonly phys: number;
  readonly index: number;
  readonly pages: number;
  readonly upToDate: boolean;
}

/**
 * Decodes a preserved memfd, claims its struct, array and folios, and hashes its content.
 * @param phys the handler's data: address of the struct.
 * @param path `LUO / session "x" / file 0x11`.
 */
export function readMemfd(
  ctx: DecodeContext,
  contract: MemfdContract,
  phys: number,
  path: string,
): MemfdDocument | undefined {
  const { findings, reader, page } = ctx;
  const structs = structsOf(ctx, contract);
  if (phys === 0 || phys % page.sizeBytes !== 0 || !reader.inRam(phys, structs.ser.sizeBytes)) {
    findings.add('memfd-struct', path, `its struct is at ${hexAddr(phys)}, which is not a page of RAM`);
    return undefined;
  }
  const source = { kind: 'memfd-struct', path } as const;
  const claim = ctx.owners.claimBlock(phys, 0, { source });
  if (claim.fit !== 'exact')
    findings.add('memfd-struct-not-preserved', hexAddr(phys), `the struct of ${path} ${fitText(claim, 0)}`);
  if (!firstTime(ctx, phys, `memfd struct of ${path}`)) {
    findings.add('memfd-struct', path, `its struct at ${hexAddr(phys)} is already a ${ctx.seen.get(phys)}`);
    return undefined;
  }
  const bytes = fetchMetadata(reader, findings, phys, structs.ser.sizeBytes, path, 'its struct');
  if (bytes === undefined) return undefined;
  const ser = new StructView(bytes, structs.ser);
  const size = ser.num('size');
  const nrFolios = ser.num('nr_folios');
  const hasSeals = structs.ser.has('seals');
  const seals = hasSeals ? ser.num('seals') : F_SEAL_SEAL;
  const flags = structs.ser.has('flags') ? ser.num('flags') : undefined;
  reportHeader(ctx, structs, ser, path, seals, flags);
  const folios = nrFolios === 0 ? [] : readFolios(ctx, structs, ser, path, nrFolios, size);
  reportArrayless(ctx, ser, path, nrFolios);
  const sha256 = folios === undefined ? undefined : hashContent(ctx, folios, size, path);
  return {
    pos: ser.reported('pos'),
    size: ser.reported('size'),
    seals,
    ...(flags === undefined ? {} : { flags }),
    folios: ser.reported('nr_folios'),
    sha256: sha256 ?? null,
  };
}

function reportHeader(
  ctx: DecodeContext,
  structs: MemfdStructs,
  ser: StructView,
  path: string,
  seals: number,
  flags: number | undefined,
): void {
  const { findings } = ctx;
  const allSeals = structs.constants.get('MEMFD_LUO_ALL_SEALS');
  if (structs.ser.has('seals') && allSeals !== undefined && (seals & ~allSeals) !== 0) {
    findings.add('memfd-seals', path, `seals are 0x${seals.toString(16)}, known are 0x${allSeals.toString(16)}`);
  }
  if (flags !== undefined && flags !== 0) findings.add('memfd-flags', path, `flags are 0x${flags.toString(16)}`);
  if (ser.num('size') >= MAX_LFS_FILESIZE) findings.add('memfd-size', path, `size is ${ser.hex('size')}`);
  if (ser.num('pos') >= MAX_LFS_FILESIZE) findings.add('memfd-size', path, `position is ${ser.hex('pos')}`, 'warning');
}

/** A file without folios has a zeroed descriptor; anything in it belongs to nobody. */
function reportArrayless(ctx: DecodeContext, ser: StructView, path: string, nrFolios: number): void {
  if (nrFolios !== 0) return;
  const descriptor = ser.inner('folios', ctx.abi.struct('kho_vmalloc'));
  if (descriptor.num('first') !== 0 || descriptor.num('total_pages') !== 0) {
    ctx.findings.add('memfd-array-size', path, 'it counts no folios but has a folio array');
  }
}

/** The folios of a file; undefined when a kernel could not read the array. */
function readFolios(
  ctx: DecodeContext,
  structs: MemfdStructs,
  ser: StructView,
  path: string,
  nrFolios: number,
  size: number,
): FolioAt[] | undefined {
  const { findings, page } = ctx;
  const area = readVmalloc(ctx, ser.inner('folios', structs.vmalloc), path);
  const held = (area.totalPages * page.sizeBytes) / structs.folio.sizeBytes;
  const limit = structs.constants.get('MEMFD_LUO_MAX_FOLIOS') ?? Number.POSITIVE_INFINITY;
  if (nrFolios > held || nrFolios > limit) {
    findings.add(
      'memfd-folio-count',
      path,
      `${ser.hex('nr_folios')} folios, but its array has room for ${Math.floor(held)}`,
    );
    return undefined;
  }
  if (Math.ceil((nrFolios * structs.folio.sizeBytes) / page.sizeBytes) < area.totalPages) {
    findings.add('memfd-array-size', path, `${nrFolios} folios need fewer than the array's ${area.totalPages} pages`);
  }
  const bytes = vmallocBytes(ctx, area, nrFolios * structs.folio.sizeBytes);
  if (bytes === undefined) return undefined;
  const dirty = structs.constants.get('MEMFD_LUO_FOLIO_DIRTY') ?? 1;
  const upToDate = structs.constants.get('MEMFD_LUO_FOLIO_UPTODATE') ?? 2;
  const source = { kind: 'memfd-folio', path } as const;
  const folios: FolioAt[] = [];
  let complete = true;
  for (let i = 0; i < nrFolios; i++) {
    const entry = new StructView(bytes, structs.folio, i * structs.folio.sizeBytes);
    const pfn = entry.num('pfn');
    if (pfn === 0) continue;
    const phys = pfn * page.sizeBytes;
    const index = entry.num('index');
    const where = `folio ${i} of ${path}`;
    const block = ctx.owners.claimStarting(phys, { source, index });
    if (block === undefined) {
      findings.add('memfd-folio-not-preserved', hexAddr(phys), `${where}: no preserved block starts there`);
      complete = false;
      continue;
    }
    const pages = 2 ** block.order;
    if (index % pages !== 0) {
      findings.add('memfd-folio-index', where, `index ${hexAddr(index)} is not a multiple of its ${pages} pages`);
      complete = false;
    } else if (index * page.sizeBytes >= size) {
      findings.add('memfd-folio-beyond', where, `index ${hexAddr(index)} is behind the end of the file`);
    }
    const flags = entry.num('flags');
    if ((flags & upToDate) === 0) findings.add('memfd-folio-flags', where, 'is not up to date: reads as zeroes');
    else if ((flags & dirty) === 0) findings.add('memfd-folio-flags', where, 'is not dirty: may be dropped');
    if ((flags & ~(dirty | upToDate)) !== 0)
      findings.add('memfd-folio-flags', where, `flags 0x${flags.toString(16)}`, 'warning');
    folios.push({ phys, index, pages, upToDate: (flags & upToDate) !== 0 });
  }
  return complete ? folios : undefined;
}

/** What the next kernel's file would read as: folios at their index, zeroes elsewhere. */
function hashContent(ctx: DecodeContext, folios: FolioAt[], size: number, path: string): string | undefined {
  const { findings, page } = ctx;
  folios.sort((a, b) => a.index - b.index);
  const parts: ContentPart[] = [];
  let at = 0;
  let holes = 0;
  for (const folio of folios) {
    const start = folio.index * page.sizeBytes;
    if (start >= size) break;
    if (start < at) {
      findings.add('memfd-folio-index', path, `two folios lie at page index ${folio.index}`);
      return undefined;
    }
    if (start > at) {
      holes += start - at;
      parts.push({ phys: undefined, sizeBytes: start - at });
    }
    const sizeBytes = Math.min(folio.pages * page.sizeBytes, size - start);
    parts.push({ phys: folio.upToDate ? folio.phys : undefined, sizeBytes });
    at = start + sizeBytes;
  }
  if (at < size) {
    holes += size - at;
    parts.push({ phys: undefined, sizeBytes: size - at });
  }
  if (holes > 0 && !ctx.owners.blind)
    findings.add('memfd-hole', path, `${hexAddr(holes)} bytes of ${hexAddr(size)} have no folio`);
  const sha256 = ctx.hasher.sha256(parts, size);
  if (sha256 === undefined && ctx.hasher.enabled) findings.add('memfd-hash', path, `content of ${hexAddr(size)} bytes`);
  return sha256;
}
