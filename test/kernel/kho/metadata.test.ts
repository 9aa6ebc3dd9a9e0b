import { describe, expect, it } from 'vitest';
import { ENOMEM } from '../../../kernel/errno.ts';
import { readKexecMetadata, writeKexecMetadata } from '../../../kernel/kho/metadata.ts';
import { releaseByName } from '../../../kernel/release.ts';
import { PAGE_4K, PAGE_SIZES, type PhysAddr } from '../../../machine/index.ts';
import { FakeKernel } from '../fake-kernel.ts';

const NODE = 'kexec-metadata';

/** Writes metadata, changes it, and jumps. */
function handed(damage: (old: FakeKernel, phys: PhysAddr) => void = () => {}): FakeKernel {
  const old = new FakeKernel(PAGE_4K, { nrPages: 64 });
  expect(writeKexecMetadata(old, '7.3.4', 40)).toBe(0);
  damage(old, old.kho.subtrees.get(NODE)?.phys ?? (0 as PhysAddr));
  return old.kexec();
}

function resized(sizeBytes: number) {
  return (old: FakeKernel, phys: PhysAddr) => old.kho.subtrees.set(NODE, { phys, sizeBytes });
}

describe('kexec-metadata', () => {
  it.each(PAGE_SIZES)('crosses as 73 bytes with $name pages', (page) => {
    const old = new FakeKernel(page, { nrPages: 64 });
    writeKexecMetadata(old, '7.3.4', 0);
    const { phys, sizeBytes } = old.kho.subtrees.get(NODE) ?? { phys: 0 as PhysAddr, sizeBytes: 0 };
    expect(sizeBytes).toBe(73);
    expect(Buffer.from(old.memory.readBytes(phys, 73)).toString('hex')).toBe(
      `01000000${Buffer.from('7.3.4').toString('hex').padEnd(130, '0')}01000000`,
    );
    const kernel = old.kexec();
    expect(readKexecMetadata(kernel)).toEqual({ previousRelease: '7.3.4', kexecCount: 1 });
    expect(kernel.control.state).toMatchObject({ previousRelease: '7.3.4', kexecCount: 1 });
  });

  it('says who handed over', () => {
    const kernel = handed();
    expect(readKexecMetadata(kernel)).toEqual({ previousRelease: '7.3.4', kexecCount: 41 });
    expect(kernel.lines).toEqual(['KHO: exec from: 7.3.4 (count 41)']);
  });

  it.each([
    ['shorter than its version', resized(3), 'KHO: kexec-metadata blob too small (3 bytes)'],
    ['shorter than its struct', resized(8), 'KHO: kexec-metadata blob too small for v1 (8 < 73)'],
    [
      'of another version',
      (old: FakeKernel, phys: PhysAddr) => old.memory.writeU32(phys, 0xffff_ffff),
      'KHO: kexec-metadata version 4294967295 not supported (expected 1)',
    ],
  ])('is ignored when it is %s', (_what, damage, line) => {
    const kernel = handed(damage);
    expect(readKexecMetadata(kernel)).toBeUndefined();
    expect(kernel.lines).toEqual([line]);
  });

  it('may be longer than its struct, and is cut off where a name has no end', () => {
    const kernel = handed((old, phys) => {
      resized(100)(old, phys);
      old.memory.writeBytes((phys + 4) as PhysAddr, new Uint8Array(65).fill(0x41));
    });
    expect(readKexecMetadata(kernel)?.previousRelease).toBe('A'.repeat(64));
  });

  it('does not exist before 7.1', () => {
    const release = releaseByName('7.0');
    const kernel = new FakeKernel(PAGE_4K, release === undefined ? {} : { release });
    expect(writeKexecMetadata(kernel, '7.0.9', 0)).toBe(0);
    expect(kernel.kho.subtrees.size).toBe(0);
  });

  it('is reported when there is no memory for it', () => {
    const kernel = new FakeKernel(PAGE_4K, { nrPages: 64 });
    kernel.faults.arm('kho.preserve', 1);
    expect(writeKexecMetadata(kernel, '7.3.4', 0)).toBe(ENOMEM);
    expect(kernel.lines).toEqual(['KHO: failed to initialize kexec-metadata subtree: -12']);
  });
});
