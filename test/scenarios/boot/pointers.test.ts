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
