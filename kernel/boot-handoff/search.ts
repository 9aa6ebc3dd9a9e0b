import type { ImageRam } from '../../machine/image/image-ram.ts';
import { PAGE_4K, PAGE_16K, PAGE_64K, PAGE_SIZES, type PageSize } from '../../machine/page-size.ts';
import { hex, type PhysAddr } from '../../machine/units.ts';
import { CHUNK_LIST_V1B } from '../abi/chunk-list-v1.ts';
import { CompiledAbi, propertySpecOf } from '../abi/contract.ts';
import { KHO_V1A } from '../abi/kho-v1.ts';
import { isFdtErr } from '../fdt/error.ts';
import { be32, be64, FDT_MAGIC, fdtTotalsize } from '../fdt/layout.ts';
import { parseFdt } from '../fdt/parse.ts';
import { fdtFirstSubnode, fdtGetprop, fdtNextSubnode } from '../fdt/read.ts';
import { textOfBytes } from '../fdt/text.ts';
import { radixGeometry } from '../kho/geometry.ts';
import { abiOf, LATEST_RELEASE, RELEASES } from '../release.ts';

/*
 * Finding a handoff in memory that nobody told anything about: root FDTs by their magic and `compatible`, the scratch
 * array by the fact that it lies inside an area that it lists itself, and the page size by what the pointers say.
 * Everything here is a guess, with its reason; nothing is changed, and every walk is bounded.
 */

/** A page that looks like a root FDT. */
export interface FdtCandidate {
  readonly phys: number;
  readonly compatible: string;
  readonly totalsizeBytes: number;
  /** The address of the memory map; undefined if the property isn't there or isn't 8 bytes. */
  readonly mapPhys: number | undefined;
  /** Whether the whole blob is in order. */
  readonly valid: boolean;
  /**
   * Whether its own memory map preserves it, as that of every kernel does: a root FDT left over from an earlier
   * handover hardly has a map any more.
   */
  readonly preservesItself: boolean;
}

/** Something that looks like the scratch array. */
export interface ScratchCandidate {
  readonly phys: number;
  readonly sizeBytes: number;
  readonly areas: readonly { readonly phys: number; readonly sizeBytes: number }[];
}

/** What a search of RAM found, the best candidates first. */
export interface HandoffSearch {
  readonly fdts: readonly FdtCandidate[];
  readonly scratches: readonly ScratchCandidate[];
}

/** A page size, and why it is thought to be that. */
export interface PageSizeGuess {
  readonly page: PageSize;
  readonly because: string;
}

const MIN_PAGE_BYTES = 4096;
/** kexec aligns its segments to this. */
const SCRATCH_ARRAY_ALIGN_BYTES = 0x1_0000;
const SCRATCH_ENTRY = abiOf(LATEST_RELEASE, PAGE_4K).struct('kho_scratch');
const SCRATCH_ENTRY_BYTES = SCRATCH_ENTRY.sizeBytes;
/** Low, global and one for each node: more nodes than any machine has. */
const MAX_SCRATCH_AREAS = 1026;
/** The same in every release. */
const MAP_PROPERTY = propertySpecOf(LATEST_RELEASE.root, 'root', 'map')?.name ?? '';
/** The string of all roots that point to a chunk list. */
const CHUNK_LIST_ROOT = String(KHO_V1A.compatible);
/** Chunks have the same fields at every page size; the largest pages have room for the most entries. */
const CHUNK_ABI = new CompiledAbi([CHUNK_LIST_V1B], PAGE_64K);
const CHUNK = CHUNK_ABI.struct('khoser_mem_chunk');
const CHUNK_ENTRY = CHUNK_ABI.struct('khoser_mem_bitmap_ptr');
/** What the property with a subtree's address is called, in whatever release. */
const SUBTREE_PROPERTIES = [
  ...new Set(RELEASES.map(({ root }) => propertySpecOf(root, 'subtree', 'data')?.name ?? '')),
];

/**
 * Looks for a handoff in the RAM that an image carries, all of which is read once, from end to end. Root FDTs are judged
 * until one is in order and preserved by its own map: there is only one such.
 */
