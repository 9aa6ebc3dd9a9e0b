import type { Patch } from 'immer';
import { at, type Document, differing, type Finding, isRecord, perPageText, same, text } from './change.ts';
import { fdtChange } from './classify-fdt.ts';
import type { Plain } from './document.ts';

/**
 * The thing that a patch belongs to, as a path with slashes; undefined for what is told by another change (everything
 * below a map of another format).
 */
export function itemOf(path: readonly string[], older: Document, newer: Document): string | undefined {
  const [area = '', part = '', ...rest] = path;
  if (path.length === 1) return area;
  const format = (document: Document) => at(document, [area, 'format']);
  const replaced = format(older) !== format(newer);
  if (replaced) return part === 'format' ? `${area}/format` : undefined;
  if (part === 'structs') {
    if (rest[1] === 'fields' && rest[2] !== undefined) return [area, part, rest[0], 'fields', rest[2]].join('/');
    return [area, part, rest[0]].join('/');
  }
  if (part === 'constants' || part === 'geometry' || part === 'encoding' || part === 'bitmap') {
    return [area, part, ...rest.slice(0, 1)].join('/');
  }
  if (part === 'fdt' && rest[0] === 'nodes') {
    if (rest[2] === 'properties' && rest[3] !== undefined) return [area, 'fdt/nodes', rest[1], rest[3]].join('/');
    return [area, 'fdt/nodes', rest[1]].join('/');
  }
  return [area, part, ...rest.slice(0, 1)].join('/');
}

/** What the patches of one item mean. */
export function classify(
  path: readonly string[],
  patches: readonly Patch[],
  older: Document,
  newer: Document,
): Finding {
  const [area = '', part, ...rest] = path;
  if (part === undefined) return wholeContract(area, at(older, [area]), at(newer, [area]));
  const contractAt = (document: Document, ...keys: string[]) => at(document, [area, part, ...keys]);
  switch (part) {
    case 'compatible': {
      const [from, to] = [text(contractAt(older)), text(contractAt(newer))];
      return {
        path: `${area}.compatible`,
        kind: 'bumped',
        from,
        to,
        breaking: from !== null && to !== null,
        why:
          from !== null && to !== null
            ? `readers want exactly their own: a kernel with ${from} and one with ${to} refuse each other`
            : 'versioned by another string from now on',
      };
    }
    case 'format':
      return {
        path: `${area}.format`,
        kind: 'replaced',
        from: text(contractAt(older)),
        to: text(contractAt(newer)),
        breaking: true,
        why: 'another data structure altogether; a reader of one makes nothing of the other',
      };
    case 'structs':
      return rest.length === 1
        ? structChange(area, rest[0] ?? '', contractAt(older, ...rest), contractAt(newer, ...rest))
        : fieldChange(area, rest[0] ?? '', rest[2] ?? '', contractAt(older, ...rest), contractAt(newer, ...rest));
    case 'constants':
      return constantChange(area, rest[0] ?? '', contractAt(older, ...rest), contractAt(newer, ...rest));
    case 'geometry':
    case 'encoding':
    case 'bitmap':
      return formulaChange(
        `${area}.${part}.${rest[0]}`,
        rest[0] ?? '',
        contractAt(older, ...rest),
        contractAt(newer, ...rest),
      );
    case 'fdt':
      return fdtChange(area, rest, patches, older, newer);
    default:
      return plainChange(area, part, rest[0], contractAt(older, ...rest), contractAt(newer, ...rest));
  }
}

function wholeContract(area: string, from: Plain | undefined, to: Plain | undefined): Finding {
  const name = (value: Plain | undefined) => text(at(value, ['name']));
  const title = text(at(to ?? from, ['title'])) ?? area;
  if (from === undefined) {
    return {
      path: area,
      kind: 'added',
      from: null,
      to: name(to),
      breaking: false,
      why: `${title}: new, and nothing that existed before moved for it`,
    };
  }
  return {
    path: area,
    kind: 'removed',
    from: name(from),
    to: null,
    breaking: true,
    why: `${title}: what an old kernel hands over of it, the new one does not take`,
  };
}

