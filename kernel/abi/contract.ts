import type { PageSize } from '../../machine/page-size.ts';
import { type Expression, evaluate } from './expression.ts';
import { type AbiScope, CompiledStruct, layoutOf, pageConstants, type StructSpec, sizeOfType } from './struct.ts';

/*
 * A contract is everything that decides the bytes of one part of a handover, as immutable plain data (it survives
 * JSON). The codecs take names, offsets, sizes, orders and formulas from it and from nowhere else; so do the
 * documentation, the comparison of releases and the verdict on a proposed change.
 */

/** The parts that a handover is made of; a release has at most one contract for each. */
export type ContractArea =
  | 'scratch'
  | 'root'
  | 'map'
  | 'vmalloc'
  | 'block'
  | 'metadata'
  | 'luo'
  | 'session'
  | 'flb'
  | 'memfd'
  | 'memblock'
  | 'reserve-mem'
  | 'test';

export interface ConstantSpec {
  readonly value: Expression;
  /**
   * `bytes`: what is written depends on it. `limit`: a reader refuses, or a writer cannot make, what is beyond it.
   * `internal`: only the code's own business.
   */
  readonly decides: 'bytes' | 'limit' | 'internal';
  readonly doc?: string;
}

/** A property of an FDT node. Values are native-endian unless `byteOrder` says otherwise. */
export interface PropertySpec {
  /** What the codec calls it; fixed while names on disk change. */
  readonly key: string;
  readonly name: string;
  readonly type: 'string' | 'u32' | 'u64' | 'u64[]' | 'struct';
  /** For `struct`: its name. */
  readonly struct?: string;
  readonly byteOrder?: 'big';
  /** For `string`: the contract's own version string unless given. */
  readonly value?: string;
  /** Whether a reader refuses the node without it. */
  readonly required: boolean;
  readonly doc?: string;
}

export interface NodeSpec {
  /** What the codec calls it. */
  readonly role: string;
  /** The node's name: empty for the root, `*` where each user brings its own. */
  readonly name: string;
  /** The role of the node above, absent for the root. */
  readonly parent?: string;
  /** Whether a reader refuses a tree without it. */
  readonly required: boolean;
  /** In the order of the writer's calls; `FdtSpec.writing` says what that makes of the order in the blob. */
  readonly properties: readonly PropertySpec[];
  readonly doc?: string;
}

/**
 * `sequential`: begun and finished in one go; properties and nodes lie in call order, strings in reverse order of first
 * use. `edited`: the root sequentially, then each node by opening the blob, adding node and properties and packing
 * it: newest node first, the property set last first, strings appended.
 */
export type FdtWriting = 'sequential' | 'edited';

/** How a contract's FDT is made: the header fields and sizes that its bytes depend on. */
export interface FdtSpec {
  readonly version: number;
  readonly lastCompatibleVersion: number;
  /** Room for the blob. */
  readonly bufferBytes: Expression;
  readonly writing: FdtWriting;
  readonly nodes: readonly NodeSpec[];
}

/** Where a client's data hangs in the root FDT. */
export interface SubtreeSpec {
  readonly name: string;
  readonly payload: 'fdt' | 'raw';
  /** The struct that a raw payload begins with. */
  readonly struct?: string;
}

export interface ContractBase {
  /** Names the contract, not only its string: `kho-v1` was written by three different ones. */
  readonly name: string;
  readonly area: ContractArea;
  readonly title: string;
  /** What its readers compare: a string, an integer, undefined when it has none of its own. */
  readonly compatible: string | number | undefined;
  /** The area whose `compatible` must change when this one's bytes do. */
  readonly versionedBy: ContractArea;
  readonly subtree?: SubtreeSpec;
  readonly fdt?: FdtSpec;
  /** Evaluated in order; formulas may use earlier ones. */
  readonly constants: Readonly<Record<string, ConstantSpec>>;
  readonly structs: readonly StructSpec[];
  readonly doc?: string;
}

export interface RootContract extends ContractBase {
  readonly area: 'root';
  readonly fdt: FdtSpec;
}

