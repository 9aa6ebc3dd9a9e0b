import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CompiledAbi,
  type Contract,
  compatibleSize,
  type FdtSpec,
  type PropertySpec,
} from '../../kernel/abi/contract.ts';
import { fdtAddSubnode, fdtOpenInto, fdtPack, fdtSetprop } from '../../kernel/fdt/edit.ts';
import {
  fdtBeginNode,
  fdtCreate,
  fdtEndNode,
  fdtFinish,
  fdtFinishReservemap,
  fdtProperty,
} from '../../kernel/fdt/write.ts';
import { encodeKey, radixGeometry } from '../../kernel/kho/geometry.ts';
import { hexOfHalves, mix32, PAGE_SIZES, type PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import { InputError } from '../input-error.ts';
import { makeFolder } from '../io/make-folder.ts';
import { type AbiSet, completed, contractsIn } from './abi-set.ts';
import type { Finding } from './change.ts';
import { differences } from './compare.ts';
import { documentOf, type Plain } from './document.ts';
import type { Subject } from './subject.ts';

const FORMAT = 'khosim-abi-golden-1';

/** What a golden file holds of a contract: how it is described, and bytes that its codecs make. */
interface Golden {
  readonly format: typeof FORMAT;
  readonly contract: string;
  readonly document: Plain;
  /** Samples by name, in hex. */
  readonly bytes: Readonly<Record<string, string>>;
}

export interface GoldenResult {
  readonly contract: string;
  readonly file: string;
  readonly status: 'same' | 'moved' | 'recorded';
  /** What moved, in words. */
  readonly differences: readonly string[];
}

/** Structs longer than this are pinned by their layout and their first bytes. */
const SAMPLE_BYTES = 128;

/**
 * Compares every contract of the subjects with the golden files in a folder, and records those that have none. To
 * accept a change, delete the file and record it again.
 * @throws InputError for a folder or file that cannot be used.
 */
export function checkGolden(dir: string, subjects: readonly Subject[]): GoldenResult[] {
  const pinned = new Map<string, GoldenResult>();
  // The last subject has the say: a proposal keeps the names of what it changes.
  for (const subject of subjects.toReversed()) {
    for (const contract of contractsIn(subject.set)) {
      if (pinned.has(contract.name)) continue;
      pinned.set(contract.name, checkOne(dir, contract, subject));
    }
  }
  return [...pinned.values()].sort((a, b) => (a.contract < b.contract ? -1 : 1));
}

function checkOne(dir: string, contract: Contract, subject: Subject): GoldenResult {
  const file = join(dir, `${contract.name}.json`);
  const now = goldenOf(contract, subject);
  const old = readGolden(file);
  if (old === undefined) {
    try {
      makeFolder(dir);
      writeFileSync(file, `${JSON.stringify(now, undefined, 1)}\n`);
    } catch (error) {
      throw new InputError({ message: `cannot be written: ${(error as NodeJS.ErrnoException).code ?? error}`, file });
    }
    return { contract: contract.name, file, status: 'recorded', differences: [] };
  }
  const words = [
    ...differences({ [contract.area]: old.document }, { [contract.area]: now.document })
      .filter(({ finding }) => finding.kind !== 'reworded' && finding.kind !== 'renamed')
      .map(({ finding }) => inWords(finding)),
    ...byteDifferences(old.bytes, now.bytes),
  ];
  return { contract: contract.name, file, status: words.length === 0 ? 'same' : 'moved', differences: words };
}

function readGolden(file: string): Golden | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new InputError({ message: `cannot be read: ${(error as NodeJS.ErrnoException).code ?? error}`, file });
  }
  try {
    const golden = JSON.parse(text) as Partial<Golden>;
    if (golden.format === FORMAT && typeof golden.document === 'object' && typeof golden.bytes === 'object') {
      return golden as Golden;
    }
  } catch {
    // Told below, like any other content that is not a golden file.
  }
  throw new InputError({ message: 'is not a golden file', file, hint: 'delete it, and it is recorded again' });
}

/** One finding as a sentence. */
function inWords({ path, kind, from, to, pageSizes }: Finding): string {
  const where = pageSizes === undefined ? '' : ` (${pageSizes.join(', ')})`;
  switch (kind) {
    case 'added':
      return `${path} is new: ${to}${where}`;
    case 'removed':
      return `${path} is gone; it was ${from}${where}`;
    default:
      return `${path}${where}: was ${from ?? 'nothing'}, is ${to ?? 'nothing'}`;
  }
}

function byteDifferences(old: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  return names.flatMap((name) => {
    const [before, after] = [old[name], now[name]];
    if (before === after) return [];
    if (before === undefined) return [`bytes of ${name} are new`];
    if (after === undefined) return [`bytes of ${name} are gone`];
    const size = before.length === after.length ? '' : `, ${before.length / 2} bytes became ${after.length / 2}`;
    return [`bytes of ${name} differ from offset ${firstDifference(before, after)} on${size}`];
  });
}

