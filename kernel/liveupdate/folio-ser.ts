import type { PageSize } from '../../machine/index.ts';
import type { CompiledAbi } from '../abi/contract.ts';
import type { CompiledStruct } from '../abi/struct.ts';
import { readVmalloc } from '../kho/vmalloc.ts';
import type { CachedFolio } from '../mm/page-cache.ts';
import type { VmallocArea } from '../mm/vmalloc-area.ts';

/** One memfd_luo_folio_ser. */
export interface FolioSer {
  /** All 52 bits; 0 for a hole. */
  readonly pfn: bigint;
  /** MEMFD_LUO_FOLIO_*. */
  readonly flags: number;
  /** Page of the file; beyond 2^53 the nearest double. */
  readonly index: number;
}

/** Writes and reads the list of a memfd's folios in vmalloc memory, as the contract lays it out. */
export class FolioSerCodec {
  readonly sizeBytes: number;
  readonly #struct: CompiledStruct;
  readonly #page: PageSize;

  constructor(abi: CompiledAbi, page: PageSize) {
    this.#struct = abi.struct('memfd_luo_folio_ser');
    this.sizeBytes = this.#struct.sizeBytes;
    this.#page = page;
  }

  /** Puts a value into bytes, the bits of a bit field among those already there. */
  #put(view: DataView, base: number, name: string, value: number): void {
    const field = this.#struct.field(name);
    const at = base + field.offset;
    if (field.elementBytes !== 8 || field.bigEndian) {
      for (let i = 0; i < field.elementBytes; i++) {
        const byte = field.bigEndian ? field.elementBytes - 1 - i : i;
        view.setUint8(at + byte, Math.floor(value / 256 ** i) % 256);
      }
      return;
    }
    const shift = field.bitOffset ?? 0;
    if (shift >= 32) {
      view.setUint32(at + 4, (view.getUint32(at + 4, true) | (value << (shift - 32))) >>> 0, true);
      return;
    }
    const scaled = value * 2 ** shift;
    view.setUint32(at, (view.getUint32(at, true) | (scaled >>> 0)) >>> 0, true);
    const high = Math.floor(scaled / 0x1_0000_0000);
    view.setUint32(at + 4, (view.getUint32(at + 4, true) | high) >>> 0, true);
  }

  #get(bytes: Uint8Array, name: string): bigint {
    const field = this.#struct.field(name);
    let unit = 0n;
    for (let i = field.elementBytes - 1; i >= 0; i--) {
      const byte = bytes[field.offset + (field.bigEndian ? field.elementBytes - 1 - i : i)] ?? 0;
      unit = (unit << 8n) | BigInt(byte);
    }
    if (field.bitWidth === undefined) return unit;
    return (unit >> BigInt(field.bitOffset ?? 0)) & ((1n << BigInt(field.bitWidth)) - 1n);
  }

  /** Writes one entry for each folio, all with the same flags, from the start of an area that holds zeroes. */
  writeAll(area: VmallocArea, folios: readonly CachedFolio[], flags: number): void {
    const perPiece = Math.max(Math.floor(this.#page.sizeBytes / this.sizeBytes), 1);
    for (let first = 0; first < folios.length; first += perPiece) {
      const piece = folios.slice(first, first + perPiece);
      const bytes = new Uint8Array(piece.length * this.sizeBytes);
      const view = new DataView(bytes.buffer);
      let base = 0;
      for (const folio of piece) {
        this.#put(view, base, 'pfn', folio.pfn);
        this.#put(view, base, 'flags', flags);
        this.#put(view, base, 'index', folio.index);
        base += this.sizeBytes;
      }
      area.write(first * this.sizeBytes, bytes);
    }
  }

  /** Reads entry `i`. @throws MachineFault behind the end of the area. */
  read(area: VmallocArea, i: number): FolioSer {
    const bytes = readVmalloc(area, i * this.sizeBytes, this.sizeBytes);
    return {
      pfn: this.#get(bytes, 'pfn'),
      flags: Number(this.#get(bytes, 'flags')),
      index: Number(this.#get(bytes, 'index')),
    };
  }
}
