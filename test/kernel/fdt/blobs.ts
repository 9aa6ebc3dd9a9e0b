import { cString } from '../../../kernel/fdt/text.ts';

/** The tokens of a structure block, one u32 or string or byte array after the other, each padded to 4. */
export type Token = number | string | Uint8Array;

export interface BlobParts {
  readonly version?: number;
  readonly lastCompVersion?: number;
  readonly reservations?: readonly (readonly [address: bigint, size: bigint])[];
  readonly structure: readonly Token[];
  readonly strings?: string;
  /** The blocks' order: reserve map, structure, strings. */
  readonly order?: readonly ('reserveMap' | 'structure' | 'strings')[];
}

function be32(...values: number[]): number[] {
  return values.flatMap((value) => [value >>> 24, value >>> 16, value >>> 8, value].map((byte) => byte & 0xff));
}

function padded(bytes: Iterable<number>): number[] {
  const out = [...bytes];
  while (out.length % 4 !== 0) out.push(0);
  return out;
}

/** A blob put together from its parts, without khosim's writer: header of 40 bytes, then the blocks. */
export function blob(parts: BlobParts): Uint8Array {
  const {
    version = 17,
    lastCompVersion = 16,
    reservations = [],
    order = ['reserveMap', 'structure', 'strings'],
  } = parts;
  const structure = parts.structure.flatMap((token) => {
    if (typeof token === 'number') return be32(token);
    return padded(typeof token === 'string' ? cString(token) : token);
  });
  const u64 = (value: bigint) => be32(Number(value >> 32n), Number(value & 0xffff_ffffn));
  const blocks = {
    reserveMap: [...reservations, [0n, 0n] as const].flatMap(([address, size]) => [...u64(address), ...u64(size)]),
    structure,
    strings: [...new TextEncoder().encode(parts.strings ?? '')],
  };
  const at = { reserveMap: 0, structure: 0, strings: 0 };
  const body: number[] = [];
  for (const name of order) {
    while ((40 + body.length) % (name === 'reserveMap' ? 8 : 4) !== 0) body.push(0);
    at[name] = 40 + body.length;
    body.push(...blocks[name]);
  }
  const header = be32(
    0xd00d_feed,
    40 + body.length,
    at.structure,
    at.strings,
    at.reserveMap,
    version,
    lastCompVersion,
    3,
    blocks.strings.length,
    version < 17 ? 0xffff_ffff : structure.length,
  );
  return Uint8Array.from([...header, ...body]);
}
