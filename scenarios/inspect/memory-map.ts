import type { PreservedSet } from './preserved-set.ts';

/** `memoryMap` of the result: a radix tree. */
export interface RadixDocument {
  readonly kind: 'radix-tree';
  readonly root: string;
  readonly depth: number;
  readonly nodesPerLevel: Readonly<Record<string, number>>;
}

/** `memoryMap` of the result: a chunk list. */
export interface ChunkListDocument {
  readonly kind: 'chunk-list';
  readonly bitmapBytes: number;
  readonly first: string;
  readonly chunks: readonly {
    readonly phys: string;
    readonly order: number;
    readonly entries: readonly { readonly physStart: string; readonly bitmap: string }[];
  }[];
}

/** A piece of the memory map itself: a tree node, a chunk, a bitmap. */
export interface MetadataPage {
  readonly phys: number;
  readonly sizeBytes: number;
  readonly what: string;
}

/** What reading a memory map gave. */
export interface MapReading {
  readonly document: RadixDocument | ChunkListDocument;
  readonly preserved: PreservedSet;
  readonly pages: readonly MetadataPage[];
}
