import { type Draft, produce } from 'immer';
import type { Contract, ContractArea } from '../../../kernel/abi/contract.ts';
import type { FieldSpec, StructSpec } from '../../../kernel/abi/struct.ts';
import { type AbiSet, contractsIn } from '../../../scenarios/abi/abi-set.ts';

/** One change to a set of contracts, and the area whose string has to change with it. */
export interface Mutation {
  readonly what: string;
  readonly owner: ContractArea;
  readonly set: AbiSet;
}

type Edit = (contract: Draft<Contract>, set: Draft<AbiSet>) => void;

class Collector {
  readonly mutations: Mutation[] = [];
  readonly #base: AbiSet;

  constructor(base: AbiSet) {
    this.#base = base;
  }

  add(contract: Contract, what: string, edit: Edit): void {
    const set = produce(this.#base, (draft) => {
      const target = draft[contract.area];
      if (target !== undefined) edit(target, draft);
    });
    this.mutations.push({ what: `${contract.name}: ${what}`, owner: contract.versionedBy, set });
  }
}

function fieldIn(contract: Draft<Contract>, struct: string, index: number): Draft<FieldSpec> {
  const field = contract.structs.find((spec) => spec.name === struct)?.fields[index];
  if (field === undefined) throw new RangeError(`no field ${index} in ${struct}`);
  return field;
}

const OTHER_SIZE: Readonly<Record<string, FieldSpec['type']>> = {
  u64: 'u32',
  u32: 'u64',
  u16: 'u32',
  u8: 'u16',
  char: 'u16',
};
const SAME_SIZE: Readonly<Record<string, readonly [FieldSpec['type'], number]>> = {
  u64: ['u32', 2],
  u32: ['u16', 2],
  u16: ['u8', 2],
};

function mutateStruct(collect: Collector, contract: Contract, spec: StructSpec): void {
  for (const [index, field] of spec.fields.entries()) {
    const at = `${spec.name}.${field.name}`;
    const edit =
      (change: (field: Draft<FieldSpec>) => void): Edit =>
      (draft) =>
        change(fieldIn(draft, spec.name, index));
    const fields = (draft: Draft<Contract>) => draft.structs.find(({ name }) => name === spec.name)?.fields ?? [];
    if (field.bits !== undefined) {
      collect.add(
        contract,
        `${at}: another width`,
        edit((it) => void (it.bits = Number(field.bits) - 1)),
      );
    } else if (field.type !== 'struct') {
      const type = OTHER_SIZE[field.type] ?? 'u8';
      collect.add(
        contract,
        `${at}: another size`,
        edit((it) => void (it.type = type)),
      );
      const alike = SAME_SIZE[field.type];
      if (alike !== undefined) {
        const [smaller, factor] = alike;
        const count = field.count === undefined ? factor : `(${field.count}) * ${factor}`;
        collect.add(
          contract,
          `${at}: another type of the same size`,
          edit((it) => Object.assign(it, { type: smaller, count })),
        );
      }
    }
    if (field.type !== 'char' && field.type !== 'struct' && field.bits === undefined) {
      collect.add(
        contract,
        `${at}: other endianness`,
        edit((it) => void (it.byteOrder = 'big')),
      );
    }
    if (field.count !== undefined) {
      collect.add(
        contract,
        `${at}: one element less`,
        edit((it) => void (it.count = `(${field.count}) - 1`)),
      );
      collect.add(
        contract,
        `${at}: eight elements more`,
        edit((it) => void (it.count = `(${field.count}) + 8`)),
      );
    }
    collect.add(contract, `${at}: removed`, (draft) => void fields(draft).splice(index, 1));
    collect.add(
      contract,
      `${at}: a u64 before it`,
      (draft) => void fields(draft).splice(index, 0, { name: 'extra', type: 'u64' }),
    );
    collect.add(
      contract,
      `${at}: a u32 behind it`,
      (draft) => void fields(draft).splice(index + 1, 0, { name: 'extra', type: 'u32' }),
    );
    if (index > 0) {
      collect.add(contract, `${at}: before its neighbour`, (draft) => {
        const all = fields(draft);
        all.splice(index - 1, 0, ...all.splice(index, 1));
      });
    }
  }
}

