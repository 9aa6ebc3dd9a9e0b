import type { Draft } from 'immer';
import type { Contract, NodeSpec, PropertySpec } from '../../kernel/abi/contract.ts';
import type { FieldSpec, StructSpec } from '../../kernel/abi/struct.ts';
import { nearest } from '../run/nearest.ts';
import { type AbiSet, contractsIn } from './abi-set.ts';
import type {
  FieldAdd,
  FieldChange,
  FieldMove,
  NodeChange,
  PropertyAdd,
  PropertyChange,
  ProposedChange,
} from './proposal-schema.ts';

/** Something that a proposal names is not there, or cannot be changed like that. */
export class ProposalError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = 'ProposalError';
    this.hint = hint;
  }
}

type MutableContract = Draft<Contract>;

function contractsOf(draft: Draft<AbiSet>): MutableContract[] {
  return Object.values(draft).filter((contract) => contract !== undefined);
}

function missing(what: string, name: string, known: readonly string[]): ProposalError {
  const close = nearest(name, known);
  const hint = close === undefined ? `there is ${known.join(', ')}` : `did you mean '${close}'?`;
  return new ProposalError(`the base has no ${what} '${name}'`, known.length === 0 ? undefined : hint);
}

/**
 * Applies one change to a draft of the base's contracts.
 * @returns the paths of what it touched, as `Change.path` has them.
 * @throws ProposalError for what is not there.
 */
export function applyChange(draft: Draft<AbiSet>, change: ProposedChange): readonly string[] {
  if ('geometry' in change) {
    const map = radixMap(draft);
    map.geometry[change.geometry] = change.set;
    return [`map.geometry.${change.geometry}`];
  }
  if ('encoding' in change) {
    const map = radixMap(draft);
    map.encoding[change.encoding] = change.set;
    return [`map.encoding.${change.encoding}`];
  }
  if ('bitmap' in change) {
    const { map } = draft;
    if (map?.area !== 'map' || map.format !== 'chunk-list') throw new ProposalError('the base has no chunk list');
    map.bitmap.sizeBytes = change.set;
    return ['map.bitmap.sizeBytes'];
  }
  if ('constant' in change) return setConstant(draft, change.constant, change.set);
  if ('struct' in change) return changeStruct(draft, change);
  if ('property' in change) return setProperty(draft, change);
  return changeNode(draft, change);
}

function radixMap(draft: Draft<AbiSet>) {
  const { map } = draft;
  if (map?.area !== 'map' || map.format !== 'radix-tree') throw new ProposalError('the base has no radix tree');
  return map;
}

function setConstant(draft: Draft<AbiSet>, name: string, value: number | string): string[] {
  for (const contract of contractsOf(draft)) {
    const constant = contract.constants[name];
    if (constant === undefined) continue;
    constant.value = value;
    return [`${contract.area}.${name}`];
  }
  throw missing(
    'constant',
    name,
    contractsOf(draft).flatMap((contract) => Object.keys(contract.constants)),
  );
}

type StructChange = FieldChange | FieldAdd | FieldMove | { struct: string; remove: string };

function changeStruct(draft: Draft<AbiSet>, change: StructChange): string[] {
  const found = contractsOf(draft)
    .flatMap((contract) => contract.structs.map((spec) => ({ contract, spec })))
    .find(({ spec }) => spec.name === change.struct);
  if (found === undefined) {
    const names = contractsIn(draft as AbiSet).flatMap((contract) => contract.structs.map((spec) => spec.name));
    throw missing('struct', change.struct, names);
  }
  const { contract, spec } = found;
  const path = (field: string) => `${contract.area}.${spec.name}.${field}`;
  if ('field' in change) {
    const field = spec.fields[indexOfField(spec, change.field)];
    if (field === undefined) return [];
    assign(field, change.set);
    return [path(change.field), ...(change.set.name === undefined ? [] : [path(change.set.name)])];
  }
  if ('add' in change) {
    const field: Draft<FieldSpec> = { name: change.add.name, type: change.add.type };
    assign(field, change.add);
    spec.fields.splice(placeIn(spec, change), 0, field);
    return [path(change.add.name)];
  }
  const name = 'move' in change ? change.move : change.remove;
  const [taken] = spec.fields.splice(indexOfField(spec, name), 1);
  if ('move' in change && taken !== undefined) {
    if (change.before === undefined && change.after === undefined) {
      throw new ProposalError('a move says before or after which field');
    }
    spec.fields.splice(placeIn(spec, change), 0, taken);
  }
  return [path(name)];
}

