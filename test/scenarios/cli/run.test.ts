import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { runCommandLine } from '../../../scenarios/cli/program.ts';
import type { RunResult } from '../../../scenarios/run/result.ts';

const folder = mkdtempSync(join(tmpdir(), 'khosim-run-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function khosim(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runCommandLine(argv, {
    stdout: (text) => {
      out += text;
    },
    stderr: (text) => {
      err += text;
    },
    interactive: false,
    env: {},
  });
  return { code, out, err };
}

function plan(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

const GOOD = `name: a folio crosses
machine: { pageSize: [4K, 64K] }
kernel: { cmdline: "kho=on kho_scratch=32M,32M,32M" }
steps:
  - preserve folios: { order: 2, as: cache }
  - kexec
expect: { intact: [cache], kexecCount: 1 }
`;
const BAD = `${GOOD.replace('- kexec', '- damage: { to: cache, page: 1 }\n  - kexec').replace('a folio', 'a damaged folio')}`;

describe('run', () => {
  test('prints one screen at 80 columns, and says what is as expected', async () => {
    const { code, out, err } = await khosim('run', plan('good.yaml', GOOD));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^a folio crosses\ngood, arm64: 7\.3 -> 7\.3\n/);
    expect(out).toMatch(/outcome +handover +handover\n/);
    expect(out).toMatch(/2 runs: seed 1; all as expected\n$/);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(out.split('\n').length).toBeLessThanOrEqual(24);
  });

  test('a failed check is exit code 1: what, the first bad event, and how to see it again', async () => {
    const file = plan('bad.yaml', BAD);
    const { code, out } = await khosim('run', file, '--page-size', '4K', '--seed', '7');
    expect(code).toBe(1);
    const text = out.replaceAll(/\s+/g, ' ');
    expect(text).toContain('NOT OK at 4K: contents: damaged: kernel 2: 1 page (4 KiB): 0x');
    expect(text).toContain('was written by a stray write, kernel 1, step 2 (line 6: damage)');
    expect(text).toContain('no silent damage: memory came back wrong, and no kernel said a word');
    expect(out).toContain(`again: khosim run ${file} --page-size 4K --seed 7\n`);
  });

  test('--json is the contract', async () => {
    const { code, out } = await khosim('run', plan('good.yaml', GOOD), '--json', '--seed', '5');
    const document = JSON.parse(out) as { schema: number; runs: RunResult[] };
    expect(code).toBe(0);
    expect(document.schema).toBe(1);
    expect(document.runs.map((run) => [run.scenario, run.pageSize, run.seed, run.ok, run.outcome])).toEqual([
      ['good', 4096, 5, true, 'handover'],
      ['good', 65536, 5, true, 'handover'],
    ]);
    const [run] = document.runs;
    expect(run?.preserved).toEqual({ pages: 4, bytes: 16384 });
    expect(run?.restored).toEqual({ pages: 4, bytes: 16384 });
    expect(run?.damaged).toEqual({ pages: 0, bytes: 0 });
    expect(run?.leaked).toEqual({ pages: 0, bytes: 0 });
    expect(run?.kernels.map((kernel) => kernel.release)).toEqual(['7.3', '7.3']);
    expect(run?.kernels[1]?.log).toContain('KHO: found kexec handover data.');
    expect(run?.checks[0]).toEqual({ name: 'outcome', ok: true, detail: 'handover', firstBadEvent: null });
    expect(run?.digest).toMatch(/^[0-9a-f]{64}$/);
  });

  test('--format ktap', async () => {
    const { code, out } = await khosim('run', plan('bad.yaml', BAD), '--page-size', '4K', '--format', 'ktap');
    expect(code).toBe(1);
    const lines = out.split('\n');
    expect(lines.slice(0, 3)).toEqual(['KTAP version 1', '1..1', '    KTAP version 1']);
    expect(lines).toContain('    not ok 2 contents');
    expect(lines).toContain('not ok 1 bad 4K');
    expect(lines.at(-2)).toBe('# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 error:0');
    const planned = Number(/^ {4}1\.\.(\d+)$/m.exec(out)?.[1]);
    expect(lines.filter((line) => /^ {4}(not )?ok \d/.test(line)).length).toBe(planned);
  });

  test('--format junit', async () => {
    const { out } = await khosim('run', plan('bad.yaml', BAD), '--page-size', '4K', '--format', 'junit');
    expect(out).toMatch(
      /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites name="khosim" tests="\d+" failures="3">/,
    );
    expect(out).toContain('<testcase classname="bad 4K" name="contents">');
    expect(out.match(/<failure /g)?.length).toBe(3);
    expect(out.trimEnd().endsWith('</testsuites>')).toBe(true);
  });

  test('--jobs: workers give the same JSON as one process', async () => {
    const names = ['stray-write', 'bad-magic', '--json'];
    const alone = await khosim('run', ...names);
    const workers = await khosim('run', ...names, '--jobs', '2');
    expect(workers).toEqual(alone);
    expect(alone.code).toBe(0);
  });

  test('--shard: the parts together are the whole', async () => {
    const file = plan('good.yaml', GOOD);
    const sizes: number[] = [];
    for (const shard of ['1/2', '2/2']) {
      const { out } = await khosim('run', file, '--json', '--shard', shard);
      sizes.push(...(JSON.parse(out) as { runs: RunResult[] }).runs.map((run) => run.pageSize));
    }
    expect(sizes.sort()).toEqual([4096, 65536]);
  });

  test('--trace: a process for each kernel, spans for boot and scenario, a flow from preserve to restore', async () => {
    const file = join(folder, 'trace.json');
    const { code } = await khosim('run', plan('good.yaml', GOOD), '--page-size', '4K', '--quiet', '--trace', file);
    expect(code).toBe(0);
    const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as {
      traceEvents: { name: string; cat?: string; ph: string; pid: number; ts: number }[];
    };
    const begun = traceEvents.filter((event) => event.ph === 'B');
    const steps = begun.filter((event) => event.cat === 'scenario').map((event) => [event.pid, event.name]);
    expect(steps.slice(0, 2)).toEqual([
      [1, 'preserve folios: { order: 2, as: cache }'],
      [1, 'kexec: kernel 1 jumps'],
    ]);
    expect(begun.filter((event) => event.name === 'early_initcall').map((event) => event.pid)).toEqual([1, 2]);
    const found = traceEvents.find((event) => event.name.startsWith('KHO: found kexec handover data.'));
    expect(found?.pid).toBe(2);
    expect(traceEvents.some((event) => event.ph === 's')).toBe(true);
  });

  test('--trace and --report write files, and say nothing else', async () => {
    const trace = join(folder, 'out/trace.json');
    const report = join(folder, 'out/report.html');
    const args = ['run', plan('good.yaml', GOOD), '--page-size', '4K', '--quiet', '--trace', trace, '--report', report];
    expect(await khosim(...args)).toEqual({ code: 0, out: '', err: '' });
    const { traceEvents } = JSON.parse(readFileSync(trace, 'utf8')) as { traceEvents: { name: string; ph: string }[] };
    const begun = traceEvents.filter((event) => event.ph === 'B').map((event) => event.name);
    expect(begun).toContain('preserve folios: { order: 2, as: cache }');
    expect(readFileSync(report, 'utf8')).toContain('a folio crosses');
  });

  test('a report that cannot be written is bad input', async () => {
    const { code, err } = await khosim('run', plan('good.yaml', GOOD), '--page-size', '4K', '--report', folder);
    expect(code).toBe(2);
    expect(err).toContain('cannot be written');
  });

  test('draws RAM at the last jump, and what went wrong in it', async () => {
    const small = (text: string) =>
      text.replace('pageSize: [4K, 64K]', 'pageSize: 4K, memory: 256M').replaceAll('32M', '16M');
    const picture = async (name: string, text: string) => {
      const { out } = await khosim('run', plan(name, small(text)));
      const lines = out.split('\n');
      const at = lines.findIndex((line) => line.includes('|'));
      return `\n${lines.slice(at, at + 2).join('\n')}\n`;
    };
    expect(await picture('good.yaml', GOOD)).toMatchInlineSnapshot(`
      "
      4K  0x40000000 |.....................................ssssssssss+| 256 MiB
      s scratch  # preserved  + a little  m memory map  . other RAM
      "
    `);
    expect(await picture('bad.yaml', BAD)).toMatchInlineSnapshot(`
      "
      4K  0x40000000 |.....................................ssssssssss!| 256 MiB
      s scratch  # preserved  + a little  m memory map  . other RAM  ! damaged, lost
      "
    `);
  });

  test('--log-level: kernels log to stderr, on their virtual clocks', async () => {
    const { err } = await khosim('run', plan('good.yaml', GOOD), '--page-size', '4K', '--quiet', '--log-level', 'info');
    expect(err).toMatch(/^\[ {4}0\.\d{6}\] KHO: found kexec handover data\.$/m);
  });
});

