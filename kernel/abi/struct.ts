import type { PageSize } from '../../machine/page-size.ts';
import type { PhysicalMemory } from '../../machine/physical-memory.ts';
import type { PhysAddr } from '../../machine/units.ts';
import { type Expression, evaluate, type Scope } from './expression.ts';

export type FieldType = 'u8' | 'u16' | 'u32' | 'u64' | 'char' | 'struct';

/** One member of a struct, as a C header would declare it. */
export interface FieldSpec {
  readonly name: string;
  readonly type: FieldType;
  /** Elements of an array; absent for a single value. `char` fields are NUL-padded strings of this many bytes. */
  readonly count?: Expression;
  /** For type `struct`: its description, or the name of one that the same set of contracts holds. */
  readonly struct?: StructSpec | string;
  /** Width of a bit field; neighbours share one unit of `type`, lowest bits first. */
  readonly bits?: Expression;
  /** Values are native-endian (little, on every KHO architecture) unless this says otherwise. */
  readonly byteOrder?: 'big';
  /** What the value means, for documentation. Never decides a byte. */
  readonly doc?: string;
}

/** A struct of an ABI: fields in order, with C's natural alignment unless packed. */
export interface StructSpec {
  readonly name: string;
  readonly packed?: boolean;
  readonly fields: readonly FieldSpec[];
  readonly doc?: string;
}

/** Where a field lies and what it is, computed for one page size. */
export interface FieldLayout {
  readonly name: string;
  readonly offset: number;
  /** Of the whole field: all elements of an array, the whole unit of a bit field. */
  readonly sizeBytes: number;
  readonly kind: FieldType;
  /** As in C: `u64`, `char[48]`, `u64[511]`, `struct kho_vmalloc`, `u64:52`. */
  readonly type: string;
  /** Array elements, 1 for a single value. */
  readonly count: number;
  readonly elementBytes: number;
  readonly bigEndian: boolean;
  /** For a bit field: lowest bit and width in the unit at `offset`. */
  readonly bitOffset?: number;
  readonly bitWidth?: number;
  readonly struct?: StructLayout;
  readonly doc?: string;
}

/** A struct as a compiler lays it out for one page size. */
export interface StructLayout {
  readonly name: string;
  readonly sizeBytes: number;
  readonly alignBytes: number;
  readonly fields: readonly FieldLayout[];
}

/** What formulas and struct names in a description refer to. */
export interface AbiScope {
  readonly constants: Scope;
  readonly structs: ReadonlyMap<string, StructSpec>;
}

const SIZES: Readonly<Record<Exclude<FieldType, 'struct'>, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, char: 1 };

/** The names that every formula knows: PAGE_SIZE, PAGE_SHIFT, PHYS_BITS (64 in every kernel). */
export function pageConstants(page: PageSize): Map<string, number> {
  return new Map([
    ['PAGE_SIZE', page.sizeBytes],
    ['PAGE_SHIFT', page.shift],
    ['PHYS_BITS', page.physBits],
  ]);
}

function scopeFor(page: PageSize, scope: AbiScope | undefined): AbiScope {
  return scope ?? { constants: pageConstants(page), structs: new Map() };
}

/**
 * Lays a struct out for a page size, as a C compiler would.
 * @param scope constants and structs it refers to; without it only the page's own names are known.
 * @throws ExpressionError for a formula that cannot be evaluated; RangeError for a struct that is not there.
 */