function mutateFdt(collect: Collector, contract: Contract): void {
  const { fdt } = contract;
  if (fdt === undefined) return;
  collect.add(contract, 'FDT version', (draft) => void (draft.fdt && (draft.fdt.version = 18)));
  collect.add(
    contract,
    'FDT last compatible version',
    (draft) => void (draft.fdt && (draft.fdt.lastCompatibleVersion = 17)),
  );
  collect.add(contract, 'room for the FDT', (draft) => void (draft.fdt && (draft.fdt.bufferBytes = '2 * PAGE_SIZE')));
  for (const [nodeIndex, node] of fdt.nodes.entries()) {
    const nodeOf = (draft: Draft<Contract>) => {
      const found = draft.fdt?.nodes[nodeIndex];
      if (found === undefined) throw new RangeError('no such node');
      return found;
    };
    if (node.name !== '' && node.name !== '*') {
      collect.add(contract, `node ${node.role}: another name`, (draft) => void (nodeOf(draft).name += 'x'));
    }
    collect.add(
      contract,
      `node ${node.role}: other necessity`,
      (draft) => void (nodeOf(draft).required = !node.required),
    );
    collect.add(
      contract,
      `node ${node.role}: one more required property`,
      (draft) => void nodeOf(draft).properties.push({ key: 'extra', name: 'extra', type: 'u64', required: true }),
    );
    for (const [index, property] of node.properties.entries()) {
      const at = `property ${property.name}`;
      const edit =
        (change: Record<string, unknown>): Edit =>
        (draft) =>
          void Object.assign(nodeOf(draft).properties[index] ?? {}, change);
      collect.add(contract, `${at}: another name`, edit({ name: `${property.name}x` }));
      collect.add(contract, `${at}: another size`, edit({ type: property.type === 'u32' ? 'u64' : 'u32' }));
      collect.add(contract, `${at}: another type`, edit({ type: property.type === 'u64[]' ? 'u64' : 'u64[]' }));
      collect.add(contract, `${at}: other necessity`, edit({ required: !property.required }));
      if (property.type !== 'string') collect.add(contract, `${at}: other endianness`, edit({ byteOrder: 'big' }));
      collect.add(contract, `${at}: removed`, (draft) => void nodeOf(draft).properties.splice(index, 1));
      if (index > 0) {
        collect.add(contract, `${at}: before its neighbour`, (draft) => {
          const all = nodeOf(draft).properties;
          all.splice(index - 1, 0, ...all.splice(index, 1));
        });
      }
    }
  }
}

function mutateMap(collect: Collector, contract: Contract): void {
  if (contract.area !== 'map' || contract.format !== 'radix-tree') return;
  const { geometry, encoding } = contract;
  for (const key of ['keyWidth', 'tableLog2', 'bitmapLog2', 'depth'] as const) {
    for (const delta of ['+ 1', '- 1']) {
      collect.add(contract, `${key} ${delta}`, (draft) => {
        if (draft.area === 'map' && draft.format === 'radix-tree') draft.geometry[key] = `(${geometry[key]}) ${delta}`;
      });
    }
  }
  collect.add(contract, 'the depth before its fix', (draft) => {
    if (draft.area === 'map' && draft.format === 'radix-tree') {
      draft.geometry.depth = 'divRoundUp(KEY_WIDTH - 1 - BITMAP_LOG2, TABLE_LOG2) + 1';
    }
  });
  for (const key of ['orderBit', 'addressShift'] as const) {
    for (const formula of [
      `(${encoding[key]}) + 1`,
      `${key === 'orderBit' ? 'KEY_WIDTH' : '1 + PAGE_SHIFT'} + ORDER`,
    ]) {
      collect.add(contract, `${key}: ${formula}`, (draft) => {
        if (draft.area === 'map' && draft.format === 'radix-tree') draft.encoding[key] = formula;
      });
    }
  }
  collect.add(contract, 'endianness of table entries', (draft) => {
    if (draft.area === 'map' && draft.format === 'radix-tree') draft.entry.byteOrder = 'big';
  });
}

