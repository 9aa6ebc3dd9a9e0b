import type { z } from 'zod';
import { PAGE_SIZES, type PageSize, pageSizeByName } from '../../machine/index.ts';
import { InputError, type InputMessage } from '../input-error.ts';
import { parseYaml, readYamlFile } from '../yaml-file.ts';
import { checkMeaning } from './meaning.ts';
import { nearest } from './nearest.ts';
import { type ScenarioFile, type StepSpec, scenarioSchema, VERBS, type Verb } from './schema.ts';

/** A step with what a message about it needs. */
export interface ScenarioStep {
  readonly index: number;
  /** 1-based line in the file. */
  readonly line: number;
  /** Where it is in the file's tree. */
  readonly path: readonly (string | number)[];
  readonly verb: Verb;
  readonly spec: StepSpec;
}

/** A scenario that can be run. */
export interface Scenario {
  /** The file as the user named it. */
  readonly file: string;
  /** The file's name without folder and extension: what results and the library call it. */
  readonly id: string;
  readonly spec: ScenarioFile;
  readonly steps: readonly ScenarioStep[];
  readonly pageSizes: readonly PageSize[];
  /** The line that something is written in: a path of keys and indices as in `spec`. */
  lineOf(path: readonly (string | number)[]): number | undefined;
}

/** Reads a scenario file. @throws InputError for everything that is wrong in it, each with its line. */
export function loadScenario(file: string): Scenario {
  return parseScenario(readYamlFile(file), file);
}

/**
 * Reads the text of a scenario file.
 * @param file what messages call it.
 * @throws InputError with every message there is, by line.
 */
export function parseScenario(text: string, file: string): Scenario {
  const { value, lineOf } = parseYaml(text, file);
  const parsed = scenarioSchema.safeParse(normalise(value));
  if (!parsed.success) {
    const { issues } = parsed.error;
    // An unknown verb is also "not one step": the first says it better.
    const telling = issues.filter(
      (issue) =>
        issue.code !== 'custom' || !issues.some((other) => other !== issue && samePath(other.path, issue.path)),
    );
    const messages = telling.flatMap((issue) => messagesOf(issue, file, lineOf));
    throw new InputError(messages.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)));
  }
  const spec = parsed.data;
  const scenario: Scenario = {
    file,
    id: (file.split('/').at(-1) ?? file).replace(/\.ya?ml$/, ''),
    spec,
    steps: flatten(spec, lineOf),
    pageSizes: pageSizesOf(spec),
    lineOf,
  };
  const wrong = checkMeaning(scenario);
  if (wrong.length > 0) throw new InputError(wrong);
  return scenario;
}

/** All steps in the order in which they are done, repetitions written out. */
function flatten(spec: ScenarioFile, lineOf: Scenario['lineOf']): ScenarioStep[] {
  const steps: ScenarioStep[] = [];
  const add = (step: StepSpec, path: readonly (string | number)[]) => {
    const verb = VERBS.find((each) => step[each] !== undefined) ?? 'kexec';
    steps.push({ index: steps.length, line: lineOf(path) ?? 1, path, verb, spec: step });
  };
  for (const [i, step] of spec.steps.entries()) {
    if (step.repeat === undefined) add(step, ['steps', i]);
    for (let time = 0; time < (step.repeat?.times ?? 0); time++) {
      for (const [k, inner] of (step.repeat?.steps ?? []).entries()) add(inner, ['steps', i, 'repeat', 'steps', k]);
    }
  }
  return steps;
}

/** Steps that may stand without anything behind them. */
const BARE_STEPS = ['kexec', 'kexec and return', 'reclaim'];

/** `- kexec` and `- kexec:` mean `- kexec: {}`. */
function normalise(root: unknown): unknown {
  if (typeof root !== 'object' || root === null || !('steps' in root)) return root;
  return { ...root, steps: normaliseSteps(root.steps) };
}

function normaliseSteps(steps: unknown): unknown {
  if (!Array.isArray(steps)) return steps;
  return steps.map((step: unknown) => {
    if (typeof step === 'string' && BARE_STEPS.includes(step)) return { [step]: {} };
    if (typeof step !== 'object' || step === null) return step;
    const entries = Object.entries(step).map(([key, item]) => {
      if (key === 'repeat' && typeof item === 'object' && item !== null && 'steps' in item) {
        return [key, { ...item, steps: normaliseSteps(item.steps) }];
      }
      return [key, item ?? {}];
    });
    return Object.fromEntries(entries);
  });
}

