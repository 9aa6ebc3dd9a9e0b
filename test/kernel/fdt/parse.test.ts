import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  fdtAddSubnode,
  fdtAppendprop,
  fdtDelNode,
  fdtDelprop,
  fdtOpenInto,
  fdtPack,
  fdtSetprop,
} from '../../../kernel/fdt/edit.ts';
import { isFdtErr } from '../../../kernel/fdt/error.ts';
import { HEADER, setBe32 } from '../../../kernel/fdt/layout.ts';
import { childOf, FDT_MAX_DEPTH, type FdtTreeNode, parseFdt, propertyOf } from '../../../kernel/fdt/parse.ts';
import { fdtGetprop, fdtNodeCheckCompatible, fdtPathOffset, fdtSubnodeOffset } from '../../../kernel/fdt/read.ts';
import {
  fdtAddReservemapEntry,
  fdtBeginNode,
  fdtCreate,
  fdtEndNode,
  fdtFinish,
  fdtFinishReservemap,
  fdtProperty,
} from '../../../kernel/fdt/write.ts';
import { buildEmpty } from './generations.ts';

const dtb = (name: string) => Uint8Array.from(readFileSync(new URL(`../../fixtures/fdt/${name}.dtb`, import.meta.url)));

function treeOf(bytes: Uint8Array) {
  const tree = parseFdt(bytes);
  if (tree.kind === 'error') throw new Error(`${tree.code} at ${tree.offset}: ${tree.message}`);
  return tree;
}

test('a good blob becomes a tree, with the place of everything in it', () => {
  const tree = treeOf(dtb('v4_meta_luo'));
  expect([tree.totalsizeBytes, tree.version, tree.lastCompVersion, tree.bootCpuid]).toEqual([285, 17, 16, 0]);
  expect(tree.root.properties.map((p) => [p.name, p.offset, p.value.length])).toEqual([
    ['compatible', 76, 7],
    ['preserved-memory-map', 96, 8],
  ]);
  expect(tree.root.children.map((c) => [c.name, c.offset])).toEqual([
    ['LUO', 104],
    ['kexec-metadata', 156],
  ]);
  const luo = childOf(tree.root, 'LUO');
  expect(luo && propertyOf(luo, 'blob-size')?.value[0]).toBe(32);
});

test('ranges of the reserve map are kept, with all their 64 bits', () => {
  const fdt = new Uint8Array(256);
  fdtCreate(fdt);
  fdtAddReservemapEntry(fdt, 0xffff_ffff_ffff_f000n, 0x1000n);
  fdtFinishReservemap(fdt);
  fdtBeginNode(fdt, '');
  fdtEndNode(fdt);
  fdtFinish(fdt);
  expect(treeOf(fdt).reservations).toEqual([{ address: 0xffff_ffff_ffff_f000n, size: 0x1000n }]);
});

describe('each error, with where it is', () => {
  const changed = (at: number, value: number) => {
    const fdt = dtb('v4_meta_luo');
    setBe32(fdt, at, value);
    return fdt;
  };
  const unterminated = () => {
    const fdt = dtb('v4_meta_luo');
    fdt[fdt.length - 1] = 0x65;
    return fdt;
  };
  const deep = () => {
    const fdt = new Uint8Array(4096);
    fdtCreate(fdt);
    fdtFinishReservemap(fdt);
    for (let i = 0; i <= FDT_MAX_DEPTH; i++) fdtBeginNode(fdt, i === 0 ? '' : 'n');
    for (let i = 0; i <= FDT_MAX_DEPTH; i++) fdtEndNode(fdt);
    fdtFinish(fdt);
    return fdt;
  };
  const propertyAfterNode = () => {
    const fdt = new Uint8Array(512);
    fdtCreate(fdt);
    fdtFinishReservemap(fdt);
    fdtBeginNode(fdt, '');
    fdtBeginNode(fdt, 'n');
    fdtEndNode(fdt);
    fdtProperty(fdt, 'late', new Uint8Array(0));
    fdtEndNode(fdt);
    fdtFinish(fdt);
    return fdt;
  };
  test.each([
    ['short', 30, dtb('v4_empty').subarray(0, 30)],
    ['bad-magic', 0, changed(HEADER.magic, 0)],
    ['bad-version', 20, changed(HEADER.version, 3)],
    ['bad-totalsize', 4, changed(HEADER.totalsize, 4096)],
    ['bad-block', HEADER.offDtStruct, changed(HEADER.offDtStruct, 58)],
    ['bad-block', HEADER.offDtStrings, changed(HEADER.sizeDtStrings, 58)],
    ['overlapping-blocks', 228, changed(HEADER.sizeDtStruct, 180)],
    ['bad-reserve-map', 272, changed(HEADER.offMemRsvmap, 272)],
    ['bad-tag', 104, changed(104, 77)],
    ['unbalanced', 216, changed(216, 9)],
    ['bad-node-name', 108, changed(108, 0)],
    ['bad-property', 64, changed(68, 1000)],
    ['bad-property-name', 72, changed(72, 57)],
    ['bad-property-name', 120, unterminated()],
    ['truncated', 228, changed(224, 4)],
    ['too-deep', 64 + 8 * FDT_MAX_DEPTH, deep()],
    ['bad-property', 84, propertyAfterNode()],
  ])('%s', (code, offset, fdt) => {
    const result = parseFdt(fdt);
    expect(result.kind === 'error' ? [result.code, result.offset] : result).toEqual([code, offset]);
  });
});

