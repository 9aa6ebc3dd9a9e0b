import type { MemfdContract } from '../../kernel/abi/contract.ts';
import { RELEASES } from '../../kernel/release.ts';
import { readBlockChain } from './blocks.ts';
import { type Bytes, hexAddr } from './bounded-reader.ts';
import { type DecodeContext, firstTime } from './context.ts';
import { childNamed, type FdtViewNode } from './fdt-view.ts';
import { fetchMetadata } from './fetch.ts';
import { type MemfdDocument, readMemfd } from './memfd.ts';
import type { OwnerKind } from './ownership.ts';
import { StructView } from './struct-view.ts';
import {
  checkProperties,
  isCompatible,
  propertyName,
  propertySpecs,
  type Subtree,
  subtreeFdt,
  u64Prop,
} from './subtrees.ts';
import { fitText } from './vmalloc.ts';

/** A preserved file: of a memfd all that is known, of another handler its data value. */
export type FileDocument = { readonly token: string; readonly compatible: string } & (
  | MemfdDocument
  | { readonly data: string }
);

/** A session of it. */
export interface SessionDocument {
  readonly name: string;
  readonly files: readonly FileDocument[];
}

/** A file-lifecycle-bound object of it. */
export interface FlbDocument {
  readonly name: string;
  /** The u64's value in hex digits. */
  readonly data_hex: string;
  readonly count: number | string;
}

/** The `luo` part of an inspection. */
export interface LuoDocument {
  readonly compatible: string;
  readonly liveupdateNumber: number | string;
  readonly sessions: readonly SessionDocument[];
  readonly flbs: readonly FlbDocument[];
}

/** Decodes LUO's subtree, FDT or struct as the release has it, down to each file's content. */
export function readLuo(ctx: DecodeContext, subtree: Subtree): LuoDocument | undefined {
  const contract = ctx.release.luo;
  if (contract === undefined || subtree.blob === undefined) return undefined;
  return contract.subtree.payload === 'fdt' ? readFdtForm(ctx, subtree) : readRawForm(ctx, subtree, subtree.blob);
}

// --- 7.2 on: a struct ----------------------------------------------------------------------------------------------

function readRawForm(ctx: DecodeContext, subtree: Subtree, blob: Bytes): LuoDocument | undefined {
  const { findings, abi, release } = ctx;
  const where = subtree.name;
  const struct = abi.struct(release.luo?.subtree.struct ?? 'luo_ser');
  if (subtree.sizeBytes !== undefined && subtree.sizeBytes < struct.sizeBytes) {
    findings.add('luo-size', where, `${subtree.sizeBytes} bytes, of ${struct.sizeBytes}`);
  }
  if (blob.length < struct.sizeBytes) return undefined;
  const luo = new StructView(blob, struct);
  const compatible = luo.text('compatible');
  if (compatible.text !== release.luo?.compatible) {
    findings.add('luo-compatible', where, `"${compatible.text}" is not "${release.luo?.compatible}"`);
  }
  reportNumber(ctx, luo.num('liveupdate_num'), where);
  const head = luo.num('sessions_pa');
  const chain =
    head === 0 ? [] : readBlockChain(ctx, head, 'luo_session_ser', 'sessions', 'session-block', where).entries;
  const sessions = readSessions(
    ctx,
    chain.map((entry) => entry.view),
    where,
  );
  const flbs = readFlbs(ctx, luo.num('flbs_pa'), where, countFiles(sessions));
  return { compatible: compatible.text, liveupdateNumber: luo.reported('liveupdate_num'), sessions, flbs };
}

// --- 6.19 to 7.1: an FDT and arrays --------------------------------------------------------------------------------

function readFdtForm(ctx: DecodeContext, subtree: Subtree): LuoDocument | undefined {
  const { findings, release } = ctx;
  const where = subtree.name;
  const contract = release.luo;
  const root = subtreeFdt(ctx, subtree)?.root;
  if (root === undefined || contract === undefined) return undefined;
  if (!isCompatible(root, propertyName(contract, 'root', 'compatible'), contract.compatible)) {
    findings.add('luo-compatible', where, `compatible is not "${contract.compatible}"`);
  }
  checkProperties(ctx, root, propertySpecs(contract, 'root'), where);
  const numberName = propertyName(contract, 'root', 'liveupdateNumber');
  const number = root.properties.find((property) => property.name === numberName)?.value;
  if (number?.length !== 8) findings.add('luo-property', where, `${numberName} is not a u64`);
  else reportNumber(ctx, number.u64(0), where);
  const sessionHeader = headerOf(ctx, root, 'session');
  const sessions = sessionHeader === undefined ? [] : readSessionArray(ctx, sessionHeader, where);
  let flbs: readonly FlbDocument[] = [];
  if (release.flb !== undefined) {
    const flbHeader = headerOf(ctx, root, 'flb');
    if (flbHeader !== undefined) flbs = readFlbs(ctx, flbHeader, where, countFiles(sessions));
  } else {
    findings.add('luo-flb-node', where, 'no FLB node; only releases without FLBs read this');
  }
  return {
    compatible: typeof contract.compatible === 'string' ? contract.compatible : '',
    liveupdateNumber: number?.length === 8 ? number.u64Reported(0) : 0,
    sessions,
    flbs,
  };
}

