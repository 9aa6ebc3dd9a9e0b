import type { Errno } from '../errno.ts';

/** struct file, as far as LUO looks at it. */
export interface LiveFile {
  /** What the descriptor leads to; two descriptors of one inode are one file to handlers that say so. */
  readonly inode: object;
  /** Takes a reference. */
  get(): void;
  /** Drops a reference; the last one closes the file. */
  put(): void;
}

/** What a handler has to say about a file that it preserved. */
export interface SerializedFile {
  /** Crosses as a u64, usually a physical address. */
  readonly serializedData: bigint;
  /** Stays in this kernel. */
  readonly privateData: unknown;
}

/** What a finishing handler learns: 0 never retrieved, 1 retrieved, or the error that retrieving gave. */
export type RetrieveStatus = 0 | 1 | Errno;

/**
 * A kind of file that can be preserved (struct liveupdate_file_handler). Calls come in the order preserve, freeze
 * (before the jump), then in the next kernel retrieve and finish; unfreeze and unpreserve undo.
 */
export interface FileHandler {
  /** The string that versions what the handler writes; up to 47 characters. */
  readonly compatible: string;
  canPreserve(file: LiveFile): boolean;
  /** What may be preserved only once at a time: the inode for memfd. */
  idOf(file: LiveFile): object;
  preserve(file: LiveFile): SerializedFile | Errno;
  unpreserve(file: LiveFile, serialized: SerializedFile): void;
  freeze?(file: LiveFile, serialized: SerializedFile): 0 | Errno;
  unfreeze?(file: LiveFile, serialized: SerializedFile): void;
  /** Makes the file again; the reference that comes with it belongs to the caller. */
  retrieve(serializedData: bigint): LiveFile | Errno;
  canFinish?(file: LiveFile | undefined, serializedData: bigint): boolean;
  finish(file: LiveFile | undefined, serializedData: bigint, status: RetrieveStatus): void;
}
