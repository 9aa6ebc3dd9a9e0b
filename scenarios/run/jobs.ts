import { availableParallelism } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LogSink } from '../../kernel/log.ts';
import { pageSizeByBytes } from '../../machine/index.ts';
import { InputError, type InputMessage } from '../input-error.ts';
import { RunPicture } from '../observe/run-picture.ts';
import { RunRecorder } from '../observe/run-recorder.ts';
import { packageRoot } from '../package-root.ts';
import type { RunView } from '../report/client/model.ts';
import { type CapturedImage, captureImage, writeImage } from './export.ts';
import { findScenario } from './library.ts';
import { observers } from './observer.ts';
import type { RunResult } from './result.ts';
import { runScenarioAtLength } from './runner.ts';

/** One run to be done: plain data, so that a worker can be sent it. */
export interface Job {
  /** A file or a name of the library. */
  readonly scenario: string;
  readonly pageSize: number;
  readonly seed: number | undefined;
  /** Where RAM at the last jump goes. */
  readonly exportFolder: string | undefined;
  /** Whether the run is recorded, for a report or a trace. */
  readonly record?: boolean;
  /** Whether RAM at the last jump is drawn for a terminal. */
  readonly picture?: boolean;
}

/** What a job comes to. */
export interface JobOutput {
  readonly result: RunResult;
  /** The recording, where one was asked for. */
  readonly view: RunView | undefined;
  /** RAM at the last jump, line by line; empty where nobody asked for it. */
  readonly picture: readonly string[];
}

/** What a worker sends back: what the user got wrong travels as data. */
export type JobResult =
  | { readonly ok: true; readonly output: JobOutput }
  | { readonly ok: false; readonly messages: readonly InputMessage[] };

/** Does one job. */
export function doJob(job: Job, sink?: LogSink): JobOutput {
  const page = pageSizeByBytes(job.pageSize);
  if (page === undefined) throw new RangeError(`no page size: ${job.pageSize}`);
  let image: CapturedImage | undefined;
  const atLastJump =
    job.exportFolder === undefined
      ? undefined
      : (...[machine, handoff]: Parameters<typeof captureImage>) => {
          image = captureImage(machine, handoff);
        };
  const recorder = job.record === true ? new RunRecorder() : undefined;
  const picture = job.picture === true ? new RunPicture() : undefined;
  const options = { page, seed: job.seed, sink, atLastJump, observer: observers(recorder, picture) };
  const { result, state } = runScenarioAtLength(findScenario(job.scenario), options);
  if (job.exportFolder !== undefined) {
    if (image === undefined) {
      throw new InputError({
        message: `${job.scenario} has no handover at its last jump: there is nothing to export`,
        hint: 'KHO is off in its last kernel but one, or it has no kexec step',
      });
    }
    writeImage(job.exportFolder, image);
  }
  return { result, view: recorder?.view(state, result), picture: picture?.lines(state) ?? [] };
}

/** The same in a worker. */
export function workerJob(job: Job): JobResult {
  try {
    return { ok: true, output: doJob(job) };
  } catch (error) {
    if (error instanceof InputError) return { ok: false, messages: error.messages };
    throw error;
  }
}

/** What workers load: this file; from the sources, what was built of it, since a worker has nobody to compile for it. */
function workerFile(): string {
  const self = fileURLToPath(import.meta.url);
  return extname(self) === '.ts' ? join(packageRoot(), 'dist/scenarios/run/jobs.js') : self;
}

/**
 * Does all jobs, at most `nrWorkers` at a time; results in the order of the jobs, whoever was first.
 * @param done told after each job how many are done.
 */
export async function doJobs(
  jobs: readonly Job[],
  nrWorkers: number,
  done: (nr: number) => void,
): Promise<JobOutput[]> {
  const { Tinypool } = await import('tinypool');
  const pool = new Tinypool({
    filename: workerFile(),
    name: 'workerJob',
    minThreads: 1,
    maxThreads: Math.min(nrWorkers, jobs.length, availableParallelism() * 2),
  });
  let nr = 0;
  try {
    const results = await Promise.all(
      jobs.map(async (job) => {
        const result: JobResult = await pool.run(job);
        done(++nr);
        return result;
      }),
    );
    const wrong = results.flatMap((result) => (result.ok ? [] : result.messages));
    if (wrong.length > 0) throw new InputError(wrong);
    return results.flatMap((result) => (result.ok ? [result.output] : []));
  } finally {
    await pool.destroy();
  }
}
