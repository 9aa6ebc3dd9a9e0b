import type { Release } from '../../kernel/index.ts';
import type { PageSize } from '../../machine/index.ts';
import { setOfRelease } from '../abi/abi-set.ts';
import type { Change } from '../abi/change.ts';
import { compare } from '../abi/compare.ts';
import { CORE_AREAS } from '../abi/simulator-prover.ts';
import type { WorkloadName } from '../handover/workload.ts';

const MOST = 2;

/**
 * Why two releases misread each other, from their contracts: what differs at this page size under a string that both
 * accept. Undefined when nothing does: then the old kernel alone is at fault.
 */
export function contractsBehind(
  old: Release,
  release: Release,
  page: PageSize,
  workload: WorkloadName,
): string | undefined {
  const silent = silentChanges(old, release).filter(
    ({ area, pageSizes }) =>
      (workload === 'clients' || CORE_AREAS.has(area)) && (pageSizes === undefined || pageSizes.includes(page.name)),
  );
  if (silent.length === 0) return undefined;
  const named = silent.slice(0, MOST).map(({ path, string, why }) => `${path} differs under ${string}: ${why}`);
  const more = silent.length > MOST ? [`${silent.length - MOST} more`] : [];
  return [...named, ...more].join('; ');
}

const found = new Map<Release, Map<Release, readonly Change[]>>();

function silentChanges(old: Release, release: Release): readonly Change[] {
  const known = found.get(old)?.get(release);
  if (known !== undefined) return known;
  const side = (each: Release) => ({ set: setOfRelease(each), release: each });
  const changes = compare(side(old), side(release))
    .filter((change) => change.breaking && !change.bumped)
    .sort((a, b) => rank(a) - rank(b));
  found.set(old, (found.get(old) ?? new Map<Release, readonly Change[]>()).set(release, changes));
  return changes;
}

/** The memory map decides more than a client, and what is on both sides more than what one of them does not know. */
function rank({ area, kind }: Change): number {
  return (CORE_AREAS.has(area) ? 0 : 2) + (kind === 'removed' ? 1 : 0);
}
