import {
  type ChunkListContract,
  type Contract,
  constantsOf,
  type FdtSpec,
  type NodeSpec,
  type RadixContract,
  radixNumbersOf,
} from '../../kernel/abi/contract.ts';
import type { Expression } from '../../kernel/abi/expression.ts';
import { layoutOf, type StructLayout, type StructSpec } from '../../kernel/abi/struct.ts';
import type { Release } from '../../kernel/release.ts';
import { PAGE_SIZES, type PageSize } from '../../machine/index.ts';
import { type AbiSet, completed, contractsIn } from './abi-set.ts';

/** Plain data of any shape. */
export type Plain = string | number | boolean | null | { [key: string]: Plain };

/** A value for each page size, by its name. */
export type PerPage<T> = { [pageName: string]: T };

/*
 * A set of contracts as a document to compare: everything keyed by what it is (structs by name, fields by name,
 * properties by key), and beside each formula what it comes to at each page size. Two formulas that come to the same
 * numbers so differ in their text only, and a field that only moved shows as one that moved.
 *
 * A thing that only changed its name keeps its old key (its name is an attribute), so that renaming is not removing.
 */

/** What a set is compared with. */
export interface Comparison {
  /** The set on the other side: places in an order count among what both have. */
  readonly other?: AbiSet;
  /** Whether the other side is the older one, whose names are the keys. */
  readonly renamedFromOther?: boolean;
}

/** Describes a set, with what it does not hold itself taken from `release`. */
export function documentOf(set: AbiSet, release: Release, comparison: Comparison = {}): { [area: string]: Plain } {
  const mine = structsOf(completed(set, release));
  const others =
    comparison.renamedFromOther === true ? structsOf(comparison.other ?? {}) : new Map<string, StructSpec>();
  const document: { [area: string]: Plain } = {};
  for (const contract of contractsIn(set)) {
    const other = comparison.other?.[contract.area];
    // The very same contract on both sides, as it mostly is: nothing to tell.
    if (other === contract) continue;
    const old = comparison.renamedFromOther === true ? other : undefined;
    // A struct of another contract that is embedded here is taken as it was: its change is told where it belongs.
    const structs = new Map([...mine, ...others, ...structsOf({ [contract.area]: contract })]);
    document[contract.area] = describeContract(contract, structs, old, other);
  }
  return document;
}

function structsOf(set: AbiSet): Map<string, StructSpec> {
  return new Map(contractsIn(set).flatMap((contract) => contract.structs.map((spec) => [spec.name, spec])));
}

function perPage<T extends Plain>(value: (page: PageSize) => T): PerPage<T> {
  return Object.fromEntries(PAGE_SIZES.map((page) => [page.name, value(page)]));
}

type Structs = ReadonlyMap<string, StructSpec>;

function describeContract(
  contract: Contract,
  structs: Structs,
  old: Contract | undefined,
  other: Contract | undefined,
): Plain {
  const formulas = (at: (page: PageSize) => number | string, text: Expression): Plain => ({
    formula: text,
    at: perPage(at),
  });
  const result: { [key: string]: Plain } = {
    name: contract.name,
    title: contract.title,
    doc: contract.doc ?? '',
    compatible: contract.compatible ?? null,
    versionedBy: contract.versionedBy,
    constants: describeConstants(contract, old),
    structs: describeStructs(contract, structs, old),
  };
  if (contract.subtree !== undefined) {
    const { name, payload, struct } = contract.subtree;
    result['subtree'] = { name, payload, struct: struct ?? '' };
  }
  if (contract.fdt !== undefined) result['fdt'] = describeFdt(contract.fdt, other?.fdt);
  if (contract.area === 'session') result['container'] = contract.container;
  if (contract.area !== 'map') return result;
  result['format'] = contract.format;
  if (contract.format === 'radix-tree') Object.assign(result, describeRadix(contract, formulas));
  else Object.assign(result, describeChunkList(contract, formulas));
  return result;
}

type Formulas = (at: (page: PageSize) => number | string, text: Expression) => Plain;

function describeRadix(contract: RadixContract, formulas: Formulas): { [key: string]: Plain } {
  const computed = new Map(PAGE_SIZES.map((page) => [page, radixNumbersOf(contract, page)]));
  const numbers = (page: PageSize) => computed.get(page) ?? radixNumbersOf(contract, page);
  const { geometry, encoding, entry, leafWord, keyAssembly } = contract;
  return {
    geometry: {
      keyWidth: formulas((page) => numbers(page).keyWidth, geometry.keyWidth),
      tableLog2: formulas((page) => numbers(page).tableLog2, geometry.tableLog2),
      bitmapLog2: formulas((page) => numbers(page).bitmapLog2, geometry.bitmapLog2),
      depth: formulas((page) => numbers(page).depth, geometry.depth),
      leafLevel: geometry.leafLevel,
    },
    encoding: {
      orderBit: formulas((page) => numbers(page).orderBits.join(' '), encoding.orderBit),
      addressShift: formulas((page) => numbers(page).addressShifts.join(' '), encoding.addressShift),
    },
    entry: { type: entry.type, byteOrder: entry.byteOrder ?? 'native' },
    leafWord,
    keyAssembly,
  };
}

function describeChunkList(contract: ChunkListContract, formulas: Formulas): { [key: string]: Plain } {
  const { sizeBytes, allocator } = contract.bitmap;
  return {
    bitmap: {
      sizeBytes: formulas((page) => constantsOf(contract, page).get('BITMAP_BYTES') ?? 0, sizeBytes),
      allocator,
    },
  };
}

