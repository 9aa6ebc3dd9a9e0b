import { EBUSY, ENOENT, type Errno, isErrno } from '../../kernel/errno.ts';
import type { LuoDevice } from '../../kernel/liveupdate/luo.ts';
import { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import { PageFlag } from '../../kernel/mm/page-states.ts';
import type { Pfn } from '../../machine/index.ts';
import { ImpossibleStep } from './placement.ts';
import type { RunState } from './run-state.ts';
import type { StepSpec } from './schema.ts';
import { type BookedSession, compareFile, type ExpectedFile } from './session-book.ts';
import { makeFile } from './session-files.ts';

/*
 * What user space does with /dev/liveupdate: sessions with memfds, before the jump and after it.
 */

/** What a memfd has for seals when its release carries none: F_SEAL_SEAL, as the reader makes it. */
const SEALS_WHEN_NOT_CARRIED = 1;

/** Opens the device for one call. */
function withDevice<T>(run: RunState, call: (device: LuoDevice) => T | Errno): T | Errno | undefined {
  const { luo } = run.kernel;
  if (luo === undefined) return ENOENT;
  return run.kernel.enter((): T | Errno => {
    const device = luo.open();
    if (isErrno(device)) return device;
    // A call that never returns leaves the device open.
    const result = call(device);
    device.close();
    return result;
  });
}

/**
 * Makes a session with its files. @returns 0 or the first error; undefined when the kernel fell over.
 * @throws ImpossibleStep for the name of a session that came in and was not retrieved: a kernel keeps the two apart, later
 *   steps could not.
 */
export function createSession(run: RunState, spec: NonNullable<StepSpec['session']>): 0 | Errno | undefined {
  if (run.sessions.sessions.get(spec.name)?.state === 'crossed') {
    throw new ImpossibleStep(
      `a session '${spec.name}' came in, and was not retrieved yet`,
      'retrieve it first, or give the new one another name',
    );
  }
  return withDevice(run, (device): 0 | Errno => {
    const open = device.createSession(spec.name);
    if (isErrno(open)) return open;
    const session = run.sessions.open(spec.name, open);
    for (const file of spec.files) {
      const made = makeFile(run, session, file);
      if (isErrno(made)) return made;
      const err = preserveInto(run, session, made);
      if (err === 0) continue;
      made.open?.put();
      return err;
    }
    return 0;
  });
}

/** Preserves a file in an open session, and remembers what must come back of it. */
export function preserveInto(run: RunState, session: BookedSession, file: ExpectedFile): 0 | Errno {
  if (session.open === undefined || file.open === undefined) return ENOENT;
  const err = session.open.preserveFd(BigInt(file.token), file.open);
  if (err !== 0) return err;
  noteFrames(run, file);
  session.files.push(file);
  return 0;
}

/** Remembers which frames a file that was just preserved lies in: they are pinned from now on. */
function noteFrames(run: RunState, file: ExpectedFile): void {
  const units = run.pageUnits;
  const runs = [...(file.open?.inode.cache.runs() ?? [])];
  file.frames = runs.map(({ pfn, order, nrFolios }) => ({
    pfn: (pfn * units) as Pfn,
    nrPages: nrFolios * 2 ** order * units,
  }));
}

/** Retrieves a session and all its files, and reads them back. @returns 0 or the first error. */
export function retrieveSession(run: RunState, name: string): 0 | Errno | undefined {
  const session = run.sessions.sessions.get(name);
  const result = withDevice(run, (device): 0 | Errno => {
    const open = device.retrieveSession(name);
    if (isErrno(open)) return open;
    if (session === undefined) return 0;
    session.open = open;
    session.state = 'retrieved';
    let first: 0 | Errno = 0;
    for (const file of session.files) {
      const err = retrieveInto(run, session, file);
      if (first === 0) first = err;
    }
    return first;
  });
  if (session !== undefined && result === 0 && session.wrong.length === 0) session.verified++;
  return result;
}

/** Retrieves one file of a session that is open, and reads it back. */
export function retrieveInto(run: RunState, session: BookedSession, file: ExpectedFile): 0 | Errno {
  const got = session.open?.retrieveFd(BigInt(file.token)) ?? ENOENT;
  if (isErrno(got)) {
    note(session, `file ${file.token} cannot be retrieved`, true);
    return got;
  }
  if (!(got instanceof Memfd)) throw new Error(`file ${file.token} came back as something else`);
  file.open = got;
  compareOpen(run, session, file, got);
  return 0;
}

/** Compares a file that is open with what its program knows of it. */
export function compareOpen(run: RunState, session: BookedSession, file: ExpectedFile, open: Memfd): void {
  const seals = session.crossings === 0 || carriesSeals(run) ? file.seals : SEALS_WHEN_NOT_CARRIED;
  const wrong = compareFile(file, open.inode, seals, run.kernel.context.page);
  if (wrong !== undefined) note(session, `file ${file.token}: ${wrong}`, false);
}

function note(session: BookedSession, wrong: string, told: boolean): void {
  if (session.wrong.includes(wrong)) return;
  session.wrong.push(wrong);
  if (told) session.told++;
}

/** Whether the release's memfd format has a field for seals. */
function carriesSeals(run: RunState): boolean {
  const { release } = run.kernel.context;
  return release.memfd?.structs.some((struct) => struct.fields.some((field) => field.name === 'seals')) === true;
}

/**
 * Finishes a retrieved session. @param reserved what the ioctl's field of that name says; 0 is right.
 * @returns 0, -EBUSY when a file cannot yet, -ENOENT when nobody retrieved it.
 */
export function finishSession(run: RunState, name: string, reserved = 0): 0 | Errno | undefined {
  const session = run.sessions.sessions.get(name);
  const open = session?.open;
  if (session === undefined || open === undefined) return ENOENT;
  const result = run.kernel.enter(() => open.finish(reserved));
  if (result !== 0) return result;
  // Up to 7.0 a kernel finishes its own, too: the session goes on, and its files with it no more.
  if (session.state === 'outgoing') session.left.push(...session.files.splice(0));
  else ended(run, session);
  return 0;
}

/** Closes the descriptor of a session: one that was retrieved is finished, one of this kernel's own gives its files up. */
export function closeSession(run: RunState, name: string): 0 | Errno | undefined {
  const session = run.sessions.sessions.get(name);
  const open = session?.open;
  if (session === undefined || open === undefined) return ENOENT;
  const wasRetrieved = session.state === 'retrieved';
  const result = run.kernel.enter(() => open.release());
  if (result !== 0) return result;
  session.open = undefined;
  if (wasRetrieved) ended(run, session);
  else session.state = 'finished';
  return result;
}

/** A session that came through a handover is over: none of its files' pages may be set aside any more. */
function ended(run: RunState, session: BookedSession): void {
  session.state = 'finished';
  const { ledger, kernel } = run.entry;
  const { pages } = kernel.context;
  const units = run.pageUnits;
  for (const { pfn, nrPages } of session.files.flatMap((file) => file.frames)) {
    const end = pfn + nrPages;
    for (const { start, nrPages: nr, state } of pages.runs(run.kernelFrame(pfn), Math.ceil(end / units) as Pfn)) {
      if ((state.flags & (PageFlag.free | PageFlag.managed)) !== 0) continue;
      const first = Math.max(pfn, start * units) as Pfn;
      const count = Math.min(end, (start + nr) * units) - first;
      if (ledger.leaked.first === undefined) {
        ledger.events.push({ kind: 'leaked', pfn: first, text: run.tell(first, 'leaked') });
      }
      ledger.leaked.add(first, count);
      session.leakedPages += count;
    }
  }
}

/** Finishes a retrieved session, and hands its files on in a new one of the same name. */
export function renewSession(run: RunState, name: string): 0 | Errno | undefined {
  const session = run.sessions.sessions.get(name);
  if (session === undefined) return ENOENT;
  if (session.state !== 'retrieved') return EBUSY;
  const finished = finishSession(run, name);
  if (finished !== 0) return finished;
  return withDevice(run, (device): 0 | Errno => {
    const open = device.createSession(name);
    if (isErrno(open)) return open;
    session.open = open;
    session.state = 'outgoing';
    for (const [i, file] of session.files.entries()) {
      if (file.open === undefined) continue;
      file.seals = file.open.inode.seals;
      const err = open.preserveFd(BigInt(file.token), file.open);
      if (err !== 0) {
        session.left.push(...session.files.splice(i));
        return err;
      }
      noteFrames(run, file);
    }
    return 0;
  });
}
