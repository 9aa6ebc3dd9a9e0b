import { EBADF, ENOENT, type Errno, isErrno } from '../../kernel/errno.ts';
import type { RunState } from './run-state.ts';
import type { StepSpec } from './schema.ts';
import { makeFile, sameFile } from './session-files.ts';
import { compareOpen, preserveInto, retrieveInto } from './sessions.ts';

/*
 * Single calls on a session that is open, right ones and wrong ones.
 */

/** LIVEUPDATE_SESSION_PRESERVE_FD, of a new memfd or of one that a session has. */
export function preserveFile(run: RunState, spec: NonNullable<StepSpec['preserve file']>): 0 | Errno | undefined {
  const session = run.sessions.sessions.get(spec.session);
  if (session === undefined) return ENOENT;
  return run.kernel.enter((): 0 | Errno => {
    const file =
      spec.of === undefined
        ? makeFile(run, session, { ...spec, memfd: spec.memfd ?? 0 })
        : sameFile(run, spec.of, spec.token);
    if (isErrno(file)) return file;
    const err = preserveInto(run, session, file);
    if (err !== 0) file.open?.put();
    return err;
  });
}

/** LIVEUPDATE_SESSION_RETRIEVE_FD. What comes is compared again. */
export function retrieveFile(run: RunState, spec: NonNullable<StepSpec['retrieve file']>): 0 | Errno | undefined {
  const session = run.sessions.sessions.get(spec.session);
  const file = run.sessions.fileOf(spec.session, spec.token);
  if (session === undefined || file === undefined) return ENOENT;
  return run.kernel.enter(() => retrieveInto(run, session, file));
}

/** The program that has a file open reads it all. @returns -EBADF when nobody has it open. */
export function readFile(run: RunState, spec: NonNullable<StepSpec['read file']>): 0 | Errno | undefined {
  const session = run.sessions.sessions.get(spec.session);
  const file = run.sessions.fileOf(spec.session, spec.token);
  const open = file?.open;
  if (session === undefined || file === undefined || open === undefined) return EBADF;
  return run.kernel.enter((): 0 => {
    compareOpen(run, session, file, open);
    return 0;
  });
}

/** A driver fetches an incoming FLB that file handlers depend on, and does not give it back. */
export function getFlb(run: RunState, compatible: string): 0 | Errno | undefined {
  const flbs = run.kernel.luo?.flbs;
  const flb = flbs?.named(compatible);
  if (flbs === undefined || flb === undefined) return ENOENT;
  return run.kernel.enter((): 0 | Errno => {
    const got = flbs.getIncoming(flb);
    return isErrno(got) ? got : 0;
  });
}
