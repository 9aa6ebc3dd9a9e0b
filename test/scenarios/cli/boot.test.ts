import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FIXTURES } from '../inspect/sparse-image.ts';
import { khosim } from './khosim.ts';

const IMAGE = join(FIXTURES, 'linux-7.3.4-arm64-4k');
const OLD_IMAGE = join(FIXTURES, 'linux-6.18.15-arm64-4k');

const json = async (...argv: string[]) => JSON.parse((await khosim('boot', ...argv, '--json')).out);

test('--json is the contract', async () => {
  const { code, out, err } = await khosim('boot', IMAGE, '--release', '7.3', '--json');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const document = JSON.parse(out);
  expect(Object.keys(document).filter((key) => key !== 'notes')).toEqual([
    'schema',
    'release',
    'outcome',
    'reason',
    'log',
    'kexecMetadata',
    'khoTest',
    'revivedReserveMem',
    'liveupdateNumber',
    'files',
    'memblock',
    'findings',
  ]);
  expect(document).toMatchObject({
    schema: 1,
    release: '7.3',
    outcome: 'handover',
    reason: null,
    kexecMetadata: { previousRelease: '7.3.4', kexecCount: 1 },
    khoTest: 'ok',
    // Nothing on the default command line asks for memory.
    revivedReserveMem: [],
    liveupdateNumber: 1,
    findings: [],
  });
  expect(document.log[0]).toBe('KHO: found kexec handover data.');
  expect(document.files['second/0xdeadbeefcafe0044']).toEqual({
    size: 131072,
    pos: 0,
    seals: 0,
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  for (const region of [...document.memblock.memory, ...document.memblock.reserved]) {
    expect(region).toEqual({
      base: expect.stringMatching(/^0x/),
      size: expect.stringMatching(/^0x/),
      flags: expect.any(Number),
      nid: expect.any(Number),
    });
  }
});

test('a file that cannot be retrieved is an errno by name', async () => {
  // The seals of token 0x11: one that no kernel knows.
  const document = await json(IMAGE, '--patch', '0x40a89010:80000000');
  expect(document.files['oracle-session/0x11']).toEqual({ error: 'EOPNOTSUPP' });
});

test('the release is the newest that fits when none is asked for, and the command line may be another', async () => {
  expect(await json(OLD_IMAGE)).toMatchObject({ release: '6.18', khoTest: 'ok', liveupdateNumber: null, files: {} });
  const off = await json(IMAGE, '--cmdline', 'kho=off reserve_mem=2M:64K:khosim_rm');
  expect(off).toMatchObject({ khoTest: 'absent', kexecMetadata: null, revivedReserveMem: ['khosim_rm'] });
});

describe('build options', () => {
  test('are taken as y, n or a number, with CONFIG_ or without', async () => {
    const document = await json(IMAGE, '--config', 'CONFIG_LIVEUPDATE_TEST=n', '--config', 'MAX_PAGE_ORDER=9');
    expect(document.outcome).toBe('handover');
    expect(document.log.filter((line: string) => line.startsWith('liveupdate test'))).toEqual([]);
  });

  test.each([
    [['--config', 'NUMA=maybe'], /--config: NUMA takes y or n, not 'maybe'/],
    [['--config', 'MAX_PAGE_ORDER=y'], /--config: MAX_PAGE_ORDER takes a number/],
    [['--config', 'KEXEC=y'], /--config: there is no option 'KEXEC'/],
    [['--release', '5.10'], /--release: there is no release '5.10'/],
    [['--fdt-len', 'all'], /--fdt-len: 'all' is not a whole number/],
    [['--scratch-len', '-1'], /--scratch-len: '-1' is not a whole number/],
    [['--scratch', '0x5eff0000'], /--scratch: '0x5eff0000' has no length/],
    [['--patch', '0x1:ff'], /--patch: 1 bytes at 0x1 are not in RAM/],
  ])('what cannot be is bad input: %j', async (argv, message) => {
    const { code, out, err } = await khosim('boot', IMAGE, ...argv);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(message);
  });
});

test('what firmware passes can be changed', async () => {
  expect(await json(IMAGE, '--scratch-len', '0')).toMatchObject({ outcome: 'cold-boot' });
  expect(await json(IMAGE, '--fdt-len', '0x28')).toMatchObject({ outcome: 'handover' });
  expect(await json(IMAGE, '--fdt', '0x40950000,4096', '--scratch', '0x5eff0000,48')).toMatchObject({
    outcome: 'handover',
    findings: [],
  });
});

test('findings of severity error are exit code 1, whatever the outcome; --quiet prints nothing', async () => {
  const wrong = ['--patch', '0x4094f008:08e09b4000000000'];
  expect(await khosim('boot', IMAGE, ...wrong, '--quiet')).toEqual({ code: 1, out: '', err: '' });
  expect((await json(IMAGE, ...wrong)).outcome).toBe('oops');
});

test('people get 80 columns, and no control characters of foreign memory', async () => {
  // A name of a session with an escape sequence; a list of files that cannot be retrieved; a wild pointer.
  for (const patch of ['0x40a87010:1b5b324a0d0a', '0x40a88010:00', '0x40a87008:3300000000000000', '0x4094f010:00']) {
    const { out } = await khosim(
      'boot',
      IMAGE,
      '--patch',
      patch,
      '--cmdline',
      'kho=on liveupdate=on reserve_mem=4M:4K:x',
    );
    expect(out.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(out).not.toMatch(/[^\n -~]/);
  }
  const { out } = await khosim('boot', IMAGE, '--patch', '0x40a87010:1b5b324a00');
  expect(out).toContain('\\x1b[2J/0x11');
});
