import { EBUSY, ENOENT, type Errno, isErrno } from '../../kernel/errno.ts';
import type { LuoDevice } from '../../kernel/liveupdate/luo.ts';
import { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import { type Order, orderForSize } from '../../machine/index.ts';
import type { RunState } from './run-state.ts';
import type { FileSpec, StepSpec } from './schema.ts';
import { type BookedSession, compareFile, type ExpectedFile, sealMask } from './session-book.ts';
import { writeAs } from './steps.ts';

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
    const result = call(device);
    device.close();
    return result;
  });
}

/** Makes a session with its files. @returns 0 or the first error; undefined when the kernel fell over. */
export function createSession(run: RunState, spec: NonNullable<StepSpec['session']>): 0 | Errno | undefined {
  return withDevice(run, (device): 0 | Errno => {
    const open = device.createSession(spec.name);
    if (isErrno(open)) return open;
    const session = run.sessions.open(spec.name, open);
    for (const file of spec.files) {
      const made = makeFile(run, session, file);
      if (isErrno(made)) return made;
      const err = open.preserveFd(BigInt(file.token), made.open as Memfd);
      if (err !== 0) return err;
      session.files.push(made);
    }
    return 0;
  });
}

/** A memfd as a program makes it: written but for its holes, cut to size, sealed, its position set. */
function makeFile(run: RunState, session: BookedSession, spec: FileSpec): ExpectedFile | Errno {
  const { context } = run.kernel;
  const { page } = run;
  const options = spec.folioSize === undefined ? {} : { folioOrder: orderForSize(page, spec.folioSize) as Order };
  const memfd = Memfd.create(context, `${session.name}/${spec.token}`, options);
  const file = memfd.inode;
  const nrPages = Math.ceil(spec.memfd / page.sizeBytes);
  const fill = run.sessions.fillOf(session.name, spec.token);
  const madeFor = new Float64Array(nrPages).fill(-1);
  let err: 0 | Errno = 0;
  writeAs(run, `the owner of file ${session.name}/${spec.token}`, () => {
    for (const [first, end] of spec.fill === 'zero' ? [] : writtenPages(spec, page.sizeBytes, nrPages)) {
      const written = file.fill(first, end - first, fill);
      if (written !== 0) err = written;
    }
    const cut = file.truncate(spec.memfd);
    if (cut !== 0) err = cut;
  });
  if (err !== 0) return err;
  for (let index = 0; index < nrPages; index++) {
    const folio = file.cache.find(index);
    const written = folio !== undefined && spec.fill !== 'zero' && !inHole(spec, index, page.sizeBytes);
    if (written) madeFor[index] = folio.pfn + (index - folio.index);
  }
  const seals = sealMask(spec.seals);
  if (seals !== 0) file.addSeals(seals);
  file.pos = spec.pos ?? 0;
  return { token: spec.token, spec, fill, madeFor, seals: file.seals, open: memfd };
}

/** Whether a page lies wholly in a hole. */
function inHole(spec: FileSpec, index: number, pageBytes: number): boolean {
  const start = index * pageBytes;
  return (spec.holes ?? []).some((hole) => hole.at <= start && hole.at + hole.size >= start + pageBytes);
}

/** [first page, end) of each part of a file that is written. */
function writtenPages(spec: FileSpec, pageBytes: number, nrPages: number): (readonly [number, number])[] {
  const parts: [number, number][] = [];
  for (let index = 0; index < nrPages; index++) {
    if (inHole(spec, index, pageBytes)) continue;
    const last = parts.at(-1);
    if (last?.[1] === index) last[1]++;
    else parts.push([index, index + 1]);
  }
  return parts;
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
      const got = open.retrieveFd(BigInt(file.token));
      if (isErrno(got)) {
        first = first === 0 ? got : first;
        session.wrong.push(`file ${file.token} cannot be retrieved`);
        continue;
      }
      if (!(got instanceof Memfd)) throw new Error(`file ${file.token} came back as something else`);
      file.open = got;
      const carried = carriesSeals(run);
      const wrong = compareFile(file, got.inode, run.page, carried ? file.seals : SEALS_WHEN_NOT_CARRIED);
      if (wrong !== undefined) session.wrong.push(`file ${file.token}: ${wrong}`);
    }
    return first;
  });
  if (session !== undefined && result === 0 && session.wrong.length === 0) session.verified++;
  return result;
}

/** Whether the release's memfd format has a field for seals. */
function carriesSeals(run: RunState): boolean {
  const { release } = run.kernel.context;
  return release.memfd?.structs.some((struct) => struct.fields.some((field) => field.name === 'seals')) === true;
}

/** Finishes a retrieved session. @returns 0, -EBUSY when a file cannot yet, -ENOENT when nobody retrieved it. */
export function finishSession(run: RunState, name: string): 0 | Errno | undefined {
  const session = run.sessions.sessions.get(name);
  const open = session?.open;
  if (session === undefined || open === undefined) return ENOENT;
  const result = run.kernel.enter(() => open.finish());
  if (result === 0) session.state = 'finished';
  return result;
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
    for (const file of session.files) {
      if (file.open === undefined) continue;
      file.seals = file.open.inode.seals;
      const err = open.preserveFd(BigInt(file.token), file.open);
      if (err !== 0) return err;
    }
    return 0;
  });
}
