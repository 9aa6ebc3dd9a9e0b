/*
 * The kernel: what boots on a machine, hands over, and is handed over to. Needs nothing of Node's.
 */
export * from '../machine/index.ts';
export type { Contract, ContractArea } from './abi/contract.ts';
export { type CompiledStruct, compileStruct, layoutOf, type StructLayout, type StructSpec } from './abi/struct.ts';
export * from './boot/image-layout.ts';
export { deducePageSize, type HandoffSearch, searchHandoff } from './boot-handoff/search.ts';
export * from './boot-handoff/setup-data.ts';
export * from './command-line.ts';
export * from './config.ts';
export type { KernelContext } from './context.ts';
export * from './control.ts';
export * from './errno.ts';
export * from './failure.ts';
export * from './fault-injection.ts';
export { type FdtError, type FdtTree, type FdtTreeNode, type FdtTreeProperty, parseFdt } from './fdt/parse.ts';
export * from './kernel.ts';
export { type DecodedKey, decodeKey, encodeKey, type RadixGeometry, radixGeometry } from './kho/geometry.ts';
export * from './kho/kho.ts';
export { KhoCore } from './kho/kho-core.ts';
export type { IncomingMap, OutgoingMap } from './kho/memory-map.ts';
export { auditRadixTree } from './kho/radix-audit.ts';
export { type RadixStats, radixStats } from './kho/radix-stats.ts';
export { RadixTree } from './kho/radix-tree.ts';
export { RadixReader } from './kho/radix-walk.ts';
export type { NodeAllocator } from './kho/tree-tables.ts';
export {
  preserveVmalloc,
  readVmalloc,
  restoreVmalloc,
  unpreserveVmalloc,
  type VmallocPreservation,
} from './kho/vmalloc.ts';
export type { FileHandler } from './liveupdate/file-handler.ts';
export { Luo, type LuoDevice } from './liveupdate/luo.ts';
export { Memfd } from './liveupdate/memfd-file.ts';
export { LuoSession, type LuoSessionFile } from './liveupdate/session.ts';
export * from './log.ts';
export { BuddyAllocator } from './mm/buddy.ts';
export type { AllocOptions, PageAllocator } from './mm/page-allocator.ts';
export { type PageFlag, PageStates } from './mm/page-states.ts';
export { Seal, ShmemFile } from './mm/shmem.ts';
export { type VmallocArea, vfree, vmalloc } from './mm/vmalloc-area.ts';
export * from './quirks.ts';
export * from './release.ts';
export * from './release-quirks.ts';
