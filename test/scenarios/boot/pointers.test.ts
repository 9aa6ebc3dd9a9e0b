import { describe, expect, test } from 'vitest';
import { releaseByName } from '../../../kernel/index.ts';
import { bootImage } from '../../../scenarios/boot/boot-image.ts';
import { subjectOf } from './subject.ts';

const FOLDER = 'linux-7.3.4-arm64-4k';
/** Slot 1 of the root table of the real 4K image: 0x409be000. */
const SLOT = 0x4094f008;

describe('the top bits of a pointer in the tree', () => {
  const release = releaseByName('7.3');
  if (release === undefined) throw new Error('no release 7.3');

  function outcome(arch: 'arm64' | 'x86_64', topByte: string) {
    const subject = { ...subjectOf(FOLDER, { patches: [`0x${(SLOT + 7).toString(16)}:${topByte}`] }), arch };
    return bootImage(subject, { release: release as NonNullable<typeof release>, cmdline: 'kho=on' }).outcome;
  }

  test('are lost in the linear map of arm64, so that the handover is read as if they were not there', () => {
    expect(outcome('arm64', 'a0')).toBe('handover');
  });

  test('lead out of RAM on x86_64', () => {
    expect(outcome('x86_64', 'a0')).toBe('oops');
  });
});

/** Pointers of the real 4K image that clients follow: the topmost byte of each. */
const CLIENT_POINTERS: readonly (readonly [string, number])[] = [
  ['the LUO subtree', 0x4095014f],
  ['the sessions', 0x40a40017],
  ['the FLBs', 0x40a4001f],
  ['a file', 0x40a88047],
  ['the chunk list of a file', 0x40a89027],
];

describe('the topmost byte of a pointer that a client follows', () => {
  const release = releaseByName('7.3');
  if (release === undefined) throw new Error('no release 7.3');
  const cmdline = 'kho=on liveupdate=on reserve_mem=2M:64K:khosim_rm';
  const config = { LIVEUPDATE_TEST: true };

  function boot(arch: 'arm64' | 'x86_64', at?: number) {
    const patches = at === undefined ? [] : [`0x${at.toString(16)}:f0`];
    const subject = { ...subjectOf(FOLDER, { patches }), arch };
    const { outcome, files, khoTest } = bootImage(subject, {
      release: release as NonNullable<typeof release>,
      cmdline,
      config,
    });
    return { outcome, files, khoTest };
  }

  test.each(CLIENT_POINTERS)('%s: is lost on arm64, and nothing is different', (_, at) => {
    expect(boot('arm64', at)).toEqual(boot('arm64'));
  });

  test.each(CLIENT_POINTERS)('%s: counts on x86_64, where the read faults', (_, at) => {
    expect(boot('x86_64', at).outcome).toBe('oops');
  });

  test('a page is taken back by its frame number, which has those bits everywhere', () => {
    // The first page of the first file, in the chunk list of its folios.
    const files = boot('arm64', 0x40a8b00f).files;
    expect(Object.values(files).filter((file) => 'error' in file)).toHaveLength(1);
  });
});
