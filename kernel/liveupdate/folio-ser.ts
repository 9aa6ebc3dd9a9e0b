import type { Order, Pfn } from '../../machine/index.ts';
import type { CompiledAbi } from '../abi/contract.ts';
import type { CompiledStruct, FieldLayout } from '../abi/struct.ts';
import { readVmalloc } from '../kho/vmalloc.ts';
import type { VmallocArea } from '../mm/vmalloc-area.ts';

/** One memfd_luo_folio_ser. */
export interface FolioSer {
  /** At most 52 bits, so exact; 0 for a hole. */
  readonly pfn: number;
  /** MEMFD_LUO_FOLIO_*. */
  readonly flags: number;
  /** Page of the file; beyond 2^53 the nearest double. */
  readonly index: number;
}

/** Neighbours in file and memory, all of one order. */
export interface FolioRun {
  readonly index: number;
  readonly pfn: Pfn;
  readonly order: Order;
  readonly nrFolios: number;
  /** FolioFlag.*, as the page cache has them. */
  readonly flags: number;
}

const TWO_32 = 0x1_0000_0000;

/** A field's unit of at most 64 bits, as halves of a u64. */
interface FieldAccess {
  readonly offset: number;
  readonly elementBytes: number;
  readonly bigEndian: boolean;
  /** The lowest bit in the unit, as a factor; 1 for a field that is all of its unit. */
  readonly scale: number;
  /** 2^width of a bit field, Infinity for a whole unit. */
  readonly limit: number;
}

function accessOf(field: FieldLayout): FieldAccess {
  const { offset, elementBytes, bigEndian, bitOffset = 0, bitWidth } = field;
  return {
    offset,
    elementBytes,
    bigEndian,
    scale: 2 ** bitOffset,
    limit: bitWidth === undefined ? Infinity : 2 ** bitWidth,
  };
}

/** Reads a little-endian or big-endian unit. Bits of a field that is one are cut out without losing any. */
function get(view: DataView, base: number, field: FieldAccess): number {
  const { elementBytes, bigEndian, scale, limit } = field;
  const at = base + field.offset;
  let lo = 0;
  let hi = 0;
  if (elementBytes === 8) {
    lo = view.getUint32(bigEndian ? at + 4 : at, !bigEndian);
    hi = view.getUint32(bigEndian ? at : at + 4, !bigEndian);
  } else if (elementBytes === 4) lo = view.getUint32(at, !bigEndian);
  else lo = elementBytes === 2 ? view.getUint16(at, !bigEndian) : view.getUint8(at);
  if (limit === Infinity) return hi * TWO_32 + lo;
  if (scale >= TWO_32) return Math.floor(hi / (scale / TWO_32)) % limit;
  // The low half's share of the field, and the high half's: neither is rounded below 2^53.
  const low = Math.floor(lo / scale);
  const lowBits = TWO_32 / scale;
  return limit <= lowBits ? low % limit : (hi % (limit / lowBits)) * lowBits + low;
}

/** Puts a value into bytes, the bits of a bit field among zeroes or neighbours that are there already. */
function put(view: DataView, base: number, field: FieldAccess, value: number): void {
  const { elementBytes, bigEndian, scale } = field;
  const at = base + field.offset;
  if (elementBytes !== 8) {
    const unit =
      (field.limit === Infinity ? 0 : get(view, base, { ...field, scale: 1, limit: Infinity })) + value * scale;
    if (elementBytes === 4) view.setUint32(at, unit, !bigEndian);
    else if (elementBytes === 2) view.setUint16(at, unit, !bigEndian);
    else view.setUint8(at, unit);
    return;
  }
  const loAt = bigEndian ? at + 4 : at;
  const hiAt = bigEndian ? at : at + 4;
  const isWhole = field.limit === Infinity;
  const hi = scale >= TWO_32 ? value * (scale / TWO_32) : Math.floor(value / (TWO_32 / scale));
  const lo = scale >= TWO_32 ? 0 : (value % (TWO_32 / scale)) * scale;
  view.setUint32(loAt, (isWhole ? 0 : view.getUint32(loAt, !bigEndian)) + lo, !bigEndian);
  view.setUint32(hiAt, (isWhole ? 0 : view.getUint32(hiAt, !bigEndian)) + hi, !bigEndian);
}

/** Writes and reads the list of a memfd's folios in vmalloc memory, as the contract lays it out. */
export class FolioSerCodec {
  readonly sizeBytes: number;
  readonly #pfn: FieldAccess;
  readonly #flags: FieldAccess;
  readonly #index: FieldAccess;
  /** Entries that are read and written together. */
  readonly #perPiece: number;

  constructor(abi: CompiledAbi) {
    const struct: CompiledStruct = abi.struct('memfd_luo_folio_ser');
    this.sizeBytes = struct.sizeBytes;
    this.#pfn = accessOf(struct.field('pfn'));
    this.#flags = accessOf(struct.field('flags'));
    this.#index = accessOf(struct.field('index'));
    this.#perPiece = Math.max(Math.floor(abi.page.sizeBytes / this.sizeBytes), 1);
  }

  /** Writes one entry for each folio, with the flags of its run, from the start of an area that holds zeroes. */
  writeAll(area: VmallocArea, runs: Iterable<FolioRun>, flagsOf: (run: FolioRun) => number): void {
    const bytes = new Uint8Array(this.#perPiece * this.sizeBytes);
    const view = new DataView(bytes.buffer);
    let at = 0;
    let base = 0;
    const flush = (): void => {
      area.write(at, bytes.subarray(0, base));
      at += base;
      base = 0;
      bytes.fill(0);
    };
    for (const run of runs) {
      const { pfn, index, order, nrFolios } = run;
      const size = 2 ** order;
      const flags = flagsOf(run);
      for (let i = 0; i < nrFolios; i++) {
        put(view, base, this.#pfn, pfn + i * size);
        put(view, base, this.#flags, flags);
        put(view, base, this.#index, index + i * size);
        base += this.sizeBytes;
        if (base === bytes.length) flush();
      }
    }
    if (base > 0) flush();
  }

  /**
   * Reads `count` entries from number `first` on, one after the other, as they are asked for.
   * @throws MachineFault behind the end of the area, once the entries before were given.
   */
  *read(area: VmallocArea, count: number, first = 0): Generator<FolioSer> {
    let view: DataView = new DataView(new ArrayBuffer(0));
    let base = 0;
    for (let i = first; i < count; i++) {
      if (base + this.sizeBytes > view.byteLength) {
        const left = area.sizeBytes - i * this.sizeBytes;
        const entries = Math.min(this.#perPiece, count - i, Math.max(Math.floor(left / this.sizeBytes), 1));
        view = new DataView(readVmalloc(area, i * this.sizeBytes, entries * this.sizeBytes).buffer);
        base = 0;
      }
      yield {
        pfn: get(view, base, this.#pfn),
        flags: get(view, base, this.#flags),
        index: get(view, base, this.#index),
      };
      base += this.sizeBytes;
    }
  }
}
