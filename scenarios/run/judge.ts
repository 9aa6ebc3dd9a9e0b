import type { PageRanges } from '../check/ranges.ts';
import type { KernelLedger } from './ledger.ts';
import { formatBytes } from './quantity.ts';
import type { Amount, CheckResult, Outcome, Verdict } from './result.ts';
import type { RunState } from './run-state.ts';
import type { ExpectSpec } from './schema.ts';

/*
 * What a run came to: the checks that every run has, and those that the file asks for. Expectations are compared here
 * and nowhere else; no outcome is decided by them.
 */

/** The expectations at one page size: those for all, with those for this size over them. */
function expectationsFor(run: RunState): ExpectSpec {
  const { '4K': at4k, '16K': at16k, '64K': at64k, ...plain } = run.scenario.spec.expect;
  const special = { '4K': at4k, '16K': at16k, '64K': at64k }[run.page.name];
  return { ...plain, ...special };
}

type BadKind = 'damaged' | 'lost' | 'leaked' | 'wrongState';

/** Sums over all kernels of a run. */
export interface Totals {
  readonly preserved: Amount;
  readonly restored: Amount;
  readonly untested: Amount;
  readonly damaged: Amount;
  readonly lost: Amount;
  readonly leaked: Amount;
  readonly wrongState: Amount;
}

/** What all kernels of a run did, summed up. */
export function totalsOf(run: RunState): Totals {
  const ledgers = run.kernels.map((entry) => entry.ledger);
  const of = (pages: (ledger: KernelLedger) => number) =>
    run.objects.amount(ledgers.reduce((sum, ledger) => sum + pages(ledger), 0));
  return {
    preserved: of((ledger) => ledger.preservedPages),
    restored: of((ledger) => ledger.restoredPages),
    untested: of((ledger) => ledger.untestedPages),
    damaged: of((ledger) => ledger.damaged.nrPages),
    lost: of((ledger) => ledger.lost.nrPages),
    leaked: of((ledger) => ledger.leaked.nrPages),
    wrongState: of((ledger) => ledger.wrongState.nrPages),
  };
}

/** Pages that were set aside in a new kernel although nobody had preserved them. */
export function phantomPages(run: RunState): number {
  return run.kernels.reduce((sum, entry) => sum + entry.phantom.nrPages, 0);
}

/** The oracle's word; see `Verdict`. */
export function verdictOf(run: RunState, totals: Totals): Verdict {
  const badSessions = [...run.sessions.sessions.values()].some((session) => session.wrong.length > 0);
  const badSubtrees = [...run.subtrees.values()].some((subtree) => subtree.wrong !== '');
  const fell = run.kernels.some((entry) => entry.outcome === 'panic' || entry.outcome === 'oops');
  const refused = run.kernels.some(
    (entry, i) => entry.outcome === 'refused' || (i > 0 && entry.outcome === 'cold-boot'),
  );
  const lostInHandover = run.kernels.some((entry) => entry.outcome === 'handover' && entry.ledger.lost.nrPages > 0);
  const wrong = totals.damaged.pages > 0 || totals.wrongState.pages > 0 || lostInHandover;
  // What a kernel that fell over could no longer give back is not for it to answer: sessions and subtrees don't count.
  if (fell) return wrong ? 'damaged' : 'crashed';
  const wrongForClients = wrong || badSessions || badSubtrees;
  if (wrongForClients && !(refused && !lostInHandover && totals.damaged.pages === 0)) {
    const told = [...run.sessions.sessions.values()].every((session) => session.wrong.length === session.told);
    // An error is as good as a warning, to the client that got it.
    if (!wrong && !badSubtrees && told) return 'damaged';
    return run.kernels.slice(1).some((entry) => entry.kernel.context.log.warnings > 0) ? 'damaged' : 'corrupt';
  }
  if (refused) return 'refused';
  return totals.leaked.pages > 0 || phantomPages(run) > 0 ? 'leaked' : 'intact';
}

