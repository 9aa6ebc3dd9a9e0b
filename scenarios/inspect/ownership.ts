import type { PreservedBlock, PreservedSet } from './preserved-set.ts';

/** Somebody who points at preserved memory: one object for all blocks of a file or an area. */
export interface OwnerSource {
  /** `root-fdt`, `subtree`, `memfd-folio`, `vmalloc-page`, ... */
  readonly kind: OwnerKind;
  /** How one gets there from the root FDT: `LUO / session "vm-1" / file 0x11`. */
  readonly path: string;
}

export type OwnerKind =
  | 'root-fdt'
  | 'subtree'
  | 'reserve-mem'
  | 'luo-blob'
  | 'session-block'
  | 'file-block'
  | 'flb-header'
  | 'memfd-struct'
  | 'memfd-folio'
  | 'vmalloc-chunk'
  | 'vmalloc-page'
  | 'test-folio'
  | 'flb-data';

/** One claim on a block. */
export interface Owner {
  readonly source: OwnerSource;
  /** Page index in a memfd, entry of a vmalloc area or of test_kho's list; undefined where there is only one. */
  readonly index?: number | undefined;
}

/** `memfd folio of LUO / session "vm-1" / file 0x11, page index 17`. */
export function describeOwner({ source, index }: Owner): string {
  const what: Record<OwnerKind, string> = {
    'root-fdt': 'the root FDT',
    subtree: 'subtree',
    'reserve-mem': 'reserve_mem region',
    'luo-blob': "LUO's struct",
    'session-block': 'sessions of',
    'file-block': 'files of',
    'flb-header': 'FLBs of',
    'memfd-struct': 'memfd struct of',
    'memfd-folio': 'memfd folio of',
    'vmalloc-chunk': 'vmalloc chunk of',
    'vmalloc-page': 'vmalloc page of',
    'test-folio': 'test folio of',
    'flb-data': 'data of',
  };
  const name = source.kind === 'root-fdt' ? what['root-fdt'] : `${what[source.kind]} ${source.path}`;
  if (index === undefined) return name;
  return `${name}, ${source.kind === 'memfd-folio' ? 'page index' : 'entry'} ${index}`;
}

/** How a claim fits the map. */
export type ClaimResult =
  /** A block starts there with that order. */
  | { readonly fit: 'exact' }
  /** The memory is preserved, but as blocks of other orders. */
  | { readonly fit: 'other'; readonly orders: readonly number[] }
  /** At least a part is not preserved. */
  | { readonly fit: 'absent'; readonly missingBytes: number };

/** Blocks that claims of ranges may visit even where hardly any is preserved. */
const STEPS_FOR_ANY_MAP = 1 << 20;

/**
 * Which client points at which preserved block. Claims of ranges are bounded: many absurd ranges over many blocks end in
 * claims that are taken as they are.
 */
export class OwnershipMap {
  readonly #preserved: PreservedSet;
  readonly #claims = new Map<number, Owner | Owner[]>();
  #contested: { block: PreservedBlock; owners: readonly Owner[] }[] = [];
  readonly #maxContested = 64;
  #stepsLeft: number;
  /** No memory map could be read: nothing can be said about what is preserved, and every claim is taken as it is. */
  readonly blind: boolean;

  constructor(preserved: PreservedSet, blind: boolean) {
    this.#preserved = preserved;
    this.blind = blind;
    this.#stepsLeft = 16 * preserved.count + STEPS_FOR_ANY_MAP;
  }

  #claim(block: PreservedBlock, owner: Owner): void {
    const have = this.#claims.get(block.index);
    if (have === undefined) {
      this.#claims.set(block.index, owner);
      return;
    }
    const owners = Array.isArray(have) ? have : [have];
    const last = owners.at(-1);
    // A range may hold many pieces of one thing; an array of pages may be read as one.
    if (last !== undefined && last.source === owner.source && last.index === owner.index) return;
    if (owners.length < 8) owners.push(owner);
    this.#claims.set(block.index, owners);
    if (owners.length === 2 && this.#contested.length < this.#maxContested) this.#contested.push({ block, owners });
  }

  /** Claims the block of `order` at `phys`. Whatever is preserved there counts as claimed, whatever its order. */
  claimBlock(phys: number, order: number, owner: Owner): ClaimResult {
    if (this.blind) return { fit: 'exact' };
    const exact = this.#preserved.exact(phys, order);
    if (exact !== undefined) {
      this.#claim(exact, owner);
      return { fit: 'exact' };
    }
    return this.claimRange(phys, this.#preserved.sizeOf(order), owner);
  }

  /** Claims a block of whatever order that starts at `phys`: a folio whose order only the map tells. */
  claimStarting(phys: number, owner: Owner): PreservedBlock | undefined {
    if (this.blind) return { index: -1, phys, order: 0 };
    const block = this.#preserved.startingAt(phys)[0];
    if (block !== undefined) this.#claim(block, owner);
    return block;
  }

  /** Claims all blocks of a range. */
  claimRange(phys: number, sizeBytes: number, owner: Owner): ClaimResult {
    if (this.blind || this.#stepsLeft < 0) return { fit: 'other', orders: [] };
    const orders = new Set<number>();
    this.#preserved.overlapping(phys, phys + sizeBytes, (block) => {
      this.#claim(block, owner);
      orders.add(block.order);
      return --this.#stepsLeft >= 0;
    });
    if (this.#stepsLeft < 0) return { fit: 'other', orders: [] };
    const missing = this.#preserved.uncovered(phys, phys + sizeBytes).bytes;
    if (missing > 0) return { fit: 'absent', missingBytes: missing };
    return { fit: 'other', orders: [...orders].sort((a, b) => a - b) };
  }

  /** Who claims a block; empty when nobody does. */
  ownersOf(block: PreservedBlock): readonly Owner[] {
    const have = this.#claims.get(block.index);
    return have === undefined ? [] : Array.isArray(have) ? have : [have];
  }

  /** Blocks that are claimed more than once (the first 64). */
  get contested(): readonly { readonly block: PreservedBlock; readonly owners: readonly Owner[] }[] {
    return this.#contested;
  }

  /** Visits every block that nobody claims, by ascending address. */
  forEachUnowned(visit: (phys: number, order: number) => void): void {
    this.#preserved.inAddressOrder((phys, order, index) => {
      if (!this.#claims.has(index)) visit(phys, order);
    });
  }

  get nrOwned(): number {
    return this.#claims.size;
  }
}
