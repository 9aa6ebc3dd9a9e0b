import { readFileSync, statSync } from 'node:fs';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { InputError } from './input-error.ts';

/** The longest YAML file that is read: a test plan, not a data set. */
const MAX_FILE_BYTES = 1 << 20;

const MAX_YAML_ERRORS = 5;

/** What a YAML text says. */
export interface YamlText {
  /** Its value. Integers are numbers where a number is exact, 0x hex strings where it isn't. */
  readonly value: unknown;
  /** The 1-based line of the deepest node of a path of keys and indices that is there; undefined in an empty text. */
  lineOf(path: readonly PropertyKey[]): number | undefined;
}

/** Reads a YAML file as text. @throws InputError for what is no file, cannot be read or is too long. */
export function readYamlFile(file: string): string {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw new InputError({ message: 'this is not a file', file });
    if (stat.size > MAX_FILE_BYTES) throw new InputError({ message: 'a file of this kind has at most 1 MiB', file });
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({ message: `cannot be read: ${(error as NodeJS.ErrnoException).code ?? error}`, file });
  }
}

/**
 * Reads YAML whose keys are plain words.
 * @param file what messages call it.
 * @throws InputError with the first mistakes of a text that is not YAML, by line.
 */
export function parseYaml(text: string, file: string): YamlText {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    intAsBigInt: true,
    prettyErrors: false,
    stringKeys: true,
    logLevel: 'error',
  });
  const lineAt = (offset: number) => Math.max(lines.linePos(offset).line, 1);
  if (document.errors.length > 0) {
    // Whatever follows the first mistakes of a broken file is noise.
    throw new InputError(
      document.errors.slice(0, MAX_YAML_ERRORS).map((error) => ({
        message: `not YAML: ${error.message.replaceAll(/\s+/g, ' ')}`,
        file,
        line: lineAt(error.pos[0]),
        ...(error.code === 'TAB_AS_INDENT' ? { hint: 'indent with spaces' } : {}),
      })),
    );
  }
  return { value: toPlain(document, file), lineOf: (path) => lineOfPath(document, path, lineAt) };
}

function toPlain(document: Document, file: string): unknown {
  try {
    return plain(document.toJS());
  } catch (error) {
    // yaml refuses aliases that multiply beyond measure, and those that lead nowhere.
    throw new InputError({ message: `not YAML: ${error instanceof Error ? error.message : error}`, file });
  }
}

/** Integers as numbers where a number is exact, as 0x hex where it isn't. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : `0x${value.toString(16)}`;
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return value;
}

function lineOfPath(
  document: Document,
  path: readonly PropertyKey[],
  lineAt: (offset: number) => number,
): number | undefined {
  let best: number | undefined;
  let node: unknown = document.contents;
  if (isNode(node) && node.range) best = lineAt(node.range[0]);
  for (const [depth, key] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined) return best;
      if (isScalar(pair.key) && pair.key.range) best = lineAt(pair.key.range[0]);
      node = pair.value;
    } else {
      node = document.getIn(path.slice(0, depth + 1), true);
      if (isNode(node) && node.range) best = lineAt(node.range[0]);
    }
  }
  return best;
}
