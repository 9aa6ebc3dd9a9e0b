import { readFileSync } from 'node:fs';
import { InputError } from '../input-error.ts';
import { replayMemory } from '../replay/memory.ts';
import { replayRadix } from '../replay/radix.ts';
import type { CommandRun } from './command.ts';
import { EXIT_OK } from './options.ts';

const KINDS = { radix: replayRadix, memory: replayMemory } as const;

/** khosim replay: what the real code prints for a trace, byte for byte. */
export const replayCommand: CommandRun = (args, options, context) => {
  const [kind = '', file = ''] = args;
  if (!Object.hasOwn(KINDS, kind)) {
    throw new InputError({ message: `there are no traces of kind '${kind}'`, hint: 'radix or memory' });
  }
  const page = options.pageSize();
  if (page === undefined) {
    throw new InputError({ message: 'a trace does not tell its page size', hint: 'e.g. --page-size 4K' });
  }
  const text = KINDS[kind as keyof typeof KINDS](readFileSync(file, 'utf8'), {
    page,
    results: options.flag('results'),
    digestsOnly: options.flag('digestsOnly'),
    numa: options.flag('numa'),
    file,
  });
  if (context.json) context.printJson({ kind, pageSize: page.sizeBytes, lines: text.trimEnd().split('\n') });
  else context.terminal.stdout(text);
  return EXIT_OK;
};
