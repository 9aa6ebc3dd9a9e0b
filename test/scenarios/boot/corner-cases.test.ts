import { describe, expect, test } from 'vitest';
import { releaseByName } from '../../../kernel/index.ts';
import { bootImage } from '../../../scenarios/boot/boot-image.ts';
import { type Changes, subjectOf } from './subject.ts';

/*
 * What 7.3 and older kernels do in corners that no captured mutation shows; read in their sources. Addresses are those
 * of the captured images.
 */

const FOLDER = 'linux-7.3.4-arm64-4k';
const CMDLINE = 'kho=on liveupdate=on reserve_mem=2M:64K:khosim_rm';

function boot(changes: Changes = {}, cmdline = CMDLINE, folder = FOLDER, name = '7.3') {
  const release = releaseByName(name);
  if (release === undefined) throw new Error(`no release ${name}`);
  return bootImage(subjectOf(folder, changes), { release, cmdline });
}

describe('a kernel that came after a crash', () => {
  const crash = boot({}, `${CMDLINE} elfcorehdr=1M@0x5d000000`);

  test('turns KHO off before it reserves what was preserved', () => {
    expect(crash.log).toEqual([
      'KHO: found kexec handover data.',
      "Revived memory reservation 'khosim_rm' from KHO",
      'KHO: disabled in the kdump kernel',
      'luo: Disabling liveupdate because KHO is disabled',
    ]);
    const preserved = crash.memblock.reserved.filter(({ base }) => base === '0x40950000');
    expect([crash.khoTest, crash.kexecMetadata, preserved]).toEqual(['absent', null, []]);
  });

  test('up to 7.2 takes the handover like the rest', () => {
    expect(boot({}, `${CMDLINE} elfcorehdr=0x5d000000`, FOLDER, '7.2').khoTest).toBe('ok');
  });
});

describe('without any scratch', () => {
  const zero = '0000000000000000';

  test.each([
    ['an array shorter than an entry', { handoff: { scratch_len: 15 } }],
    ['all areas of size 0', { patches: [`0x5eff0008:${zero}`, `0x5eff0018:${zero}`, `0x5eff0028:${zero}`] }],
  ])('%s is accepted, and then there is no memory for page tables', (_, changes) => {
    const { outcome, reason, log } = boot(changes);
    expect([outcome, reason]).toEqual(['panic', 'Failed to allocate page table page']);
    expect(log).toEqual([
      'KHO: found kexec handover data.',
      'Kernel panic - not syncing: Failed to allocate page table page',
    ]);
  });
});

test('a vmalloc order of 32 passes every check and leaves the area unmapped', () => {
  // `order` in the kho_vmalloc of session oracle-session, token 0x11.
  expect(boot({ patches: ['0x40a8902e:2000'] }).outcome).toBe('oops');
  expect(boot({ patches: ['0x40a8902e:4000'] }).outcome).toBe('handover');
});

test('a position beyond 2^53 is told in hex', () => {
  const { files } = boot({ patches: ['0x40a89000:0000000000000040'] });
  expect(files['oracle-session/0x11']).toMatchObject({ size: 17, pos: '0x4000000000000000' });
});

test('test_kho of 6.17 checks its data with kho=off too, and that of 6.18 does not', () => {
  expect(boot({}, 'kho=off', 'linux-6.17.8-arm64-4k', '6.17.8').khoTest).toBe('ok');
  expect(boot({}, 'kho=off', 'linux-6.18.15-arm64-4k', '6.18').khoTest).toBe('absent');
});