export function searchHandoff(ram: ImageRam): HandoffSearch {
  const places = searchPlaces(ram);
  const scratches = places.scratches.map((phys) => scratchCandidate(ram, phys)).filter((each) => each !== undefined);
  scratches.sort((a, b) => b.areas.length - a.areas.length || a.phys - b.phys);
  // A root FDT is preserved, and what is preserved is never in scratch: one that lies there is a last resort.
  const areas = scratches.flatMap((scratch) => scratch.areas);
  const inScratch = (phys: number) => areas.some((area) => phys >= area.phys && phys < area.phys + area.sizeBytes);
  const outside = judgeFdts(
    ram,
    places.fdts.filter((phys) => !inScratch(phys)),
  );
  return { fdts: outside.length > 0 ? outside : judgeFdts(ram, places.fdts.filter(inScratch)), scratches };
}

/** Where RAM has the magic of an FDT at a page, and where something that may be a scratch array begins. */
function searchPlaces(ram: ImageRam): { fdts: number[]; scratches: number[] } {
  const fdts = new Set<number>();
  const scratches = new Set<number>();
  ram.scan((phys, bytes) => {
    const first = Math.ceil(phys / MIN_PAGE_BYTES) * MIN_PAGE_BYTES - phys;
    for (let at = first; at < bytes.length; at += MIN_PAGE_BYTES) {
      if (bytes[at] === 0xd0 && be32(bytes, at) === FDT_MAGIC) fdts.add(phys + at);
      if ((phys + at) % SCRATCH_ARRAY_ALIGN_BYTES !== 0) continue;
      const entry = at + SCRATCH_ENTRY_BYTES <= bytes.length ? bytes.subarray(at, at + SCRATCH_ENTRY_BYTES) : undefined;
      if (entry === undefined || mayBeEntry(ram, entry)) scratches.add(phys + at);
    }
  });
  return { fdts: [...fdts], scratches: [...scratches] };
}

/** Root FDTs among places, the best first. */
function judgeFdts(ram: ImageRam, places: readonly number[]): FdtCandidate[] {
  const found: FdtCandidate[] = [];
  for (const phys of places) {
    const candidate = fdtCandidate(ram, phys);
    if (candidate === undefined) continue;
    found.push(candidate);
    if (rankOf(candidate) === BEST_RANK) break;
  }
  return found.sort((a, b) => rankOf(b) - rankOf(a) || a.phys - b.phys);
}

/** Whether bytes may be the first entry of a scratch array: decided without another read, as most of RAM is none. */
function mayBeEntry(ram: ImageRam, entry: Uint8Array): boolean {
  const view = new DataView(entry.buffer, entry.byteOffset, SCRATCH_ENTRY_BYTES);
  const addr = SCRATCH_ENTRY.offsetOf('addr');
  const low = view.getUint32(addr, true);
  const base = view.getUint32(addr + 4, true) * 0x1_0000_0000 + low;
  const size = view.getUint32(SCRATCH_ENTRY.offsetOf('size'), true);
  return base !== 0 && low % MIN_PAGE_BYTES === 0 && size % MIN_PAGE_BYTES === 0 && ram.inRam(base);
}

const BEST_RANK = 7;

function rankOf(fdt: FdtCandidate): number {
  return (fdt.preservesItself ? 4 : 0) + (fdt.valid ? 2 : 0) + ((fdt.mapPhys ?? 0) !== 0 ? 1 : 0);
}

/** The blob at an address, up to 64 KiB of it; undefined outside RAM. */
function blobAt(ram: ImageRam, phys: number): Uint8Array | undefined {
  for (const sizeBytes of [PAGE_64K.sizeBytes, PAGE_4K.sizeBytes]) {
    const read = ram.readBounded(phys, sizeBytes);
    if (read !== undefined) return read.bytes;
  }
  return undefined;
}

/** A little-endian u64 property as a number; undefined unless it is 8 bytes. */
function u64Property(fdt: Uint8Array, node: number, name: string): number | undefined {
  const property = fdtGetprop(fdt, node, name);
  if (isFdtErr(property) || property.value.length !== 8) return undefined;
  return Number(be64(Uint8Array.from(property.value).reverse(), 0));
}

/**
 * Judges the page at an address. @returns undefined unless it has the header of an FDT whose root is compatible with
 * some `kho-` and which has, or once had, a memory map: a client's sub-FDT has none.
 */
