import { existsSync } from 'node:fs';
import type { Contract } from '../../kernel/abi/contract.ts';
import { contractsOf, RELEASES, type Release, releaseByName, UNRELEASED } from '../../kernel/release.ts';
import { InputError } from '../input-error.ts';
import { nearest } from '../run/nearest.ts';
import { type AbiSet, setOf, setOfRelease } from './abi-set.ts';
import { documentOf } from './document.ts';

/** What a name on the command line stands for. */
export interface Subject {
  readonly name: string;
  readonly kind: 'contract' | 'release' | 'proposal';
  readonly set: AbiSet;
  /** A release that has these contracts; a proposal's has them in place of its base's. */
  readonly release: Release;
  /** What the reader of a result should know. */
  readonly notes: readonly string[];
  /** Of a proposal: the line that a change's path comes from, as `file:line`. */
  readonly whereOf?: (path: string) => string | undefined;
}

/** Newest first; what was released before what was not. */
function newestFirst(): readonly Release[] {
  const released = RELEASES.filter((release) => release.status === 'released');
  const others = [...RELEASES, ...UNRELEASED].filter((release) => release.status !== 'released');
  return [...released.toReversed(), ...others.toReversed()];
}

/** Every contract of every release once, in the order of their first appearance. */
export function allContracts(): readonly Contract[] {
  return [...new Set([...RELEASES, ...UNRELEASED].flatMap(contractsOf))];
}

/** Every name that `subjectByName` knows. */
export function knownNames(): readonly string[] {
  const contracts = allContracts();
  const strings = contracts.flatMap(({ compatible }) => (typeof compatible === 'string' ? [compatible] : []));
  const releases = [...RELEASES, ...UNRELEASED].map((release) => release.name);
  return [...new Set([...releases, ...strings, ...contracts.map((contract) => contract.name)])];
}

/**
 * Finds what a name stands for: a release (`7.1`), a version string with all that it covers (`kho-v4`: root FDT,
 * memory map, vmalloc, blocks), or one contract (`radix-v3`). Undefined for any other name.
 */
export function subjectByName(name: string): Subject | undefined {
  const release = releaseByName(name);
  if (release !== undefined) {
    return { name, kind: 'release', set: setOfRelease(release), release, notes: [] };
  }
  return subjectByString(name) ?? subjectByContract(name);
}

function subjectByString(name: string): Subject | undefined {
  const holders = newestFirst().filter((release) => contractsOf(release).some(({ compatible }) => compatible === name));
  const [release] = holders;
  if (release === undefined) return undefined;
  const set = coveredBy(release, name);
  const same = JSON.stringify(shape(set, release));
  const others = holders.filter((other) => JSON.stringify(shape(coveredBy(other, name), other)) !== same);
  const notes =
    others.length === 0
      ? []
      : [
          `${name} is shown as ${release.name} writes it; under the same string ${others.map((other) => other.name).join(', ')} write${others.length === 1 ? 's' : ''} other bytes`,
        ];
  return { name, kind: 'contract', set, release, notes };
}

/** The contracts of a release that a string versions. */
function coveredBy(release: Release, string: string): AbiSet {
  const set = setOfRelease(release);
  const owner = contractsOf(release).find(({ compatible }) => compatible === string)?.area;
  return setOf(
    contractsOf(release).filter((contract) => contract.versionedBy === owner && set[contract.area] !== undefined),
  );
}

/** What of a set reaches memory, near enough to tell layouts apart: no words, no names of contracts, no formulas. */
function shape(set: AbiSet, release: Release): unknown {
  const words = new Set(['doc', 'title', 'name', 'formula', 'keyAssembly', 'leafLevel', 'allocator', 'writing']);
  const strip = (value: unknown, key = ''): unknown => {
    if (typeof value !== 'object' || value === null) return words.has(key) ? '' : value;
    return Object.fromEntries(Object.entries(value).map(([inner, item]) => [inner, strip(item, inner)]));
  };
  return strip(documentOf(set, release));
}

function subjectByContract(name: string): Subject | undefined {
  for (const release of newestFirst()) {
    const contract = contractsOf(release).find((candidate) => candidate.name === name);
    if (contract !== undefined) return { name, kind: 'contract', set: setOf([contract]), release, notes: [] };
  }
  return undefined;
}

/** Whether a name is rather a file: it exists, or ends or looks like one. */
export function looksLikeFile(name: string): boolean {
  return /\.(ya?ml|m?js)$/.test(name) || name.includes('/') || existsSync(name);
}

/** @throws InputError with the names that there are. */
export function unknownSubject(name: string): InputError {
  const close = nearest(name, knownNames());
  return new InputError({
    message: `no contract, release or proposal file is called '${name}'`,
    hint:
      close === undefined
        ? '`khosim abi list` names them'
        : `did you mean '${close}'? \`khosim abi list\` names them all`,
  });
}