function pageSizesOf(spec: ScenarioFile): readonly PageSize[] {
  const asked = spec.machine.pageSize;
  if (asked === undefined) return spec.machine.arch === 'x86_64' ? PAGE_SIZES.slice(0, 1) : PAGE_SIZES;
  const names = Array.isArray(asked) ? asked : [asked];
  return names.flatMap((name) => pageSizeByName(name) ?? []);
}

function samePath(a: readonly PropertyKey[], b: readonly PropertyKey[]): boolean {
  return a.length === b.length && a.every((key, i) => key === b[i]);
}

type Issue = z.core.$ZodIssue;

function messagesOf(
  issue: Issue,
  file: string,
  lineOf: (path: readonly PropertyKey[]) => number | undefined,
): InputMessage[] {
  const what = issue.path.filter((part) => typeof part === 'string').join(': ');
  const at = (path: readonly PropertyKey[]) => {
    const line = lineOf(path);
    return { file, ...(line === undefined ? {} : { line }) };
  };
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const known = keysAt(issue.path);
        const near = nearest(key, known);
        return {
          message: `${what === '' ? '' : `${what}: `}there is no '${key}' here`,
          hint: near === undefined ? `one of ${known.join(', ')}` : `did you mean '${near}'?`,
          ...at([...issue.path, key]),
        };
      });
    case 'invalid_type':
      return [{ message: `${what === '' ? 'the file' : what}: ${typeText(issue)}`, ...at(issue.path) }];
    case 'invalid_value':
      return [
        {
          message: `${what}: is not one of those there are`,
          hint: `one of ${issue.values.join(', ')}`,
          ...at(issue.path),
        },
      ];
    case 'too_small':
      return [{ message: `${what}: is too small`, hint: `${issue.minimum} or more`, ...at(issue.path) }];
    case 'too_big':
      return [{ message: `${what}: is too big`, hint: `${issue.maximum} or less`, ...at(issue.path) }];
    case 'invalid_format':
      return [
        {
          message: `${what}: ${issue.message.startsWith('Invalid') ? 'is not a size or address; write 4096, 0x1000, 64M or 2G' : issue.message}`,
          ...at(issue.path),
        },
      ];
    case 'invalid_union':
      return [{ message: `${what}: ${issue.message}`, ...at(issue.path) }];
    default:
      return [{ message: `${what}: ${issue.message}`, ...at(issue.path) }];
  }
}

function typeText(issue: Issue & { code: 'invalid_type' }): string {
  const names: Readonly<Record<string, string>> = {
    object: 'a block of `key: value`',
    array: 'a list',
    string: 'a text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
  };
  const expected = names[issue.expected] ?? issue.expected;
  return issue.input === undefined && issue.message.includes('undefined')
    ? `is missing; it has to be ${expected}`
    : `is not ${expected}`;
}

/** The keys that the schema has at a path. */
function keysAt(path: readonly PropertyKey[]): string[] {
  let schema: unknown = scenarioSchema;
  for (const key of path) {
    schema = inner(schema);
    if (isObjectSchema(schema)) schema = schema.shape[String(key)];
    else if (isArraySchema(schema)) schema = schema.element;
    else return [];
  }
  schema = inner(schema);
  return isObjectSchema(schema) ? Object.keys(schema.shape) : [];
}

/** Takes off optional, default and the like. */
function inner(schema: unknown): unknown {
  let at = schema;
  for (let depth = 0; depth < 8; depth++) {
    const definition = (at as { def?: { innerType?: unknown; options?: unknown[]; in?: unknown } } | undefined)?.def;
    if (definition?.innerType !== undefined) at = definition.innerType;
    else if (definition?.options !== undefined)
      at = definition.options.find((option) => isArraySchema(inner(option))) ?? at;
    else return at;
    if (isArraySchema(at)) return at;
  }
  return at;
}

function isObjectSchema(schema: unknown): schema is { shape: Record<string, unknown> } {
  return typeof schema === 'object' && schema !== null && 'shape' in schema;
}

function isArraySchema(schema: unknown): schema is { element: unknown } {
  return typeof schema === 'object' && schema !== null && 'element' in schema;
}
