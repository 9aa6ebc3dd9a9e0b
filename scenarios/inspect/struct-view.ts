import type { CompiledStruct } from '../../kernel/abi/struct.ts';
import type { Bytes } from './bounded-reader.ts';

/**
 * A struct of a contract laid over bytes of foreign memory: `CompiledStruct` reads a kernel's RAM, this reads what a
 * bounded reader copied out. The caller sees to it that the struct lies inside.
 */
export class StructView {
  readonly bytes: Bytes;
  readonly struct: CompiledStruct;
  readonly base: number;

  constructor(bytes: Bytes, struct: CompiledStruct, base = 0) {
    this.bytes = bytes;
    this.struct = struct;
    this.base = base;
  }

  at(field: string, index = 0): number {
    const { offset, strideBytes } = this.struct.field(field);
    return this.base + offset + index * strideBytes;
  }

  /** A field as a number: beyond 2^53 - 1 the nearest double. */
  num(name: string, index = 0): number {
    const field = this.struct.field(name);
    const at = this.base + field.offset + index * field.strideBytes;
    const unit =
      field.elementBytes === 8
        ? this.bytes.u64(at)
        : field.elementBytes === 4
          ? this.bytes.u32(at)
          : field.elementBytes === 2
            ? this.bytes.u16(at)
            : this.bytes.u8(at);
    if (field.bitWidth === undefined) return unit;
    return Number(
      (this.#unit(at, field.elementBytes) >> BigInt(field.bitOffset ?? 0)) & ((1n << BigInt(field.bitWidth)) - 1n),
    );
  }

  #unit(at: number, sizeBytes: number): bigint {
    let value = 0n;
    for (let i = sizeBytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes.u8(at + i));
    return value;
  }

  /** A u64 field as `0x`-hex, exact. */
  hex(name: string): string {
    return this.bytes.u64Hex(this.at(name));
  }

  /** A u64 field as results report counts and positions. */
  reported(name: string): number | string {
    return this.bytes.u64Reported(this.at(name));
  }

  text(name: string): { text: string; terminated: boolean } {
    return this.bytes.text(this.at(name), this.struct.sizeOf(name));
  }

  /** A struct inside this one. */
  inner(name: string, struct: CompiledStruct): StructView {
    return new StructView(this.bytes, struct, this.at(name));
  }
}
