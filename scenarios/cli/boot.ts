import {
  defaultConfig,
  type KernelConfig,
  LARGEST_MAX_PAGE_ORDER,
  type PageSize,
  RELEASES,
  type Release,
  releaseByName,
} from '../../kernel/index.ts';
import { bootCaptured } from '../boot/boot-captured.ts';
import { formatBoot } from '../boot/format.ts';
import { InputError } from '../input-error.ts';
import { openCapturedMemory } from '../io/captured-memory.ts';
import { imageOptionsOf } from '../io/image-options.ts';
import type { CommandRun } from './command.ts';
import { EXIT_FAILED, EXIT_OK } from './options.ts';

const DEFAULT_CMDLINE = 'kho=on liveupdate=on';

/** `khosim boot IMAGE --release R`: exit code 1 when an audit of the memory has findings of severity error. */
export const run: CommandRun = (args, options, context) => {
  const captured = openCapturedMemory(args[0] ?? '', imageOptionsOf(options));
  try {
    const document = bootCaptured(captured, {
      release: releaseOption(options.text('release')),
      cmdline: options.text('cmdline') ?? DEFAULT_CMDLINE,
      config: parseConfig(options.texts('config'), captured.bootPage),
      ...(context.seed === undefined ? {} : { seed: context.seed }),
      sink: context.logSink,
    });
    if (context.json) context.printJson(document);
    else if (!context.quiet) context.terminal.stdout(formatBoot(document));
    return document.findings.some((finding) => finding.severity === 'error') ? EXIT_FAILED : EXIT_OK;
  } finally {
    captured.close();
  }
};

/** A release by name; undefined when none was asked for. @throws InputError for one that khosim does not know. */
function releaseOption(name: string | undefined): Release | undefined {
  if (name === undefined) return undefined;
  const release = releaseByName(name);
  if (release !== undefined) return release;
  throw new InputError({
    message: `--release: there is no release '${name}'`,
    hint: `one of ${RELEASES.map((each) => each.name).join(', ')}`,
  });
}

/**
 * Build options, `NAME=y`, `NAME=n` or `NAME=NUMBER`; a leading CONFIG_ is dropped.
 * @throws InputError for an unknown name or a value that it does not take.
 */
function parseConfig(texts: readonly string[], page: PageSize): Partial<KernelConfig> {
  const known = defaultConfig(page);
  const config: Record<string, boolean | number> = {};
  for (const text of texts) {
    const at = text.indexOf('=');
    const name = (at < 0 ? text : text.slice(0, at)).replace(/^CONFIG_/, '');
    const value = at < 0 ? '' : text.slice(at + 1);
    const byDefault = (known as unknown as Record<string, boolean | number | undefined>)[name];
    if (byDefault === undefined) {
      throw new InputError({
        message: `--config: there is no option '${name}'`,
        hint: `one of ${Object.keys(known).join(', ')}`,
      });
    }
    const parsed = typeof byDefault === 'number' ? parseNumber(value) : parseYesNo(value);
    if (parsed === undefined) {
      throw new InputError({
        message: `--config: ${name} takes ${typeof byDefault === 'number' ? `a number up to ${LARGEST_MAX_PAGE_ORDER}` : 'y or n'}, not '${value}'`,
        hint: `--config ${name}=${typeof byDefault === 'number' ? byDefault : 'y'}`,
      });
    }
    config[name] = parsed;
  }
  return config;
}

function parseNumber(text: string): number | undefined {
  return /^[0-9]{1,2}$/.test(text) && Number(text) <= LARGEST_MAX_PAGE_ORDER ? Number(text) : undefined;
}

function parseYesNo(text: string): boolean | undefined {
  return text === 'y' ? true : text === 'n' ? false : undefined;
}