export function layoutOf(spec: StructSpec, page: PageSize, scope?: AbiScope): StructLayout {
  const env = scopeFor(page, scope);
  const fields: FieldLayout[] = [];
  let end = 0;
  let alignBytes = 1;
  let unit: { offset: number; sizeBytes: number; used: number } | undefined;

  for (const field of spec.fields) {
    const inner = field.type === 'struct' ? layoutOf(resolveStruct(field, env), page, env) : undefined;
    const elementBytes = inner?.sizeBytes ?? SIZES[field.type as Exclude<FieldType, 'struct'>];
    const align = spec.packed === true ? 1 : (inner?.alignBytes ?? elementBytes);
    alignBytes = Math.max(alignBytes, align);
    const bigEndian = field.byteOrder === 'big';
    const common = { name: field.name, kind: field.type, elementBytes, bigEndian };
    const doc = field.doc === undefined ? {} : { doc: field.doc };
    if (field.bits !== undefined) {
      const bitWidth = evaluate(field.bits, env.constants);
      if (bitWidth < 1 || bitWidth > elementBytes * 8)
        throw new RangeError(`${spec.name}.${field.name}: ${bitWidth} bits`);
      if (unit === undefined || unit.sizeBytes !== elementBytes || unit.used + bitWidth > elementBytes * 8) {
        const offset = Math.ceil(end / align) * align;
        unit = { offset, sizeBytes: elementBytes, used: 0 };
        end = offset + elementBytes;
      }
      fields.push({
        ...common,
        offset: unit.offset,
        sizeBytes: elementBytes,
        type: `${field.type}:${bitWidth}`,
        count: 1,
        bitOffset: unit.used,
        bitWidth,
        ...doc,
      });
      unit.used += bitWidth;
      continue;
    }
    unit = undefined;
    const count = field.count === undefined ? 1 : evaluate(field.count, env.constants);
    if (count < 0) throw new RangeError(`${spec.name}.${field.name}: ${count} elements`);
    const offset = Math.ceil(end / align) * align;
    const base = inner === undefined ? field.type : `struct ${inner.name}`;
    fields.push({
      ...common,
      offset,
      sizeBytes: elementBytes * count,
      type: `${bigEndian ? base.replace('u', 'be') : base}${field.count === undefined ? '' : `[${count}]`}`,
      count,
      ...(inner === undefined ? {} : { struct: inner }),
      ...doc,
    });
    end = offset + elementBytes * count;
  }
  return { name: spec.name, sizeBytes: Math.ceil(end / alignBytes) * alignBytes, alignBytes, fields };
}

/** sizeof of a basic type or a struct of the scope. @throws RangeError for another name. */
export function sizeOfType(name: string, page: PageSize, scope: AbiScope): number {
  const basic = (SIZES as Readonly<Record<string, number>>)[name];
  if (basic !== undefined) return basic;
  const spec = scope.structs.get(name);
  if (spec === undefined) throw new RangeError(`sizeof of an unknown type ${name}`);
  return layoutOf(spec, page, scope).sizeBytes;
}

function resolveStruct(field: FieldSpec, scope: AbiScope): StructSpec {
  if (typeof field.struct === 'object') return field.struct;
  const found = field.struct === undefined ? undefined : scope.structs.get(field.struct);
  if (found === undefined) throw new RangeError(`field ${field.name} refers to an unknown struct ${field.struct}`);
  return found;
}

/**
 * A struct ready for use in RAM. Offsets and sizes are plain numbers: a hot loop takes them into locals once. The
 * accessors follow the field's own size and byte order, so that a changed description changes what is read and
 * written, with no other code to touch.
 *
 * Fields are named by path: `phys`, `hdr.next`, `bitmaps.phys_start` (with an index for the outermost array).
 */
export class CompiledStruct {
  readonly name: string;
  readonly sizeBytes: number;
  readonly layout: StructLayout;
  readonly #fields = new Map<string, FieldLayout & { readonly strideBytes: number }>();

  constructor(layout: StructLayout) {
    this.name = layout.name;
    this.sizeBytes = layout.sizeBytes;
    this.layout = layout;
    this.#collect(layout, '', 0, 0);
  }

