import type { Patch } from 'immer';
import { at, type Document, type Finding, same, text } from './change.ts';
import type { Plain } from './document.ts';

/** What happened to an FDT, one of its nodes or one of their properties. */
export function fdtChange(
  area: string,
  rest: readonly string[],
  patches: readonly Patch[],
  older: Document,
  newer: Document,
): Finding {
  const get = (document: Document, ...keys: string[]) => at(document, [area, 'fdt', ...keys]);
  const [what = '', role = '', property] = rest;
  if (what === '') {
    const gone = get(newer) === undefined;
    return {
      path: `${area}.fdt`,
      kind: gone ? 'removed' : 'added',
      from: gone ? 'an FDT' : null,
      to: gone ? null : 'an FDT',
      breaking: true,
      why: gone
        ? 'the old reader parses an FDT that is no longer there'
        : 'the new reader parses an FDT that was not there before',
    };
  }
  if (what !== 'nodes') {
    const writing = what === 'writing';
    return {
      path: `${area}.fdt.${what}`,
      kind: 'changed',
      from: text(get(older, what)),
      to: text(get(newer, what)),
      breaking: !writing,
      why: writing
        ? 'bytes move inside the blob, but its readers look nodes and properties up by name'
        : 'readers check or rely on it before they look at anything else',
    };
  }
  if (property === undefined)
    return nodeChange(area, role, patches, get(older, 'nodes', role), get(newer, 'nodes', role));
  const keys = ['nodes', role, 'properties', property];
  return propertyChange(`${area}.${role}.${property}`, get(older, ...keys), get(newer, ...keys));
}

function nodeChange(
  area: string,
  role: string,
  patches: readonly Patch[],
  from: Plain | undefined,
  to: Plain | undefined,
): Finding {
  const path = `${area}.${role}`;
  if (from === undefined || to === undefined) {
    const gone = to === undefined;
    const required = at(to ?? from, ['required']) === true;
    return {
      path,
      kind: gone ? 'removed' : 'added',
      from: text(at(from, ['name'])),
      to: text(at(to, ['name'])),
      breaking: required,
      why: required
        ? `the ${gone ? 'old' : 'new'} reader fails without this node, and the ${gone ? 'new' : 'old'} writer does not make it`
        : 'nobody insists on it',
    };
  }
  const touched = new Set(patches.map((patch) => String(patch.path[4])));
  for (const attribute of ['name', 'parent', 'required', 'position']) {
    if (!touched.has(attribute)) continue;
    return {
      path,
      kind: attribute === 'position' ? 'reordered' : 'changed',
      from: `${attribute} ${text(at(from, [attribute]))}`,
      to: `${attribute} ${text(at(to, [attribute]))}`,
      breaking: true,
      why: {
        name: 'readers look a node up by its name',
        parent: 'readers look for it below another node',
        required: 'one side may leave out what the other insists on',
        position: 'the blob is another one; readers that go by name do not mind, whoever pins its bytes does',
      }[attribute] as string,
    };
  }
  return { path, kind: 'reworded', from: null, to: null, breaking: false, why: 'words only; no byte depends on them' };
}

function propertyText(property: Plain | undefined): string | null {
  if (property === undefined) return null;
  const [name, type, order] = ['name', 'type', 'byteOrder'].map((key) => text(at(property, [key])));
  return `${name} (${order === 'native' ? '' : `${order}-endian `}${type})`;
}

function propertyChange(path: string, from: Plain | undefined, to: Plain | undefined): Finding {
  const texts = { from: propertyText(from), to: propertyText(to) };
  if (from === undefined || to === undefined) {
    const gone = to === undefined;
    const required = at(to ?? from, ['required']) === true;
    return {
      path,
      kind: gone ? 'removed' : 'added',
      ...texts,
      breaking: required,
      why: required
        ? `the ${gone ? 'old' : 'new'} reader refuses a node without it`
        : 'readers look properties up by name, and none insists on it',
    };
  }
  const differs = (key: string) => !same(at(from, [key]), at(to, [key]));
  const reasons: [string, string][] = [
    ['name', 'readers look a property up by its name'],
    ['type', 'readers check its length, or take other bytes for it'],
    ['byteOrder', 'readers take its bytes the other way round'],
    ['value', 'readers compare it'],
    ['required', 'one side may leave out what the other insists on'],
  ];
  for (const [key, why] of reasons) {
    if (!differs(key)) continue;
    if (key === 'required') texts.from = `required: ${text(at(from, [key]))}`;
    if (key === 'required') texts.to = `required: ${text(at(to, [key]))}`;
    return { path, kind: 'changed', ...texts, breaking: true, why };
  }
  if (differs('position')) {
    return {
      path,
      kind: 'reordered',
      from: `place ${text(at(from, ['position']))}`,
      to: `place ${text(at(to, ['position']))}`,
      breaking: true,
      why: 'the blob is another one; readers that go by name do not mind, whoever pins its bytes does',
    };
  }
  return { path, kind: 'reworded', from: null, to: null, breaking: false, why: 'words only; no byte depends on them' };
}