/** The header pointer of a child node of LUO's FDT, with everything checked that makes a kernel panic. */
function headerOf(ctx: DecodeContext, root: FdtViewNode, role: 'session' | 'flb'): number | undefined {
  const { findings, release } = ctx;
  const contract = role === 'session' ? release.session : release.flb;
  if (contract === undefined) return undefined;
  const name = contract.fdt?.nodes.find((node) => node.role === role)?.name ?? '';
  const node = childNamed(root, name);
  if (node === undefined) {
    findings.add('luo-property', `LUO`, `there is no node "${name}"`);
    return undefined;
  }
  if (!isCompatible(node, propertyName(contract, role, 'compatible'), contract.compatible)) {
    findings.add('luo-compatible', `LUO/${name}`, `compatible is not "${contract.compatible}"`);
  }
  checkProperties(ctx, node, propertySpecs(contract, role), `LUO/${name}`);
  const header = u64Prop(node, propertyName(contract, role, 'header'));
  if (header === undefined) findings.add('luo-property', `LUO/${name}`, 'the header is not a u64');
  return header;
}

function readSessionArray(ctx: DecodeContext, phys: number, where: string): SessionDocument[] {
  const { abi } = ctx;
  const header = abi.struct('luo_session_header_ser');
  const entry = abi.struct('luo_session_ser');
  const bytes = claimArray(ctx, phys, abi.constant('session', 'LUO_SESSION_PGCNT'), 'session-block', where, 'sessions');
  if (bytes === undefined) return [];
  const count = new StructView(bytes, header).num('count');
  const max = abi.constant('session', 'LUO_SESSION_MAX');
  if (count > max) ctx.findings.add('luo-header', hexAddr(phys), `${hexAddr(count)} sessions, of at most ${max}`);
  const views: StructView[] = [];
  for (let i = 0; i < Math.min(count, max); i++) {
    const base = header.sizeBytes + i * entry.sizeBytes;
    if (base + entry.sizeBytes <= bytes.length) views.push(new StructView(bytes, entry, base));
  }
  return readSessions(ctx, views, where);
}

/** Claims and copies a fixed number of contiguous pages that hold an array. */
function claimArray(
  ctx: DecodeContext,
  phys: number,
  nrPages: number,
  kind: OwnerKind,
  path: string,
  what: string,
): Bytes | undefined {
  const { findings, reader, page } = ctx;
  const where = `${what} of ${path}`;
  const sizeBytes = nrPages * page.sizeBytes;
  if (phys === 0 || phys % page.sizeBytes !== 0 || !reader.inRam(phys, sizeBytes)) {
    findings.add('luo-header', where, `${hexAddr(phys)} is not a page of RAM`);
    return undefined;
  }
  if (!firstTime(ctx, phys, where)) {
    findings.add('luo-header', where, `${hexAddr(phys)} is already ${ctx.seen.get(phys)}`);
    return undefined;
  }
  const order = Math.ceil(Math.log2(nrPages));
  const claim = ctx.owners.claimBlock(phys, order, { source: { kind, path } });
  if (claim.fit !== 'exact') findings.add('luo-header', hexAddr(phys), `${where} ${fitText(claim, order)}`);
  return fetchMetadata(reader, findings, phys, sizeBytes, where, 'an array');
}

// --- both forms ----------------------------------------------------------------------------------------------------

function reportNumber(ctx: DecodeContext, number: number, where: string): void {
  if (number === 0) ctx.findings.add('luo-number', where, 'the live update number is 0');
}

function countFiles(sessions: readonly SessionDocument[]): number {
  return sessions.reduce((sum, session) => sum + session.files.length, 0);
}

function readSessions(ctx: DecodeContext, views: readonly StructView[], path: string): SessionDocument[] {
  const { findings } = ctx;
  const names = new Set<string>();
  const out: SessionDocument[] = [];
  for (const view of views) {
    const { text, terminated } = view.text('name');
    const where = `${path} / session "${text}"`;
    if (!terminated) findings.add('session-name', where, 'its name does not end');
    else if (text === '') findings.add('session-name', where, 'its name is empty');
    if (names.has(text)) findings.add('session-duplicate', where, 'another session has this name');
    names.add(text);
    const fileSet = view.inner('file_set_ser', ctx.abi.struct('luo_file_set_ser'));
    out.push({ name: text, files: readFiles(ctx, fileSet, where) });
  }
  return out;
}

