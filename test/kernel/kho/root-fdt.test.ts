import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { EEXIST, ENOENT, ENOMEM } from '../../../kernel/errno.ts';
import { IncomingRootFdt, OutgoingRootFdt } from '../../../kernel/kho/root-fdt.ts';
import { type Release, releaseByName } from '../../../kernel/release.ts';
import { PAGE_4K, PAGE_SIZES, type PageSize, PhysicalMemory, physAddr } from '../../../machine/index.ts';

const AT = physAddr(0x100000);
const META = { name: 'kexec-metadata', phys: physAddr(0x100003000), sizeBytes: 73 };
const LUO = { name: 'LUO', phys: physAddr(0x100004000), sizeBytes: 32 };
const MAP = 0x123456000;

function release(name: string): Release {
  const found = releaseByName(name);
  if (found === undefined) throw new Error(`no release ${name}`);
  return found;
}

function make(name: string, page: PageSize = PAGE_4K) {
  const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: 2 ** 24, nid: 0 }]);
  const { root, quirks } = release(name);
  const out = new OutgoingRootFdt(memory, page, root, AT, quirks.addSubtreeCleansUp);
  const bytes = () => {
    const size = new DataView(memory.readBytes(AT, 8).buffer).getUint32(4);
    return Buffer.from(memory.readBytes(AT, size));
  };
  return { memory, out, bytes, incoming: new IncomingRootFdt(memory, root, AT) };
}

function golden(name: string): Buffer {
  return readFileSync(new URL(`../../fixtures/fdt/${name}.dtb`, import.meta.url));
}

describe('the root FDT in RAM', () => {
  test('7.3 leaves the very bytes that libfdt leaves in the kernel call order', () => {
    const { out, bytes } = make('7.3');
    expect(out.writeAll(MAP, [])).toBe(0);
    expect(bytes()).toEqual(golden('v4_empty'));
    expect(out.add(META)).toBe(0);
    expect(bytes()).toEqual(golden('v4_meta'));
    expect(out.add(LUO)).toBe(0);
    expect(bytes()).toEqual(golden('v4_meta_luo'));
    out.remove(LUO.phys);
    expect(bytes()).toEqual(golden('v4_meta_luo_removed'));
  });

  test('6.18 writes it in one go, 6.19 edits it: both as libfdt does', () => {
    const memblock = { name: 'memblock', phys: physAddr(0x100001000), sizeBytes: 206 };
    const test = { name: 'kho_test', phys: physAddr(0x100002000), sizeBytes: 100 };
    const old = make('6.18');
    expect(old.out.writeAll(MAP, [memblock, test])).toBe(0);
    expect(old.bytes()).toEqual(golden('v1_616_618'));
    const edited = make('6.19');
    edited.out.writeAll(0, []);
    edited.out.add(test);
    edited.out.add(memblock);
    edited.out.setMap(MAP);
    expect(edited.bytes()).toEqual(golden('v1_619_two'));
  });

  test.each(PAGE_SIZES)('what $name kernels add is found by the reader, newest first', (page) => {
    const { out, incoming } = make('7.3', page);
    out.writeAll(MAP, []);
    out.add(META);
    out.add(LUO);
    expect(incoming.subtrees()).toEqual([LUO, META]);
    expect(out.subtrees()).toEqual([LUO, META]);
    expect(incoming.map()).toBe(MAP);
    expect(incoming.retrieve('LUO', () => {})).toEqual({ phys: LUO.phys, sizeBytes: 32 });
    expect(incoming.retrieve('luo', () => {})).toBe(ENOENT);
  });

  test('a name that is taken is -EEXIST, a full page -ENOMEM, and the FDT stays as it was', () => {
    const { out, bytes, incoming } = make('7.3');
    out.writeAll(MAP, []);
    for (let i = 0; i < 70; i++) expect(out.add({ ...META, name: `sub${100 + i}` })).toBe(0);
    expect(out.add({ ...META, name: 'sub100' })).toBe(EEXIST);
    const before = bytes();
    expect(out.add({ ...META, name: 'sub170' })).toBe(ENOMEM);
    expect(bytes()).toEqual(before);
    expect(incoming.subtrees()).toHaveLength(70);
  });

  test("up to 7.0 a full page leaves half a node and libfdt's number", () => {
    const { out, incoming } = make('7.0');
    out.writeAll(0, []);
    for (let i = 0; i < 109; i++) expect(out.add({ ...META, name: `sub${100 + i}` })).toBe(0);
    const failed = out.add({ ...META, name: 'sub209' });
    expect([-3, ENOMEM]).toContain(failed);
    expect(incoming.subtrees()).toHaveLength(109);
  });
});
