import {
  CompiledAbi as Compiled,
  type CompiledAbi,
  type Contract,
  constantsOf,
  propertySizeBytes,
  type RadixContract,
  radixNumbersOf,
} from '../../kernel/abi/contract.ts';
import { PAGE_SIZES, type PageSize } from '../../machine/index.ts';
import { completed, contractsIn } from './abi-set.ts';
import type { Subject } from './subject.ts';

export interface ShownField {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly type: string;
  readonly doc: string;
}

export interface ShownStruct {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly ShownField[];
  readonly doc: string;
}

export interface ShownProperty {
  /** The node's name on disk: empty for the root, `*` for one of each user's choice. */
  readonly node: string;
  readonly name: string;
  readonly type: string;
  /** Undefined where it depends on what is handed over. */
  readonly size: number | undefined;
  readonly endian: 'native' | 'big';
  readonly required: boolean;
  readonly doc: string;
}

/** One contract as `abi show` tells it. */
export interface ShownContract {
  readonly name: string;
  readonly area: string;
  readonly title: string;
  readonly compatible: string | number | null;
  /** The string that must change with it: its own, or another's. */
  readonly versionedBy: string | number | null;
  readonly doc: string;
  readonly subtree: string | null;
  readonly constants: Readonly<Record<string, number>>;
  readonly structs: readonly ShownStruct[];
  readonly properties: readonly ShownProperty[];
  /** What depends on the page size, by its name. */
  readonly perPageSize: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface Shown {
  readonly name: string;
  readonly pageSize: number;
  readonly notes: readonly string[];
  readonly contracts: readonly ShownContract[];
}

/** Describes everything that a name stands for, structs for one page size. */
export function show(subject: Subject, page: PageSize): Shown {
  const all = contractsIn(completed(subject.set, subject.release));
  const abi = new Compiled(all, page);
  return {
    name: subject.name,
    pageSize: page.sizeBytes,
    notes: subject.notes,
    contracts: contractsIn(subject.set).map((contract) => showContract(contract, subject, abi)),
  };
}

function showContract(contract: Contract, subject: Subject, abi: CompiledAbi): ShownContract {
  const { page } = abi;
  const owner = completed(subject.set, subject.release)[contract.versionedBy];
  return {
    name: contract.name,
    area: contract.area,
    title: contract.title,
    compatible: contract.compatible ?? null,
    versionedBy: owner?.compatible ?? null,
    doc: contract.doc ?? '',
    subtree: contract.subtree?.name ?? null,
    constants: namedConstants(contract, page),
    structs: contract.structs.map((spec) => {
      const { layout } = abi.struct(spec.name);
      const fields = layout.fields.map(({ name, offset, sizeBytes, type, doc }) => ({
        name,
        offset,
        size: sizeBytes,
        type,
        doc: doc ?? '',
      }));
      return { name: spec.name, size: layout.sizeBytes, fields, doc: spec.doc ?? '' };
    }),
    properties: showProperties(contract, abi),
    perPageSize: perPageSize(contract, subject),
  };
}

/** A contract's constants by name; those of a radix tree under the kernel's names. */
function namedConstants(contract: Contract, page: PageSize): Record<string, number> {
  const constants = constantsOf(contract, page);
  const named: Record<string, number> = {};
  if (contract.area === 'map' && contract.format === 'chunk-list') {
    named['BITMAP_BYTES'] = constants.get('BITMAP_BYTES') ?? 0;
  }
  for (const name of Object.keys(contract.constants)) named[name] = constants.get(name) ?? 0;
  if (contract.area === 'map' && contract.format === 'radix-tree') Object.assign(named, radixConstants(contract, page));
  return named;
}

function radixConstants(contract: RadixContract, page: PageSize): Record<string, number> {
  const { keyWidth, tableLog2, bitmapLog2, depth } = radixNumbersOf(contract, page);
  return {
    KHO_RADIX_KEY_WIDTH: keyWidth,
    KHO_TABLE_SIZE_LOG2: tableLog2,
    KHO_BITMAP_SIZE_LOG2: bitmapLog2,
    KHO_TREE_MAX_DEPTH: depth,
  };
}

function showProperties(contract: Contract, abi: CompiledAbi): ShownProperty[] {
  return (contract.fdt?.nodes ?? []).flatMap((node) =>
    node.properties.map((property) => ({
      node: node.name,
      name: property.name,
      type: property.type === 'struct' ? `struct ${property.struct}` : property.type,
      size: propertySizeBytes(property, contract, abi),
      endian: property.byteOrder ?? 'native',
      required: property.required,
      doc: property.doc ?? '',
    })),
  );
}

function perPageSize(contract: Contract, subject: Subject): Record<string, Record<string, number>> {
  const all = contractsIn(completed(subject.set, subject.release));
  const rows = new Map<string, number[]>();
  for (const page of PAGE_SIZES) {
    const abi = new Compiled(all, page);
    const values = namedConstants(contract, page);
    for (const spec of contract.structs) values[`sizeof(${spec.name})`] = abi.struct(spec.name).sizeBytes;
    for (const [name, value] of Object.entries(values)) rows.set(name, [...(rows.get(name) ?? []), value]);
  }
  const varying = [...rows].filter(([, values]) => new Set(values).size > 1);
  return Object.fromEntries(
    PAGE_SIZES.map((page, index) => [
      page.name,
      Object.fromEntries(varying.map(([name, values]) => [name, values[index] ?? 0])),
    ]),
  );
}
