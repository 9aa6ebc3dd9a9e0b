import { type Release, releaseByName } from '../../kernel/release.ts';
import type { RunResult } from '../run/result.ts';
import type { FuzzPlan, PlanStep } from './generate.ts';

/*
 * What kernels are known to do wrong, or to let their clients do wrong. A run that shows one of these is not a violation;
 * the fuzzer reports that it found it. What none of them explains is one.
 */

/** The map of 7.1-rc5 and of the merge window before it. */
const MISSING_LEVEL_MAP = 'radix-v2';

/** A known bug. */
export interface KnownBug {
  readonly name: string;
  readonly what: string;
  /** Whether a run shows it: the steps that lead to it were done, and it is there to be seen. */
  shows(run: FuzzedRun): boolean;
}

/** What recognisers look at. */
export interface FuzzedRun {
  readonly plan: FuzzPlan;
  readonly result: RunResult;
  /** The releases of its kernels, in order. */
  readonly releases: readonly Release[];
}

function done(run: FuzzedRun, verb: string, where: (spec: Readonly<Record<string, unknown>>) => boolean = () => true) {
  return run.plan.steps.some((step: PlanStep, i) => {
    const spec = step[verb];
    const record = typeof spec === 'object' && spec !== null ? (spec as Readonly<Record<string, unknown>>) : {};
    return spec !== undefined && run.result.steps[i]?.result === 'ok' && where(record);
  });
}

function logged(run: FuzzedRun, text: string): boolean {
  return run.result.kernels.some((kernel) => kernel.log.some((line) => line.includes(text)));
}

function anyQuirk(run: FuzzedRun, has: (quirks: Release['quirks']) => boolean): boolean {
  return run.releases.some((release) => has(release.quirks));
}

/** Whether a step unpreserves what this kernel does not preserve (any more). */
function unpreservesTwice({ plan }: FuzzedRun): boolean {
  const preserved = new Set<unknown>();
  for (const step of plan.steps) {
    for (const [verb, spec] of Object.entries(step)) {
      if (verb === 'kexec') preserved.clear();
      else if (verb === 'preserve') preserved.add(spec);
      else if (verb === 'unpreserve' && !preserved.delete(spec)) return true;
      else if (verb.startsWith('preserve ')) preserved.add((spec as { readonly as?: unknown }).as);
    }
  }
  return false;
}

/** Every known bug. */
export const KNOWN_BUGS: readonly KnownBug[] = [
  {
    name: 'numa-restore',
    what: 'a range across two nodes comes back by half: restoring does not lower orders at the border (7.1 to 7.3)',
    shows: (run) =>
      (run.plan.machine.nodes ?? 1) > 1 &&
      anyQuirk(run, (quirks) => quirks.splitsAtNodes) &&
      done(run, 'preserve pages', (spec) => spec['at'] === 'node-border'),
  },
  {
    name: 'inside-scratch',
    what: 'without KEXEC_HANDOVER_DEBUG nothing keeps a client from preserving scratch, which the next kernel overwrites',
    shows: (run) => done(run, 'preserve folios', (spec) => spec['at'] === 'scratch'),
  },
  {
    name: 'lost-reservations',
    what: 'the walk ignores that memblock has no room for a reservation; the pages go to the page allocator',
    shows: (run) => logged(run, 'Failed to double'),
  },
  {
    name: 'overlapping-orders',
    what: 'a page preserved with two orders comes back with the lower one: nothing counts references',
    shows: (run) =>
      run.plan.steps.filter((step) => (step['preserve folios'] as { at?: unknown } | undefined)?.at === '0x58000000')
        .length > 1,
  },
  {
    name: 'fixed-address',
    what: 'a client that preserves pages at an address that somebody else has, hands over what is theirs',
    shows: (run) => done(run, 'preserve folios', (spec) => spec['at'] === '0x58000000' || spec['every'] !== undefined),
  },
  {
    name: 'freed-while-preserved',
    what: 'preserving takes no reference: freed pages are handed over with what their next owner put there',
    shows: (run) =>
      run.plan.steps.some((step, i) => step['free'] !== undefined && run.result.steps[i]?.result === 'ok'),
  },
  {
    name: 'double-unpreserve',
    what: 'unpreserving what is not preserved, or twice, takes away what another client preserved there',
    shows: unpreservesTwice,
  },
  {
    name: 'init-frees-scratch',
    what: 'kho_init that fails after a handover frees the scratch areas a second time',
    shows: (run) => logged(run, 'frees scratch a second time'),
  },
  {
    name: 'order-31',
    what: 'splitting a range with a block of order 31 never ends: the shift is an int',
    shows: (run) => run.result.reason?.includes('2^31 pages') === true,
  },
  {
    name: 'ranges-as-folios',
    what: 'a range of several pages comes back as a compound page (6.18 and before)',
    shows: (run) => anyQuirk(run, (quirks) => quirks.restoresRangesAsFolios) && done(run, 'preserve pages'),
  },
  {
    name: 'large-block-refused',
    what: 'a block above MAX_PAGE_ORDER is preserved, and refused when it is restored (up to 7.0)',
    shows: (run) =>
      anyQuirk(run, (quirks) => quirks.restoreChecksMaxOrder) &&
      done(run, 'preserve pages', (spec) => spec['at'] === 'node-border'),
  },
  {
    name: 'vmalloc-errors',
    what: 'preserving a vmalloc area that runs out of memory is taken for success, or leaves pages behind (6.18)',
    shows: (run) =>
      anyQuirk(run, (quirks) => quirks.vmallocForgetsError || quirks.vmallocRepeatsPages) &&
      done(run, 'preserve vmalloc'),
  },
  {
    name: 'abort-forgets-all',
    what: 'a finalisation that fails drops all that clients preserved (up to 6.18)',
    shows: (run) => anyQuirk(run, (quirks) => quirks.abortForgetsAll) && done(run, 'fault'),
  },
  {
    name: 'missing-level',
    what: 'with pages of 16K the tree of 7.1-rc5 lacks a level, and its keys of order 0 lead astray',
    shows: (run) =>
      run.plan.machine.pageSize === '16K' && run.releases.some(({ map }) => map.name === MISSING_LEVEL_MAP),
  },
  {
    name: 'same-name-other-bytes',
    what: 'two releases share the compatible string and differ in what lies behind it (6.17.8 and 6.17.9, 7.1-rc5 and 7.1 at 16K)',
    shows: (run) => new Set(run.releases.map(({ name }) => name)).size > 1,
  },
  {
    name: 'unchecked-bytes',
    what: 'whatever lies in the tree, the FDT or the scratch array is believed',
    shows: (run) => done(run, 'corrupt'),
  },
];

/** The known bugs that a run shows. */
export function knownBugsIn(plan: FuzzPlan, result: RunResult): KnownBug[] {
  const releases = result.kernels.flatMap((kernel) => releaseByName(kernel.release) ?? []);
  const run = { plan, result, releases };
  return KNOWN_BUGS.filter((bug) => bug.shows(run));
}