function indexOfField(spec: Draft<StructSpec>, name: string): number {
  const index = spec.fields.findIndex((field) => field.name === name);
  if (index < 0)
    throw missing(
      `field in struct ${spec.name} called`,
      name,
      spec.fields.map((field) => field.name),
    );
  return index;
}

/** Where a new field goes: at the end unless told otherwise. */
function placeIn(
  spec: Draft<StructSpec>,
  { before, after }: { before?: string | undefined; after?: string | undefined },
): number {
  if (before !== undefined) return indexOfField(spec, before);
  if (after !== undefined) return indexOfField(spec, after) + 1;
  return spec.fields.length;
}

/** Sets what is given; `byteOrder: native` takes the attribute away. */
function assign(target: object, source: object): void {
  for (const [key, value] of Object.entries(source)) {
    if (value === undefined) continue;
    if (key === 'byteOrder' && value === 'native') Reflect.deleteProperty(target, key);
    else Reflect.set(target, key, value);
  }
}

interface FoundNode {
  readonly contract: MutableContract;
  readonly node: Draft<NodeSpec>;
}

function allNodes(draft: Draft<AbiSet>): FoundNode[] {
  return contractsOf(draft).flatMap((contract) => (contract.fdt?.nodes ?? []).map((node) => ({ contract, node })));
}

/** Nodes go by role (`subtree`), `area.role` where several have it, or the name on disk. */
function findNode(draft: Draft<AbiSet>, name: string): FoundNode {
  const nodes = allNodes(draft);
  const found =
    nodes.find(({ contract, node }) => `${contract.area}.${node.role}` === name) ??
    nodes.find(({ node }) => node.role === name || (node.name !== '' && node.name === name));
  if (found === undefined)
    throw missing(
      'node',
      name,
      nodes.map(({ contract, node }) => `${contract.area}.${node.role}`),
    );
  return found;
}

function setProperty(draft: Draft<AbiSet>, change: PropertyChange): string[] {
  const places = change.node === undefined ? allNodes(draft) : [findNode(draft, change.node)];
  for (const { contract, node } of places) {
    const property = node.properties.find(({ key, name }) => key === change.property || name === change.property);
    if (property === undefined) continue;
    assign(property, change.set);
    return [`${contract.area}.${node.role}.${property.key}`];
  }
  throw missing(
    'property',
    change.property,
    places.flatMap(({ node }) => node.properties.map(({ name }) => name)),
  );
}

function changeNode(
  draft: Draft<AbiSet>,
  change: NodeChange | PropertyAdd | { node: string; remove: string },
): string[] {
  const { contract, node } = findNode(draft, change.node);
  if ('set' in change) {
    assign(node, change.set);
    return [`${contract.area}.${node.role}`];
  }
  const indexOf = (name: string): number => {
    const index = node.properties.findIndex((property) => property.key === name || property.name === name);
    if (index < 0)
      throw missing(
        'property',
        name,
        node.properties.map((property) => property.name),
      );
    return index;
  };
  if ('remove' in change) {
    const [taken] = node.properties.splice(indexOf(change.remove), 1);
    return [`${contract.area}.${node.role}.${taken?.key}`];
  }
  const property: Draft<PropertySpec> = {
    key: change.add.name,
    name: change.add.name,
    type: change.add.type,
    required: change.add.required,
  };
  assign(property, change.add);
  const place =
    change.before !== undefined
      ? indexOf(change.before)
      : change.after !== undefined
        ? indexOf(change.after) + 1
        : node.properties.length;
  node.properties.splice(place, 0, property);
  return [`${contract.area}.${node.role}.${property.key}`];
}

/** Changes a version string. @throws ProposalError when no contract of the base has it. */
export function bumpString(draft: Draft<AbiSet>, string: string, to: string | number): readonly string[] {
  const contracts = contractsOf(draft);
  const contract = contracts.find(({ compatible, area }) => String(compatible) === string || area === string);
  if (contract?.compatible === undefined) {
    throw missing(
      'version string',
      string,
      contracts.flatMap(({ compatible }) => (compatible === undefined ? [] : [String(compatible)])),
    );
  }
  if (typeof contract.compatible !== typeof to) {
    throw new ProposalError(`${string} is a ${typeof contract.compatible}, so its successor must be one`);
  }
  (contract as { compatible: string | number }).compatible = to;
  return [`${contract.area}.compatible`];
}
