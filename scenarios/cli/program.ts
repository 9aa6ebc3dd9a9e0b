import { Command, CommanderError, Option } from 'commander';
import { formatInputMessage, InputError } from '../input-error.ts';
import { packageVersion } from '../package-root.ts';
import type { CommandContext, CommandSpec, OptionSpec, Terminal } from './command.ts';
import { COMMANDS } from './commands.ts';
import { EXIT_BAD_INPUT, EXIT_BUG, EXIT_OK, OptionValues } from './options.ts';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'silent'];

/**
 * khosim's command line.
 * @param argv arguments after the program's name.
 * @param commands the commands there are: those of khosim, or others in a test.
 * @returns the exit code: 0 as expected, 1 an expectation failed, 2 bad input, 3 a bug in khosim. Never throws.
 */
export async function runCommandLine(
  argv: readonly string[],
  terminal: Terminal,
  commands: readonly CommandSpec[] = COMMANDS,
): Promise<number> {
  let exitCode = EXIT_OK;
  const program = new Command('khosim')
    .description('A simulator of Linux Kexec HandOver (KHO)')
    .version(packageVersion(), '--version', 'print the version')
    .helpCommand('help [command]', 'display help for command')
    .showHelpAfterError('  hint: `khosim --help` and `khosim COMMAND --help` tell more')
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.stdout(text), writeErr: (text) => terminal.stderr(text) })
    .configureHelp({ helpWidth: 80 });
  for (const spec of commands) {
    const command = addCommand(program, spec);
    command.action(async (...parameters: unknown[]) => {
      // commander hands over each argument, then the options, then the command.
      const args = parameters
        .slice(0, -2)
        .flat()
        .filter((arg) => arg !== undefined)
        .map(String);
      exitCode = await runOne(spec, args, command.opts(), terminal);
    });
  }
  try {
    if (argv.length === 0) {
      terminal.stdout(program.helpInformation());
      return EXIT_OK;
    }
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(error, terminal);
  }
}

function addCommand(program: Command, spec: CommandSpec): Command {
  const words = spec.name.split(' ');
  let parent = program;
  for (const word of words.slice(0, -1)) {
    parent = parent.commands.find((command) => command.name() === word) ?? parent.command(word).helpCommand(false);
    parent.description('list, show, diff and check contracts');
  }
  const command = parent.command(words.at(-1) ?? spec.name).description(spec.summary);
  for (const [syntax, description] of spec.args ?? []) command.argument(syntax, description);
  for (const option of spec.options ?? []) command.addOption(makeOption(option));
  command
    .option('--json', 'the result as JSON on stdout')
    .option('--seed <n>', 'the seed of all chance')
    .option('--quiet', 'print no more than what was asked for')
    .addOption(
      new Option('--log-level <level>', 'how much of the simulated kernels’ log goes to stderr (silent)').choices(
        LOG_LEVELS,
      ),
    );
  if (spec.more !== undefined) command.addHelpText('after', `\n${spec.more}`);
  return command;
}

function makeOption(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.description);
  if (spec.choices !== undefined) option.choices(spec.choices);
  if (spec.repeatable === true) {
    option.argParser((value, before: string[] | undefined) => [...(before ?? []), value]);
  }
  return option;
}

async function runOne(
  spec: CommandSpec,
  args: readonly string[],
  values: Readonly<Record<string, unknown>>,
  terminal: Terminal,
): Promise<number> {
  if (spec.load === undefined) {
    terminal.stderr(`khosim ${spec.name}: this command is not built yet\n`);
    return EXIT_BUG;
  }
  const options = new OptionValues(values);
  const level = options.text('logLevel') ?? 'silent';
  const json = options.flag('json');
  const context: CommandContext = {
    terminal,
    json,
    quiet: options.flag('quiet'),
    seed: options.wholeNumber('seed'),
    // pino costs a third of the start-up time: loaded only for who wants a log.
    logSink:
      level === 'silent'
        ? undefined
        : (await import('./logger.ts')).makeLogSink(level, json ? 'json' : 'dmesg', (text) => terminal.stderr(text)),
    printJson: (document) => terminal.stdout(`${JSON.stringify({ schema: 1, ...document }, undefined, 1)}\n`),
  };
  const run = await spec.load();
  return run(args, options, context);
}

/** Says on stderr what went wrong, in the form its kind has, and gives the exit code. */
function report(error: unknown, terminal: Terminal): number {
  if (error instanceof CommanderError) {
    // Help and version were printed; a usage error was written to stderr by commander.
    return error.exitCode === 0 ? EXIT_OK : EXIT_BAD_INPUT;
  }
  if (error instanceof InputError) {
    terminal.stderr(`${error.message}\n`);
    return EXIT_BAD_INPUT;
  }
  if (isFileError(error)) {
    terminal.stderr(`${formatInputMessage({ message: fileErrorText(error), file: error.path })}\n`);
    return EXIT_BAD_INPUT;
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  terminal.stderr(`khosim bug: ${message.replaceAll(/\s+/g, ' ')}\n`);
  const debug = terminal.env['KHOSIM_DEBUG'];
  if (debug !== undefined && debug !== '' && error instanceof Error) terminal.stderr(`${error.stack}\n`);
  return EXIT_BUG;
}

interface FileError extends Error {
  readonly code: string;
  readonly path: string;
}

/** A file that the user named and the system refuses: his to mend, whatever command met it. */
function isFileError(error: unknown): error is FileError {
  return error instanceof Error && 'path' in error && typeof error.path === 'string' && 'code' in error;
}

function fileErrorText(error: FileError): string {
  switch (error.code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EACCES':
      return 'permission denied';
    case 'EISDIR':
      return 'this is a folder';
    case 'ENOTDIR':
      return 'a part of this path is not a folder';
    default:
      return `the system says ${error.code}`;
  }
}
