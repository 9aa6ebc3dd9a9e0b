import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { parseFdt } from '../../../kernel/fdt/parse.ts';
import {
  fdtBeginNode,
  fdtCreate,
  fdtEndNode,
  fdtFinish,
  fdtFinishReservemap,
  fdtProperty,
  fdtPropertyString,
} from '../../../kernel/fdt/write.ts';
import { PAGE_SIZES } from '../../../machine/page-size.ts';
import { addSubtree, buildEmpty, buildSequential, removeSubtree, u64le } from './generations.ts';

const fixtures = new URL('../../fixtures/', import.meta.url);

function golden(name: string): string {
  return readFileSync(new URL(`fdt/${name}.dtb`, fixtures)).toString('hex');
}

function used(fdt: Uint8Array): string {
  const tree = parseFdt(fdt);
  if (tree.kind === 'error') throw new Error(tree.message);
  return Buffer.from(fdt.subarray(0, tree.totalsizeBytes)).toString('hex');
}

const MAP = 0x1_2345_6000;
const MEMBLOCK = 0x1_0000_1000;
const KHO_TEST = 0x1_0000_2000;
const METADATA = 0x1_0000_3000;
const LUO = 0x1_0000_4000;

describe('root FDTs are the bytes that libfdt leaves', () => {
  test('6.16 to 6.18: written sequentially', () => {
    const page = new Uint8Array(4096).fill(0xaa);
    const nodes = [
      ['memblock', MEMBLOCK],
      ['kho_test', KHO_TEST],
    ] as const;
    expect(buildSequential(page, 'kho-v1', MAP, nodes)).toBe(0);
    expect(used(page)).toBe(golden('v1_616_618'));
  });

  test('6.19 and 7.0: an empty root, then nodes', () => {
    const page = new Uint8Array(4096);
    expect(buildEmpty(page, 'kho-v1', MAP)).toBe(0);
    expect(used(page)).toBe(golden('v1_619_empty'));
    expect(addSubtree(page, 'kho_test', 'fdt', KHO_TEST)).toBe(0);
    expect(used(page)).toBe(golden('v1_619_one'));
    expect(addSubtree(page, 'memblock', 'fdt', MEMBLOCK)).toBe(0);
    expect(used(page)).toBe(golden('v1_619_two'));
  });

  test('the kho-v2 that no release had', () => {
    const page = new Uint8Array(4096);
    buildEmpty(page, 'kho-v2', MAP);
    addSubtree(page, 'memblock', 'preserved-data', MEMBLOCK);
    expect(used(page)).toBe(golden('v2_one'));
  });

  test('7.1 on: blob-size before preserved-data, newest node first, strings stay', () => {
    const page = new Uint8Array(4096);
    buildEmpty(page, 'kho-v4', MAP);
    expect(used(page)).toBe(golden('v4_empty'));
    addSubtree(page, 'kexec-metadata', 'preserved-data', METADATA, 73);
    expect(used(page)).toBe(golden('v4_meta'));
    addSubtree(page, 'LUO', 'preserved-data', LUO, 32);
    expect(used(page)).toBe(golden('v4_meta_luo'));
    expect(removeSubtree(page, 'preserved-data', LUO)).toBe(0);
    expect(used(page)).toBe(golden('v4_meta_luo_removed'));
  });

  test('the sub-FDT of reserve_mem', () => {
    const page = new Uint8Array(4096);
    const expected = parseFdt(readFileSync(new URL('fdt/memblock_v1.dtb', fixtures)));
    if (expected.kind === 'error') throw new Error(expected.message);
    const [start, size] = expected.root.children[0]?.properties.slice(1) ?? [];
    let error: number = fdtCreate(page);
    error |= fdtFinishReservemap(page);
    error |= fdtBeginNode(page, '');
    error |= fdtPropertyString(page, 'compatible', 'memblock-v1');
    error |= fdtBeginNode(page, 'n1');
    error |= fdtPropertyString(page, 'compatible', 'reserve-mem-v1');
    error |= fdtProperty(page, 'start', start?.value ?? u64le(0));
    error |= fdtProperty(page, 'size', size?.value ?? u64le(0));
    error |= fdtEndNode(page);
    error |= fdtEndNode(page);
    error |= fdtFinish(page);
    expect(error).toBe(0);
    expect(used(page)).toBe(golden('memblock_v1'));
  });
});

interface SparseImage {
  readonly pageSize: number;
  readonly handoff: { readonly fdt: { readonly phys: string } };
  readonly extents: readonly { phys: string; size: number; stored: number; offset: number }[];
}

