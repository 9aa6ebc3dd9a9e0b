import type { Contract } from '../../kernel/abi/contract.ts';
import { PAGE_SIZES, type PageSize } from '../../machine/index.ts';
import { contractsIn } from './abi-set.ts';
import { geometryTable, keyPicture } from './picture.ts';
import { type Shown, type ShownContract, type ShownProperty, type ShownStruct, show } from './show.ts';
import type { Subject } from './subject.ts';

const WIDTH = 80;

/** Breaks a text into lines of at most `width` columns. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}

/** Layout tables, key pictures and tree geometry, at most 80 columns wide: to be pasted into a patch description. */
export function presentTable(subject: Subject, page: PageSize): string {
  const shown = show(subject, page);
  const byName = new Map(contractsIn(subject.set).map((contract) => [contract.name, contract]));
  const lines = [`${shown.name}, ${page.name} pages`, ''];
  for (const note of shown.notes) lines.push(...wrap(`Note: ${note}.`, WIDTH), '');
  lines.push(...stringsTable(shown), '');
  for (const contract of shown.contracts) lines.push(...contractLines(contract, byName.get(contract.name)));
  return `${lines.join('\n').trimEnd()}\n`;
}

/** Who versions whom. */
function stringsTable(shown: Shown): string[] {
  const owners = new Map<string, string[]>();
  for (const contract of shown.contracts) {
    const string = String(contract.versionedBy ?? 'nothing');
    owners.set(string, [...(owners.get(string) ?? []), contract.title]);
  }
  const width = Math.max(...[...owners.keys()].map((name) => name.length));
  return [
    'When its bytes change, so must the string on the left:',
    ...[...owners].flatMap(([string, titles]) =>
      wrap(titles.join(', '), WIDTH - width - 4).map(
        (line, i) => `  ${(i === 0 ? string : '').padEnd(width)}  ${line}`,
      ),
    ),
  ];
}

function contractLines(shown: ShownContract, contract: Contract | undefined): string[] {
  const heading = `${shown.title}: ${shown.name}`;
  const lines = [heading, '='.repeat(heading.length), ''];
  if (shown.doc !== '') lines.push(...wrap(shown.doc, WIDTH), '');
  if (shown.subtree !== null) lines.push(`In the root FDT under the node \`${shown.subtree}\`.`, '');
  lines.push(...propertyLines(contract, shown.properties));
  for (const struct of shown.structs) lines.push(...structLines(struct), '');
  lines.push(...constantLines(shown, contract));
  if (contract?.area === 'map' && contract.format === 'radix-tree') {
    for (const page of PAGE_SIZES) lines.push(...keyPicture(contract, page), '');
    lines.push(...geometryTable(contract), '');
  }
  return lines;
}

function propertyLines(contract: Contract | undefined, properties: readonly ShownProperty[]): string[] {
  const { fdt } = contract ?? {};
  if (fdt === undefined) return [];
  const lines: string[] = [];
  for (const node of fdt.nodes) {
    const indent = node.parent === undefined ? '' : '  ';
    const name = node.name === '' ? '/' : node.name;
    lines.push(`${indent}${name} {${node.required ? '' : '    (optional)'}`);
    for (const property of properties.filter((it) => it.node === node.name)) {
      const size = property.size === undefined ? '' : `, ${property.size} bytes`;
      const head = `${indent}  ${property.name.padEnd(22)}${property.type}${size}${property.endian === 'big' ? ', big-endian' : ''}`;
      lines.push(head, ...wrap(property.doc, WIDTH - 26).map((line) => `${' '.repeat(24 + indent.length)}${line}`));
    }
    lines.push(`${indent}}`);
  }
  return [...lines, ''];
}

function structLines(struct: ShownStruct): string[] {
  const typeWidth = Math.max(4, ...struct.fields.map((field) => field.type.length));
  const nameWidth = Math.max(5, ...struct.fields.map((field) => field.name.length));
  const left = 18 + typeWidth + nameWidth;
  const size = `${struct.size} bytes`;
  const title = `struct ${struct.name}`;
  return [
    `${title}${size.padStart(Math.max(size.length + 2, 40 - title.length))}`,
    ...wrap(struct.doc, WIDTH - 2).map((line) => `  ${line}`),
    `  offset  size  ${'type'.padEnd(typeWidth)}  field`,
    ...struct.fields.flatMap((field) => {
      const head = `  ${String(field.offset).padStart(6)}${String(field.size).padStart(6)}  ${field.type.padEnd(typeWidth)}  ${field.name.padEnd(nameWidth)}`;
      const room = WIDTH - left - 2;
      const doc = room >= 20 ? wrap(field.doc, room) : [];
      return [`${head}  ${doc[0] ?? ''}`.trimEnd(), ...doc.slice(1).map((line) => `${' '.repeat(left + 2)}${line}`)];
    }),
  ];
}

