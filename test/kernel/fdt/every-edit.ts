import { fdtAddSubnode, fdtDelNode, fdtDelprop, fdtOpenInto, fdtPack, fdtSetprop } from '../../../kernel/fdt/edit.ts';
import { FDT_ERR_EXISTS, FDT_ERR_NOSPACE, FDT_ERR_NOTFOUND } from '../../../kernel/fdt/error.ts';
import { type FdtTreeNode, parseFdt } from '../../../kernel/fdt/parse.ts';
import { fdtPathOffset } from '../../../kernel/fdt/read.ts';
import { fdtBeginNode, fdtCreate, fdtEndNode, fdtFinish, fdtFinishReservemap } from '../../../kernel/fdt/write.ts';

/*
 * Every sequence of edits of a small FDT, against a tree of lists: what libfdt's documentation says of each call, without
 * a byte. The room is so small that many sequences run out of it.
 */

/** The blob's buffer. A header, an empty reserve map, a root: 76 bytes; the rest is for edits. */
const BUFFER_BYTES = 152;
const FIXED_BYTES = 40 + 16 + 4;

/** A node as a naive person keeps it; what was added last comes first. */
interface Node {
  readonly name: string;
  readonly properties: readonly (readonly [name: string, value: string])[];
  readonly children: readonly Node[];
}

interface Model {
  readonly root: Node;
  /** Names that the strings block has: nothing ever leaves it. */
  readonly strings: readonly string[];
  /** Bytes that the blob may grow to, its totalsize: all of its buffer once it was opened, what it had when it was packed. */
  readonly roomBytes: number;
}

/** A state and what the call returns; the state is the old one where it fails. */
interface Outcome {
  readonly model: Model;
  readonly result: 0 | number;
}

interface Edit {
  readonly name: string;
  real(fdt: Uint8Array): number;
  naive(model: Model): Outcome;
}

const align4 = (bytes: number): number => Math.ceil(bytes / 4) * 4;

function structBytes({ name, properties, children }: Node): number {
  const own = 4 + align4(name.length + 1) + 4;
  return (
    own +
    properties.reduce((sum, [, value]) => sum + 12 + align4(value.length / 2), 0) +
    children.reduce((sum, child) => sum + structBytes(child), 0)
  );
}

function blobBytes({ root, strings }: Model): number {
  return FIXED_BYTES + structBytes(root) + strings.reduce((sum, name) => sum + name.length + 1, 0);
}

/** Whether a change may be: it fits. */
function within(before: Model, after: Model): Outcome {
  const fits = blobBytes(after) <= before.roomBytes;
  return fits ? { model: after, result: 0 } : { model: before, result: FDT_ERR_NOSPACE };
}

/** The tree with the node at `path` replaced; undefined when there is no such node. */
function changed(node: Node, path: readonly string[], change: (node: Node) => Node | undefined): Node | undefined {
  const [first, ...rest] = path;
  if (first === undefined) return change(node);
  const at = node.children.findIndex((child) => child.name === first);
  const child = node.children[at];
  if (child === undefined) return undefined;
  const next = changed(child, rest, change);
  return next === undefined ? undefined : { ...node, children: node.children.with(at, next) };
}

function found(node: Node, path: readonly string[]): Node | undefined {
  const [first, ...rest] = path;
  if (first === undefined) return node;
  const child = node.children.find(({ name }) => name === first);
  return child === undefined ? undefined : found(child, rest);
}

function textOf(path: readonly string[]): string {
  return `/${path.join('/')}`;
}

const fail = (model: Model, result: number): Outcome => ({ model, result });

function addNode(path: readonly string[], name: string): Edit {
  return {
    name: `add ${textOf([...path, name])}`,
    real: (fdt) => {
      const parent = fdtPathOffset(fdt, textOf(path));
      return parent < 0 ? parent : Math.min(fdtAddSubnode(fdt, parent, name), 0);
    },
    naive: (model) => {
      const parent = found(model.root, path);
      if (parent === undefined) return fail(model, FDT_ERR_NOTFOUND);
      if (parent.children.some((child) => child.name === name)) return fail(model, FDT_ERR_EXISTS);
      const child = { name, properties: [], children: [] };
      const root = changed(model.root, path, (node) => ({ ...node, children: [child, ...node.children] }));
      return within(model, { ...model, root: root ?? model.root });
    },
  };
}

function deleteNode(path: readonly string[]): Edit {
  return {
    name: `delete ${textOf(path)}`,
    real: (fdt) => {
      const node = fdtPathOffset(fdt, textOf(path));
      return node < 0 ? node : fdtDelNode(fdt, node);
    },
    naive: (model) => {
      if (found(model.root, path) === undefined) return fail(model, FDT_ERR_NOTFOUND);
      const root = changed(model.root, path.slice(0, -1), (node) => ({
        ...node,
        children: node.children.filter(({ name }) => name !== path.at(-1)),
      }));
      return { model: { ...model, root: root ?? model.root }, result: 0 };
    },
  };
}

function setProperty(path: readonly string[], name: string, value: string): Edit {
  return {
    name: `set ${textOf(path)} ${name} = <${value}>`,
    real: (fdt) => {
      const node = fdtPathOffset(fdt, textOf(path));
      return node < 0 ? node : fdtSetprop(fdt, node, name, Buffer.from(value, 'hex'));
    },
    naive: (model) => {
      const node = found(model.root, path);
      if (node === undefined) return fail(model, FDT_ERR_NOTFOUND);
      const at = node.properties.findIndex(([each]) => each === name);
      const properties =
        at >= 0 ? node.properties.with(at, [name, value] as const) : [[name, value] as const, ...node.properties];
      const strings = model.strings.includes(name) ? model.strings : [...model.strings, name];
      const root = changed(model.root, path, (each) => ({ ...each, properties })) ?? model.root;
      return within(model, { ...model, root, strings });
    },
  };
}

