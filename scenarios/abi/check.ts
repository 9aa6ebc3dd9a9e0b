import { releaseWith } from './abi-set.ts';
import type { Change } from './change.ts';
import { checkGolden, type GoldenResult } from './golden.ts';
import { atStake, type HandoverProver, NO_PROVER, type Proof } from './prover.ts';
import type { Subject } from './subject.ts';
import { judge, type StringVerdict, type Verdict } from './verdict.ts';

/** What `checkAbi` uses besides the two subjects. */
export interface CheckOptions {
  /** A folder of golden files to compare with, or to record into. */
  readonly golden?: string | undefined;
  readonly prover?: HandoverProver;
}

export interface CheckResult {
  readonly before: string;
  readonly after: string;
  readonly verdict: Verdict;
  readonly strings: readonly StringVerdict[];
  readonly changes: readonly Change[];
  readonly notes: readonly string[];
  readonly proof: Proof;
  readonly atStake: { readonly pages: number; readonly bytes: number };
  readonly golden: readonly GoldenResult[];
  /** Whether a repository should refuse the change: breaking-without-bump, or golden bytes that moved. */
  readonly ok: boolean;
}

/** Judges a change from one subject to another, and has it proved. */
export async function check(before: Subject, after: Subject, options: CheckOptions = {}): Promise<CheckResult> {
  const { verdict, changes, strings } = judge(before, after);
  const located = changes.map((change) => {
    const where = after.whereOf?.(change.path);
    return where === undefined ? change : { ...change, where };
  });
  const golden = options.golden === undefined ? [] : checkGolden(options.golden, [before, after]);
  // A contract on its own is tried in the company that the other one keeps.
  const lone = after.kind === 'contract' && after.set.root === undefined;
  const next = lone ? releaseWith(before.release, after.name, after.set) : after.release;
  const proof = await (options.prover ?? NO_PROVER).prove(before.release, next, changes);
  return {
    before: before.name,
    after: after.name,
    verdict,
    strings,
    changes: located,
    notes: [...new Set([...before.notes, ...after.notes])],
    proof,
    atStake: atStake(proof),
    golden,
    ok: verdict !== 'breaking-without-bump' && golden.every((result) => result.status !== 'moved'),
  };
}

/** A change as JSON has it: page sizes in bytes stay names of columns. */
export function changeJson(change: Change): object {
  const { path, kind, from, to, breaking, why, string, bumped, pageSizes, where } = change;
  return {
    path,
    kind,
    from,
    to,
    breaking,
    why,
    string: string ?? null,
    bumped,
    ...(pageSizes === undefined ? {} : { pageSizes }),
    ...(where === undefined ? {} : { where }),
  };
}

/** The document of `abi check --json`. */
export function checkJson(result: CheckResult): object {
  return {
    before: result.before,
    after: result.after,
    verdict: result.verdict,
    strings: result.strings,
    changes: result.changes.map(changeJson),
    handovers: result.proof.runs,
    ...(result.proof.notRun === undefined ? {} : { handoversNotRun: result.proof.notRun }),
    ...(result.proof.notExercised?.length ? { handoversNotExercised: result.proof.notExercised } : {}),
    atStake: result.proof.notRun === undefined ? result.atStake : null,
    golden: result.golden,
    notes: result.notes,
  };
}
