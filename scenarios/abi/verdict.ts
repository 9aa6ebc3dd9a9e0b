import type { ContractArea } from '../../kernel/abi/contract.ts';
import { type AbiSet, areasUnder } from './abi-set.ts';
import type { Change } from './change.ts';
import { bumpsBetween, compare, type Side } from './compare.ts';

/**
 * `compatible`: nothing that matters moved. `breaking`: it did, and each string that covers it changed.
 * `breaking-without-bump`: some string did not, so kernels will misread each other. `bump-without-change`: a string
 * changed, and nothing under it did.
 */
export type Verdict = 'compatible' | 'breaking' | 'breaking-without-bump' | 'bump-without-change';

/** What became of one version string and of all that it covers. */
export interface StringVerdict {
  readonly area: ContractArea;
  readonly from: string | number;
  readonly to: string | number | null;
  readonly verdict: Verdict;
  /** Contracts that it covers, before and after. */
  readonly covers: readonly string[];
  readonly why: string;
}

export interface StaticVerdict {
  readonly verdict: Verdict;
  readonly changes: readonly Change[];
  readonly strings: readonly StringVerdict[];
}

/** Judges a change by the contracts alone. */
export function judge(before: Side, after: Side): StaticVerdict {
  const changes = compare(before, after);
  const broken = changes.filter((change) => change.breaking && change.kind !== 'bumped');
  const strings = stringVerdicts(before.set, after.set, changes);
  const verdict: Verdict = broken.some((change) => !change.bumped)
    ? 'breaking-without-bump'
    : broken.length > 0
      ? 'breaking'
      : strings.some((string) => string.verdict === 'bump-without-change')
        ? 'bump-without-change'
        : 'compatible';
  return { verdict, changes, strings };
}

function stringVerdicts(before: AbiSet, after: AbiSet, changes: readonly Change[]): StringVerdict[] {
  const bumps = bumpsBetween(before, after);
  const verdicts: StringVerdict[] = [];
  for (const [area, contract] of Object.entries(before) as [ContractArea, NonNullable<AbiSet[ContractArea]>][]) {
    if (contract.compatible === undefined) continue;
    const covered = new Set([...areasUnder(before, area), ...areasUnder(after, area)]);
    const under = changes.filter((change) => covered.has(change.area) && change.path !== `${area}.compatible`);
    const broken = under.filter((change) => change.breaking);
    const bumped = bumps.has(area);
    const names = [...covered].map((name) => (after[name] ?? before[name])?.name ?? name);
    const to = after[area]?.compatible ?? null;
    const common = { area, from: contract.compatible, to, covers: names };
    if (broken.length > 0) {
      const guarded = broken.every((change) => change.bumped);
      const paths = broken.map((change) => change.path);
      verdicts.push({
        ...common,
        verdict: guarded ? 'breaking' : 'breaking-without-bump',
        why: guarded
          ? `covers ${listed(paths)}`
          : `${listed(broken.filter((change) => !change.bumped).map(({ path }) => path))} changed, and it still says ${contract.compatible}`,
      });
    } else if (bumped) {
      const added = under.filter((change) => change.kind === 'added');
      verdicts.push({
        ...common,
        verdict: 'bump-without-change',
        why:
          added.length > 0
            ? `nothing that it covered moved; it now covers ${listed(added.map(({ to: name, path }) => name ?? path))} too`
            : 'nothing that it covers moved',
      });
    } else {
      verdicts.push({ ...common, verdict: 'compatible', why: 'nothing that it covers moved' });
    }
  }
  return verdicts;
}

/** `a, b and 3 more`. */
function listed(items: readonly string[]): string {
  const shown = items.slice(0, 4);
  const rest = items.length - shown.length;
  return rest === 0 ? shown.join(', ') : `${shown.join(', ')} and ${rest} more`;
}