  #collect(layout: StructLayout, prefix: string, base: number, stride: number): void {
    for (const field of layout.fields) {
      const strideBytes = stride === 0 ? field.elementBytes : stride;
      this.#fields.set(prefix + field.name, { ...field, offset: base + field.offset, strideBytes });
      if (field.struct !== undefined) {
        this.#collect(
          field.struct,
          `${prefix}${field.name}.`,
          base + field.offset,
          field.count > 1 ? strideBytes : stride,
        );
      }
    }
  }

  /** @throws RangeError for a field that the struct does not have: a bug, or a proposal that took it away. */
  field(name: string): FieldLayout & { readonly strideBytes: number } {
    const field = this.#fields.get(name);
    if (field === undefined) throw new RangeError(`struct ${this.name} has no field ${name}`);
    return field;
  }

  has(name: string): boolean {
    return this.#fields.has(name);
  }

  /** Bytes from the start of the struct; of an array, where element 0 is. */
  offsetOf(name: string): number {
    return this.field(name).offset;
  }

  sizeOf(name: string): number {
    return this.field(name).sizeBytes;
  }

  countOf(name: string): number {
    return this.field(name).count;
  }

  /**
   * Reads an unsigned field as a number: exact up to 2^53 - 1, beyond that the nearest double (see
   * PhysicalMemory.readU64). Use `getHex` or `getBig` for opaque values.
   * @throws MachineFault outside RAM.
   */
  get(memory: PhysicalMemory, base: PhysAddr, name: string, index = 0): number {
    const field = this.field(name);
    const at = (base + field.offset + index * field.strideBytes) as PhysAddr;
    if (field.bitWidth !== undefined || (field.bigEndian && field.elementBytes === 8)) {
      return Number(this.getBig(memory, base, name, index));
    }
    switch (field.elementBytes) {
      case 1:
        return memory.readU8(at);
      case 2: {
        const value = memory.readU16(at);
        return field.bigEndian ? ((value & 0xff) << 8) | (value >>> 8) : value;
      }
      case 4: {
        const value = memory.readU32(at);
        return field.bigEndian ? swap32(value) : value;
      }
      default:
        return memory.readU64(at);
    }
  }

  /** All bits of an unsigned field. @throws MachineFault outside RAM. */
  getBig(memory: PhysicalMemory, base: PhysAddr, name: string, index = 0): bigint {
    const field = this.field(name);
    const at = base + field.offset + index * field.strideBytes;
    const unit = readUnit(memory, at, field);
    if (field.bitWidth === undefined) return unit;
    return (unit >> BigInt(field.bitOffset ?? 0)) & ((1n << BigInt(field.bitWidth)) - 1n);
  }

  /** All bits as `0x`-hex. @throws MachineFault outside RAM. */
  getHex(memory: PhysicalMemory, base: PhysAddr, name: string, index = 0): string {
    return `0x${this.getBig(memory, base, name, index).toString(16)}`;
  }

  /**
   * Writes an unsigned field; a bit field leaves its neighbours as they are. What is too wide for the field loses its
   * high bits, as an assignment in C would.
   * @throws MachineFault outside RAM.
   */
  set(memory: PhysicalMemory, base: PhysAddr, name: string, value: number | bigint, index = 0): void {
    const field = this.field(name);
    const at = base + field.offset + index * field.strideBytes;
    let unit = BigInt(value);
    if (field.bitWidth !== undefined) {
      const shift = BigInt(field.bitOffset ?? 0);
      const mask = ((1n << BigInt(field.bitWidth)) - 1n) << shift;
      unit = (readUnit(memory, at, field) & ~mask) | ((unit << shift) & mask);
    }
    const bytes = new Uint8Array(field.elementBytes);
    for (let i = 0; i < bytes.length; i++) {
      bytes[field.bigEndian ? bytes.length - 1 - i : i] = Number((unit >> BigInt(8 * i)) & 0xffn);
    }
    memory.writeBytes(at as PhysAddr, bytes);
  }

  /** The raw bytes of a field, all elements. @throws MachineFault outside RAM. */
  getBytes(memory: PhysicalMemory, base: PhysAddr, name: string): Uint8Array {
    const field = this.field(name);
    return memory.readBytes((base + field.offset) as PhysAddr, field.sizeBytes);
  }

  /** A `char` array up to its first NUL, each byte one character. @throws MachineFault outside RAM. */
  getString(memory: PhysicalMemory, base: PhysAddr, name: string): string {
    const bytes = this.getBytes(memory, base, name);
    const end = bytes.indexOf(0);
    return String.fromCharCode(...bytes.subarray(0, end < 0 ? bytes.length : end));
  }

  /**
   * Fills a `char` array, NUL-padded; like strscpy it cuts off what does not fit, and always ends with a NUL.
   * @throws MachineFault outside RAM.
   */
  setString(memory: PhysicalMemory, base: PhysAddr, name: string, text: string): void {
    const field = this.field(name);
    const bytes = new Uint8Array(field.sizeBytes);
    for (let i = 0; i < Math.min(text.length, field.sizeBytes - 1); i++) bytes[i] = text.charCodeAt(i);
    memory.writeBytes((base + field.offset) as PhysAddr, bytes);
  }

  /** The base address of element `index` of an array, for a struct inside it. */
  elementAt(base: PhysAddr, name: string, index: number): PhysAddr {
    const field = this.field(name);
    return (base + field.offset + index * field.strideBytes) as PhysAddr;
  }
}

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

function readUnit(memory: PhysicalMemory, at: number, field: FieldLayout): bigint {
  const bytes = memory.readBytes(at as PhysAddr, field.elementBytes).slice();
  if (!field.bigEndian) bytes.reverse();
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

/** `layoutOf`, with accessors. Compile once per kernel, not per access. */
export function compileStruct(spec: StructSpec, page: PageSize, scope?: AbiScope): CompiledStruct {
  return new CompiledStruct(layoutOf(spec, page, scope));
}
