import { expect, test } from 'vitest';
import type { CommandRun, Terminal } from '../../../scenarios/cli/command.ts';
import { COMMANDS } from '../../../scenarios/cli/commands.ts';
import { makeLogSink } from '../../../scenarios/cli/logger.ts';
import { runCommandLine } from '../../../scenarios/cli/program.ts';
import { InputError } from '../../../scenarios/input-error.ts';

async function khosim(argv: string[], commands = COMMANDS, env: Terminal['env'] = {}) {
  let out = '';
  let err = '';
  const code = await runCommandLine(
    argv,
    { stdout: (text) => (out += text), stderr: (text) => (err += text), interactive: false, env },
    commands,
  );
  return { code, out, err };
}

function command(run: CommandRun) {
  return [{ name: 'try', summary: 'for a test', args: [['[words...]', 'words']] as const, load: async () => run }];
}

test('every command of the contract is there, with the common options', async () => {
  const names = ['run', 'list', 'inspect', 'boot', 'replay', 'matrix', 'compare', 'fuzz', 'explain'];
  expect(COMMANDS.map((spec) => spec.name)).toEqual(
    expect.arrayContaining([...names, 'abi list', 'abi show', 'abi diff', 'abi check']),
  );
  for (const spec of COMMANDS) {
    const { code, out } = await khosim([...spec.name.split(' '), '--help']);
    expect(code).toBe(0);
    for (const option of ['--json', '--seed', '--quiet', '--log-level', '--help']) expect(out).toContain(option);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  }
});

test('the version is that of package.json', async () => {
  expect(await khosim(['--version'])).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), err: '' });
});

test.each([
  [['frobnicate'], /unknown command 'frobnicate'/],
  [['run', '--frobnicate'], /unknown option '--frobnicate'/],
  [['inspect'], /missing required argument 'image'/],
  [['run', '--format', 'xml'], /'xml' is invalid/],
  [['run', '--log-level', 'loud'], /'loud' is invalid/],
])('a usage error is bad input: %j', async (argv, message) => {
  const { code, out, err } = await khosim(argv);
  expect(code).toBe(2);
  expect(out).toBe('');
  expect(err).toMatch(message);
});

test('a seed that is no number is bad input', async () => {
  const { code, err } = await khosim(
    ['try', '--seed', 'x'],
    command(() => 0),
  );
  expect({ code, err }).toEqual({ code: 2, err: "--seed: 'x' is not a whole number, 0 or more\n" });
});

test('arguments, options and the exit code pass through', async () => {
  const seen: unknown[] = [];
  const commands = command((args, options, context) => {
    seen.push(args, options.flag('json'), context.seed, context.quiet);
    context.printJson({ runs: [] });
    return 1;
  });
  const { code, out } = await khosim(['try', 'a', 'b', '--json', '--seed', '0x10', '--quiet'], commands);
  expect(seen).toEqual([['a', 'b'], true, 16, true]);
  expect(JSON.parse(out)).toEqual({ schema: 1, runs: [] });
  expect(code).toBe(1);
});

test('what a user got wrong is exit code 2: message, place and hint', async () => {
  const commands = command(() => {
    throw new InputError({ message: 'order 12 is above MAX_PAGE_ORDER', file: 'a.yaml', line: 7, hint: 'use 10' });
  });
  const { code, err } = await khosim(['try'], commands);
  expect({ code, err }).toEqual({ code: 2, err: 'a.yaml:7: order 12 is above MAX_PAGE_ORDER\n  hint: use 10\n' });
});

test('a file that is not there is exit code 2', async () => {
  const commands = command(() => {
    throw Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT', path: 'nowhere.yaml' });
  });
  const { code, err } = await khosim(['try'], commands);
  expect({ code, err }).toEqual({ code: 2, err: 'nowhere.yaml: there is no such file\n' });
});

test('a bug in khosim is one line and exit code 3, with a stack only for who asks', async () => {
  const commands = command(() => {
    throw new TypeError('undefined is not\na function');
  });
  const { code, err } = await khosim(['try'], commands);
  expect({ code, err }).toEqual({ code: 3, err: 'khosim bug: TypeError: undefined is not a function\n' });
  expect((await khosim(['try'], commands, { KHOSIM_DEBUG: '1' })).err).toContain('at ');
});

test('a command that nobody built says so loudly', async () => {
  const { code, err } = await khosim(['try'], [{ name: 'try', summary: 'for a test' }]);
  expect({ code, err }).toEqual({ code: 3, err: 'khosim try: this command is not built yet\n' });
});

test('the log is pino on the virtual clock: lines as dmesg for people, JSON for programs', () => {
  const line = { microseconds: 1_234_567.5, level: 'info', text: 'KHO: found kexec handover data.' } as const;
  const written: string[] = [];
  makeLogSink('info', 'dmesg', (text) => written.push(text))(line);
  makeLogSink('info', 'json', (text) => written.push(text))(line);
  makeLogSink('warn', 'json', (text) => written.push(text))(line);
  expect(written).toEqual([
    '[    1.234567] KHO: found kexec handover data.\n',
    '{"level":"info","microseconds":1234567.5,"msg":"KHO: found kexec handover data."}\n',
  ]);
});