function structChange(area: string, name: string, from: Plain | undefined, to: Plain | undefined): Finding {
  const path = `${area}.${name}`;
  if (from === undefined || to === undefined) {
    const gone = to === undefined;
    return {
      path,
      kind: gone ? 'removed' : 'added',
      from: gone ? `struct of ${perPageText(at(from, ['size']))} bytes` : null,
      to: gone ? null : `struct of ${perPageText(at(to, ['size']))} bytes`,
      breaking: gone,
      why: gone ? 'the old reader looks for it, and the new one does not' : 'a struct that nobody had before',
    };
  }
  const [fromSize, toSize] = [at(from, ['size']), at(to, ['size'])];
  if (!same(fromSize, toSize)) {
    return {
      path,
      kind: 'moved',
      from: `${perPageText(fromSize)} bytes`,
      to: `${perPageText(toSize)} bytes`,
      breaking: true,
      why: 'whatever follows it, or embeds it, lies elsewhere',
      ...differing(fromSize, toSize),
    };
  }
  return nameOrWords(path, from, to);
}

/** A change of nothing but a name or a text. */
function nameOrWords(path: string, from: Plain | undefined, to: Plain | undefined): Finding {
  const [oldName, newName] = [text(at(from, ['name'])), text(at(to, ['name']))];
  if (oldName !== newName) {
    return {
      path,
      kind: 'renamed',
      from: oldName,
      to: newName,
      breaking: false,
      why: 'a name in the source, never in memory',
    };
  }
  return { path, kind: 'reworded', from: null, to: null, breaking: false, why: 'words only; no byte depends on them' };
}

function placeText(field: Plain | undefined): string | null {
  const places = at(field, ['at']);
  if (!isRecord(places)) return null;
  return perPageText(
    Object.fromEntries(
      Object.entries(places).map(([page, place]) => {
        const bit = at(place, ['bit']);
        return [
          page,
          `${text(at(place, ['type']))} at ${text(at(place, ['offset']))}${bit === undefined ? '' : `, bit ${text(bit)}`}`,
        ];
      }),
    ),
  );
}

function fieldChange(
  area: string,
  struct: string,
  name: string,
  from: Plain | undefined,
  to: Plain | undefined,
): Finding {
  const path = `${area}.${struct}.${name}`;
  if (from === undefined || to === undefined) {
    const gone = to === undefined;
    return {
      path,
      kind: gone ? 'removed' : 'added',
      from: placeText(from),
      to: placeText(to),
      breaking: true,
      why: gone
        ? 'the old reader still takes bytes for it'
        : 'the old writer never wrote it, and the old reader does not know of it',
    };
  }
  const [fromAt, toAt] = [at(from, ['at']), at(to, ['at'])];
  if (same(fromAt, toAt)) return nameOrWords(path, from, to);
  const typeOf = (field: Plain) =>
    JSON.stringify(Object.values(at(field, ['at']) ?? {}).map((place) => [at(place, ['type']), at(place, ['size'])]));
  const moved = typeOf(from) === typeOf(to);
  return {
    path,
    kind: moved ? 'moved' : 'changed',
    from: placeText(from),
    to: placeText(to),
    breaking: true,
    why: moved
      ? 'a reader finds another value where it looks for this one'
      : 'a reader takes more, fewer or other bytes for it',
    ...differing(fromAt, toAt),
  };
}