function constantLines(shown: ShownContract, contract: Contract | undefined): string[] {
  const names = Object.keys(shown.constants);
  if (names.length === 0) return [];
  const width = Math.max(...names.map((name) => name.length));
  const lines = names.flatMap((name) => {
    const values = PAGE_SIZES.map((page) => shown.perPageSize[page.name]?.[name]);
    const varies = values.every((value) => value !== undefined);
    const value = varies
      ? PAGE_SIZES.map((page, i) => `${page.name} ${values[i]}`).join(', ')
      : String(shown.constants[name]);
    const doc = wrap(contract?.constants[name]?.doc ?? '', WIDTH - width - 6);
    const first = `  ${name.padEnd(width)}  ${value}`;
    const joined = doc.length === 1 && `${first}  ${doc[0]}`.length <= WIDTH;
    return joined ? [`${first}  ${doc[0]}`] : [first, ...doc.map((line) => `${' '.repeat(width + 4)}${line}`)];
  });
  return ['Constants', ...lines, ''];
}

/** The same as C declarations under kernel-doc comments. */
export function presentKernelDoc(subject: Subject, page: PageSize): string {
  const shown = show(subject, page);
  const byName = new Map(contractsIn(subject.set).map((contract) => [contract.name, contract]));
  const lines: string[] = [];
  for (const contract of shown.contracts) {
    const source = byName.get(contract.name);
    lines.push('/**', ` * DOC: ${contract.title}`, ' *');
    for (const line of wrap(contract.doc, 76)) lines.push(` * ${line}`);
    if (contract.doc !== '') lines.push(' *');
    const strings =
      contract.compatible === null
        ? `Versioned by "${contract.versionedBy}".`
        : `Version: ${JSON.stringify(contract.compatible)}.`;
    lines.push(` * ${strings}`);
    for (const property of contract.properties) lines.push(...propertyDoc(property));
    if (source?.area === 'map' && source.format === 'radix-tree') {
      for (const line of keyPicture(source, page)) lines.push(` *   ${line}`.trimEnd());
    }
    lines.push(' */', '');
    for (const [name, constant] of Object.entries(source?.constants ?? {})) {
      if (constant.doc !== undefined) lines.push(`/* ${constant.doc} */`);
      lines.push(`#define ${name} ${cExpression(constant.value, contract.compatible)}`, '');
    }
    for (const struct of contract.structs) lines.push(...structDoc(struct, source), '');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

/** A formula as a C header would have it. */
function cExpression(value: number | string, compatible: string | number | null): string {
  if (typeof value === 'number') return value > 0xffff ? `0x${value.toString(16)}` : String(value);
  const text = value
    .replaceAll('alignUp(', 'ALIGN(')
    .replaceAll('divRoundUp(', 'DIV_ROUND_UP(')
    .replaceAll(/sizeof\((?!u\d)/g, 'sizeof(struct ')
    .replaceAll('COMPATIBLE_SIZE', `sizeof(${JSON.stringify(compatible)})`);
  return /^\w+$/.test(text) ? text : `(${text})`;
}

function propertyDoc(property: ShownProperty): string[] {
  const node = property.node === '' ? '/' : property.node;
  const size = property.size === undefined ? '' : `, ${property.size} bytes`;
  const head = ` *   ${node}: ${property.name} (${property.type}${size})`;
  return [' *', head, ...wrap(property.doc, 70).map((line) => ` *     ${line}`)];
}

function structDoc(struct: ShownStruct, contract: Contract | undefined): string[] {
  const spec = contract?.structs.find((candidate) => candidate.name === struct.name);
  const summary = wrap(`struct ${struct.name} - ${struct.doc === '' ? (contract?.title ?? '') : struct.doc}`, 76);
  const members = struct.fields.flatMap((field) =>
    wrap(`@${field.name}: ${field.doc}`, 76).map((line, i) => (i === 0 ? ` * ${line}` : ` *     ${line}`)),
  );
  return [
    '/**',
    ...summary.map((line, i) => (i === 0 ? ` * ${line}` : ` *     ${line}`)),
    ...members,
    ' */',
    `struct ${struct.name} {`,
    ...(spec?.fields ?? []).map((field) => {
      const inner = typeof field.struct === 'object' ? field.struct.name : field.struct;
      const type =
        field.type === 'struct'
          ? `struct ${inner}`
          : field.byteOrder === 'big'
            ? `__be${field.type.slice(1)}`
            : field.type;
      const count = field.count === undefined ? '' : `[${field.count}]`;
      return `\t${type} ${field.name}${count}${field.bits === undefined ? '' : `:${field.bits}`};`;
    }),
    `}${spec?.packed === true ? ' __packed' : ''};`,
  ];
}
