import { ARCHES, type Arch, type BootHandoff } from '../machine.ts';
import type { RamBank } from '../memory-map.ts';
import { PAGE_SIZES, pageSizeByBytes } from '../page-size.ts';
import { hex, type PhysAddr } from '../units.ts';
import type { ByteSource } from './byte-source.ts';
import { ProblemList } from './image-error.ts';
import { type ImageExtent, liesInBanks, MAX_BANK_BYTES, type MemoryImage } from './memory-image.ts';

/*
 * khosim-sparse-1: a JSON document that says which pieces of RAM there are, and a data file with their bytes.
 *
 *     {"format": "khosim-sparse-1", "arch": "arm64", "pageSize": 4096,
 *      "ram": [{"base": "0x40000000", "size": "0x20000000", "nid": 0}],
 *      "handoff": {"fdt": {"phys": "0x40950000", "size": 4096}, "scratch": {"phys": "0x5eff0000", "size": 48}},
 *      "data": "image.bin.gz",
 *      "extents": [{"phys": "0x40950000", "size": 4096, "stored": 799, "offset": 4698}, ...]}
 *
 * Addresses are hex strings; numbers are taken too. `arch`, `pageSize` and `handoff` may be absent.
 */

export const SPARSE_FORMAT = 'khosim-sparse-1';

/** The document, checked for itself; whether the data file has what it promises shows when both are put together. */
export interface SparseManifest {
  readonly arch?: Arch | undefined;
  readonly pageSizeBytes?: number | undefined;
  readonly banks: readonly RamBank[];
  readonly handoff?: BootHandoff | undefined;
  /** Name of the data file, beside the document; gzip if it ends in `.gz`. */
  readonly data: string;
  readonly extents: readonly ImageExtent[];
}

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads the fields of a document and gathers what is wrong with them. */
class Fields {
  readonly problems = new ProblemList();

  object(value: unknown, where: string): Json | undefined {
    if (isObject(value)) return value;
    this.problems.add(value === undefined ? 'is missing' : 'is not an object', where);
    return undefined;
  }

  list(value: unknown, where: string): readonly unknown[] {
    if (Array.isArray(value)) return value;
    this.problems.add(value === undefined ? 'is missing' : 'is not a list', where);
    return [];
  }

  /** A whole number from 0 to 2^53 - 1, as a number or a hex string. */
  number(value: unknown, where: string): number | undefined {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    if (typeof value === 'string' && /^0x[0-9a-f]{1,16}$/i.test(value)) {
      const number = Number(value);
      if (Number.isSafeInteger(number)) return number;
      this.problems.add(`${value} is beyond 2^53 - 1, which no RAM reaches`, where);
      return undefined;
    }
    const what = value === undefined ? 'is missing' : `${JSON.stringify(value)} is not an address or size`;
    this.problems.add(what, where, 'a hex string such as "0x40000000", or a number');
    return undefined;
  }

  range(value: unknown, where: string): { phys: PhysAddr; sizeBytes: number } | undefined {
    const object = this.object(value, where);
    if (object === undefined) return undefined;
    const phys = this.number(object['phys'], `${where}.phys`);
    const sizeBytes = this.number(object['size'], `${where}.size`);
    return phys === undefined || sizeBytes === undefined ? undefined : { phys: phys as PhysAddr, sizeBytes };
  }
}

/**
 * Checks a khosim-sparse-1 document.
 * @param document what JSON.parse gave.
 * @throws ImageError with everything that is wrong.
 */
export function parseSparseManifest(document: unknown): SparseManifest {
  const fields = new Fields();
  const problems = fields.problems;
  if (!isObject(document) || document['format'] !== SPARSE_FORMAT) {
    const found = isObject(document) ? JSON.stringify(document['format']) : 'no object';
    problems.add(
      `is ${found ?? 'missing'}, not "${SPARSE_FORMAT}"`,
      'format',
      'this is not an image, or of another version',
    );
    problems.throwIfAny();
    throw new Error('unreachable');
  }
  const arch = document['arch'];
  if (arch !== undefined && !ARCHES.includes(arch as Arch)) {
    problems.add(`${JSON.stringify(arch)} is not one of ${ARCHES.join(', ')}`, 'arch');
  }
  const pageSize = document['pageSize'];
  if (pageSize !== undefined && pageSizeByBytes(pageSize as number) === undefined) {
    const sizes = PAGE_SIZES.map((size) => size.sizeBytes).join(', ');
    problems.add(`${JSON.stringify(pageSize)} is not one of ${sizes}`, 'pageSize');
  }
  const banks = readBanks(fields, document['ram']);
  const handoff = readHandoff(fields, document['handoff']);
  const data = document['data'];
  if (typeof data !== 'string' || data === '' || /[/\\]/.test(data)) {
    problems.add('is not the name of a file beside the document', 'data');
  }
  const extents = readExtentList(fields, document['extents'], banks);
  problems.throwIfAny();
  return {
    arch: arch as Arch | undefined,
    pageSizeBytes: pageSize as number | undefined,
    banks,
    handoff,
    data: data as string,
    extents,
  };
}