/** The page of the root FDT as a real kernel left it, with what lies behind totalsize. */
function realRootPage(directory: string): Uint8Array {
  const image = JSON.parse(readFileSync(new URL(`${directory}/image.json`, fixtures), 'utf8')) as SparseImage;
  const extent = image.extents.find((candidate) => candidate.phys === image.handoff.fdt.phys);
  if (extent === undefined) throw new Error('the image has no root FDT');
  const data = gunzipSync(readFileSync(new URL(`${directory}/image.bin.gz`, fixtures)));
  const page = new Uint8Array(image.pageSize);
  page.set(data.subarray(extent.offset, extent.offset + extent.stored));
  return page;
}

function realTree(page: Uint8Array) {
  const tree = parseFdt(page);
  if (tree.kind === 'error') throw new Error(tree.message);
  const u64 = (value: Uint8Array | undefined) => Number(Buffer.from(value ?? new Uint8Array(8)).readBigUInt64LE());
  const properties = (node: typeof tree.root) =>
    Object.fromEntries(
      node.properties.map((property) => [property.name, u64(property.value.length === 8 ? property.value : undefined)]),
    );
  const map = properties(tree.root)['preserved-memory-map'] ?? 0;
  const nodes = tree.root.children.map((child) => ({ name: child.name, ...properties(child) }));
  return { map, nodes: nodes as { name: string; fdt?: number; 'preserved-data'?: number; 'blob-size'?: number }[] };
}

describe('whole root FDT pages of real kernels, with the stale bytes behind totalsize', () => {
  test.each(['linux-6.17.8-arm64-4k', 'linux-6.18.15-arm64-4k'])('%s', (directory) => {
    const real = realRootPage(directory);
    const { map, nodes } = realTree(real);
    const page = new Uint8Array(real.length);
    buildSequential(
      page,
      'kho-v1',
      map,
      nodes.map((node) => [node.name, node.fdt ?? 0] as const),
    );
    expect(Buffer.compare(page, real)).toBe(0);
  });

  test('linux-6.19.11-arm64-4k, where finalize writes the map in place', () => {
    const real = realRootPage('linux-6.19.11-arm64-4k');
    const { map, nodes } = realTree(real);
    const page = new Uint8Array(real.length);
    buildEmpty(page, 'kho-v1', 0);
    for (const node of nodes.toReversed()) addSubtree(page, node.name, 'fdt', node.fdt ?? 0);
    page.set(u64le(map), realTree(page).map === 0 ? mapIndex(page) : 0);
    expect(Buffer.compare(page, real)).toBe(0);
  });

  test.each([
    ['linux-7.1.13-arm64-4k', 'kho-v3'],
    ['linux-7.3.4-arm64-4k', 'kho-v4'],
    ['linux-7.3.4-arm64-64k', 'kho-v4'],
  ])('%s', (directory, compatible) => {
    const real = realRootPage(directory);
    const { map, nodes } = realTree(real);
    const page = new Uint8Array(real.length);
    buildEmpty(page, compatible, map);
    for (const node of nodes.toReversed()) {
      addSubtree(page, node.name, 'preserved-data', node['preserved-data'] ?? 0, node['blob-size'] ?? 0);
    }
    expect(Buffer.compare(page, real)).toBe(0);
  });
});

function mapIndex(page: Uint8Array): number {
  const tree = parseFdt(page);
  if (tree.kind === 'error') throw new Error(tree.message);
  return tree.root.properties.find((property) => property.name === 'preserved-memory-map')?.offset ?? 0;
}

describe('how many sub-trees a page holds', () => {
  const fill = (page: Uint8Array, add: (name: string, i: number) => number): [count: number, error: number] => {
    for (let i = 0; ; i++) {
      const before = used(page);
      const error = add(`sub${i.toString().padStart(3, '0')}`, i);
      if (error !== 0) {
        expect(used(page)).toBe(before);
        return [i, error];
      }
    }
  };

  test('109 without a size and 70 with one, at 4K; the next one is refused and leaves no trace', () => {
    const v1 = new Uint8Array(4096);
    buildEmpty(v1, 'kho-v1', 0);
    expect(fill(v1, (name, i) => addSubtree(v1, name, 'fdt', 0x1000 * i))).toEqual([109, -3]);
    const v4 = new Uint8Array(4096);
    buildEmpty(v4, 'kho-v4', MAP);
    expect(fill(v4, (name, i) => addSubtree(v4, name, 'preserved-data', 0x1000 * i, i))).toEqual([70, -3]);
  });

  test.each(PAGE_SIZES)('grows with the page: $name', (page) => {
    const fdt = new Uint8Array(page.sizeBytes);
    buildEmpty(fdt, 'kho-v4', MAP);
    addSubtree(fdt, 'sub000', 'preserved-data', 1, 1);
    const first = used(fdt).length / 2;
    addSubtree(fdt, 'sub001', 'preserved-data', 1, 1);
    const each = used(fdt).length / 2 - first;
    expect(Math.floor((page.sizeBytes - first) / each) + 1).toBe({ 4096: 70, 16384: 289, 65536: 1167 }[page.sizeBytes]);
  });
});