function firstDifference(a: string, b: string): number {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return Math.floor(i / 2);
}

function goldenOf(contract: Contract, subject: Subject): Golden {
  const set: AbiSet = { [contract.area]: contract };
  const document = documentOf(set, subject.release)[contract.area] ?? null;
  const bytes: Record<string, string> = {};
  const all = contractsIn(completed({ ...subject.set, ...set }, subject.release));
  for (const page of PAGE_SIZES) {
    const abi = new CompiledAbi(all, page);
    for (const spec of contract.structs) bytes[`${spec.name} at ${page.name}`] = sampleStruct(abi, spec.name);
    if (contract.fdt !== undefined) bytes[`FDT at ${page.name}`] = sampleFdt(contract, contract.fdt, abi);
    if (contract.area === 'map' && contract.format === 'radix-tree') {
      const geometry = radixGeometry(page, contract);
      for (const [order, block] of [
        [0, 1],
        [9, 3],
        [18, 2],
      ] as const) {
        const phys = block * page.sizeBytes * 2 ** order;
        const key = encodeKey(geometry, phys >>> 0, Math.floor(phys / 2 ** 32), order);
        bytes[`key of order ${order} at ${page.name}`] = hexOfHalves(key.lo, key.hi).slice(2).padStart(16, '0');
      }
    }
  }
  return { format: FORMAT, contract: contract.name, document, bytes };
}

/** A number that belongs to a field, wherever it lies. */
function sampleNumber(path: string): bigint {
  let value = 0;
  for (const char of path) value = mix32(value ^ char.charCodeAt(0));
  return (BigInt(mix32(value)) << 32n) | BigInt(value);
}

/** A struct with a number of its own in each field, as its accessors write it. */
function sampleStruct(abi: CompiledAbi, name: string): string {
  const memory = new PhysicalMemory(abi.page, [{ base: 0 as PhysAddr, sizeBytes: 4 * abi.page.sizeBytes, nid: 0 }]);
  const struct = abi.struct(name);
  const base = 0 as PhysAddr;
  const fill = (prefix: string, fields: typeof struct.layout.fields): void => {
    for (const field of fields) {
      const path = `${prefix}${field.name}`;
      if (field.struct !== undefined) fill(`${path}.`, field.struct.fields);
      else if (field.kind === 'char') struct.setString(memory, base, path, field.name);
      else struct.set(memory, base, path, sampleNumber(path));
    }
  };
  fill('', struct.layout.fields);
  return hex(memory.readBytes(base, Math.min(struct.sizeBytes, SAMPLE_BYTES)));
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** An FDT with each node once, written as the contract says. */
function sampleFdt(contract: Contract, fdt: FdtSpec, abi: CompiledAbi): string {
  const { page } = abi;
  const blob = new Uint8Array(page.sizeBytes);
  const top = fdt.nodes.find((node) => node.parent === undefined && node.name === '');
  const below = fdt.nodes.filter((node) => node !== top);
  fdtCreate(blob);
  fdtFinishReservemap(blob);
  fdtBeginNode(blob, '');
  for (const property of top?.properties ?? []) fdtProperty(blob, property.name, sampleValue(property, contract, abi));
  if (fdt.writing === 'sequential') {
    for (const node of below) {
      fdtBeginNode(blob, node.name === '*' ? 'sample' : node.name);
      for (const property of node.properties) fdtProperty(blob, property.name, sampleValue(property, contract, abi));
      fdtEndNode(blob);
    }
  }
  fdtEndNode(blob);
  fdtFinish(blob);
  if (fdt.writing === 'edited') {
    for (const node of below) {
      fdtOpenInto(blob, blob);
      const offset = fdtAddSubnode(blob, 0, node.name === '*' ? 'sample' : node.name);
      for (const property of node.properties) {
        fdtSetprop(blob, offset, property.name, sampleValue(property, contract, abi));
      }
      fdtPack(blob);
    }
  }
  const totalsize = new DataView(blob.buffer).getUint32(4);
  return hex(blob.subarray(0, totalsize));
}

function sampleValue(property: PropertySpec, contract: Contract, abi: CompiledAbi): Uint8Array {
  const number = (sizeBytes: number) => {
    const bytes = new Uint8Array(sizeBytes);
    for (let i = 0; i < sizeBytes; i++) bytes[property.byteOrder === 'big' ? sizeBytes - 1 - i : i] = 0x10 + i;
    return bytes;
  };
  switch (property.type) {
    case 'u32':
      return number(4);
    case 'u64':
    case 'u64[]':
      return number(8);
    case 'struct':
      return number(abi.struct(property.struct ?? '').sizeBytes);
    default: {
      const bytes = new Uint8Array(property.value === undefined ? compatibleSize(contract) : property.value.length + 1);
      const text = property.value ?? String(contract.compatible);
      for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
      return bytes;
    }
  }
}