/** A tree of page-sized tables over page-sized bitmaps. `radixNumbersOf` evaluates its formulas for a page size. */
export interface RadixContract extends ContractBase {
  readonly area: 'map';
  readonly format: 'radix-tree';
  readonly geometry: {
    /** Bits of the widest valid key. */
    readonly keyWidth: Expression;
    /** log2 of the entries of a table. */
    readonly tableLog2: Expression;
    /** log2 of the bits of a leaf. */
    readonly bitmapLog2: Expression;
    /** Levels, the leaf included. */
    readonly depth: Expression;
    /** The number that the leaf's level has in the kernel's own counting. Never reaches a byte. */
    readonly leafLevel: number;
  };
  readonly encoding: {
    /** Index of the one-hot bit that tells the order, in terms of ORDER. */
    readonly orderBit: Expression;
    /** How far the physical address is shifted right, in terms of ORDER. */
    readonly addressShift: Expression;
  };
  /**
   * How the walk puts a key together: `shifted` as it descends, or from offsets that are `unshifted` until the leaf.
   * The keys are the same.
   */
  readonly keyAssembly: 'shifted' | 'unshifted';
  /** Table entries: width in bytes and byte order of the physical addresses. */
  readonly entry: { readonly type: 'u64'; readonly byteOrder?: 'big' };
  /** Leaves: width of the words that bits are counted in (visible only on big-endian machines). */
  readonly leafWord: 'u64';
}

/** Linked pages of (start, bitmap) pairs, built when the handover is finalised. */
export interface ChunkListContract extends ContractBase {
  readonly area: 'map';
  readonly format: 'chunk-list';
  readonly bitmap: {
    readonly sizeBytes: Expression;
    /** Where bitmaps come from: `slab` shares pages with other kernel data, `page` has one of its own. */
    readonly allocator: 'slab' | 'page';
  };
}

export type MapContract = RadixContract | ChunkListContract;

export interface VmallocContract extends ContractBase {
  readonly area: 'vmalloc';
}

export interface BlockContract extends ContractBase {
  readonly area: 'block';
}

export interface MetadataContract extends ContractBase {
  readonly area: 'metadata';
  readonly subtree: SubtreeSpec;
}

export interface LuoContract extends ContractBase {
  readonly area: 'luo';
  readonly subtree: SubtreeSpec;
}

/** Sessions and their files; before 7.2 under a string of their own. */
export interface SessionContract extends ContractBase {
  readonly area: 'session';
  /** `array`: contiguous pages of fixed number; `blocks`: a chain of kho_block pages. */
  readonly container: 'array' | 'blocks';
}

export interface FlbContract extends ContractBase {
  readonly area: 'flb';
}

export interface MemfdContract extends ContractBase {
  readonly area: 'memfd';
  readonly compatible: string;
}

export interface MemblockContract extends ContractBase {
  readonly area: 'memblock';
  readonly subtree: SubtreeSpec;
  readonly fdt: FdtSpec;
}

export interface ReserveMemContract extends ContractBase {
  readonly area: 'reserve-mem';
}

export interface TestContract extends ContractBase {
  readonly area: 'test';
  readonly subtree: SubtreeSpec;
  readonly fdt: FdtSpec;
}

export interface ScratchContract extends ContractBase {
  readonly area: 'scratch';
}

export type Contract =
  | RootContract
  | MapContract
  | VmallocContract
  | BlockContract
  | MetadataContract
  | LuoContract
  | SessionContract
  | FlbContract
  | MemfdContract
  | MemblockContract
  | ReserveMemContract
  | TestContract
  | ScratchContract;

/** Freezes a contract through and through and gives it back. */
export function defineContract<T extends Contract>(contract: T): T {
  deepFreeze(contract);
  return contract;
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
}

/** Bytes of a version string with its NUL, 0 without one; 4 for an integer. */
export function compatibleSize(contract: ContractBase): number {
  if (contract.compatible === undefined) return 0;
  return typeof contract.compatible === 'number' ? 4 : contract.compatible.length + 1;
}

const constantsCache = new WeakMap<ContractBase, Map<string, ReadonlyMap<string, number>>>();

/**
 * The constants of one contract for a page size, by name, in order; COMPATIBLE_SIZE is the length of its own version
 * string with the NUL.
 * @throws ExpressionError for a formula that cannot be evaluated.
 */
export function constantsOf(contract: ContractBase, page: PageSize): Map<string, number> {
  // A frozen contract never changes, so its constants are computed once.
  if (!Object.isFrozen(contract)) return computeConstants(contract, page);
  let byPage = constantsCache.get(contract);
  if (byPage === undefined) constantsCache.set(contract, (byPage = new Map()));
  const key = `${page.shift}/${page.physBits}`;
  let constants = byPage.get(key);
  if (constants === undefined) byPage.set(key, (constants = computeConstants(contract, page)));
  return new Map(constants);
}

function computeConstants(contract: ContractBase, page: PageSize): Map<string, number> {
  const scope = pageConstants(page);
  scope.set('COMPATIBLE_SIZE', compatibleSize(contract));
  if ('bitmap' in contract)
    scope.set('BITMAP_BYTES', evaluate((contract as ChunkListContract).bitmap.sizeBytes, scope));
  const structs = new Map(contract.structs.map((spec) => [spec.name, spec]));
  const sizeOf = (type: string): number => sizeOfType(type, page, { constants: scope, structs });
  for (const [name, constant] of Object.entries(contract.constants)) {
    scope.set(name, evaluate(constant.value, scope, sizeOf));
  }
  return scope;
}

