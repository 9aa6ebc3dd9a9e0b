import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../package-root.ts';
import type { Verdict } from '../run/result.ts';
import type { FuzzFinding } from './shrink.ts';
import type { Trial } from './try-plan.ts';
import { doTask, type FuzzAnswer, type FuzzTask } from './worker.ts';

/** A known bug that was looked for, and found. */
export interface FoundBug extends FuzzFinding {
  /** Scenarios until it was seen first, and seconds until it was shrunk. */
  readonly afterRuns: number;
  readonly seconds: number;
}

/** What `khosim fuzz --json` prints. */
export interface FuzzDocument {
  readonly firstSeed: number;
  readonly runs: number;
  readonly good: number;
  /** Scenarios of which a step cannot be. */
  readonly skipped: number;
  /** Runs whose handover without faults took place. */
  readonly secondPhases: number;
  /** What the oracle said, and how often. */
  readonly verdicts: Readonly<Partial<Record<Verdict, number>>>;
  /** Runs that showed each known bug. */
  readonly knownBugs: Readonly<Record<string, number>>;
  /** Runs with damage that no kernel mentioned, by what is behind it: changed fields, and known bugs. */
  readonly silentDamage: Readonly<Record<string, number>>;
  /** The bugs that were looked for. */
  readonly found: readonly FoundBug[];
  readonly missing: readonly string[];
  readonly violation: FuzzFinding | null;
}

export interface FuzzOptions {
  readonly firstSeed: number;
  /** How many scenarios; undefined for no bound. */
  readonly runs: number | undefined;
  readonly jobs: number;
  /** Known bugs to look for: each is shrunk, and when all are found the search is over. */
  readonly find: readonly string[];
  /** Seconds since the start. */
  readonly seconds: () => number;
  /** Asked now and then: whether the time is up. */
  readonly isOver: () => boolean;
  /** Called with the number of scenarios that are done. */
  readonly onProgress: (done: number) => void;
}

/** Scenarios that a worker does in one go. */
const CHUNK = 10;

type Work = (task: FuzzTask) => Promise<FuzzAnswer>;

/** What a campaign knows so far; every lane works on it. */
class Campaign {
  readonly #options: FuzzOptions;
  readonly #trials: Trial[] = [];
  readonly #wanted: Set<string>;
  readonly #toShrink: { readonly seed: number; readonly bug: string; readonly afterRuns: number }[] = [];
  readonly #found: FoundBug[] = [];
  readonly #isSearch: boolean;
  #handedOut = 0;
  #violation: Trial | undefined;

  constructor(options: FuzzOptions) {
    this.#options = options;
    this.#wanted = new Set(options.find);
    this.#isSearch = options.find.length > 0;
  }

  get #isOver(): boolean {
    const { runs = Number.POSITIVE_INFINITY, isOver } = this.#options;
    if (this.#violation !== undefined || this.#handedOut >= runs || isOver()) return true;
    return this.#isSearch && this.#wanted.size === 0;
  }

  /** Works until nothing is left to do. */
  async lane(work: Work): Promise<void> {
    for (;;) {
      const bug = this.#toShrink.shift();
      if (bug !== undefined) await this.#shrink(bug, work);
      else if (this.#isOver) return;
      else await this.#tryMore(work);
    }
  }

  async #tryMore(work: Work): Promise<void> {
    const { firstSeed, runs = Number.POSITIVE_INFINITY, onProgress } = this.#options;
    const count = Math.min(CHUNK, runs - this.#handedOut);
    const first = firstSeed + this.#handedOut;
    this.#handedOut += count;
    const answer = await work({ kind: 'try', first, count });
    if ('trials' in answer) for (const trial of answer.trials) this.#take(trial);
    onProgress(this.#trials.length);
  }

  #take(trial: Trial): void {
    this.#trials.push(trial);
    const { seed } = trial;
    for (const bug of trial.known) {
      if (this.#wanted.delete(bug)) this.#toShrink.push({ seed, bug, afterRuns: this.#trials.length });
    }
    // The lowest seed wins, whichever worker was first.
    if (trial.kind === 'violation' && seed < (this.#violation?.seed ?? Number.POSITIVE_INFINITY))
      this.#violation = trial;
  }

  async #shrink({ seed, bug, afterRuns }: { seed: number; bug: string; afterRuns: number }, work: Work): Promise<void> {
    const answer = await work({ kind: 'shrink', seed, bug });
    if ('finding' in answer) this.#found.push({ ...answer.finding, afterRuns, seconds: this.#options.seconds() });
  }

  async document(work: Work): Promise<FuzzDocument> {
    const trials = this.#trials;
    const count = (names: (trial: Trial) => readonly string[]) => {
      const counts: Record<string, number> = {};
      for (const name of trials.flatMap(names).sort()) counts[name] = (counts[name] ?? 0) + 1;
      return counts;
    };
    const answer = this.#violation && (await work({ kind: 'shrink', seed: this.#violation.seed, bug: undefined }));
    return {
      firstSeed: this.#options.firstSeed,
      runs: trials.length,
      good: trials.filter(({ kind }) => kind === 'good').length,
      skipped: trials.filter(({ kind }) => kind === 'skipped').length,
      secondPhases: trials.filter(({ secondPhase }) => secondPhase).length,
      verdicts: count(({ verdict }) => (verdict === undefined ? [] : [verdict])),
      knownBugs: count(({ known }) => known),
      silentDamage: count(({ verdict, fields, known }) => (verdict === 'corrupt' ? [...fields, ...known] : [])),
      found: this.#found,
      missing: [...this.#wanted],
      violation: answer !== undefined && 'finding' in answer ? answer.finding : null,
    };
  }
}

/** Runs random scenarios until one is a violation, or as many as asked, or as long, or until what is looked for is found. */
export async function fuzz(options: FuzzOptions): Promise<FuzzDocument> {
  const campaign = new Campaign(options);
  if (options.jobs > 1) return await inWorkers(options.jobs, campaign);
  const work: Work = async (task) => {
    // Lets a timer or a signal in between two tasks.
    await new Promise((resolve) => setImmediate(resolve));
    return doTask(task);
  };
  await campaign.lane(work);
  return await campaign.document(work);
}

async function inWorkers(jobs: number, campaign: Campaign): Promise<FuzzDocument> {
  const { Tinypool } = await import('tinypool');
  const self = fileURLToPath(new URL('./worker.js', import.meta.url));
  // From the sources: what was built of them, since a worker has nobody to compile for it.
  const built = extname(fileURLToPath(import.meta.url)) === '.ts';
  const filename = built ? join(packageRoot(), 'dist/scenarios/fuzz/worker.js') : self;
  const pool = new Tinypool({ filename, name: 'doTask', minThreads: jobs, maxThreads: jobs });
  const work: Work = (task) => pool.run(task) as Promise<FuzzAnswer>;
  try {
    await Promise.all(Array.from({ length: jobs }, () => campaign.lane(work)));
    return await campaign.document(work);
  } finally {
    await pool.destroy();
  }
}
