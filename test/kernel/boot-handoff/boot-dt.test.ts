import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { buildBootDt } from '../../../kernel/boot-handoff/boot-dt.ts';
import {
  readChosenCmdline,
  readChosenHandoff,
  readChosenInitrd,
  readMemoryNodes,
} from '../../../kernel/boot-handoff/chosen.ts';
import { makeKexecDt } from '../../../kernel/boot-handoff/kexec-dt.ts';
import { fdtDelprop, fdtSetprop } from '../../../kernel/fdt/edit.ts';
import { isFdtErr } from '../../../kernel/fdt/error.ts';
import { childOf, type FdtTree, parseFdt, propertyOf } from '../../../kernel/fdt/parse.ts';
import { fdtPathOffset } from '../../../kernel/fdt/read.ts';
import type { BootHandoff } from '../../../machine/machine.ts';
import { makeMemoryMap } from '../../../machine/memory-map.ts';
import { physAddr } from '../../../machine/units.ts';

const GIB = 2 ** 30;
const oneNode = makeMemoryMap([{ base: physAddr(GIB), sizeBytes: GIB / 2, nid: 0 }], 4096);
const twoNodes = makeMemoryMap(
  [
    { base: physAddr(GIB), sizeBytes: 4 * GIB, nid: 0 },
    { base: physAddr(0x80_0000_0000), sizeBytes: 2 ** 40, nid: 1 },
  ],
  65536,
  [{ base: physAddr(GIB), sizeBytes: 0x10000, name: 'firmware' }],
);
const handoff: BootHandoff = {
  fdt: { phys: physAddr(0x1_2345_6000), sizeBytes: 4096 },
  scratch: { phys: physAddr(0x5eff_0000), sizeBytes: 48 },
};

function treeOf(dt: Uint8Array): FdtTree {
  const tree = parseFdt(dt);
  if (tree.kind === 'error') throw new Error(tree.message);
  return tree;
}

function loaded(running: Uint8Array, request: Parameters<typeof makeKexecDt>[1]): Uint8Array {
  const dt = makeKexecDt(running, request);
  if (isFdtErr(dt)) throw new Error(`libfdt error ${dt}`);
  return dt;
}

const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex');

test('memory nodes carry the banks, with node ids where there are several nodes', () => {
  expect(readMemoryNodes(buildBootDt(oneNode, ''))).toEqual(oneNode.banks);
  expect(readMemoryNodes(buildBootDt(twoNodes, ''))).toEqual(twoNodes.banks);
  const names = treeOf(buildBootDt(twoNodes, 'kho=on')).root.children.map((child) => child.name);
  expect(names).toEqual(['chosen', 'cpus', 'memory@40000000', 'memory@8000000000']);
  expect(treeOf(buildBootDt(oneNode, '')).root.children[2]?.properties.map((p) => p.name)).toEqual([
    'device_type',
    'reg',
  ]);
  expect(treeOf(buildBootDt(twoNodes, '')).reservations).toEqual([{ address: 0x4000_0000n, size: 0x1_0000n }]);
});

test('a node without memory shows by its cpu', () => {
  const map = makeMemoryMap(oneNode.banks, 4096, [], [2, 1]);
  const cpus = treeOf(buildBootDt(map, '')).root.children.find((child) => child.name === 'cpus');
  const nids = cpus?.children.map((cpu) => [cpu.name, hex(propertyOf(cpu, 'numa-node-id')?.value)]);
  expect(nids).toEqual([
    ['cpu@0', '00000000'],
    ['cpu@1', '00000001'],
    ['cpu@2', '00000002'],
  ]);
});

test('firmware passes a command line and no handoff', () => {
  const dt = buildBootDt(oneNode, 'kho=on liveupdate=on');
  expect(readChosenCmdline(dt)).toBe('kho=on liveupdate=on');
  expect(readChosenHandoff(dt)).toBeUndefined();
  expect(readChosenInitrd(dt)).toBeUndefined();
});