/** All checks of a finished run, those of its steps first. */
export function judge(
  run: RunState,
  outcome: Outcome,
  reason: string | null,
  totals: Totals,
  verdict: Verdict,
): CheckResult[] {
  const expect = expectationsFor(run);
  const checks: CheckResult[] = [...run.checks];
  const add = (name: string, ok: boolean, detail: string, firstBadEvent: string | null = null) =>
    checks.push({ name, ok, detail, firstBadEvent });

  const jumped = run.kernels.length > 1 || outcome === 'refused';
  const wantedOutcome = expect.outcome ?? (jumped ? 'handover' : 'cold-boot');
  const why = reason === null ? '' : ` (${reason})`;
  add(
    'outcome',
    outcome === wantedOutcome,
    `${outcome}${why}${outcome === wantedOutcome ? '' : `, expected ${wantedOutcome}`}`,
  );

  for (const [kind, name] of [
    ['damaged', 'contents'],
    ['lost', 'reservations'],
    ['wrongState', 'orders and reference counts'],
    ['leaked', 'leaks'],
  ] as const) {
    const wanted = wantedAmount(expect, kind, wantedOutcome);
    const got = totals[kind].pages;
    const ok = wanted === 'some' ? got > 0 : wanted === undefined || got === wanted;
    const detail = describeBad(run, kind, got);
    add(name, ok, ok || wanted === undefined ? detail : `${detail}; expected ${wanted}`, firstEvent(run, kind));
  }

  const phantom = phantomPages(run);
  if (phantom > 0 || expect.phantom !== undefined) {
    const wanted = expect.phantom ?? 0;
    const parts = run.kernels.flatMap(({ number, phantom: pages }) =>
      pages.first === undefined ? [] : [`kernel ${number}: ${pages.describe(run.unit.sizeBytes)}`],
    );
    const detail = phantom === 0 ? 'none' : `set aside, and preserved by nobody: ${parts.join('; ')}`;
    const ok = wanted === 'some' ? phantom > 0 : phantom === wanted;
    add('phantom pages', ok, ok ? detail : `${detail}; expected ${wanted}`);
  }

  const silent = verdict === 'corrupt';
  const declared = expect.verdict === 'corrupt';
  add(
    'no silent damage',
    !silent || declared,
    silent ? 'memory came back wrong, and no kernel said a word' : 'none',
    silent ? (firstEvent(run, 'damaged') ?? firstEvent(run, 'lost') ?? firstEvent(run, 'wrongState')) : null,
  );
  if (expect.verdict !== undefined) add('verdict', verdict === expect.verdict, compare(verdict, expect.verdict));
  explicit(run, expect, reason, add);
  return checks;
}

function wantedAmount(expect: ExpectSpec, kind: BadKind, outcome: Outcome): number | 'some' | undefined {
  if (kind === 'wrongState') return expect['wrong state'] ?? 0;
  const asked = expect[kind];
  if (asked !== undefined) return asked;
  if (kind === 'damaged' && expect.damagedObjects !== undefined) return undefined;
  // Without a handover all that was preserved is lost: that is what the outcome says.
  return kind === 'lost' && outcome !== 'handover' ? undefined : 0;
}

function describeBad(run: RunState, kind: BadKind, pages: number): string {
  if (pages === 0) return 'none';
  const parts = run.kernels.flatMap((entry) => {
    const ranges: PageRanges = entry.ledger[kind];
    if (ranges.first === undefined) return [];
    const state =
      kind === 'wrongState' && entry.ledger.wrongStateDetail !== '' ? ` (${entry.ledger.wrongStateDetail})` : '';
    return [`kernel ${entry.number}: ${ranges.describe(run.unit.sizeBytes)}${state}`];
  });
  const words = { damaged: 'damaged', lost: 'lost', leaked: 'leaked', wrongState: 'not as preserved' };
  return `${words[kind]}: ${parts.join('; ')}`;
}

function firstEvent(run: RunState, kind: BadKind): string | null {
  for (const entry of run.kernels) {
    const event = entry.ledger.events.find((each) => each.kind === kind);
    if (event !== undefined) return event.text;
  }
  return null;
}

function compare(got: unknown, wanted: unknown): string {
  return got === wanted ? String(got) : `${got}, expected ${wanted}`;
}

