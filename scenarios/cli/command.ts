import type { LogSink } from '../../kernel/index.ts';
import type { OptionValues } from './options.ts';

/** Where a command writes, and what it may know about the terminal: handed in, so that tests run commands in process. */
export interface Terminal {
  /** Results. */
  stdout(text: string): void;
  /** Log, progress, messages. */
  stderr(text: string): void;
  /** Whether stderr is a terminal: only then is progress shown. */
  readonly interactive: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What every command is given beside its own arguments. */
export interface CommandContext {
  readonly terminal: Terminal;
  /** --json: the result as cli-contract JSON on stdout, in place of the human form. */
  readonly json: boolean;
  /** --quiet: nothing on stdout but what was asked for in a machine's form, no progress. */
  readonly quiet: boolean;
  /** --seed, undefined when not given. */
  readonly seed: number | undefined;
  /** Where simulated kernels log to: stderr through pino, by --log-level; undefined for none. */
  readonly logSink: LogSink | undefined;
  /** Prints a JSON document on stdout, with `schema: 1` in front. */
  printJson(document: object): void;
}

/** A command: does its work, prints, and says with which code to exit. */
export type CommandRun = (
  args: readonly string[],
  options: OptionValues,
  context: CommandContext,
) => number | Promise<number>;

/** An option of a command as commander reads it, `--page-size <list>`. */
export interface OptionSpec {
  readonly flags: string;
  readonly description: string;
  /** May be given several times. */
  readonly repeatable?: boolean;
  readonly choices?: readonly string[];
}

/** One command, as --help shows it. */
export interface CommandSpec {
  /** `run`, or `abi show` for one below another. */
  readonly name: string;
  readonly summary: string;
  /** [commander's syntax, description] */
  readonly args?: readonly (readonly [string, string])[];
  readonly options?: readonly OptionSpec[];
  /** Examples and what else there is to say, below the options. */
  readonly more?: string;
  /** The command's code, loaded only when it runs; undefined while nobody built it. */
  readonly load?: () => Promise<CommandRun>;
}
