import type { ByteSource } from '../../../machine/image/byte-source.ts';

/** A segment of a core that a test makes. */
export interface TestSegment {
  readonly phys: bigint;
  readonly memoryBytes: bigint;
  readonly fileBytes: bigint;
  readonly offset: bigint;
  readonly type?: number;
}

export interface TestCore {
  readonly segments: readonly TestSegment[];
  readonly machine?: number;
  readonly type?: number;
  /** Says PN_XNUM in the header and the true count in section header 0, which lies at this offset. */
  readonly sectionHeaderAt?: number;
}

/** The headers of an ELF core. */
export function elfHeaders(core: TestCore): Uint8Array {
  const { segments, sectionHeaderAt } = core;
  const bytes = new Uint8Array(Math.max(64 + 56 * segments.length, (sectionHeaderAt ?? 0) + 64));
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, core.type ?? 4, true);
  view.setUint16(18, core.machine ?? 183, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, sectionHeaderAt === undefined ? segments.length : 0xffff, true);
  if (sectionHeaderAt !== undefined) {
    view.setBigUint64(40, BigInt(sectionHeaderAt), true);
    view.setUint32(sectionHeaderAt + 44, segments.length, true);
  }
  for (const [i, segment] of segments.entries()) {
    const at = 64 + 56 * i;
    view.setUint32(at, segment.type ?? 1, true);
    view.setBigUint64(at + 8, segment.offset, true);
    view.setBigUint64(at + 16, 0xffff_0000_0000_0000n + segment.phys, true);
    view.setBigUint64(at + 24, segment.phys, true);
    view.setBigUint64(at + 32, segment.fileBytes, true);
    view.setBigUint64(at + 40, segment.memoryBytes, true);
  }
  return bytes;
}

/** A file of any size that has the given pieces and zeros between them. */
export function patchworkSource(sizeBytes: number, pieces: readonly (readonly [number, Uint8Array])[]): ByteSource {
  const readInto = (offset: number, target: Uint8Array) => {
    if (offset < 0 || offset + target.length > sizeBytes) throw new RangeError('outside the source');
    target.fill(0);
    for (const [at, bytes] of pieces) {
      const from = Math.max(at, offset);
      const to = Math.min(at + bytes.length, offset + target.length);
      if (from < to) target.set(bytes.subarray(from - at, to - at), from - offset);
    }
  };
  const read = (offset: number, length: number) => {
    const out = new Uint8Array(length);
    readInto(offset, out);
    return out;
  };
  return { sizeBytes, readInto, read, pass: read };
}
