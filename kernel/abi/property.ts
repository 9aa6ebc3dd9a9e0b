import type { PropertySpec } from './contract.ts';

/** Bytes that a numeric property has: 8 unless it is declared as u32. */
function numberBytes(property: PropertySpec): number {
  return property.type === 'u32' ? 4 : 8;
}

/** A number as the value of a property: as wide, and in the byte order, as the contract says. */
export function encodeNumber(property: PropertySpec, value: number | bigint): Uint8Array {
  const bytes = new Uint8Array(numberBytes(property));
  let rest = BigInt(value);
  for (let i = 0; i < bytes.length; i++) {
    bytes[property.byteOrder === 'big' ? bytes.length - 1 - i : i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/**
 * The number that a property's value holds; undefined when it has another length than the contract says, which is what
 * readers check.
 */
export function decodeNumber(property: PropertySpec, bytes: Uint8Array): bigint | undefined {
  if (bytes.length !== numberBytes(property)) return undefined;
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) {
    value = (value << 8n) | BigInt(bytes[property.byteOrder === 'big' ? bytes.length - 1 - i : i] as number);
  }
  return value;
}