describe('bad input is exit code 2', () => {
  test.each([
    [
      'no such scenario',
      ['run', 'defualt'],
      "there is no scenario 'defualt': neither a file nor one of the library\n  hint: did you mean 'default'?\n",
    ],
    [
      'a page size',
      ['run', '--page-size', '5K'],
      "--page-size: no kernel has pages of '5K'\n  hint: one of 4K, 16K, 64K\n",
    ],
    ['a shard', ['run', '--shard', '3/2'], "--shard: '3' is not a whole number, 1 to 2\n"],
    ['workers', ['run', '--jobs', '0'], "--jobs: '0' is not a whole number, 1 to 256\n"],
    [
      'x86 with large pages',
      ['run', 'real-kernel-x86_64', '--page-size', '64K'],
      '--page-size: real-kernel-x86_64 is for x86_64, which has pages of 4K only\n',
    ],
  ])('%s', async (_, argv, message) => {
    expect(await khosim(...argv)).toEqual({ code: 2, out: '', err: message });
  });

  test.each([
    [
      'an order that the page size does not have',
      'order: 2, as',
      'order: 12, as',
      /:5: at 4K pages this step cannot be: order 12 is above MAX_PAGE_ORDER, 10 at 4K.*\n {2}hint: /,
    ],
    [
      'scratch too small for the image',
      '32M,32M,32M',
      '4M,4M,4M',
      /:6: at 4K pages this step cannot be: scratch is too small .*\n {2}hint: raise/,
    ],
    [
      'memory too small for scratch',
      'pageSize: [4K, 64K]',
      'pageSize: 64K, memory: 1G',
      /:2: at 64K pages the first kernel turns KHO off: .*\n {2}hint: /,
    ],
    [
      'banks that overlap',
      'pageSize: [4K, 64K]',
      'memory: [{ base: 0x40000000, size: 1G }, { base: 0x60000000, size: 1G }]',
      /:2: the bank at 0x60000000 overlaps the one before it/,
    ],
    [
      'memory that ends in the middle of a page',
      'pageSize: [4K, 64K]',
      'pageSize: 4K, memory: 1000000001',
      /:2: memory of 1000000001 bytes is no whole number of 4K pages/,
    ],
    [
      'more pages than there are',
      'order: 2, as',
      'order: 0, count: 4294967296, as',
      /:5: at 4K pages this step cannot be: 4294967296 pages are more than the machine has/,
    ],
    [
      'a bank too large',
      'pageSize: [4K, 64K]',
      'pageSize: 4K, memory: 2000T',
      /:2: a bank has more than 2\^32 pages of 4K/,
    ],
    [
      'an address that begins no page',
      'order: 2, as',
      'order: 2, at: 0x50000100, as',
      /:5: at 4K pages this step cannot be: 0x50000100 is not the start of a page/,
    ],
  ])('%s', async (_, from, to, message) => {
    const file = plan('wrong.yaml', GOOD.replace(from, to));
    const { code, out, err } = await khosim('run', file);
    expect(err).toMatch(message);
    expect(err.startsWith(file)).toBe(true);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});

test('a folder is no scenario', async () => {
  expect(await khosim('run', folder)).toEqual({ code: 2, out: '', err: `${folder}: this is not a file\n` });
});

test.skipIf(!existsSync('/proc'))('--export into a folder that cannot be made is bad input, and no hang', async () => {
  const { code, err } = await khosim('run', 'bad-magic', '--page-size', '4K', '--quiet', '--export', '/proc/khosim/a');
  expect({ code, err }).toEqual({ code: 2, err: '/proc/khosim: there is no such file\n' });
});

test('list names the library, default first, within 80 columns', async () => {
  const { code, out } = await khosim('list');
  expect(code).toBe(0);
  expect(out).toMatch(/^default /);
  for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  const json = JSON.parse((await khosim('list', '--json')).out) as { scenarios: { scenario: string }[] };
  expect(json.scenarios.map((each) => each.scenario)).toEqual(
    expect.arrayContaining(['default', 'real-kernel', 'ten-hops', 'numa-restore']),
  );
});