/** Every single change to a set that reaches memory or what a reader accepts. */
export function mutationsOf(base: AbiSet): readonly Mutation[] {
  const collect = new Collector(base);
  for (const contract of contractsIn(base)) {
    for (const spec of contract.structs) mutateStruct(collect, contract, spec);
    for (const [name, constant] of Object.entries(contract.constants)) {
      if (constant.decides === 'internal') continue;
      for (const formula of [`(${constant.value}) + 1`, `(${constant.value}) * 2`]) {
        collect.add(contract, `${name} = ${formula}`, (draft) => {
          const target = draft.constants[name];
          if (target !== undefined) target.value = formula;
        });
      }
    }
    mutateFdt(collect, contract);
    mutateMap(collect, contract);
    if (contract.subtree !== undefined) {
      collect.add(contract, 'another subtree name', (draft) => void (draft.subtree && (draft.subtree.name += 'x')));
      const other = contract.subtree.payload === 'raw' ? 'fdt' : 'raw';
      collect.add(contract, 'another payload', (draft) => void (draft.subtree && (draft.subtree.payload = other)));
    }
    if (contract.area === 'session') {
      collect.add(
        contract,
        'another container',
        (draft) => void (draft.area === 'session' && (draft.container = 'array')),
      );
    }
  }
  return collect.mutations;
}

/** Single changes that cannot reach a byte: words, names in the source, the same formula written differently. */
export function harmlessMutationsOf(base: AbiSet): readonly Mutation[] {
  const collect = new Collector(base);
  for (const contract of contractsIn(base)) {
    collect.add(contract, 'its own name', (draft) => void (draft.name += '-again'));
    collect.add(contract, 'its description', (draft) =>
      Object.assign(draft, { doc: 'other words', title: 'another title' }),
    );
    for (const spec of contract.structs) {
      for (const [index, field] of spec.fields.entries()) {
        const at = `${spec.name}.${field.name}`;
        collect.add(contract, `${at}: renamed`, (draft) => void (fieldIn(draft, spec.name, index).name += '_new'));
        collect.add(
          contract,
          `${at}: described`,
          (draft) => void (fieldIn(draft, spec.name, index).doc = 'other words'),
        );
        if (typeof field.count === 'string') {
          collect.add(
            contract,
            `${at}: same count`,
            (draft) => void (fieldIn(draft, spec.name, index).count = `(${field.count}) + 0`),
          );
        }
      }
    }
    for (const [name, constant] of Object.entries(contract.constants)) {
      collect.add(contract, `${name}: same value`, (draft) => {
        const target = draft.constants[name];
        if (target !== undefined) target.value = `(${constant.value}) + 0`;
      });
      collect.add(
        contract,
        `${name}: described`,
        (draft) => void Object.assign(draft.constants[name] ?? {}, { doc: 'other words' }),
      );
    }
    for (const [nodeIndex, node] of (contract.fdt?.nodes ?? []).entries()) {
      collect.add(
        contract,
        `node ${node.role}: described`,
        (draft) => void Object.assign(draft.fdt?.nodes[nodeIndex] ?? {}, { doc: 'other words' }),
      );
    }
    if (contract.area === 'map' && contract.format === 'radix-tree') {
      const { geometry } = contract;
      for (const key of ['keyWidth', 'tableLog2', 'bitmapLog2', 'depth'] as const) {
        collect.add(contract, `${key}: same value`, (draft) => {
          if (draft.area === 'map' && draft.format === 'radix-tree') draft.geometry[key] = `(${geometry[key]}) * 1`;
        });
      }
      collect.add(contract, 'numbering of levels', (draft) => {
        if (draft.area === 'map' && draft.format === 'radix-tree') draft.geometry.leafLevel = 1;
      });
      collect.add(contract, 'how the walk puts keys together', (draft) => {
        if (draft.area === 'map' && draft.format === 'radix-tree') draft.keyAssembly = 'unshifted';
      });
    }
  }
  return collect.mutations;
}

/** The set with the string of an area changed as a maintainer would: `kho-v4` to `kho-v5`, 1 to 2. */
export function bumped(set: AbiSet, owner: ContractArea): AbiSet {
  return produce(set, (draft) => {
    const contract = draft[owner];
    if (contract === undefined) return;
    const { compatible } = contract;
    const next =
      typeof compatible === 'number'
        ? compatible + 1
        : (compatible ?? '').replace(/\d+$/, (digits) => String(Number(digits) + 1));
    (contract as { compatible: string | number }).compatible = next;
  });
}
