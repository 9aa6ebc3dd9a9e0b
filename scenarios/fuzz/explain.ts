import { ALLOC_PAGES_SITE, MEMFD_ACCOUNT_SITE, MEMFD_CHARGE_SITE, SESSION_SITE } from '../../kernel/fault-sites.ts';
import { type Intervals, subtract, union } from '../handover/intervals.ts';
import { type CorruptedField, corruptedField } from './corrupted-fields.ts';
import { type Evidence, intersect, type PageSymptom, pagesOf, type Symptom } from './evidence.ts';
import { isBehind, KNOWN_BUGS, spoiltByBug } from './known-bugs.ts';
import { wrongStarts } from './predict.ts';
import { QUIRK_EFFECTS } from './quirk-effects.ts';

/** What a run's symptoms come from. */
export interface Explanation {
  /** Known bugs, by name. */
  readonly bugs: readonly string[];
  /** Fields that somebody changed, and quirks that a kernel was given, of which something followed. */
  readonly fields: readonly string[];
  /** What nothing explains. */
  readonly open: readonly Symptom[];
}

/** No page that a client hands over has a checksum. */
const CLIENT_MEMORY = 'memory of a client';
/** What a kernel keeps for itself has none either, and anything may follow. */
const KERNEL_MEMORY = 'memory of the kernel';

/** A field that was changed before the kernel of this number came up. */
interface Change {
  readonly to: number;
  readonly field: CorruptedField;
  /** Pages that the walk of that kernel did not reserve. */
  readonly unreserved: Intervals;
}

function changesIn({ jumps }: Evidence): Change[] {
  return jumps.flatMap((jump) =>
    jump.corrupted.map((corruption) => ({
      to: jump.to,
      field: corruptedField(corruption, jump.old.map.format === 'radix-tree'),
      unreserved: subtract(union(jump.crossed.flatMap(({ pages }) => [...pages])), jump.reserved),
    })),
  );
}

/** Whether a changed field may be behind a symptom that is not about pages. */
function leadsTo({ to, field }: Change, symptom: Symptom): boolean {
  if (to > symptom.kernel) return false;
  if (symptom.kind === 'crash') return field.follows.has('crash');
  if (symptom.kind === 'phantom') return to === symptom.kernel && field.follows.has('pages');
  if (symptom.kind !== 'client') return false;
  return field.follows.has('client') && (field.client === undefined || field.client === symptom.name);
}

/** Pages of a symptom that a changed field may have spoilt: content only where the reservation was lost. */
function spoiltBy({ to, field, unreserved }: Change, symptom: Symptom & { kind: 'pages' }): Intervals {
  if (to > symptom.kernel || !field.follows.has('pages')) return [];
  const isContent = symptom.what === 'damaged' || symptom.what === 'lost';
  return isContent ? intersect(symptom.pages, unreserved) : symptom.pages;
}

/** A crash that the scenario asked for: what must follow of it is that nothing is handed over. */
function isAsked(symptom: Symptom): boolean {
  return symptom.kind === 'crash' && /panic: a crash (before|in the middle of|after) serialization/.test(symptom.text);
}

/** A file whose retrieval had no memory, because the scenario said so: the kernel says no, and keeps saying it. */
function isRefusedRetrieval({ state }: Evidence, symptom: Symptom): boolean {
  if (symptom.kind !== 'client' || symptom.client !== 'session' || !symptom.text.endsWith('cannot be retrieved'))
    return false;
  const fired = state.kernels[symptom.kernel - 1]?.kernel.context.faults.fired ?? [];
  return [MEMFD_CHARGE_SITE, MEMFD_ACCOUNT_SITE, SESSION_SITE, ALLOC_PAGES_SITE].some((site) => fired.includes(site));
}

/**
 * A range or a vmalloc area is restored block by block, up to the first that is not there: what is spoilt in one block
 * leaves the rest set aside.
 */
function causeOfGivingUp(evidence: Evidence, symptom: PageSymptom): string | undefined {
  if (symptom.what !== 'leaked' || symptom.object.order !== -1) return undefined;
  const anywhere = { ...symptom, what: 'wrongState' as const, pages: pagesOf(symptom.object) };
  return KNOWN_BUGS.find((bug) => spoiltByBug(bug, evidence, anywhere).length > 0)?.name;
}

/** Whether somebody wrote into a kernel's own memory before this was seen. */
function followsStray({ strayInKernel }: Evidence, symptom: Symptom): boolean {
  return strayInKernel !== undefined && symptom.kernel >= strayInKernel;
}

/** Looks for what is behind everything that a run shows. */
export function explain(evidence: Evidence): Explanation {
  const bugs = new Set<string>();
  const fields = new Set<string>();
  const open: Symptom[] = [];
  const changes = changesIn(evidence);
  for (const symptom of [...evidence.symptoms, ...wrongStarts(evidence)]) {
    if (symptom.kind === 'pages') {
      let rest = symptom.pages;
      for (const { quirk, spoils } of QUIRK_EFFECTS) {
        const spoilt = intersect(rest, spoils?.(evidence, symptom) ?? []);
        if (spoilt.length === 0) continue;
        fields.add(`quirk: ${quirk}`);
        rest = subtract(rest, spoilt);
      }
      for (const bug of KNOWN_BUGS) {
        if (rest.length === 0) break;
        const spoilt = intersect(rest, spoiltByBug(bug, evidence, symptom));
        if (spoilt.length === 0) continue;
        bugs.add(bug.name);
        rest = subtract(rest, spoilt);
      }
      for (const change of changes) {
        const spoilt = intersect(rest, spoiltBy(change, symptom));
        if (spoilt.length === 0) continue;
        fields.add(change.field.field);
        rest = subtract(rest, spoilt);
      }
      if (symptom.what === 'damaged') {
        const stray = intersect(rest, evidence.strayWrites);
        if (stray.length > 0) fields.add(CLIENT_MEMORY);
        rest = subtract(rest, stray);
      }
      if (rest.length > 0 && followsStray(evidence, symptom)) {
        fields.add(KERNEL_MEMORY);
        rest = [];
      }
      const cause = rest.length === 0 ? undefined : causeOfGivingUp(evidence, symptom);
      if (cause !== undefined) bugs.add(cause);
      else if (rest.length > 0) open.push({ ...symptom, pages: rest });
      continue;
    }
    if (isAsked(symptom) || isRefusedRetrieval(evidence, symptom)) continue;
    const bug = KNOWN_BUGS.find((each) => isBehind(each, evidence, symptom));
    const change = changes.find((each) => leadsTo(each, symptom));
    const quirk = QUIRK_EFFECTS.find((each) => each.accounts?.(evidence, symptom));
    if (bug !== undefined) bugs.add(bug.name);
    else if (change !== undefined) fields.add(change.field.field);
    else if (quirk !== undefined) fields.add(`quirk: ${quirk.quirk}`);
    else if (followsStray(evidence, symptom)) fields.add(KERNEL_MEMORY);
    else open.push(symptom);
  }
  return { bugs: [...bugs].sort(), fields: [...fields].sort(), open };
}