function deleteProperty(path: readonly string[], name: string): Edit {
  return {
    name: `delete ${textOf(path)} ${name}`,
    real: (fdt) => {
      const node = fdtPathOffset(fdt, textOf(path));
      return node < 0 ? node : fdtDelprop(fdt, node, name);
    },
    naive: (model) => {
      const node = found(model.root, path);
      if (node === undefined) return fail(model, FDT_ERR_NOTFOUND);
      if (!node.properties.some(([each]) => each === name)) return fail(model, FDT_ERR_NOTFOUND);
      const properties = node.properties.filter(([each]) => each !== name);
      const root = changed(model.root, path, (each) => ({ ...each, properties })) ?? model.root;
      return { model: { ...model, root }, result: 0 };
    },
  };
}

const PACK: Edit = {
  name: 'pack',
  real: (fdt) => fdtPack(fdt),
  naive: (model) => ({ model: { ...model, roomBytes: blobBytes(model) }, result: 0 }),
};

const OPEN: Edit = {
  name: 'open',
  real: (fdt) => fdtOpenInto(fdt, fdt),
  naive: (model) => ({ model: { ...model, roomBytes: BUFFER_BYTES }, result: 0 }),
};

const NODES = [[], ['a'], ['b'], ['a', 'a']] as const;
const NAMES = ['p', 'q'] as const;
/** Nothing, less than a word, more than one, two. */
const VALUES = ['', '0102ff', '0102030405', '1122334455667788'] as const;

/** Every edit there is. */
export const EDITS: readonly Edit[] = [
  ...[[], ['a']].flatMap((path) => ['a', 'b'].map((name) => addNode(path, name))),
  ...NODES.flatMap((path) => NAMES.flatMap((name) => VALUES.map((value) => setProperty(path, name, value)))),
  ...NODES.flatMap((path) => NAMES.map((name) => deleteProperty(path, name))),
  ...[['a'], ['b'], ['a', 'a'], ['a', 'b']].map(deleteNode),
  PACK,
  OPEN,
];

function emptyBlob(): Uint8Array {
  const fdt = new Uint8Array(BUFFER_BYTES);
  const err =
    fdtCreate(fdt) | fdtFinishReservemap(fdt) | fdtBeginNode(fdt, '') | fdtEndNode(fdt) | fdtFinish(fdt) | fdtPack(fdt);
  if (err !== 0) throw new Error(`making the blob: ${err}`);
  return fdt;
}

/** A tree as text. */
function pictureOf({ name, properties, children }: Node): string {
  return `${name}{${properties.map(([key, value]) => `${key}=${value}`).join()}}[${children.map(pictureOf).join()}]`;
}

function pictureOfTree({ name, properties, children }: FdtTreeNode): string {
  const values = properties.map((each) => `${each.name}=${Buffer.from(each.value).toString('hex')}`);
  return `${name}{${values.join()}}[${children.map(pictureOfTree).join()}]`;
}

/** What is wrong with a blob, undefined when it says what the model says. */
function difference(fdt: Uint8Array, model: Model): string | undefined {
  const tree = parseFdt(fdt);
  if (tree.kind === 'error') return tree.message;
  const [real, naive] = [pictureOfTree(tree.root), pictureOf(model.root)];
  if (real !== naive) return `${real} instead of ${naive}`;
  const size = tree.totalsizeBytes;
  return size === model.roomBytes ? undefined : `totalsize ${size} instead of ${model.roomBytes}`;
}

/** What an enumeration came to. */
export interface EditCount {
  /** Calls that were made and compared. */
  calls: number;
  /** How many of them each code came from. */
  readonly results: Record<string, number>;
  /** Distinct trees that were reached. */
  readonly trees: Set<string>;
}

/**
 * Makes every sequence of `depth` edits; one that failed must have changed nothing, and is not gone on from.
 * @param first which of the edits a sequence may begin with, by index.
 * @throws Error with the sequence that went otherwise than the model.
 */
export function everyEdit(depth: number, first: (index: number) => boolean = () => true): EditCount {
  const count: EditCount = { calls: 0, results: {}, trees: new Set() };
  const path: string[] = [];
  const go = (fdt: Uint8Array, model: Model, left: number): void => {
    for (const [index, edit] of EDITS.entries()) {
      if (left === depth && !first(index)) continue;
      path.push(edit.name);
      const copy = fdt.slice();
      const result = edit.real(copy);
      const expected = edit.naive(model);
      count.calls++;
      count.results[result] = (count.results[result] ?? 0) + 1;
      if (result !== expected.result) throw new Error(`${path.join('; ')}: ${result} instead of ${expected.result}`);
      const wrong = difference(copy, expected.model);
      if (wrong !== undefined) throw new Error(`${path.join('; ')}: ${wrong}`);
      count.trees.add(pictureOf(expected.model.root));
      if (result === 0 && left > 1) go(copy, expected.model, left - 1);
      path.pop();
    }
  };
  const model: Model = { root: { name: '', properties: [], children: [] }, strings: [], roomBytes: BUFFER_BYTES };
  const blob = emptyBlob();
  if (fdtOpenInto(blob, blob) !== 0) throw new Error('opening the blob');
  go(blob, model, depth);
  return count;
}
