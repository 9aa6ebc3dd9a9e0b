import type { ContractArea } from '../../kernel/abi/contract.ts';
import type { Plain } from './document.ts';

/** What happened to one thing of a contract. */
export type ChangeKind =
  | 'added'
  | 'removed'
  | 'replaced'
  | 'changed'
  | 'moved'
  | 'reordered'
  | 'renamed'
  | 'reworded'
  | 'bumped';

export interface Change {
  /** `map.geometry.depth`, `luo.luo_ser.sessions_pa`, `root.subtree.size`: the area first. */
  readonly path: string;
  readonly kind: ChangeKind;
  readonly from: string | null;
  readonly to: string | null;
  /** Whether kernels on the two sides of it no longer understand each other. */
  readonly breaking: boolean;
  readonly why: string;
  readonly area: ContractArea;
  /** The version string that has to change with it, as it was before; undefined when none has to. */
  readonly string: string | number | undefined;
  /** Whether that string did change. */
  readonly bumped: boolean;
  /** Names of the page sizes at which it shows, when not at all of them. */
  readonly pageSizes?: readonly string[];
  /** The line of a proposal that it comes from. */
  readonly where?: string;
}

/** What one thing's difference means, before it is known which string covers it. */
export type Finding = Omit<Change, 'area' | 'string' | 'bumped'>;

/** Whether a part of a document has parts of its own. */
export function isRecord(value: unknown): value is { [key: string]: Plain } {
  return typeof value === 'object' && value !== null;
}

export function text(value: Plain | undefined): string | null {
  if (value === undefined || value === null) return null;
  return isRecord(value) ? JSON.stringify(value) : String(value);
}

/** A per-page value in words: one value, or one for each page size. */
export function perPageText(values: Plain | undefined): string | null {
  if (!isRecord(values)) return text(values);
  const entries = Object.entries(values).map(([page, value]) => [page, text(value) ?? ''] as const);
  const [first] = entries;
  if (first === undefined) return null;
  if (entries.every(([, value]) => value === first[1])) return first[1];
  return entries.map(([page, value]) => `${page}: ${value}`).join(', ');
}

/** The page sizes at which two per-page values differ; undefined when they differ at all of them. */
export function differing(from: Plain | undefined, to: Plain | undefined): { pageSizes?: readonly string[] } {
  if (!isRecord(from) || !isRecord(to)) return {};
  const pages = Object.keys(to);
  const changed = pages.filter((page) => JSON.stringify(from[page]) !== JSON.stringify(to[page]));
  return changed.length === 0 || changed.length === pages.length ? {} : { pageSizes: changed };
}

/** Whether two parts of documents say the same. */
export function same(from: Plain | undefined, to: Plain | undefined): boolean {
  return JSON.stringify(from) === JSON.stringify(to);
}

/** The part of a document that a path leads to, undefined where there is none. */
export function at(value: Plain | undefined, path: readonly string[]): Plain | undefined {
  let current = value;
  for (const key of path) current = isRecord(current) ? current[key] : undefined;
  return current;
}

/** Two sets of contracts as `documentOf` describes them. */
export type Document = { [area: string]: Plain };