export function fdtCandidate(ram: ImageRam, phys: number): FdtCandidate | undefined {
  const fdt = blobAt(ram, phys);
  if (fdt === undefined) return undefined;
  const property = fdtGetprop(fdt, 0, 'compatible');
  if (isFdtErr(property)) return undefined;
  const nul = property.value.indexOf(0);
  const compatible = textOfBytes(nul < 0 ? property.value : property.value.subarray(0, nul));
  if (!/^kho-v/.test(compatible) && !(compatible.startsWith('kho-') && !isFdtErr(fdtGetprop(fdt, 0, MAP_PROPERTY)))) {
    return undefined;
  }
  const mapPhys = u64Property(fdt, 0, MAP_PROPERTY);
  return {
    phys,
    compatible,
    totalsizeBytes: fdtTotalsize(fdt),
    mapPhys,
    valid: parseFdt(fdt).kind === 'tree',
    preservesItself: mapPhys !== undefined && mapPreserves(ram, compatible, mapPhys, phys),
  };
}

/** Whether a memory map, of whatever page size, holds the order-0 block at `phys`. */
function mapPreserves(ram: ImageRam, compatible: string, mapPhys: number, phys: number): boolean {
  if (compatible === CHUNK_LIST_ROOT) return chunksPreserve(ram, mapPhys, phys);
  return PAGE_SIZES.some((page) => phys % page.sizeBytes === 0 && treePreserves(ram, page, mapPhys, phys));
}

/** Looks one order-0 key up in a radix tree. */
function treePreserves(ram: ImageRam, page: PageSize, root: number, phys: number): boolean {
  const geometry = radixGeometry(page);
  const key = (1n << BigInt(geometry.keyWidth - 1)) | BigInt(phys / page.sizeBytes);
  let node = root;
  for (let level = geometry.depth - 1; level > 0; level--) {
    const shift = BigInt(geometry.bitmapLog2 + (level - 1) * geometry.tableLog2);
    const index = Number((key >> shift) % BigInt(geometry.slots));
    const next = node === 0 || node % page.sizeBytes !== 0 ? undefined : ram.readU64(node + 8 * index);
    if (next === undefined) return false;
    node = next;
  }
  const bit = Number(key % BigInt(2 ** geometry.bitmapLog2));
  return node !== 0 && node % page.sizeBytes === 0 && bitAt(ram, node, bit);
}

function bitAt(ram: ImageRam, bitmap: number, bit: number): boolean {
  const word = bitmap % 4 === 0 ? ram.readU32(bitmap + 4 * Math.floor(bit / 32)) : undefined;
  return word !== undefined && ((word >>> (bit % 32)) & 1) === 1;
}

/** So many chunks of a list are looked at: order 0 comes first. */
const MAX_CHUNKS = 1000;

function chunksPreserve(ram: ImageRam, first: number, phys: number): boolean {
  let chunk = first;
  for (let i = 0; i < MAX_CHUNKS && chunk !== 0 && chunk % MIN_PAGE_BYTES === 0; i++) {
    const order = ram.readU32(chunk + CHUNK.offsetOf('hdr.order'));
    const count = ram.readU32(chunk + CHUNK.offsetOf('hdr.num_elms'));
    if (order !== 0 || count === undefined || count > CHUNK.countOf('bitmaps')) return false;
    for (let i = 0; i < count; i++) {
      const entry = CHUNK.elementAt(chunk as PhysAddr, 'bitmaps', i);
      const start = ram.readU64(entry + CHUNK_ENTRY.offsetOf('phys_start'));
      const bitmap = ram.readU64(entry + CHUNK_ENTRY.offsetOf('bitmap'));
      if (start === undefined || bitmap === undefined || start > phys) continue;
      for (const page of PAGE_SIZES) {
        const bit = (phys - start) / page.sizeBytes;
        if (Number.isInteger(bit) && bit < 8 * page.sizeBytes && bitAt(ram, bitmap, bit)) return true;
      }
    }
    chunk = nextChunk(ram, chunk);
  }
  return false;
}

/** The address of the chunk behind one, 0 at the end. */
function nextChunk(ram: ImageRam, chunk: number): number {
  return ram.readU64(chunk + CHUNK.offsetOf('hdr.next')) ?? 0;
}

