import { wrap } from '../picture/wrap.ts';
import { libraryNames, libraryScenario } from '../run/library.ts';
import type { CommandRun } from './command.ts';
import { EXIT_OK } from './options.ts';

/** khosim list: the library, names and what they are about. */
export const listCommand: CommandRun = (_args, _options, context) => {
  const scenarios = libraryNames().map(libraryScenario);
  if (context.json) {
    context.printJson({
      scenarios: scenarios.map((scenario) => ({
        scenario: scenario.id,
        name: scenario.spec.name,
        about: scenario.spec.about ?? null,
        arch: scenario.spec.machine.arch,
        pageSizes: scenario.pageSizes.map((page) => page.sizeBytes),
      })),
    });
    return EXIT_OK;
  }
  const width = Math.max(...scenarios.map((scenario) => scenario.id.length));
  for (const scenario of scenarios) {
    const lines = wrap(scenario.spec.name, 80 - width - 2);
    for (const [i, line] of lines.entries()) {
      context.terminal.stdout(`${(i === 0 ? scenario.id : '').padEnd(width)}  ${line}\n`);
    }
  }
  return EXIT_OK;
};