test('the loader passes the handoff as two big-endian ranges of 2+2 cells', () => {
  const dt = loaded(buildBootDt(oneNode, 'old'), { handoff, cmdline: 'new' });
  const chosen = childOf(treeOf(dt).root, 'chosen');
  expect(chosen?.properties.map((p) => p.name)).toEqual([
    'linux,booted-from-kexec',
    'linux,kho-scratch',
    'linux,kho-fdt',
    'bootargs',
  ]);
  expect(hex(chosen && propertyOf(chosen, 'linux,kho-fdt')?.value)).toBe('00000001234560000000000000001000');
  expect(hex(chosen && propertyOf(chosen, 'linux,kho-scratch')?.value)).toBe('000000005eff00000000000000000030');
  expect(readChosenHandoff(dt)).toEqual(handoff);
  expect(readChosenCmdline(dt)).toBe('new');
});

test('stale copies are deleted first: the next hop has only its own handoff, or none', () => {
  const first = loaded(buildBootDt(oneNode, 'a'), { handoff, cmdline: 'a' });
  const other: BootHandoff = { ...handoff, fdt: { phys: physAddr(0x7000_0000), sizeBytes: 4096 } };
  const second = loaded(first, { handoff: other, cmdline: 'b' });
  expect(readChosenHandoff(second)).toEqual(other);
  const third = loaded(second, { cmdline: 'c' });
  expect(readChosenHandoff(third)).toBeUndefined();
  const names = childOf(treeOf(third).root, 'chosen')?.properties.map((p) => p.name);
  expect(names).toEqual(['linux,booted-from-kexec', 'bootargs']);
});

test('an initrd is passed and reserved; without one, the old one goes', () => {
  const initrd = { phys: 0x4800_0000, sizeBytes: 12345 };
  const first = loaded(buildBootDt(oneNode, 'a'), { cmdline: 'a', initrd });
  expect(readChosenInitrd(first)).toEqual(initrd);
  expect(treeOf(first).reservations).toEqual([{ address: 0x4800_0000n, size: 12345n }]);
  const second = loaded(first, { cmdline: 'a' });
  expect(readChosenInitrd(second)).toBeUndefined();
  expect(treeOf(second).reservations).toEqual([]);
});

test('without a command line there is none; a handoff property of another length is as good as none', () => {
  const dt = loaded(buildBootDt(oneNode, 'a'), { handoff });
  expect(readChosenCmdline(dt)).toBe('');
  const chosen = fdtPathOffset(dt, '/chosen');
  fdtSetprop(dt, chosen, 'linux,kho-scratch', new Uint8Array(32));
  expect(readChosenHandoff(dt)).toBeUndefined();
  fdtSetprop(dt, chosen, 'linux,kho-scratch', new Uint8Array(12));
  expect(readChosenHandoff(dt)).toBeUndefined();
});

test('one of the two handoff properties is as good as none, and so is one without a value', () => {
  const chosenOf = (dt: Uint8Array) => fdtPathOffset(dt, '/chosen');
  for (const name of ['linux,kho-fdt', 'linux,kho-scratch']) {
    const dt = loaded(buildBootDt(oneNode, 'a'), { handoff });
    fdtDelprop(dt, chosenOf(dt), name);
    expect(readChosenHandoff(dt)).toBeUndefined();
  }
  const dt = loaded(buildBootDt(oneNode, 'a'), { handoff });
  fdtSetprop(dt, chosenOf(dt), 'linux,kho-fdt', new Uint8Array(0));
  expect(readChosenHandoff(dt)).toBeUndefined();
});

const hasDtc = spawnSync('dtc', ['--version']).status === 0;

test.skipIf(!hasDtc)('dtc takes both devicetrees without a word (skipped: dtc is not installed)', () => {
  const boot = buildBootDt(twoNodes, 'kho=on');
  const kexec = loaded(boot, { handoff, cmdline: 'kho=on', initrd: { phys: 0x4800_0000, sizeBytes: 4096 } });
  for (const dt of [boot, kexec]) {
    const dtc = spawnSync('dtc', ['-I', 'dtb', '-O', 'dts'], { input: dt, encoding: 'utf8' });
    expect([dtc.status, dtc.stderr]).toEqual([0, '']);
    expect(dtc.stdout).toContain('memory@8000000000');
  }
});
