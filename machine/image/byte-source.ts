/**
 * Bytes that can be read piece by piece: a file, a blob in memory. Handed in, so that images can be opened anywhere.
 */
export interface ByteSource {
  readonly sizeBytes: number;
  /**
   * Exactly `length` bytes from `offset`; the caller stays inside `sizeBytes`. The array may be a window into the
   * source: it is not written to.
   */
  read(offset: number, length: number): Uint8Array;
  /** Fills `target` with the bytes from `offset` on: for those who read a lot and keep little. */
  readInto(offset: number, target: Uint8Array): void;
  /**
   * Exactly `length` bytes from `offset`, for those who look at everything once: the array is neither written to nor kept
   * beyond the next call.
   */
  pass(offset: number, length: number): Uint8Array;
}

/** A byte source over an array. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
    readInto: (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
    pass: (offset, length) => bytes.subarray(offset, offset + length),
  };
}
