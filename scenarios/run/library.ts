import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../input-error.ts';
import { packageRoot } from '../package-root.ts';
import { loadScenario, type Scenario } from './load.ts';
import { nearest } from './nearest.ts';

function libraryFolder(): string {
  return join(packageRoot(), 'scenarios', 'library');
}

/** The names of the library's scenarios, `default` first. */
export function libraryNames(): string[] {
  const names = readdirSync(libraryFolder())
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
  return ['default', ...names.filter((name) => name !== 'default')];
}

/** A scenario of the library. Results name it as the user would, without the folder. */
export function libraryScenario(name: string): Scenario {
  return { ...loadScenario(join(libraryFolder(), `${name}.yaml`)), file: name };
}

/** A scenario by the name of a file, or of one in the library. @throws InputError when there is neither. */
export function findScenario(name: string): Scenario {
  if (existsSync(name) && !(libraryNames().includes(name) && !/[./]/.test(name))) return loadScenario(name);
  const names = libraryNames();
  if (names.includes(name)) return libraryScenario(name);
  const near = nearest(name, names);
  throw new InputError({
    message: `there is no scenario '${name}': neither a file nor one of the library`,
    hint: near === undefined ? '`khosim list` names the library' : `did you mean '${near}'?`,
  });
}