/** A radix tree's geometry and key encoding as numbers for one page size. */
export interface RadixNumbers {
  /** Bits of the widest valid key. */
  readonly keyWidth: number;
  readonly tableLog2: number;
  readonly bitmapLog2: number;
  /** Levels, the leaf included. */
  readonly depth: number;
  /** Orders that can be encoded: 0 to this. */
  readonly maxOrder: number;
  /** By order: the index of the bit that tells it. */
  readonly orderBits: readonly number[];
  /** By order: how far an address is shifted right. */
  readonly addressShifts: readonly number[];
}

/**
 * Evaluates the formulas of a radix tree. They may use the page's names, KEY_WIDTH, TABLE_LOG2 and BITMAP_LOG2 (each
 * from the ones before), and ORDER in the encoding.
 * @throws ExpressionError for a formula that cannot be evaluated.
 */
export function radixNumbersOf(contract: RadixContract, page: PageSize): RadixNumbers {
  const scope = constantsOf(contract, page);
  const { geometry, encoding } = contract;
  const keyWidth = evaluate(geometry.keyWidth, scope);
  scope.set('KEY_WIDTH', keyWidth);
  const tableLog2 = evaluate(geometry.tableLog2, scope);
  scope.set('TABLE_LOG2', tableLog2);
  const bitmapLog2 = evaluate(geometry.bitmapLog2, scope);
  scope.set('BITMAP_LOG2', bitmapLog2);
  const depth = evaluate(geometry.depth, scope);
  const orderBits: number[] = [];
  const addressShifts: number[] = [];
  for (let order = 0; order <= page.physBits - page.shift; order++) {
    scope.set('ORDER', order);
    orderBits.push(evaluate(encoding.orderBit, scope));
    addressShifts.push(evaluate(encoding.addressShift, scope));
  }
  return { keyWidth, tableLog2, bitmapLog2, depth, maxOrder: orderBits.length - 1, orderBits, addressShifts };
}

/** A node of a contract's FDT by role. @throws RangeError when the contract has none. */
export function nodeSpecOf(contract: ContractBase, role: string): NodeSpec {
  const node = contract.fdt?.nodes.find((spec) => spec.role === role);
  if (node === undefined) throw new RangeError(`${contract.name} has no node ${role}`);
  return node;
}

/** A property by node role and key; undefined where this version has none (`size` of a subtree before 7.1). */
export function propertySpecOf(contract: ContractBase, role: string, key: string): PropertySpec | undefined {
  return contract.fdt?.nodes.find((spec) => spec.role === role)?.properties.find((spec) => spec.key === key);
}

/** Bytes of a property's value, where that does not depend on what it holds. */
export function propertySizeBytes(
  property: PropertySpec,
  contract: ContractBase,
  abi: CompiledAbi,
): number | undefined {
  switch (property.type) {
    case 'u32':
      return 4;
    case 'u64':
      return 8;
    case 'string':
      return property.value === undefined ? compatibleSize(contract) : property.value.length + 1;
    case 'struct':
      return abi.struct(property.struct ?? '').sizeBytes;
    default:
      return undefined;
  }
}

/** A set of contracts compiled for one page size: constants and structs by their names. */
export class CompiledAbi {
  readonly page: PageSize;
  readonly contracts: readonly Contract[];
  readonly #structs = new Map<string, CompiledStruct>();
  readonly #constants = new Map<ContractArea, ReadonlyMap<string, number>>();

  constructor(contracts: readonly Contract[], page: PageSize) {
    this.page = page;
    this.contracts = contracts;
    const structs = new Map(contracts.flatMap((contract) => contract.structs.map((spec) => [spec.name, spec])));
    for (const contract of contracts) {
      const constants = constantsOf(contract, page);
      this.#constants.set(contract.area, constants);
      const scope: AbiScope = { constants, structs };
      for (const spec of contract.structs) {
        this.#structs.set(spec.name, new CompiledStruct(layoutOf(spec, page, scope)));
      }
    }
  }

  /** A struct under its kernel name. @throws RangeError when no contract of the set has it. */
  struct(name: string): CompiledStruct {
    const found = this.#structs.get(name);
    if (found === undefined) throw new RangeError(`no contract here has a struct ${name}`);
    return found;
  }

  hasStruct(name: string): boolean {
    return this.#structs.has(name);
  }

  /** A constant of an area's contract. @throws RangeError when there is none. */
  constant(area: ContractArea, name: string): number {
    const value = this.#constants.get(area)?.get(name);
    if (value === undefined) throw new RangeError(`no constant ${name} in ${area}`);
    return value;
  }
}
