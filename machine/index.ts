/*
 * The machine: RAM, what firmware says of it, memblock, and images of memory. Knows nothing of kernels, needs nothing of
 * Node's.
 */
export * from './clock.ts';
export * from './fault.ts';
export * from './fill.ts';
export { SLAB_WORDS_LOG2 } from './frame-pool.ts';
export { type ByteSource, bytesSource } from './image/byte-source.ts';
export { elfCoreImage, isElf } from './image/elf-core.ts';
export { ImageError, type ImageProblem } from './image/image-error.ts';
export { type BoundedRead, ImageRam } from './image/image-ram.ts';
export { loadImage, wholePageBanks } from './image/load.ts';
export type { ImageExtent, ImageFormat, MemoryImage } from './image/memory-image.ts';
export { rawImage } from './image/raw.ts';
export { parseSparseManifest, SPARSE_FORMAT, type SparseManifest, sparseImage } from './image/sparse.ts';
export { buildSparseImage, type SparseImageOutput, type SparseImageRequest } from './image/sparse-writer.ts';
export * from './machine.ts';
export { dumpMemblock } from './memblock/dump.ts';
export * from './memblock/flags.ts';
export { type FreedPages, Memblock } from './memblock/memblock.ts';
export type { MemblockOptions } from './memblock/options.ts';
export { NO_REGION, type Region, RegionTable } from './memblock/region-table.ts';
export * from './memory-map.ts';
export * from './page-directory.ts';
export * from './page-size.ts';
export * from './physical-memory.ts';
export * from './random.ts';
export * from './units.ts';