test('any byte of any vector may be any value: a tree or an error comes back, and no look-up throws', () => {
  const wrong: string[] = [];
  let errors = 0;
  for (const name of ['v1_616_618', 'v4_meta_luo', 'memblock_v1']) {
    const original = dtb(name);
    for (let at = 0; at < original.length; at++) {
      for (const value of [0, 1, 3, 9, 0x2f, 0x7f, 0x80, 0xff, (original[at] ?? 0) ^ 4]) {
        const fdt = Uint8Array.from(original);
        fdt[at] = value;
        const result = parseFdt(fdt);
        if (result.kind === 'error') {
          errors++;
          if (result.offset < 0 || result.offset > fdt.length) wrong.push(`${name} ${at}=${value}: ${result.offset}`);
        }
        fdtNodeCheckCompatible(fdt, 0, 'kho-v4');
        const node = fdtSubnodeOffset(fdt, 0, 'LUO');
        if (node >= 0) fdtGetprop(fdt, node, 'preserved-data');
      }
    }
  }
  expect(wrong).toEqual([]);
  expect(errors).toBeGreaterThan(1000);
});

test('a blob of random bytes behind a plausible header never throws', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 60, maxLength: 400 }), (noise) => {
      const fdt = Uint8Array.from(noise);
      const head = dtb('v4_meta_luo').subarray(0, 56);
      fdt.set(head);
      setBe32(fdt, HEADER.totalsize, fdt.length);
      setBe32(fdt, HEADER.offDtStrings, fdt.length);
      setBe32(fdt, HEADER.sizeDtStrings, 0);
      setBe32(fdt, HEADER.sizeDtStruct, fdt.length - 56);
      const result = parseFdt(fdt);
      fdtPathOffset(fdt, '/a/b');
      fdtDelNode(fdt, 0);
      return result.kind === 'tree' || result.kind === 'error';
    }),
    { numRuns: 300, seed: 7 },
  );
});

// --- edits against a model that knows nothing of bytes -------------------------------------------------------------

interface ModelNode {
  name: string;
  properties: { name: string; value: number[] }[];
  children: ModelNode[];
}

function plain(node: FdtTreeNode): ModelNode {
  return {
    name: node.name,
    properties: node.properties.map((p) => ({ name: p.name, value: [...p.value] })),
    children: node.children.map(plain),
  };
}

const names = fc.constantFrom('a', 'b', 'fdt', 'dt', 'compatible', 'x-fdt', 'node-with-a-long-name');
const value = fc.array(fc.nat(255), { maxLength: 9 });
const path = fc.array(names, { maxLength: 2 });
const edit = fc.oneof(
  fc.record({ op: fc.constant('add' as const), path, name: names }),
  fc.record({ op: fc.constant('del' as const), path, name: names }),
  fc.record({ op: fc.constant('set' as const), path, name: names, value }),
  fc.record({ op: fc.constant('append' as const), path, name: names, value }),
  fc.record({ op: fc.constant('delprop' as const), path, name: names }),
  fc.record({ op: fc.constant('repack' as const) }),
);

test('any sequence of edits gives the tree that a plain model gives, or says that there is no room', () => {
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 40 }), (edits) => {
      const fdt = new Uint8Array(700);
      buildEmpty(fdt, 'kho-v4', 0);
      fdtOpenInto(fdt, fdt);
      const model = plain(treeOf(fdt).root);
      for (const step of edits) {
        if (step.op === 'repack') {
          fdtPack(fdt);
          fdtOpenInto(fdt, fdt);
          continue;
        }
        const node = fdtPathOffset(fdt, `/${step.path.join('/')}`);
        let target: ModelNode | undefined = model;
        for (const name of step.path) target = target?.children.find((child) => child.name === name);
        expect(node >= 0).toBe(target !== undefined);
        if (isFdtErr(node) || target === undefined) continue;
        applyEdit(fdt, node, target, step);
      }
      expect(plain(treeOf(fdt).root)).toEqual(model);
      fdtPack(fdt);
      expect(plain(treeOf(fdt).root)).toEqual(model);
    }),
    { numRuns: 150, seed: 3 },
  );
});

type NodeEdit = { name: string } & ({ op: 'add' | 'del' | 'delprop' } | { op: 'set' | 'append'; value: number[] });

function applyEdit(fdt: Uint8Array, node: number, target: ModelNode, step: NodeEdit): void {
  const index = target.properties.findIndex((p) => p.name === step.name);
  const old = target.properties[index]?.value ?? [];
  switch (step.op) {
    case 'add': {
      const added = fdtAddSubnode(fdt, node, step.name);
      const exists = target.children.some((child) => child.name === step.name);
      if (exists) expect(added).toBe(-2);
      else if (added !== -3) target.children.unshift({ name: step.name, properties: [], children: [] });
      return;
    }
    case 'del': {
      const child = fdtSubnodeOffset(fdt, node, step.name);
      const at = target.children.findIndex((candidate) => candidate.name === step.name);
      expect(child >= 0).toBe(at >= 0);
      if (child < 0) return;
      expect(fdtDelNode(fdt, child)).toBe(0);
      target.children.splice(at, 1);
      return;
    }
    case 'delprop': {
      expect(fdtDelprop(fdt, node, step.name)).toBe(index < 0 ? -1 : 0);
      if (index >= 0) target.properties.splice(index, 1);
      return;
    }
    case 'set':
    case 'append': {
      const bytes = Uint8Array.from(step.value);
      const error = (step.op === 'set' ? fdtSetprop : fdtAppendprop)(fdt, node, step.name, bytes);
      if (error === -3) return;
      expect(error).toBe(0);
      const next = step.op === 'set' ? step.value : [...old, ...step.value];
      if (index >= 0) target.properties[index] = { name: step.name, value: next };
      else target.properties.unshift({ name: step.name, value: next });
      return;
    }
  }
}