/** Keys for the items of a list: their names, or the old name of what is the same thing at the same place. */
function keysFor<T>(
  items: readonly T[],
  old: readonly T[],
  nameOf: (item: T) => string,
  same: (a: T, b: T) => boolean,
): string[] {
  const names = new Set(items.map(nameOf));
  const oldNames = new Set(old.map(nameOf));
  return items.map((item, index) => {
    const before = old[index];
    const renamed =
      before !== undefined && !oldNames.has(nameOf(item)) && !names.has(nameOf(before)) && same(item, before);
    return renamed ? nameOf(before) : nameOf(item);
  });
}

function describeConstants(contract: Contract, old: Contract | undefined): Plain {
  const entries = Object.entries(contract.constants);
  const values = new Map(PAGE_SIZES.map((page) => [page, constantsOf(contract, page)]));
  const keys = keysFor(
    entries,
    Object.entries(old?.constants ?? {}),
    ([name]) => name,
    (a, b) => a[1].value === b[1].value && a[1].decides === b[1].decides,
  );
  return Object.fromEntries(
    entries.map(([name, constant], index) => [
      keys[index] ?? name,
      {
        name,
        formula: constant.value,
        at: perPage((page) => values.get(page)?.get(name) ?? 0),
        decides: constant.decides,
        doc: constant.doc ?? '',
      },
    ]),
  );
}

function shapeOf(spec: StructSpec): string {
  return JSON.stringify(spec.fields.map(({ type, count, bits, byteOrder }) => [type, count, bits, byteOrder]));
}

function describeStructs(contract: Contract, structs: Structs, old: Contract | undefined): Plain {
  const before = old?.structs ?? [];
  const keys = keysFor(
    contract.structs,
    before,
    (spec) => spec.name,
    (a, b) => shapeOf(a) === shapeOf(b),
  );
  return Object.fromEntries(
    contract.structs.map((spec, index) => {
      const key = keys[index] ?? spec.name;
      const layouts = perPageLayouts(contract, spec, structs);
      const oldSpec = before.find((candidate) => candidate.name === key);
      return [
        key,
        {
          name: spec.name,
          doc: spec.doc ?? '',
          packed: spec.packed ?? false,
          size: Object.fromEntries([...layouts].map(([page, layout]) => [page, layout.sizeBytes])),
          fields: describeFields(spec, layouts, oldSpec),
        },
      ];
    }),
  );
}

function perPageLayouts(contract: Contract, spec: StructSpec, structs: Structs): Map<string, StructLayout> {
  return new Map(
    PAGE_SIZES.map((page) => [page.name, layoutOf(spec, page, { constants: constantsOf(contract, page), structs })]),
  );
}

function describeFields(
  spec: StructSpec,
  layouts: ReadonlyMap<string, StructLayout>,
  old: StructSpec | undefined,
): Plain {
  const keys = keysFor(
    spec.fields,
    old?.fields ?? [],
    (field) => field.name,
    (a, b) => a.type === b.type && a.count === b.count && a.bits === b.bits && a.struct === b.struct,
  );
  return Object.fromEntries(
    spec.fields.map((field, index) => {
      const at: { [page: string]: Plain } = {};
      for (const [page, layout] of layouts) {
        const { offset, sizeBytes, type, bitOffset } = layout.fields[index] ?? { offset: 0, sizeBytes: 0, type: '' };
        // What an embedded struct is called is no more than a name.
        const shape = type.replace(/^struct \w+/, 'struct');
        at[page] = { offset, size: sizeBytes, type: shape, ...(bitOffset === undefined ? {} : { bit: bitOffset }) };
      }
      return [
        keys[index] ?? field.name,
        { name: field.name, doc: field.doc ?? '', struct: structName(field.struct), at },
      ];
    }),
  );
}

function structName(struct: StructSpec | string | undefined): string {
  return typeof struct === 'object' ? struct.name : (struct ?? '');
}

function describeFdt(fdt: FdtSpec, other: FdtSpec | undefined): Plain {
  const nodes: { [role: string]: Plain } = {};
  const inOther = (role: string) => other?.nodes.find((node) => node.role === role);
  const common = fdt.nodes.filter((node) => other === undefined || inOther(node.role) !== undefined);
  for (const node of fdt.nodes) {
    const { name, parent, required, doc } = node;
    nodes[node.role] = {
      name,
      parent: parent ?? '',
      required,
      position: common.indexOf(node),
      doc: doc ?? '',
      properties: describeProperties(node, inOther(node.role)),
    };
  }
  const { version, lastCompatibleVersion, bufferBytes, writing } = fdt;
  return { version, lastCompatibleVersion, bufferBytes, writing, nodes };
}

function describeProperties(node: NodeSpec, other: NodeSpec | undefined): Plain {
  const { properties } = node;
  const common = properties.filter(
    (property) => other === undefined || other.properties.some(({ key }) => key === property.key),
  );
  return Object.fromEntries(
    properties.map((property) => [
      property.key,
      {
        name: property.name,
        type: property.type,
        struct: property.struct ?? '',
        byteOrder: property.byteOrder ?? 'native',
        value: property.value ?? '',
        required: property.required,
        position: common.indexOf(property),
        doc: property.doc ?? '',
      },
    ]),
  );
}
