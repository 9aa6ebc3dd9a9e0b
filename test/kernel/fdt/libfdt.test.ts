import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import {
  fdtAddMemRsv,
  fdtAddSubnode,
  fdtAppendprop,
  fdtAppendpropAddrrange,
  fdtDelMemRsv,
  fdtDelNode,
  fdtDelprop,
  fdtOpenInto,
  fdtPack,
  fdtSetprop,
} from '../../../kernel/fdt/edit.ts';
import { isFdtErr } from '../../../kernel/fdt/error.ts';
import {
  fdtAddressCells,
  fdtCheckHeader,
  fdtFirstPropertyOffset,
  fdtFirstSubnode,
  fdtGetName,
  fdtGetprop,
  fdtGetpropByOffset,
  fdtGetString,
  fdtNextPropertyOffset,
  fdtNextSubnode,
  fdtNextTag,
  fdtNodeCheckCompatible,
  fdtNumMemRsv,
  fdtPathOffset,
  fdtSizeCells,
  fdtSubnodeOffset,
} from '../../../kernel/fdt/read.ts';
import {
  fdtAddReservemapEntry,
  fdtBeginNode,
  fdtCreate,
  fdtEndNode,
  fdtFinish,
  fdtFinishReservemap,
  fdtProperty,
} from '../../../kernel/fdt/write.ts';

/*
 * What the libfdt of Linux 7.3 answered (test/fixtures/fdt/answers.c, answers.py): blobs of several versions and
 * layouts in a page of 4096 bytes, most of them with damage; then look-ups, or edits one after the other. A line is
 *
 *     read|BLOB|AT=HEX ...|-                => answers
 *     edit|BLOB|AT=HEX ...|call;call;...    => answers,FNV-1a of the page
 */

const PAGE_BYTES = 4096;

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const blobs = new Map<string, Uint8Array>();
const cases: { line: string; kind: string; page: Uint8Array; calls: string[]; expected: string }[] = [];
for (const line of gunzipSync(readFileSync(new URL('../../fixtures/fdt/answers.txt.gz', import.meta.url)))
  .toString('utf8')
  .trimEnd()
  .split('\n')) {
  const [question = '', expected = ''] = line.split(' => ');
  const [kind = '', name = '', patches = '', calls = ''] = question.split('|');
  if (kind === 'base') {
    blobs.set(name, bytesOf(patches));
    continue;
  }
  const page = new Uint8Array(PAGE_BYTES);
  page.set(blobs.get(name) ?? new Uint8Array(0));
  for (const patch of patches.split(' ')) {
    const [at, hex] = patch.split('=');
    if (hex !== undefined) page.set(bytesOf(hex), Number(at));
  }
  cases.push({ line, kind, page, calls: calls.split(';'), expected });
}

function indexAndLength(fdt: Uint8Array, found: Uint8Array | number): number[] {
  return typeof found === 'number' ? [0, found] : [found.byteOffset - fdt.byteOffset, found.length];
}

function property(fdt: Uint8Array, node: number, name: string): number[] {
  const found = fdtGetprop(fdt, node, name);
  return isFdtErr(found) ? [0, found] : [found.valueIndex, found.length];
}

const LEAST = -4;

