import { writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { InputError } from '../input-error.ts';
import { makeFolder } from '../io/make-folder.ts';

/** Writes a report or a trace; its folder is made if need be. @throws InputError when the file cannot be written. */
export function writeOutput(path: string, text: string): void {
  try {
    makeFolder(dirname(path));
    writeFileSync(path, text);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!(error instanceof Error) || code === undefined) throw error;
    throw new InputError({
      message: `cannot be written: ${code}`,
      file: path,
      hint: 'give a file in a folder that you may write to',
    });
  }
}