/**
 * Judges a place for a scratch array: entries {address, size}, page aligned, in RAM, disjoint; any size may be 0; the
 * array lies inside an area that it lists. It ends at the first entry that isn't such a one.
 */
export function scratchCandidate(ram: ImageRam, phys: number): ScratchCandidate | undefined {
  const areas: { phys: number; sizeBytes: number }[] = [];
  while (areas.length < MAX_SCRATCH_AREAS) {
    const at = phys + areas.length * SCRATCH_ENTRY_BYTES;
    const base = ram.readU64(at + SCRATCH_ENTRY.offsetOf('addr'));
    const sizeBytes = ram.readU64(at + SCRATCH_ENTRY.offsetOf('size'));
    if (base === undefined || sizeBytes === undefined || base === 0) break;
    if (base % MIN_PAGE_BYTES !== 0 || sizeBytes % MIN_PAGE_BYTES !== 0 || !ram.inRam(base, Math.max(sizeBytes, 1)))
      break;
    const overlaps = areas.some((area) => base < area.phys + area.sizeBytes && area.phys < base + sizeBytes);
    if (overlaps) break;
    areas.push({ phys: base, sizeBytes });
  }
  const sizeBytes = areas.length * SCRATCH_ENTRY_BYTES;
  const inside = areas.some((area) => phys >= area.phys && phys + sizeBytes <= area.phys + area.sizeBytes);
  return areas.length >= 2 && inside ? { phys, sizeBytes, areas } : undefined;
}

/**
 * Guesses the page size of the kernel that left a handover.
 * @param fdtPhys where its root FDT is.
 * @returns undefined if there is no root FDT with a memory map to judge by.
 */
export function deducePageSize(ram: ImageRam, fdtPhys: number): PageSizeGuess | undefined {
  const fdt = blobAt(ram, fdtPhys);
  const mapPhys = fdt === undefined ? undefined : u64Property(fdt, 0, MAP_PROPERTY);
  if (fdt === undefined || mapPhys === undefined) return undefined;
  const candidate = fdtCandidate(ram, fdtPhys);
  const tree = candidate?.compatible !== CHUNK_LIST_ROOT;
  if (tree) {
    const holding = PAGE_SIZES.filter(
      (page) => fdtPhys % page.sizeBytes === 0 && treePreserves(ram, page, mapPhys, fdtPhys),
    );
    const [only] = holding;
    if (only !== undefined && holding.length === 1) {
      return { page: only, because: `as a tree of ${only.name} pages the memory map holds the root FDT's page` };
    }
  }
  const pointers = pagePointers(ram, fdt, fdtPhys, mapPhys, tree);
  const page = [PAGE_64K, PAGE_16K, PAGE_4K].find((size) => pointers.every((phys) => phys % size.sizeBytes === 0));
  if (page === undefined) return undefined;
  const witness = pointers.find((phys) => phys % (page.sizeBytes * 4) !== 0) ?? fdtPhys;
  return {
    page,
    because:
      page === PAGE_64K
        ? `all ${pointers.length} pages that the handover points to are 64K aligned`
        : `${hex(witness)}, a page of the handover, is aligned no better`,
  };
}

/** Addresses that are pages in every release: the root FDT, the map's nodes or chunks, the sub-trees. */
function pagePointers(ram: ImageRam, fdt: Uint8Array, fdtPhys: number, mapPhys: number, tree: boolean): number[] {
  const pointers = [fdtPhys, mapPhys];
  for (let node = fdtFirstSubnode(fdt, 0); node >= 0; node = fdtNextSubnode(fdt, node)) {
    for (const name of SUBTREE_PROPERTIES) {
      const phys = u64Property(fdt, node, name);
      if (phys !== undefined) pointers.push(phys);
    }
  }
  if (tree) {
    for (let slot = 0; slot < 16; slot++) pointers.push(ram.readU64(mapPhys + 8 * slot) ?? 0);
  } else {
    let chunk = mapPhys;
    for (let i = 0; i < MAX_CHUNKS && chunk !== 0 && chunk % MIN_PAGE_BYTES === 0; i++) {
      pointers.push(chunk);
      chunk = nextChunk(ram, chunk);
    }
  }
  return pointers.filter((phys) => phys !== 0 && ram.inRam(phys));
}