function readFiles(ctx: DecodeContext, fileSet: StructView, path: string): FileDocument[] {
  const { findings, abi, release } = ctx;
  const head = fileSet.num('files');
  const count = fileSet.num('count');
  if (head === 0) {
    if (count !== 0) findings.add('session-files', path, `no files, but a count of ${fileSet.hex('count')}`);
    return [];
  }
  let views: StructView[];
  if (release.session?.container === 'blocks') {
    const chain = readBlockChain(ctx, head, 'luo_file_ser', `files of ${path}`, 'file-block', path);
    views = chain.entries.map((entry) => entry.view);
    if (chain.ok && views.length !== count) {
      findings.add('session-files', path, `a count of ${fileSet.hex('count')}, but ${views.length} files`);
    }
  } else {
    const max = abi.constant('session', 'LUO_FILE_MAX');
    if (count > max) findings.add('session-files', path, `a count of ${fileSet.hex('count')}, of at most ${max}`);
    const bytes = claimArray(ctx, head, abi.constant('session', 'LUO_FILE_PGCNT'), 'file-block', path, 'files');
    const entry = abi.struct('luo_file_ser');
    views = [];
    for (let i = 0; bytes !== undefined && i < Math.min(count, max); i++) {
      views.push(new StructView(bytes, entry, i * entry.sizeBytes));
    }
  }
  const tokens = new Set<string>();
  return views.map((view) => {
    const token = view.hex('token');
    if (tokens.has(token)) findings.add('file-token', path, `two files have the token ${token}`);
    tokens.add(token);
    return readFile(ctx, view, token, `${path} / file ${token}`);
  });
}

function readFile(ctx: DecodeContext, view: StructView, token: string, path: string): FileDocument {
  const { findings } = ctx;
  const { text, terminated } = view.text('compatible');
  if (!terminated) findings.add('file-compatible', path, 'its compatible does not end');
  else if (!ctx.candidates.some((release) => release.memfd?.compatible === text)) {
    findings.add('file-compatible', path, `no release that reads this handover has a handler "${text}"`);
  }
  const contract = memfdContract(ctx, text);
  const memfd = contract === undefined ? undefined : readMemfd(ctx, contract, view.num('data'), path);
  if (memfd === undefined) return { token, compatible: text, data: view.hex('data') };
  return { token, compatible: text, ...memfd };
}

/** The contract that a file's string names: this release's if it is its own, else any release's. */
function memfdContract(ctx: DecodeContext, compatible: string): MemfdContract | undefined {
  const own = ctx.candidates.find((release) => release.memfd?.compatible === compatible);
  return (own ?? RELEASES.find((release) => release.memfd?.compatible === compatible))?.memfd;
}

function readFlbs(ctx: DecodeContext, phys: number, path: string, nrFiles: number): FlbDocument[] {
  const { findings, abi } = ctx;
  if (phys === 0) return [];
  const pages = abi.constant('flb', 'LUO_FLB_PGCNT');
  const bytes = claimArray(ctx, phys, pages, 'flb-header', path, 'FLBs');
  if (bytes === undefined) return [];
  const headerStruct = abi.struct('luo_flb_header_ser');
  const entry = abi.struct('luo_flb_ser');
  const header = new StructView(bytes, headerStruct);
  if (header.num('pgcnt') !== pages) findings.add('flb-pages', hexAddr(phys), `pgcnt is ${header.hex('pgcnt')}`);
  const count = header.num('count');
  const max = abi.constant('flb', 'LUO_FLB_MAX');
  if (count > max) findings.add('luo-header', hexAddr(phys), `${header.hex('count')} FLBs, of at most ${max}`);
  const names = new Set<string>();
  const out: FlbDocument[] = [];
  for (let i = 0; i < Math.min(count, max); i++) {
    const view = new StructView(bytes, entry, headerStruct.sizeBytes + i * entry.sizeBytes);
    const { text, terminated } = view.text('name');
    const where = `${path} / FLB "${text}"`;
    if (!terminated || text === '')
      findings.add('flb-name', where, terminated ? 'its name is empty' : 'its name does not end');
    if (names.has(text)) findings.add('flb-name', where, 'another FLB has this name');
    names.add(text);
    const users = view.num('count');
    if (users === 0 || users > nrFiles) {
      findings.add('flb-count', where, `is used by ${view.hex('count')} files, of ${nrFiles} that are preserved`);
    }
    const data = view.num('data');
    if (data !== 0 && data % ctx.page.sizeBytes === 0) {
      ctx.owners.claimStarting(data, { source: { kind: 'flb-data', path: where } });
    }
    out.push({ name: text, data_hex: view.hex('data').slice(2), count: view.reported('count') });
  }
  return out;
}
