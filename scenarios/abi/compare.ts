import { enablePatches, type Patch, produceWithPatches } from 'immer';
import type { Contract, ContractArea } from '../../kernel/abi/contract.ts';
import type { Release } from '../../kernel/release.ts';
import type { AbiSet } from './abi-set.ts';
import { type Change, type ChangeKind, type Document, type Finding, isRecord } from './change.ts';
import { classify, itemOf } from './classify.ts';
import { documentOf, type Plain } from './document.ts';

enablePatches();

/** One side of a comparison. */
export interface Side {
  readonly set: AbiSet;
  readonly release: Release;
}

/**
 * Compares two sets of contracts. Both are made documents; immer's patches from one to the other are the raw
 * differences, and each thing that they touch becomes one change with its reason.
 */
export function compare(before: Side, after: Side): readonly Change[] {
  const older = documentOf(before.set, before.release, { other: after.set });
  const newer = documentOf(after.set, after.release, { other: before.set, renamedFromOther: true });
  return differences(older, newer).map(({ area, finding }) => ({
    ...finding,
    area,
    ...governing(area, before.set, after.set),
  }));
}

/** What differs between two documents, causes first. */
export function differences(older: Document, newer: Document): { area: ContractArea; finding: Finding }[] {
  const [, patches] = produceWithPatches(older, (draft) => reconcile(draft, newer));
  const items = new Map<string, Patch[]>();
  for (const patch of patches) {
    const key = itemOf(patch.path.map(String), older, newer);
    if (key === undefined) continue;
    items.set(key, [...(items.get(key) ?? []), patch]);
  }
  const found = [...items].map(([key, its]) => {
    const path = key.split('/');
    return { area: path[0] as ContractArea, finding: classify(path, its, older, newer) };
  });
  return found.sort(
    ({ finding: a }, { finding: b }) => Number(b.breaking) - Number(a.breaking) || rank(a.kind) - rank(b.kind),
  );
}

/** Causes before consequences, words last. */
function rank(kind: ChangeKind): number {
  const order: ChangeKind[] = ['bumped', 'replaced', 'removed', 'added', 'changed', 'reordered', 'moved', 'renamed'];
  const at = order.indexOf(kind);
  return at < 0 ? order.length : at;
}

/** Makes `draft` equal to `target`, touching only what differs. */
function reconcile(draft: { [key: string]: Plain }, target: { [key: string]: Plain }): void {
  for (const key of Object.keys(draft)) if (!(key in target)) delete draft[key];
  for (const [key, value] of Object.entries(target)) {
    const mine = draft[key];
    if (isRecord(mine) && isRecord(value)) reconcile(mine, value);
    else if (mine !== value) draft[key] = value;
  }
}

/** The string that must change when something in `area` does, seen from either side. */
function governing(area: ContractArea, before: AbiSet, after: AbiSet): Pick<Change, 'string' | 'bumped'> {
  const owners = [before[area]?.versionedBy, after[area]?.versionedBy].filter((owner) => owner !== undefined);
  const bumped = owners.some((owner) => {
    const [mine, theirs] = [before[owner], after[owner]];
    return mine !== undefined && theirs !== undefined && mine.compatible !== theirs.compatible;
  });
  const owner = owners[0];
  return { string: owner === undefined ? undefined : (before[owner] ?? after[owner])?.compatible, bumped };
}

/** Which strings changed from one set to the other, by the area that owns them. */
export function bumpsBetween(before: AbiSet, after: AbiSet): ReadonlyMap<ContractArea, readonly [Contract, Contract]> {
  const bumps = new Map<ContractArea, readonly [Contract, Contract]>();
  for (const [area, contract] of Object.entries(before) as [ContractArea, Contract][]) {
    const other = after[area];
    if (other !== undefined && contract.compatible !== undefined && other.compatible !== contract.compatible) {
      bumps.set(area, [contract, other]);
    }
  }
  return bumps;
}