function readHandoff(fields: Fields, value: unknown): BootHandoff | undefined {
  if (value === undefined || value === null) return undefined;
  const object = fields.object(value, 'handoff');
  if (object === undefined) return undefined;
  const fdt = fields.range(object['fdt'], 'handoff.fdt');
  const scratch = fields.range(object['scratch'], 'handoff.scratch');
  return fdt === undefined || scratch === undefined ? undefined : { fdt, scratch };
}

function readBanks(fields: Fields, value: unknown): RamBank[] {
  const banks: (RamBank & { where: string })[] = [];
  const list = fields.list(value, 'ram');
  if (Array.isArray(value) && value.length === 0) fields.problems.add('has no bank', 'ram');
  for (const [i, item] of list.entries()) {
    const where = `ram[${i}]`;
    const object = fields.object(item, where);
    if (object === undefined) continue;
    const base = fields.number(object['base'], `${where}.base`);
    const sizeBytes = fields.number(object['size'], `${where}.size`);
    const nid = object['nid'] === undefined ? 0 : fields.number(object['nid'], `${where}.nid`);
    if (base === undefined || sizeBytes === undefined || nid === undefined) continue;
    if (sizeBytes === 0) fields.problems.add('is empty', where);
    if (base + sizeBytes > Number.MAX_SAFE_INTEGER) fields.problems.add('ends beyond 2^53', where);
    if (sizeBytes > MAX_BANK_BYTES) fields.problems.add(`is larger than ${hex(MAX_BANK_BYTES)} bytes`, where);
    banks.push({ base: base as PhysAddr, sizeBytes, nid, where });
  }
  banks.sort((a, b) => a.base - b.base);
  for (const [i, bank] of banks.entries()) {
    const next = banks[i + 1];
    if (next !== undefined && bank.base + bank.sizeBytes > next.base) {
      fields.problems.add(`overlaps ${bank.where}, which ends at ${hex(bank.base + bank.sizeBytes)}`, next.where);
    }
  }
  return banks.map(({ base, sizeBytes, nid }) => ({ base, sizeBytes, nid }));
}

function readExtentList(fields: Fields, value: unknown, banks: readonly RamBank[]): ImageExtent[] {
  const extents: (ImageExtent & { where: string })[] = [];
  for (const [i, item] of fields.list(value, 'extents').entries()) {
    const where = `extents[${i}]`;
    const object = fields.object(item, where);
    if (object === undefined) continue;
    const phys = fields.number(object['phys'], `${where}.phys`);
    const sizeBytes = fields.number(object['size'], `${where}.size`);
    const storedBytes = fields.number(object['stored'] ?? object['size'], `${where}.stored`);
    const offset = fields.number(object['offset'], `${where}.offset`);
    if (phys === undefined || sizeBytes === undefined || storedBytes === undefined || offset === undefined) continue;
    if (storedBytes > sizeBytes) fields.problems.add(`stores ${storedBytes} bytes of ${sizeBytes}`, where);
    if (sizeBytes === 0) continue;
    extents.push({ phys, sizeBytes, storedBytes, offset, where });
  }
  extents.sort((a, b) => a.phys - b.phys);
  for (const [i, extent] of extents.entries()) {
    const end = extent.phys + extent.sizeBytes;
    const next = extents[i + 1];
    if (next !== undefined && end > next.phys) {
      fields.problems.add(`overlaps ${extent.where}, which ends at ${hex(end)}`, next.where);
    }
    if (banks.length > 0 && !liesInBanks(banks, extent.phys, extent.sizeBytes)) {
      fields.problems.add(
        `${hex(extent.phys)} to ${hex(end)} is not inside RAM`,
        extent.where,
        'add the bank to `ram`, or correct the address',
      );
    }
  }
  return extents.map(({ where: _, ...extent }) => extent);
}

/**
 * Puts a document and its unpacked data together.
 * @throws ImageError for extents that reach beyond the data.
 */
export function sparseImage(manifest: SparseManifest, data: ByteSource): MemoryImage {
  const problems = new ProblemList();
  for (const extent of manifest.extents) {
    if (extent.offset + extent.storedBytes <= data.sizeBytes) continue;
    problems.add(
      `wants bytes ${extent.offset} to ${extent.offset + extent.storedBytes} of the data, which has ${data.sizeBytes}`,
      `the extent at ${hex(extent.phys)}`,
      'the data file is truncated, or belongs to another document',
    );
  }
  problems.throwIfAny();
  return {
    format: SPARSE_FORMAT,
    arch: manifest.arch,
    page: manifest.pageSizeBytes === undefined ? undefined : pageSizeByBytes(manifest.pageSizeBytes),
    banks: manifest.banks,
    handoff: manifest.handoff,
    extents: manifest.extents,
    source: data,
    notes: [],
  };
}
