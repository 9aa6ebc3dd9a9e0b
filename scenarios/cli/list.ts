import { libraryNames, libraryScenario } from '../run/library.ts';
import type { CommandRun } from './command.ts';
import { EXIT_OK } from './options.ts';

/** khosim list: the library, a line each. */
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
    const line = `${scenario.id.padEnd(width)}  ${scenario.spec.name}`;
    context.terminal.stdout(`${line.length <= 80 ? line : `${line.slice(0, 77)}...`}\n`);
  }
  return EXIT_OK;
};
