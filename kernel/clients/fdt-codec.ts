import { type ContractBase, nodeSpecOf, type PropertySpec } from '../abi/contract.ts';
import { decodeNumber, encodeNumber } from '../abi/property.ts';
import { FDT_ERR_NOTFOUND, type FdtErr, isFdtErr } from '../fdt/error.ts';
import { fdtGetprop } from '../fdt/read.ts';
import { fdtBeginNode, fdtEndNode, fdtProperty } from '../fdt/write.ts';

/** What a property is to hold: text, a number, or bytes as they are. */
export type PropertyValue = string | number | bigint | Uint8Array;

/** The bytes of a property: numbers native-endian unless the contract says otherwise, text with its NUL. */
function encodeProperty(spec: PropertySpec, value: PropertyValue): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string') return Uint8Array.from([...value].map((char) => char.charCodeAt(0)).concat(0));
  return encodeNumber(spec, value);
}

/**
 * Writes a node's properties in the contract's order, between fdtBeginNode and whatever follows. `values` by the
 * properties' keys; a `compatible` that is not given is the contract's own.
 * @param name the node's name, where the contract leaves it open.
 * @returns 0 or libfdt errors or-ed together, as the kernel collects them.
 */
export function beginNode(
  fdt: Uint8Array,
  contract: ContractBase,
  role: string,
  values: Readonly<Record<string, PropertyValue>>,
  name?: string,
): number {
  const spec = nodeSpecOf(contract, role);
  let err: number = fdtBeginNode(fdt, name ?? spec.name);
  for (const property of spec.properties) {
    const value = values[property.key] ?? property.value ?? contract.compatible;
    if (value !== undefined) err |= fdtProperty(fdt, property.name, encodeProperty(property, value));
  }
  return err;
}

/** `beginNode` and its end. */
export function wholeNode(
  fdt: Uint8Array,
  contract: ContractBase,
  role: string,
  values: Readonly<Record<string, PropertyValue>>,
  name?: string,
): number {
  return beginNode(fdt, contract, role, values, name) | fdtEndNode(fdt);
}

/**
 * A property by node role and key, as kernels look it up: libfdt's error (a length, in its messages) when it isn't
 * there.
 */
export function getProperty(
  fdt: Uint8Array,
  node: number,
  contract: ContractBase,
  role: string,
  key: string,
): { readonly spec: PropertySpec; readonly value: Uint8Array } | FdtErr {
  const spec = nodeSpecOf(contract, role).properties.find((property) => property.key === key);
  if (spec === undefined) return FDT_ERR_NOTFOUND;
  const property = fdtGetprop(fdt, node, spec.name);
  return isFdtErr(property) ? property : { spec, value: property.value };
}

/**
 * A number's property: the number when it is there and as long as its type, else libfdt's error or the length that it
 * has.
 */
export function getNumber(
  fdt: Uint8Array,
  node: number,
  contract: ContractBase,
  role: string,
  key: string,
): bigint | { readonly length: number } {
  const property = getProperty(fdt, node, contract, role, key);
  if (isFdtErr(property)) return { length: property };
  const { spec, value } = property;
  return decodeNumber(spec, value) ?? { length: value.length };
}
