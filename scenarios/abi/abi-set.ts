import { CompiledAbi, type Contract, type ContractArea, radixNumbersOf } from '../../kernel/abi/contract.ts';
import { ExpressionError } from '../../kernel/abi/expression.ts';
import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { contractsOf, type Release } from '../../kernel/release.ts';
import { PAGE_SIZES } from '../../machine/index.ts';

/** Contracts by the part of a handover that they describe: what is shown, compared, pinned and proposed. */
export type AbiSet = { readonly [area in ContractArea]?: Contract };

/** The contracts of a set in reading order. */
export function contractsIn(set: AbiSet): readonly Contract[] {
  return Object.values(set).filter((contract) => contract !== undefined);
}

/** Contracts by their area. */
export function setOf(contracts: readonly Contract[]): AbiSet {
  return Object.fromEntries(contracts.map((contract) => [contract.area, contract]));
}

/** What a release reads and writes. */
export function setOfRelease(release: Release): AbiSet {
  return setOf(contractsOf(release));
}

/** The name of a release's member that holds an area's contract. */
const MEMBERS = {
  scratch: 'scratch',
  root: 'root',
  map: 'map',
  vmalloc: 'vmalloc',
  block: 'block',
  metadata: 'metadata',
  luo: 'luo',
  session: 'session',
  flb: 'flb',
  memfd: 'memfd',
  memblock: 'memblock',
  'reserve-mem': 'reserveMem',
  test: 'test',
} as const satisfies Record<ContractArea, keyof Release>;

/** A release with other contracts, so that kernels of a proposal can run. */
export function releaseWith(release: Release, name: string, set: AbiSet): Release {
  const members = Object.entries(set).map(([area, contract]) => [MEMBERS[area as ContractArea], contract]);
  return { ...release, name, ...Object.fromEntries(members) };
}

/** Areas that a string versions, itself included: what its bump would cover. */
export function areasUnder(set: AbiSet, area: ContractArea): readonly ContractArea[] {
  return contractsIn(set)
    .filter((contract) => contract.versionedBy === area)
    .map((contract) => contract.area);
}

/**
 * Compiles every contract of a set for every page size.
 * @returns what is wrong with it, in words; undefined when nothing is.
 */
export function problemOf(set: AbiSet): string | undefined {
  try {
    for (const page of PAGE_SIZES) {
      new CompiledAbi(contractsIn(set), page);
      const { map } = set;
      if (map?.area === 'map' && map.format === 'radix-tree') {
        radixNumbersOf(map, page);
        radixGeometry(page, map);
      }
    }
    return undefined;
  } catch (error) {
    if (error instanceof ExpressionError || error instanceof RangeError) return error.message;
    throw error;
  }
}

/** The contracts that a set refers to but does not hold (kho_vmalloc inside memfd) come from its release. */
export function completed(set: AbiSet, release: Release): AbiSet {
  return { ...setOfRelease(release), ...set };
}
