import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Draft, produce } from 'immer';
import { InputError, type InputMessage } from '../input-error.ts';
import { parseYaml, readYamlFile } from '../yaml-file.ts';
import { type AbiSet, completed, problemOf, releaseWith } from './abi-set.ts';
import { applyChange, bumpString, ProposalError } from './proposal-apply.ts';
import { changeSchemas, type ProposalFile, type ProposedChange, proposalSchema } from './proposal-schema.ts';
import { looksLikeFile, type Subject, subjectByName, unknownSubject } from './subject.ts';

/** What a `.js` proposal exports. */
export interface ProposalModule {
  readonly name?: string;
  /** The contract or release that it changes. */
  readonly base: string;
  /** Gets an immer draft of the base's contracts, by area, and changes it in place. */
  propose(draft: Draft<AbiSet>): void;
}

/**
 * Finds what a name on the command line stands for: a release, a contract, or a proposal file.
 * @throws InputError for a name that is none, and for everything that is wrong in a file.
 */
export async function findSubject(name: string): Promise<Subject> {
  const known = subjectByName(name);
  if (known !== undefined) return known;
  if (!looksLikeFile(name)) throw unknownSubject(name);
  return /\.m?js$/.test(name) ? loadModule(name) : parseProposal(readYamlFile(name), name);
}

/**
 * Reads a proposal: a base, the strings that it bumps, and its changes.
 * @param file what messages call it.
 * @throws InputError with every message there is, each with its line.
 */
export function parseProposal(text: string, file: string): Subject {
  const { value, lineOf } = parseYaml(text, file);
  const parsed = proposalSchema.safeParse(value ?? {});
  if (!parsed.success) throw new InputError(issuesToMessages(parsed.error.issues, [], file, lineOf));
  return build(parsed.data, file, lineOf);
}

type LineOf = (path: readonly PropertyKey[]) => number | undefined;

function build(proposal: ProposalFile, file: string, lineOf: LineOf): Subject {
  const base = subjectByName(proposal.base);
  if (base === undefined) {
    const { messages } = unknownSubject(proposal.base);
    throw new InputError(messages.map((message) => ({ ...message, file, line: lineOf(['base']) ?? 1 })));
  }
  const messages: InputMessage[] = [];
  const origins = new Map<string, string>();
  const attempt = (path: readonly PropertyKey[], action: () => readonly string[]): void => {
    const line = lineOf(path) ?? 1;
    try {
      for (const touched of action()) origins.set(touched, `${file}:${line}`);
    } catch (error) {
      if (!(error instanceof ProposalError)) throw error;
      messages.push({ message: error.message, file, line, ...(error.hint === undefined ? {} : { hint: error.hint }) });
    }
  };
  const set = produce(base.set, (draft) => {
    for (const [index, raw] of (proposal.changes ?? []).entries()) {
      const path = ['changes', index];
      const change = readChange(raw, path, file, lineOf, messages);
      if (change === undefined) continue;
      attempt(path, () => applyChange(draft, change));
    }
    for (const [string, to] of Object.entries(proposal.bump ?? {})) {
      attempt(['bump', string], () => bumpString(draft, string, to));
    }
  });
  if (messages.length === 0) {
    const problem = problemOf(completed(set, base.release));
    if (problem !== undefined)
      messages.push({ message: `what comes out cannot be compiled: ${problem}`, file, line: lineOf(['changes']) ?? 1 });
  }
  if (messages.length > 0) throw new InputError(messages);
  const name = proposal.name ?? file;
  return {
    name,
    kind: 'proposal',
    set,
    release: releaseWith(base.release, name, set),
    notes: base.notes,
    whereOf: (path) => origins.get(path) ?? origins.get(path.split('.').slice(0, 2).join('.')),
  };
}

/** Chooses the schema by the keys that are there, so that a message is about that kind of change alone. */
function readChange(
  raw: Record<string, unknown>,
  path: readonly PropertyKey[],
  file: string,
  lineOf: LineOf,
  messages: InputMessage[],
): ProposedChange | undefined {
  const matches = Object.entries(changeSchemas).filter(([keys]) => keys.split(', ').every((key) => key in raw));
  const [best] = matches.sort((a, b) => b[0].length - a[0].length);
  if (best === undefined) {
    const kinds = Object.keys(changeSchemas).map((keys) => `{ ${keys} }`);
    messages.push({
      message: `{ ${Object.keys(raw).join(', ')} } is no change`,
      file,
      line: lineOf(path) ?? 1,
      hint: `one of ${kinds.join(', ')}`,
    });
    return undefined;
  }
  const parsed = best[1].safeParse(raw);
  if (parsed.success) return parsed.data;
  messages.push(...issuesToMessages(parsed.error.issues, path, file, lineOf));
  return undefined;
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

function issuesToMessages(
  issues: readonly Issue[],
  prefix: readonly PropertyKey[],
  file: string,
  lineOf: LineOf,
): InputMessage[] {
  return issues.map((issue) => {
    const path = [...prefix, ...issue.path];
    const what = path.length === 0 ? '' : `${path.map(String).join('.')}: `;
    return { message: `${what}${issue.message}`, file, line: lineOf(path) ?? 1 };
  });
}

async function loadModule(file: string): Promise<Subject> {
  let loaded: Partial<ProposalModule>;
  try {
    loaded = (await import(pathToFileURL(resolve(file)).href)) as Partial<ProposalModule>;
  } catch (error) {
    throw new InputError({ message: `cannot be loaded: ${error instanceof Error ? error.message : error}`, file });
  }
  const { base: baseName, propose, name = file } = loaded;
  if (typeof baseName !== 'string' || typeof propose !== 'function') {
    throw new InputError({
      message: 'exports no `base` and `propose`',
      file,
      hint: "export const base = 'kho-v4'; export function propose(draft) { ... }",
    });
  }
  const base = subjectByName(baseName);
  if (base === undefined)
    throw new InputError(unknownSubject(baseName).messages.map((message) => ({ ...message, file })));
  let set: AbiSet;
  try {
    set = produce(base.set, (draft) => void propose(draft));
  } catch (error) {
    throw new InputError({ message: `propose threw: ${error instanceof Error ? error.message : error}`, file });
  }
  const problem = problemOf(completed(set, base.release));
  if (problem !== undefined) throw new InputError({ message: `what comes out cannot be compiled: ${problem}`, file });
  return { name, kind: 'proposal', set, release: releaseWith(base.release, name, set), notes: base.notes };
}
