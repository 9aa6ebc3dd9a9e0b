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
    return field.bitWidth === undefined
      ? unit
      : this.#bits(at, field.elementBytes, field.bitOffset ?? 0, field.bitWidth);
  }

  /** A bit field: from the halves where it lies in one of them or starts at bit 0, which is all that hot loops meet. */
  #bits(at: number, sizeBytes: number, bitOffset: number, bitWidth: number): number {
    const low = sizeBytes >= 4 ? this.bytes.u32(at) : sizeBytes === 2 ? this.bytes.u16(at) : this.bytes.u8(at);
    const high = sizeBytes === 8 ? this.bytes.u32(at + 4) : 0;
    if (bitOffset >= 32) return Math.floor(high / 2 ** (bitOffset - 32)) % 2 ** bitWidth;
    if (bitOffset + bitWidth <= 32) return Math.floor(low / 2 ** bitOffset) % 2 ** bitWidth;
    const upper = high % 2 ** (bitOffset + bitWidth - 32);
    return upper * 2 ** (32 - bitOffset) + Math.floor(low / 2 ** bitOffset);
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