function lookUps(fdt: Uint8Array): number[] {
  const out: number[] = [fdtCheckHeader(fdt)];
  for (const name of ['LUO', 'memory', 'a', 'b@1', 'kexec-metadata']) out.push(fdtSubnodeOffset(fdt, 0, name));
  for (const path of ['/', '/LUO', '/a/c', '//b@1//d/', '/memory/x']) out.push(fdtPathOffset(fdt, path));
  let child = fdtFirstSubnode(fdt, 0);
  out.push(child);
  for (let i = 0; i < 4 && child >= 0; i++) out.push((child = fdtNextSubnode(fdt, child)));
  const names = ['compatible', '#address-cells', 'blob-size', 'x', 'tible'];
  for (const name of names) out.push(...property(fdt, 0, name));
  let node = fdtSubnodeOffset(fdt, 0, 'a');
  if (node < 0) node = fdtSubnodeOffset(fdt, 0, 'LUO');
  for (const name of names) out.push(...property(fdt, node, name));
  out.push(fdtNodeCheckCompatible(fdt, 0, 'kho-v4'), fdtNodeCheckCompatible(fdt, 0, 'kho-v3'));
  out.push(fdtNodeCheckCompatible(fdt, node, 'v4'));
  out.push(fdtNumMemRsv(fdt), fdtAddressCells(fdt, 0), fdtSizeCells(fdt, 0));
  out.push(fdtAddressCells(fdt, node), fdtSizeCells(fdt, node));
  out.push(...indexAndLength(fdt, fdtGetName(fdt, node)));
  for (let at = -8; at < 24; at += 5) out.push(...indexAndLength(fdt, fdtGetString(fdt, at)));
  for (let offset = 0; offset < 80; offset += 4) {
    const { tag, next } = fdtNextTag(fdt, offset);
    out.push(tag, next);
  }
  for (let offset = LEAST; offset < 80; offset += 6) {
    out.push(fdtFirstPropertyOffset(fdt, offset), fdtNextPropertyOffset(fdt, offset));
    const found = fdtGetpropByOffset(fdt, offset);
    if (isFdtErr(found)) out.push(0, 0, found);
    else out.push(found.property.valueIndex, found.name.byteOffset - fdt.byteOffset, found.property.length);
  }
  return out;
}

function call(page: Uint8Array, text: string): number {
  const [what = '', ...args] = text.split(' ').map((word) => (word === "''" ? '' : word));
  const [first = '', second = '', third = '', fourth = '', fifth = ''] = args;
  const node = (where: string) => (where.startsWith('/') ? fdtPathOffset(page, where) : Number(where));
  const u64 = (hex: string) => BigInt(`0x${hex}`);
  switch (what) {
    case 'open':
      return fdtOpenInto(page, page.subarray(0, Number(first)));
    case 'pack':
      return fdtPack(page);
    case 'add':
      return fdtAddSubnode(page, node(first), second);
    case 'del':
      return fdtDelNode(page, node(first));
    case 'set':
      return fdtSetprop(page, node(first), second, bytesOf(third));
    case 'append':
      return fdtAppendprop(page, node(first), second, bytesOf(third));
    case 'delprop':
      return fdtDelprop(page, node(first), second);
    case 'addrsv':
      return fdtAddMemRsv(page, u64(first), u64(second));
    case 'delrsv':
      return fdtDelMemRsv(page, Number(first));
    case 'range':
      return fdtAppendpropAddrrange(page, node(first), node(second), third, u64(fourth), u64(fifth));
    case 'create':
      return fdtCreate(page.subarray(0, Number(first)));
    case 'rsv':
      return fdtAddReservemapEntry(page, u64(first), u64(second));
    case 'endrsv':
      return fdtFinishReservemap(page);
    case 'begin':
      return fdtBeginNode(page, first);
    case 'prop':
      return fdtProperty(page, first, bytesOf(second));
    case 'end':
      return fdtEndNode(page);
    case 'finish':
      return fdtFinish(page);
    default:
      throw new Error(`no call '${what}'`);
  }
}

function fnv1a(bytes: Uint8Array): string {
  let hash = 0x811c_9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

const blobNames = [...blobs.keys()];

test.each(blobNames)('look-ups in %s, whole and damaged, answer as libfdt does', (name) => {
  const own = cases.filter((one) => one.kind === 'read' && one.line.startsWith(`read|${name}|`));
  expect(own.length).toBeGreaterThan(40);
  for (const { line, page, expected } of own) expect(lookUps(page.slice()).join(), line).toBe(expected);
});

test.each(blobNames)('edits of %s, whole and damaged, answer as libfdt does and leave its bytes', (name) => {
  const own = cases.filter((one) => one.kind === 'edit' && one.line.startsWith(`edit|${name}|`));
  expect(own.length).toBeGreaterThan(20);
  for (const { line, page, calls, expected } of own) {
    const copy = page.slice();
    const answers = calls.map((text) => call(copy, text));
    expect([...answers, fnv1a(copy)].join(), line).toBe(expected);
  }
});