type Add = (name: string, ok: boolean, detail: string, firstBadEvent?: string | null) => void;

function explicit(run: RunState, expect: ExpectSpec, reason: string | null, add: Add): void {
  const { entry } = run;
  const { log, control } = entry.kernel.context;
  const state = control.state;
  if (expect.reason !== undefined) {
    const ok = reason?.includes(expect.reason) === true;
    add('reason', ok, ok ? (reason ?? '') : `'${reason ?? 'none'}' does not contain '${expect.reason}'`);
  }
  objectChecks(run, expect, add);
  if (expect.restored !== undefined) {
    const got = totalsOf(run).restored.pages;
    add('restored', expect.restored === 'some' ? got > 0 : got === expect.restored, compare(got, expect.restored));
  }
  const texts = log.lines.map((line) => line.text);
  for (const text of [expect.log ?? []].flat()) {
    const found = texts.some((line) => line.includes(text));
    add(`log: ${text}`, found, found ? 'there' : 'the last kernel’s log has no such line');
  }
  for (const text of [expect['no log'] ?? []].flat()) {
    const found = texts.find((line) => line.includes(text));
    add(`no log: ${text}`, found === undefined, found ?? 'not there');
  }
  const compared: readonly (readonly [string, unknown, unknown])[] = [
    ['warnings', log.warnings, expect.warnings],
    ['kexecCount', state.kexecCount, expect.kexecCount],
    ['liveupdateNumber', state.liveupdateNumber, expect.liveupdateNumber],
    ['khoTest', entry.kernel.khoTest, expect.khoTest],
  ];
  for (const [name, got, wanted] of compared) if (wanted !== undefined) add(name, got === wanted, compare(got, wanted));
  if (expect.scratch !== undefined) {
    const got = state.scratch.map((area) => area.sizeBytes);
    const text = (sizes: readonly number[]) => sizes.map(formatBytes).join(', ') || 'none';
    const ok = got.length === expect.scratch.length && got.every((size, i) => size === expect.scratch?.[i]);
    add('scratch', ok, compare(text(got), ok ? text(got) : text(expect.scratch)));
  }
  if (expect.revived !== undefined) {
    const got = state.reserveMem.filter((each) => each.revived).map((each) => each.name);
    const ok = got.length === expect.revived.length && expect.revived.every((name) => got.includes(name));
    add('revived', ok, compare(got.join(', ') || 'none', ok ? got.join(', ') || 'none' : expect.revived.join(', ')));
  }
}

function objectChecks(run: RunState, expect: ExpectSpec, add: Add): void {
  const states = new Map(run.objectResults().map((object) => [object.name, object]));
  for (const name of expect.intact ?? []) {
    const object = states.get(name);
    add(
      `intact: ${name}`,
      object?.state === 'intact',
      object === undefined ? 'unknown' : `${object.state}, ${object.detail}`,
    );
  }
  if (expect.damagedObjects !== undefined) {
    const got = [...states.values()]
      .filter((object) => object.state === 'damaged' || object.state === 'lost')
      .map((o) => o.name);
    const wanted = [...expect.damagedObjects].sort();
    const ok = [...got].sort().join() === wanted.join();
    add(
      'damaged objects',
      ok,
      ok ? got.join(', ') || 'none' : `${got.join(', ') || 'none'}; expected ${wanted.join(', ')}`,
    );
  }
  for (const session of run.sessions.sessions.values()) {
    if (session.crossings === 0) continue;
    const ok = session.wrong.length === 0;
    add(
      `session ${session.name}`,
      ok || expect.damagedObjects?.includes(session.name) === true,
      ok ? session.state : session.wrong.join('; '),
    );
  }
  for (const subtree of run.subtrees.values()) {
    if (subtree.crossings === 0 || expect.outcome !== undefined) continue;
    const ok = subtree.wrong === '';
    add(
      `subtree ${subtree.name}`,
      ok || expect.damagedObjects?.includes(subtree.name) === true,
      ok ? subtree.state : subtree.wrong,
    );
  }
}
