import { EBADF, ENOENT, type Errno } from '../../kernel/errno.ts';
import { Memfd } from '../../kernel/liveupdate/memfd-file.ts';
import { type Order, orderForSize, type Pfn } from '../../machine/index.ts';
import { hexToBytes } from './bytes.ts';
import { FileContent } from './file-content.ts';
import type { RunState } from './run-state.ts';
import type { FileSpec, StepSpec } from './schema.ts';
import { type BookedSession, type ExpectedFile, sealMask } from './session-book.ts';
import { writeAs } from './steps.ts';

/*
 * What programs do with the memfds of a session.
 */

/** A memfd as a program makes it: written but for its holes, cut to size, sealed, its position set. */
export function makeFile(run: RunState, session: BookedSession, spec: FileSpec): ExpectedFile | Errno {
  const { context } = run.kernel;
  const { page } = context;
  const options = spec.folioSize === undefined ? {} : { folioOrder: orderForSize(page, spec.folioSize) as Order };
  const memfd = Memfd.create(context, `${session.name}/${spec.token}`, options);
  const file = memfd.inode;
  const fill = run.sessions.fillOf(session.name, spec.token);
  const written = spec.fill === 'zero' ? [] : writtenPages(spec, page.sizeBytes);
  let err: 0 | Errno = 0;
  writeAs(run, `the owner of file ${session.name}/${spec.token}`, () => {
    for (const [first, end] of written) {
      const result = file.fill(first, end - first, fill);
      if (result !== 0) err = result;
    }
    const cut = file.truncate(spec.memfd);
    if (cut !== 0) err = cut;
  });
  if (err !== 0) {
    memfd.put();
    return err;
  }
  const content = new FileContent(page, fill);
  for (const [first, end] of written) {
    for (let index = first; index < end; index++) {
      const folio = file.cache.find(index);
      if (folio !== undefined) content.filled(index, (folio.pfn + index - folio.index) as Pfn);
    }
  }
  const seals = sealMask(spec.seals);
  if (seals !== 0) file.addSeals(seals);
  file.pos = spec.pos ?? 0;
  return {
    token: spec.token,
    sizeBytes: spec.memfd,
    pos: file.pos,
    content,
    seals: file.seals,
    open: memfd,
    frames: [],
  };
}

/** [first page, end) of each part of a file that is written: all pages but those that lie wholly in a hole. */
function writtenPages(spec: FileSpec, pageBytes: number): (readonly [number, number])[] {
  const nrPages = Math.ceil(spec.memfd / pageBytes);
  const holes = (spec.holes ?? [])
    .map(({ at, size }) => [Math.ceil(at / pageBytes), Math.floor((at + size) / pageBytes)] as const)
    .filter(([first, end]) => first < end)
    .sort((a, b) => a[0] - b[0]);
  const parts: (readonly [number, number])[] = [];
  let next = 0;
  for (const [first, end] of holes) {
    if (first > next) parts.push([next, first]);
    next = Math.max(next, end);
  }
  if (next < nrPages) parts.push([next, nrPages]);
  return parts;
}

/** Another descriptor of a file that a session has, to be preserved under a token of its own. */
export function sameFile(run: RunState, of: { session: string; token: string }, token: string): ExpectedFile | Errno {
  const file = run.sessions.fileOf(of.session, of.token);
  if (file === undefined) return ENOENT;
  return file.open === undefined ? EBADF : { ...file, token, open: file.open.reopen() };
}

/** The program that has a file open writes into it: the new content is what must come back. */
export function writeFile(run: RunState, spec: NonNullable<StepSpec['write file']>): 0 | Errno | undefined {
  const file = run.sessions.fileOf(spec.session, spec.token);
  const inode = file?.open?.inode;
  if (file === undefined || inode === undefined) return EBADF;
  const bytes = hexToBytes(spec.bytes ?? 'c0 ff ee');
  const offset = spec.offset ?? 0;
  let result: 0 | Errno | undefined;
  writeAs(run, `the owner of file ${spec.session}/${spec.token}`, () => {
    result = run.kernel.enter(() => inode.write(offset, bytes));
  });
  if (result !== 0) return result;
  file.content.patch(offset, bytes);
  file.sizeBytes = Math.max(file.sizeBytes, offset + bytes.length);
  return 0;
}

/** Memory pressure: all files that programs have open lose what reclaim may take. */
export function reclaim(run: RunState): 0 | undefined {
  return run.kernel.enter((): 0 => {
    for (const session of run.sessions.sessions.values()) {
      for (const file of session.files) file.open?.inode.reclaim();
    }
    return 0;
  });
}

/** The program that has a session and its files exits: the kernel closes them all. */
export function closeFiles(session: BookedSession): void {
  for (const file of session.files) {
    file.open?.put();
    file.open = undefined;
  }
}