function constantChange(area: string, name: string, from: Plain | undefined, to: Plain | undefined): Finding {
  const path = `${area}.${name}`;
  const decides = text(at(to ?? from, ['decides'])) ?? 'bytes';
  const [fromAt, toAt] = [at(from, ['at']), at(to, ['at'])];
  if (from !== undefined && to !== undefined && same(fromAt, toAt)) {
    const [fromFormula, toFormula] = [text(at(from, ['formula'])), text(at(to, ['formula']))];
    if (fromFormula === toFormula) return nameOrWords(path, from, to);
    return {
      path,
      kind: 'reworded',
      from: fromFormula,
      to: toFormula,
      breaking: false,
      why: 'another formula with the same value at every page size',
    };
  }
  const kind = from === undefined ? 'added' : to === undefined ? 'removed' : 'changed';
  const reasons: Record<string, string> = {
    bytes:
      kind === 'changed' ? 'it is written, or decides where something is written' : 'values that one side never wrote',
    limit: 'one side refuses what the other may hand over',
    internal: "the code's own business",
  };
  return {
    path,
    kind,
    from: perPageText(fromAt),
    to: perPageText(toAt),
    breaking: decides === 'limit' || (decides === 'bytes' && kind === 'changed'),
    why: reasons[decides] ?? '',
    ...(kind === 'changed' ? differing(fromAt, toAt) : {}),
  };
}

const FORMULA_REASONS: Readonly<Record<string, string>> = {
  keyWidth: 'keys that one side makes are refused, or not told apart, by the other',
  tableLog2: 'a table has other slots: the same key leads elsewhere',
  bitmapLog2: 'a leaf has other bits: the same key leads elsewhere',
  depth: 'one side takes for a table what the other wrote as a leaf, or the other way round',
  orderBit: 'the same key stands for another order',
  addressShift: 'the same key stands for another address',
  sizeBytes:
    'one side reads less of a bitmap than was written and loses pages, the other reads beyond it and finds pages that nobody preserved',
};

function formulaChange(path: string, what: string, from: Plain | undefined, to: Plain | undefined): Finding {
  if (!isRecord(from) || !isRecord(to)) {
    return {
      path,
      kind: 'changed',
      from: text(from),
      to: text(to),
      breaking: false,
      why: 'how the code counts or allocates; no reader sees it',
    };
  }
  const [fromAt, toAt] = [from['at'], to['at']];
  const formulas = { from: text(from['formula']), to: text(to['formula']) };
  if (same(fromAt, toAt)) {
    return {
      path,
      kind: 'reworded',
      ...formulas,
      breaking: false,
      why: 'another formula with the same value at every page size',
    };
  }
  const long = what === 'orderBit' || what === 'addressShift';
  return {
    path,
    kind: 'changed',
    from: long ? formulas.from : perPageText(fromAt),
    to: long ? formulas.to : perPageText(toAt),
    breaking: true,
    why: FORMULA_REASONS[what] ?? 'the bytes depend on it',
    ...differing(fromAt, toAt),
  };
}

const PLAIN_REASONS: Readonly<Record<string, string>> = {
  container: 'a reader of the one finds no entries in the other',
  'subtree.name': 'readers look the node up by its name in the root FDT',
  'subtree.payload': 'one side parses as an FDT what the other wrote as a struct',
  subtree: 'where readers look for it',
  entry: 'readers take other bytes for an address',
};

function plainChange(
  area: string,
  part: string,
  key: string | undefined,
  from: Plain | undefined,
  to: Plain | undefined,
): Finding {
  const path = key === undefined ? `${area}.${part}` : `${area}.${part}.${key}`;
  if (part === 'name' || part === 'title' || part === 'doc') {
    return {
      path,
      kind: 'reworded',
      from: text(from),
      to: text(to),
      breaking: false,
      why: 'words only; no byte depends on them',
    };
  }
  const reason = PLAIN_REASONS[key === undefined ? part : `${part}.${key}`] ?? PLAIN_REASONS[part];
  const breaking = reason !== undefined && !(part === 'subtree' && key === 'struct');
  return {
    path,
    kind: 'changed',
    from: text(from),
    to: text(to),
    breaking,
    why: breaking ? (reason ?? '') : 'how it is described or built; no reader sees it',
  };
}
